//! What the link saw of each request, and which token went by with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, StatusCode};
use tokio::time::Instant;

use crate::base::fingerprint::Fingerprint;
use crate::oci::credentials::Credentials;

/// The smallest layer.
const LAYER_LEAST: u64 = 64 * 1024;

/// A request that went over the link.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    pub(super) method: Method,
    /// Its path, without the query.
    pub(super) path: String,
    /// The bearer token it carried, told apart from others without being kept.
    pub(super) token: Option<Fingerprint>,
    /// When its head came.
    pub(super) set_out: Instant,
    /// Bytes of its body so far.
    pub(super) bytes: u64,
    /// When it was passed on: after the last byte of its body.
    pub(super) arrived: Option<Instant>,
    pub(super) status: Option<StatusCode>,
    /// What a refusal says, as clients print it: `unauthorized: authentication required`.
    pub(super) refusal: Option<String>,
}

impl Passage {
    /// Whether it carried the layer: a configuration or a manifest is smaller.
    pub(super) fn is_layer(&self) -> bool {
        self.bytes >= LAYER_LEAST
    }
}

/// All passages of a link, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Passages(Arc<Mutex<Vec<Passage>>>);

impl Passages {
    /// Notes a request whose head has come.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Open {
        let field = request.headers().get(http::header::AUTHORIZATION);
        let token = field.and_then(Credentials::bearer_in).map(Fingerprint::of);
        let mut all = self.lock();
        all.push(Passage {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            token,
            set_out: Instant::now(),
            bytes: 0,
            arrived: None,
            status: None,
            refusal: None,
        });
        Open { passages: self.clone(), index: all.len() - 1 }
    }

    pub(super) fn all(&self) -> Vec<Passage> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first error of a registry's answer (distribution-spec, error codes).
fn refusal(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| body.pointer(&format!("/errors/0/{key}")).and_then(serde_json::Value::as_str);
    Some(format!("{}: {}", text("code")?.to_ascii_lowercase(), text("message")?))
}

/// The note of a request that is under way.
#[derive(Debug)]
pub(super) struct Open {
    passages: Passages,
    index: usize,
}

impl Open {
    fn with(&self, change: impl FnOnce(&mut Passage)) {
        if let Some(passage) = self.passages.lock().get_mut(self.index) {
            change(passage);
        }
    }

    /// More of the body came.
    pub(super) fn took(&self, bytes: u64) {
        self.with(|passage| passage.bytes += bytes);
    }

    /// It is being passed on.
    pub(super) fn arrives(&self) {
        self.with(|passage| passage.arrived = Some(Instant::now()));
    }

    /// It was answered.
    pub(super) fn answered(&self, status: StatusCode) {
        self.with(|passage| passage.status = Some(status));
    }

    /// It was answered with an error and this body.
    pub(super) fn refused(&self, body: &[u8]) {
        self.with(|passage| passage.refusal = refusal(body));
    }
}
