//! The upload session sealed into its Location, pure: what a ticket says, and who can read and write one.
//!
//! ```text
//! 202 Location: /v2/<name>/blobs/uploads/<id>?_state=…&_tidegate=<sealed>
//!                                                               │
//! Ticket ── TicketRing::seal(ticket, binding) ──▶ sealed ── TicketRing::open(sealed, binding) ──▶ Ticket
//! ```
//!
//! A ticket says who opened an upload, when, and until when its token may have lapsed. It grants nothing by itself:
//! without a token of the same identity it is worthless, and the access comes from that token alone.
//!
//! It must never widen: a ticket that cannot be opened is no ticket, and open time and hard end are copied from one
//! ticket to the next, never counted anew.

pub mod ring;
pub mod ticket;
