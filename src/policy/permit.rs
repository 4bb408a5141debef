//! The proof that a request may reach the registry.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::oci::access::Needed;
use crate::token::claims::{AccessClaim, Claims};
use crate::token::identity::Identity;
use crate::token::verifier::{Lapsed, Verified};
use crate::upload::ticket::Ticket;

/// Made by [`super::decide`] alone; the registry's pool takes nothing else.
#[derive(Debug)]
pub struct Permit {
    pub(super) holder: Holder,
    pub(super) needed: Arc<Needed>,
    pub(super) ticket: Option<Ticket>,
    pub(super) verified: Option<Timestamp>,
}

/// The token the permit stands on.
#[derive(Debug)]
pub(super) enum Holder {
    Living(Verified),
    Lapsed(Lapsed),
}

impl Permit {
    /// The claims of the presented token.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        match &self.holder {
            Holder::Living(token) => token.claims(),
            Holder::Lapsed(token) => token.claims(),
        }
    }

    /// Who the presented token speaks for.
    #[must_use]
    pub fn identity(&self) -> Identity {
        match &self.holder {
            Holder::Living(token) => token.identity(),
            Holder::Lapsed(token) => token.identity(),
        }
    }

    /// Whether the presented token had lapsed: the request is a rescue.
    #[must_use]
    pub fn is_rescue(&self) -> bool {
        matches!(self.holder, Holder::Lapsed(_))
    }

    /// The access of the registry token: what is needed and granted, never more.
    #[must_use]
    pub fn access(&self) -> Vec<AccessClaim> {
        match &*self.needed {
            Needed::AnyToken => Vec::new(),
            Needed::WholeToken => self.claims().access.clone(),
            Needed::Resources(needed) => self.claims().narrowed(needed),
        }
    }

    /// What the request needs.
    #[must_use]
    pub fn needed(&self) -> &Arc<Needed> {
        &self.needed
    }

    /// The ticket the request carried.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// When the identity was last verified: now for a living token, when the authority said so for a lapsed one.
    #[must_use]
    pub fn verified(&self) -> Option<Timestamp> {
        self.verified
    }
}
