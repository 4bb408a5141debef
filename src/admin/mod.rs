//! The admin listener: `/healthz`, `/readyz`, `/metrics`.

/// `[listeners.admin]`
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub address: std::net::SocketAddr,
}
