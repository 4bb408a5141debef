//! Load: clients as a registry has them, over TLS 1.3, from one thread.
//!
//! Connections are made and warmed before the clock starts, so that a figure is that of the work alone.

pub(crate) mod bulk;
pub(crate) mod h1;
pub(crate) mod h2;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::reader::prepare;

/// Opens connections. All proxies are offered the same one cipher and key exchange, so that none does other arithmetic.
#[derive(Clone)]
pub(crate) struct Client {
    h1: TlsConnector,
    h2: TlsConnector,
}

impl Client {
    /// Trusts one certificate authority.
    pub(crate) fn new(ca: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca)?)?;
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let connector = |alpn: &[u8]| -> Result<TlsConnector> {
            let mut config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { h1: connector(b"http/1.1")?, h2: connector(b"h2")? })
    }

    /// A connection that speaks HTTP/1.1.
    pub(crate) async fn h1(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
        connect(&self.h1, address).await
    }

    /// A connection that speaks HTTP/2.
    pub(crate) async fn h2(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let stream = connect(&self.h2, address).await?;
        anyhow::ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "no h2 at {address}");
        Ok(stream)
    }
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    prepare(&stream)?;
    let name = ServerName::from(address.ip());
    connector.connect(name, stream).await.with_context(|| format!("TLS with {address}"))
}

/// Does the same with all of them (connections, uploads) at a time, and gives them back; the first that fails ends it.
pub(crate) async fn every<T, F>(all: Vec<T>, work: F) -> Result<Vec<T>>
where
    T: 'static,
    F: AsyncFn(&mut T) -> Result<()> + Clone + 'static,
{
    let mut running = JoinSet::new();
    for mut one in all {
        let work = work.clone();
        running.spawn_local(async move {
            work(&mut one).await?;
            anyhow::Ok(one)
        });
    }
    let mut all = Vec::with_capacity(running.len());
    while let Some(ended) = running.join_next().await {
        all.push(ended??);
    }
    Ok(all)
}

/// Does the same `times` over all of them, never more than `most` at a time, and each time with the one that has rested
/// longest. Gives them back, and how often it was done: as often on each lane, and at least once.
pub(crate) async fn at_most<T, F>(most: usize, all: Vec<T>, times: usize, work: F) -> Result<(Vec<T>, usize)>
where
    T: 'static,
    F: AsyncFn(&mut T) -> Result<()> + Clone + 'static,
{
    let mut lanes: Vec<VecDeque<T>> = Vec::new();
    lanes.resize_with(most.min(all.len()), VecDeque::new);
    let count = lanes.len();
    let each = (times / count).max(1);
    for (number, one) in all.into_iter().enumerate() {
        lanes.get_mut(number % count).context("no lane")?.push_back(one);
    }
    let lanes = every(lanes, async move |lane| {
        for _ in 0..each {
            work(lane.front_mut().context("an empty lane")?).await?;
            lane.rotate_left(1);
        }
        Ok(())
    })
    .await?;
    Ok((lanes.into_iter().flatten().collect(), each * count))
}
