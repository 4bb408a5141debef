//! What a ticket says.
