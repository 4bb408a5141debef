//! The wire vocabulary of a registry, pure: names, routes, scopes, challenges, credentials, error bodies.
//!
//! ```text
//! name, reference   what a path names           scope, access   what a token may do
//! route             what a request asks for     challenge       what we answer without it
//! location          where an upload goes on     credentials     what a client proves itself with
//! token_api         the token endpoint's words  error           the registry's error body
//! form              queries and forms, read as the registries read them
//! ```
//!
//! It must never do I/O, read a clock, or keep state: everything is a function of its arguments.

pub mod access;
pub mod challenge;
pub mod credentials;
pub mod error;
pub(crate) mod form;
#[cfg(test)]
mod grammar;
pub mod location;
pub mod name;
pub mod reference;
pub mod route;
pub mod scope;
pub mod token_api;
