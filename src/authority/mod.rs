//! Who decides access: a Docker-protocol token server, GitLab first of all.
//!
//! It must never turn «cannot be asked» into «denied», and never follow a redirect with a credential.

pub mod gitlab;
