//! May this request go on?

use std::sync::Arc;

use http::Method;

use super::permit::{Holder, Permit};
use super::{OnAuthorityDown, PushSettings, Renew};
use crate::base::clock::Timestamp;
use crate::oci::access::{Action, Needed, ResourceActions};
use crate::oci::name::RepositoryName;
use crate::oci::route::{Route, RouteKind};
use crate::token::verifier::{Lapsed, TokenError, Verified};
use crate::upload::ticket::Ticket;

/// What speaks for a request.
#[derive(Debug)]
pub enum Evidence {
    /// No Authorization, or not a Bearer.
    Missing,
    /// A bearer that is not believed.
    Refused(TokenError),
    /// A living token.
    Living(Verified),
    /// A token past its time.
    Lapsed(Lapsed),
}

/// Everything a decision depends on.
#[derive(Debug)]
pub struct Question<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// What it asks for.
    pub route: &'a Route,
    /// What speaks for it.
    pub evidence: Evidence,
    /// The ticket, opened: it belongs to this site, repository and upload.
    pub ticket: Option<Ticket>,
    /// The site's `renew`.
    pub renew: Renew,
    /// The present moment.
    pub now: Timestamp,
}

/// Why a request stops here. Closed: each is a metric label and an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No bearer.
    Missing,
    /// A bearer that is not believed.
    Token(TokenError),
    /// A lapsed token, and nothing that extends it.
    Lapsed,
    /// A living token that does not grant it.
    Scope,
    /// A lapsed token with a ticket that is not its own.
    Ticket,
    /// The upload's hard end has passed.
    SessionEnd,
    /// Nobody vouched for the identity for too long.
    Unverified,
    /// The authority says no more.
    Revoked,
    /// The authority cannot be asked, and the configuration says stop.
    AuthorityDown,
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// A living token grants it.
    Permit(Permit),
    /// A lapsed token on its own upload: the authority's word is still to be heard.
    Extend(Extension),
    /// No.
    Refuse(Refusal),
}

/// A lapsed token that its ticket speaks for, not yet a permit.
#[derive(Debug)]
pub struct Extension {
    token: Lapsed,
    ticket: Ticket,
    needed: Arc<Needed>,
}

/// What the authority says of a lapsed token's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It granted push on this repository to the same identity, at this moment.
    Confirmed(Timestamp),
    /// It could not be asked.
    Unreachable,
    /// There is no credential to ask with.
    NoCredential,
    /// It said no.
    Revoked,
}

/// Decides. Pure: the same question has the same answer.
#[must_use]
pub fn decide(question: Question<'_>) -> Decision {
    let Question { method, route, evidence, ticket, renew, now } = question;
    let needed = Arc::clone(&route.needed);
    match evidence {
        Evidence::Missing => Decision::Refuse(Refusal::Missing),
        Evidence::Refused(error) => Decision::Refuse(Refusal::Token(error)),
        Evidence::Living(token) => {
            if grants(&needed, |resource| token.claims().covers(resource)) {
                let holder = Holder::Living(token);
                Decision::Permit(Permit { holder, needed, ticket, verified: Some(now) })
            } else {
                Decision::Refuse(Refusal::Scope)
            }
        }
        Evidence::Lapsed(token) => match extension(method, route, &token, ticket, renew, now) {
            Ok(ticket) => Decision::Extend(Extension { token, ticket, needed }),
            Err(refusal) => Decision::Refuse(refusal),
        },
    }
}

fn grants(needed: &Needed, covers: impl Fn(&ResourceActions) -> bool) -> bool {
    match needed {
        Needed::AnyToken | Needed::WholeToken => true,
        Needed::Resources(resources) => resources.iter().all(covers),
    }
}

/// The one thing a lapsed token may do: go on with its own upload.
fn extension(
    method: &Method,
    route: &Route,
    token: &Lapsed,
    ticket: Option<Ticket>,
    renew: Renew,
    now: Timestamp,
) -> Result<Ticket, Refusal> {
    let continues = matches!(*method, Method::PATCH | Method::PUT | Method::GET | Method::HEAD);
    let (RouteKind::Upload, Some(repository), true) = (route.kind, &route.repository, continues) else {
        return Err(Refusal::Lapsed);
    };
    let ticket = ticket.filter(|ticket| ticket.extends && renew != Renew::Off).ok_or(Refusal::Lapsed)?;
    if ticket.identity != token.identity() || !token.lived_at(ticket.opened) {
        return Err(Refusal::Ticket);
    }
    // The needed access may be pull alone (a status request); an extension always takes the right to push as well.
    let own = token.claims().covers(&upload_access(repository));
    let elsewhere = !grants(&route.needed, |resource| resource.same_resource("repository", repository.as_str()));
    if !own || elsewhere {
        return Err(Refusal::Lapsed);
    }
    if now >= ticket.hard_end {
        return Err(Refusal::SessionEnd);
    }
    Ok(ticket)
}

/// `repository:<name>:pull,push`: what opens an upload.
#[must_use]
pub fn upload_access(repository: &RepositoryName) -> ResourceActions {
    ResourceActions::repository(repository.as_str(), &[Action::Pull, Action::Push])
}

impl Extension {
    /// The lapsed token.
    #[must_use]
    pub fn token(&self) -> &Lapsed {
        &self.token
    }

    /// Its ticket.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// A permit, if the authority's word allows one.
    ///
    /// # Errors
    /// [`Refusal::Revoked`], [`Refusal::AuthorityDown`] or [`Refusal::Unverified`].
    pub fn confirm(self, word: Word, push: &PushSettings, now: Timestamp) -> Result<Permit, Refusal> {
        let verified = match word {
            Word::Confirmed(at) => Some(at),
            Word::Unreachable if push.on_authority_down == OnAuthorityDown::Continue => None,
            Word::Unreachable => return Err(Refusal::AuthorityDown),
            Word::NoCredential if now < self.ticket.verified.plus(push.max_unverified) => None,
            Word::NoCredential => return Err(Refusal::Unverified),
            Word::Revoked => return Err(Refusal::Revoked),
        };
        let holder = Holder::Lapsed(self.token);
        Ok(Permit { holder, needed: self.needed, ticket: Some(self.ticket), verified })
    }
}

#[cfg(test)]
mod tests;
