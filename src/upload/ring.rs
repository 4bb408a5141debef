//! The key ring of tickets.
