//! What both sides of a gateway need of HTTP/1.1 (RFC 9112): messages on their way out, and field lines.
//!
//! ```text
//! head, body ─▶ Sending ─▶ a connection          what a body breaks its word by, ends the sending
//! bytes      ─▶ fields  ─▶ HeaderMap             the values share the bytes
//! ```
//!
//! It must never send a part as the whole, and never decide what a request or an answer means.

pub mod fields;
pub mod sending;
pub mod target;
