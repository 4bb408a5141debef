//! What is seen: the log, the metrics, and one record of each request.
//!
//! ```text
//! log      the subscriber: JSON (json) or text, to standard error by way of the journal
//! labels   the closed sets that metrics are labelled with
//! metrics  Metrics: every family, one method for each happening
//! outcome  Outcome ─ Record ─ Ending ─▶ one access line and one set of metrics per request
//! seldom   Seldom: a warning that anybody can bring about, once a minute
//! ```
//!
//! It must never hold a token, a credential, a ticket or a `_state`, never label a metric with what a client chose,
//! and never write a request's line twice.

pub mod journal;
mod json;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod outcome;
pub mod seldom;
