//! The upload session sealed into its Location, pure: what a ticket says, who may use it, and until when.
//!
//! ```text
//! ticket   Ticket ─ seal ─▶ _tidegate=… ─ open ─▶ Ticket     ring   TicketRing: first key seals, all open
//! ```
//!
//! It must never widen: a ticket that cannot be opened is no ticket, and a hard end is copied, never counted anew.

pub mod ring;
pub mod ticket;
