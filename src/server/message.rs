//! What messages say alike over HTTP/1.1 and HTTP/2.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::base::clock::Clock;

/// The length that `Content-Length` tells of a body. That it is told once, and true, is seen to elsewhere.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the answer to any method has no body (RFC 9110 §6.4.1).
pub(super) fn is_bare(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What `Date` says now (RFC 9110 §6.6.1), written once a second.
pub(super) fn date() -> HeaderValue {
    thread_local! {
        static WRITTEN: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = u64::try_from(Clock::System.now().0).unwrap_or(0);
    WRITTEN.with(|written| {
        let mut written = written.borrow_mut();
        if written.0 != now {
            let mut text = String::with_capacity(32);
            let _ = write!(text, "{}", httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(now)));
            *written = (now, HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("")));
        }
        written.1.clone()
    })
}
