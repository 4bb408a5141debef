//! The way of a `/v2/` request, phase by phase.

use crate::policy::Renew;

/// Where a registry's 307 of a blob may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Anywhere: passed byte for byte.
    Pass,
    /// Nowhere: answered 502.
    Refuse,
    /// To these hosts only.
    Hosts(Vec<String>),
}

/// `[sites."…"]`
#[derive(Debug)]
pub struct SiteSettings {
    /// `host`, `host:port` or `*`, lower case.
    pub host: String,
    /// The authority's name.
    pub authority: String,
    /// The token endpoint's public URL; none: `/jwt/auth` on the host that was asked.
    pub realm: Option<http::Uri>,
    /// The site's, or `[push]`'s.
    pub renew: Renew,
    /// The registry behind it.
    pub registry: Option<RegistrySettings>,
    /// The web host behind it.
    pub proxy: Option<crate::upstream::Settings>,
}

/// `[sites."…".registry]`
#[derive(Debug)]
pub struct RegistrySettings {
    /// Where the registry is.
    pub upstream: crate::upstream::Settings,
    /// Host header to send instead of the client's.
    pub host: Option<http::HeaderValue>,
    /// Where a 307 may lead.
    pub redirects: Redirects,
}
