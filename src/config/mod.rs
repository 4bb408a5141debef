//! The configuration file, read once into every module's settings.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// A whole configuration, valid.
#[derive(Debug)]
pub struct Settings {
    /// `[listeners.public]`, `[limits]`, `[timeouts]`, `[drain]`
    pub server: crate::server::Settings,
    /// `[listeners.public] trusted_proxies`
    pub trusted_proxies: Vec<IpNet>,
    /// `[listeners.admin]`
    pub admin: Option<crate::admin::Settings>,
    /// `[authorities.*]`
    pub authorities: BTreeMap<String, crate::authority::gitlab::Settings>,
    /// `[sites."*"]`
    pub sites: Vec<crate::gateway::SiteSettings>,
    /// `[signing]`
    pub signing: Option<crate::token::minter::Minter>,
    /// `[tokens]`
    pub tokens: crate::issuance::Settings,
    /// `[tickets] keys`, 32 bytes each; empty: made at start.
    pub ticket_keys: Vec<crate::base::secret::Secret>,
    /// `[push]`
    pub push: crate::policy::PushSettings,
    /// `[log]`
    pub log: crate::telemetry::log::Settings,
}
