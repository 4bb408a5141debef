//! What a client reads whose credential was lost on its way: the authority saw an anonymous request and says that
//! access is forbidden, which sends people looking for rights they have.

use std::net::IpAddr;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::authority::answer::Refusal;
use crate::oci::error::{self, ErrorCode};

/// The body of a denial with its first message replaced; all else stays. A body that is not a registry's is replaced
/// whole.
pub(super) fn body(refusal: &Refusal, hop: IpAddr) -> Bytes {
    let message = message(hop);
    reworded(&refusal.body, &message).unwrap_or_else(|| {
        let code = match refusal.status {
            StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
            _ => ErrorCode::Denied,
        };
        error::body(code, &message, &[])
    })
}

fn message(hop: IpAddr) -> String {
    format!(
        "the request names an account but carries no Authorization header; a proxy or load balancer between the client \
         and this gateway probably removed it (the request came from {hop}): check that it passes Authorization on"
    )
}

fn reworded(body: &[u8], message: &str) -> Option<Bytes> {
    let mut json: Value = serde_json::from_slice(body).ok()?;
    let error = json.get_mut("errors")?.get_mut(0)?.as_object_mut()?;
    error.get("code")?.as_str()?;
    error.insert("message".to_owned(), Value::from(message));
    serde_json::to_vec(&json).ok().map(Bytes::from)
}
