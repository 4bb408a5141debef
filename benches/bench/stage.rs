//! What every measurement stands on: a directory, keys, an origin, and the proxies in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::keys::Keys;
use crate::load::Client;
use crate::peers::{Given, Kind, Peer, free_address};
use crate::tokens::Mint;
use crate::{Common, origin};

/// The stage of one run.
pub(crate) struct Stage {
    dir: PathBuf,
    /// Removed at the end, unless the run was asked to keep it.
    _temporary: Option<TempDir>,
    keys: Keys,
    pub(crate) mint: Mint,
    pub(crate) origin: SocketAddr,
    pub(crate) authority: SocketAddr,
    token_cache: Option<String>,
}

impl Stage {
    /// Makes the keys and starts the origin.
    pub(crate) fn set(common: &Common) -> Result<Self> {
        let (dir, temporary) = match &common.keep {
            Some(keep) => (std::path::absolute(keep)?, None),
            None => {
                let temporary = TempDir::new()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let keys = Keys::make(&dir.join("keys"), &[])?;
        let mint = Mint::new(&keys)?;
        Ok(Self {
            dir,
            _temporary: temporary,
            keys,
            mint,
            origin: origin::start()?,
            authority: free_address()?,
            token_cache: common.token_cache.clone(),
        })
    }

    /// Starts one proxy.
    pub(crate) async fn start(&self, kind: Kind) -> Result<Peer> {
        let given = Given {
            origin: self.origin,
            authority: self.authority,
            keys: &self.keys,
            token_cache: self.token_cache.as_deref(),
        };
        Peer::start(kind, &self.dir, given).await
    }

    /// Starts those of a run that are `wanted`.
    pub(crate) async fn start_all(&self, common: &Common, wanted: impl Fn(&Kind) -> bool) -> Result<Vec<Peer>> {
        let mut peers = Vec::new();
        for kind in Self::kinds(common)?.into_iter().filter(wanted) {
            peers.push(self.start(kind).await?);
        }
        Ok(peers)
    }

    /// Somebody who trusts the proxies' certificate.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&self.keys.tls_ca)
    }

    /// The builds under test, and the peers unless the run goes without.
    pub(crate) fn kinds(common: &Common) -> Result<Vec<Kind>> {
        let mut kinds = ours(&common.tidegate)?;
        if !common.without_peers {
            kinds.extend([Kind::Nginx, Kind::NginxBuffering, Kind::HAProxy]);
        }
        Ok(kinds)
    }
}

/// `NAME=PATH`, or a path: the first of those is `tidegate`, the next `tidegate-2`.
fn ours(builds: &[String]) -> Result<Vec<Kind>> {
    let mut kinds = Vec::new();
    for (number, build) in builds.iter().enumerate() {
        let (name, path) = match build.split_once('=') {
            Some((name, path)) => (name.to_owned(), path),
            None if number == 0 => ("tidegate".to_owned(), build.as_str()),
            None => (format!("tidegate-{}", number + 1), build.as_str()),
        };
        let path =
            Path::new(path).canonicalize().with_context(|| format!("{path}: run `make release`, or `make build`"))?;
        kinds.push(Kind::Tidegate(name, path));
    }
    Ok(kinds)
}

/// Says on standard error what is going on.
pub(crate) fn say(what: &str) {
    use std::io::Write as _;
    let _unheard = writeln!(std::io::stderr(), "{what}");
}
