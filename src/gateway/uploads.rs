//! Phase 3, and what is known of the uploads that are open here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use tokio::time::Instant;

use super::respond::Stop;
use super::site::Site;
use crate::oci::location::take_ticket;
use crate::oci::name::{RepositoryName, UploadId};
use crate::oci::route::{Route, RouteError, RouteKind};
use crate::policy::Renew;
use crate::telemetry::labels::Limit;
use crate::telemetry::outcome::Record;
use crate::upload::ticket::{Binding, Ticket};

/// Uploads kept in view. More are served all the same; they are only not counted.
const IN_VIEW: usize = 100_000;
/// An upload that nobody touched for this long is no longer counted as open.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How often forgotten ones are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// A request's target without the ticket, and the ticket.
#[derive(Debug)]
pub struct Recalled {
    /// The raw path and query for the registry.
    pub target: PathAndQuery,
    /// The ticket, if it is one of this site, repository and upload.
    pub ticket: Option<Ticket>,
}

/// Takes the ticket out of the query and opens it. All other bytes stay as they were.
///
/// # Errors
/// [`Stop::RepeatedTicket`].
pub fn recall(site: &Site, route: &Route, uri: &Uri) -> Result<Recalled, Stop> {
    let taken = take_ticket(uri.query()).map_err(|_| Stop::RepeatedTicket)?;
    let target = match (&taken.ticket, &taken.query) {
        (None, _) => uri.path_and_query().cloned(),
        (Some(_), None) => uri.path().parse().ok(),
        (Some(_), Some(query)) => format!("{}?{query}", uri.path()).parse().ok(),
    };
    // It was a path and a query before, and no byte of it that was not.
    let target = target.ok_or(Stop::Route(RouteError::Ambiguous))?;
    let ticket = match (taken.ticket, &route.repository, &route.upload) {
        (Some(sealed), Some(repository), Some(upload)) => site.tickets.open(sealed, &binding(site, repository, upload)),
        _ => None,
    };
    Ok(Recalled { target, ticket })
}

/// What this site's tickets hold for.
#[must_use]
pub fn binding<'a>(site: &'a Site, repository: &'a RepositoryName, upload: &'a UploadId) -> Binding<'a> {
    let verifier = site.authenticator.verifier();
    Binding { site: &site.name, issuer: &verifier.issuer, audience: &verifier.service, repository, upload }
}

/// The uploads that were opened or continued here and have not ended.
#[derive(Debug, Default)]
pub struct Uploads {
    view: Mutex<View>,
}

#[derive(Debug, Default)]
struct View {
    open: HashMap<(RepositoryName, UploadId), Open>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    touched: Instant,
    rescued: bool,
}

impl Uploads {
    /// The upload goes on here.
    pub fn touched(&self, repository: &RepositoryName, upload: &UploadId, record: &Record) {
        let now = Instant::now();
        let mut view = self.lock();
        let key = (repository.clone(), upload.clone());
        if let Some(known) = view.open.get_mut(&key) {
            known.touched = now;
            return;
        }
        record.metrics().uploads_active(-view.sweep(now));
        if view.open.len() >= IN_VIEW {
            record.metrics().limit_hit(Limit::Uploads);
            return;
        }
        view.open.insert(key, Open { touched: now, rescued: false });
        record.metrics().uploads_active(1);
    }

    /// The upload ended: committed, or cancelled, or unknown to the registry.
    pub fn ended(&self, repository: &RepositoryName, upload: &UploadId, record: &Record, committed: bool) {
        if let Some(open) = self.lock().open.remove(&(repository.clone(), upload.clone())) {
            record.metrics().uploads_active(-1);
            if committed && open.rescued {
                record.metrics().upload_rescued();
            }
        }
    }

    /// A request went on although its token had lapsed: noted, and the upload counted when it is committed.
    pub fn rescued(&self, record: &Record, route: &Route, renew: Renew) {
        record.rescued(renew);
        let (Some(repository), Some(upload)) = (&route.repository, &route.upload) else { return };
        self.touched(repository, upload, record);
        let mut view = self.lock();
        if let Some(open) = view.open.get_mut(&(repository.clone(), upload.clone())) {
            open.rescued = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Now and then, forgets what nobody touched for long; returns how many.
    fn sweep(&mut self, now: Instant) -> i64 {
        if self.swept.is_some_and(|at| now.duration_since(at) < SWEEP) {
            return 0;
        }
        self.swept = Some(now);
        let before = self.open.len();
        self.open.retain(|_, open| now.duration_since(open.touched) < FORGOTTEN);
        i64::try_from(before - self.open.len()).unwrap_or(0)
    }
}

/// Whether the route is a step of an upload.
#[must_use]
pub fn is_step(route: &Route) -> bool {
    matches!(route.kind, RouteKind::UploadOpen | RouteKind::Upload)
}
