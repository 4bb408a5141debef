//! What is seen: the log, the metrics, and one record of each request.
//!
//! It must never hold a token, a credential, a ticket or a `_state`.

pub mod log;
