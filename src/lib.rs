//! Tidegate, the front door of a container registry.
//!
//! It terminates TLS, sends `/v2/…` to a registry and the token endpoint to whoever decides access, and sees to
//! it that a push that was allowed to start is allowed to finish, however long it takes.
//!
//! ```text
//! client ─▶ server ─▶ app::dispatch ─┬─ /v2/…     ─▶ gateway   ─▶ upstream ─▶ registry
//!                                    ├─ /jwt/auth ─▶ endpoints ─▶ issuance ─▶ authority ─▶ GitLab
//!                                    └─ the rest  ─▶ endpoints::proxy ─────▶ upstream ─▶ GitLab
//! ```
//!
//! The `pub mod` lines below are the architecture: a module imports only modules that stand above it, and a test
//! (`tests/it/tidy.rs`) keeps that true. `docs/architecture.md` has the picture and the invariants.

pub mod base;
pub mod oci;
pub mod token;
pub mod upload;
pub mod policy;
pub mod telemetry;
pub mod upstream;
pub mod authority;
pub mod issuance;
pub mod gateway;
pub mod endpoints;
pub mod admin;
pub mod server;
pub mod config;
pub mod app;
pub mod cli;
