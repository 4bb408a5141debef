//! The time, as answers tell it (RFC 9110 §6.6.1), written once a second.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use crate::base::clock::Clock;

/// What `Date` says now.
pub(super) fn now() -> HeaderValue {
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
