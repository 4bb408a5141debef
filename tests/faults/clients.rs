//! What clients do to a gateway without meaning to: vanish, and leave connections lying about.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::case::Case;
use crate::line::{Line, head};
use crate::measure::{memory, ticks};
use crate::network::{Place, reappear, vanish};
use crate::registries::busy;
use crate::scene::{ADA, PATIENT, Plan, Scene, scripted, zeros};
use crate::script::{Peer, ordinary};
use crate::support::door::counter;
use crate::support::process::{command, run};
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "faults/one";

/// A client's host is gone without a word: while it sends, and while it receives.
pub(crate) async fn vanished(case: &mut Case) -> Result<()> {
    let scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let pushed = scene.push_zeros(case, &token, REPOSITORY, 48 * MIB).await?;
    case.must(pushed.status() == Some(201), format!("a push: {}", pushed.words()));

    let door = Some(scene.public.port());
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut sending = scene.begin_patch(&upload, &token, Some(64 * MIB)).await?;
    sending.pour(4 * MIB, PATIENT).await;
    busy(case, &scene, 1, Duration::from_secs(5)).await?;
    vanish(Place::Street, sending.port()?, door)?;
    let sender = busy(case, &scene, 0, Duration::from_secs(20)).await?;

    let mut receiving = Line::to(scene.public).await?;
    let blob = format!("/v2/{REPOSITORY}/blobs/{}", zeros(48 * MIB));
    receiving.send(&head("GET", &blob, scene.public, &[("Authorization", &token)])).await?;
    receiving.sip(MIB).await?;
    vanish(Place::Street, receiving.port()?, door)?;
    let receiver = busy(case, &scene, 0, Duration::from_secs(20)).await?;
    case.saw(format!(
        "(timeouts.idle = 4 s) the sender was let go after {:.1} s, the receiver after {:.1} s",
        sender.as_secs_f64(),
        receiver.as_secs_f64()
    ));
    for line in [&sending, &receiving] {
        reappear(Place::Street, line.port()?, door)?;
    }
    drop((sending, receiving));
    scene.push_and_pull(case, "after").await?;
    scene.close(case).await
}

/// More connections than descriptors.
pub(crate) async fn descriptors(case: &mut Case) -> Result<()> {
    let mut plan = Plan::real(Flavor::Distribution31).timeout("request_head", "30s").timeout("idle", "60s");
    plan.wrap = ["prlimit", "--nofile=96:96"].map(Into::into).to_vec();
    let scene = Scene::set(case, plan).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(4 * MIB)).await?;
    line.pour(MIB, PATIENT).await;
    busy(case, &scene, 1, Duration::from_secs(5)).await?;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(Line::to(scene.public).await?);
    }
    // So long the accept loop is watched: one that spins would burn all of it.
    let (before, watched) = (ticks(scene.door.pid()?)?, Duration::from_secs(3));
    sleep(watched).await;
    let spent = ticks(scene.door.pid()?)? - before;
    case.saw(format!("300 connections at 96 descriptors: {:.0} % of a core", f64::from(u32::try_from(spent)?) / 3.0));
    case.must(spent < 90, "it burns a core while it has no descriptors");
    let health = scene.door.ask("/healthz").await;
    case.saw(format!("/healthz {}", if health.is_ok() { "200" } else { "is not answered" }));
    case.must(health.is_ok(), "without descriptors it cannot be asked how it is");
    line.pour(3 * MIB, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    case.saw(format!("the push that ran: {}", heard.words()));
    case.must(heard.status() == Some(202), "the push that was running did not go on");
    drop((line, crowd));
    let metrics = scene.door.metrics().await?;
    let counted = counter_of(&metrics, "descriptors") + counter_of(&metrics, "connections");
    case.must(counted > 0, "no limit was counted");
    let after = scene.push_zeros(case, &token, REPOSITORY, MIB).await?;
    case.must(after.status() == Some(201), format!("the next push ended with {}", after.words()));
    scene.close(case).await
}

fn counter_of(metrics: &str, limit: &str) -> u64 {
    counter(metrics, &format!("tidegate_limit_hits_total{{limit=\"{limit}\"}}"))
}

/// Thousands of connections that have asked once and stay; three times, since it takes an allocator two to settle.
pub(crate) async fn idle(case: &mut Case) -> Result<()> {
    let wanted = if case.ground.full { 3000 } else { 400 };
    let peer = Peer::start(ordinary).await?;
    let mut plan = Plan::peer(peer.port());
    plan.tls = true;
    let mut scene = Scene::set(case, plan).await?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&case.ground.keys.tls_ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    for round in 0..3 {
        let (base, quiet) = (memory(scene.door.pid()?)?, timed(&scene, case).await?);
        let begun = Instant::now();
        let (mut held, mut coming) = (Vec::new(), JoinSet::new());
        while held.len() < wanted {
            while coming.len() < 32 && held.len() + coming.len() < wanted {
                coming.spawn_local(hold(connector.clone(), scene.public));
            }
            held.push(coming.join_next().await.context("one is coming")???);
        }
        let took = begun.elapsed().as_secs_f64();
        let now = memory(scene.door.pid()?)?;
        let mut busy = Duration::ZERO;
        for _ in 0..20 {
            busy = busy.max(timed(&scene, case).await?);
        }
        let each = (now.saturating_sub(base)) / u64::try_from(wanted)?;
        case.must(each <= 40, format!("{each} KiB for an idle connection"));
        case.must(busy < Duration::from_secs(5), "a new request waits for the idle ones");
        drop(held);
        if round < 2 {
            let (busy, quiet) = (busy.as_secs_f64() * 1e3, quiet.as_secs_f64() * 1e3);
            case.saw(format!(
                "{wanted} idle TLS connections in {took:.0} s: {each} KiB each; the slowest of 20 new requests {busy:.0} ms, \
                 one before {quiet:.0} ms"
            ));
            scene.rebase(case).await?;
        }
    }
    case.stored("nothing: a scripted registry");
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// A connection that has had its answer, and its kept state.
async fn hold(connector: TlsConnector, address: std::net::SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(IpAddr::from(address.ip()));
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(&head("GET", "/v2/", address, &[])).await?;
    let mut heard = Vec::new();
    while !heard.ends_with(b"}") && !heard.ends_with(b"}\n") {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await?;
        anyhow::ensure!(read > 0, "the connection was not kept: {}", String::from_utf8_lossy(&heard));
        heard.extend(piece.iter().take(read));
    }
    Ok(stream)
}

/// One request on a new connection.
async fn timed(scene: &Scene, case: &mut Case) -> Result<Duration> {
    let mut curl = command("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}"]);
    curl.arg("--cacert").arg(&case.ground.keys.tls_ca).arg(format!("https://{}/v2/", scene.public));
    let ran = run(&mut curl, PATIENT).await?;
    let (status, seconds) = ran.stdout.split_once(' ').with_context(|| ran.words())?;
    case.must(status == "401", format!("a new request was answered {status}"));
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

/// Balancers that look whether anybody is there, and a storm of connections that ask once; twice.
pub(crate) async fn churn(case: &mut Case) -> Result<()> {
    let lasts = Duration::from_secs(if case.ground.full { 20 } else { 5 });
    let mut scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let mut served = 0;
    for round in 0..2 {
        let end = Instant::now() + lasts;
        let mut storm = JoinSet::new();
        for number in 0..32 {
            let public = scene.public;
            storm.spawn_local(async move {
                let mut answered = 0_u32;
                while Instant::now() < end {
                    let mut line = Line::to(public).await?;
                    // Every fourth only looks whether the port is open.
                    if number % 4 == 0 {
                        continue;
                    }
                    line.send(&head("GET", "/v2/", public, &[("Connection", "close")])).await?;
                    anyhow::ensure!(line.hear(PATIENT).await.status() == Some(401), "not answered");
                    answered += 1;
                }
                Ok(answered)
            });
        }
        while let Some(answered) = storm.join_next().await {
            served += answered??;
        }
        if round == 0 {
            scene.rebase(case).await?;
        }
    }
    case.saw(format!(
        "{served} requests on as many connections, {:.0} a second, all answered",
        f64::from(served) / lasts.as_secs_f64() / 2.0
    ));
    scene.push_and_pull(case, "after").await?;
    scene.close(case).await
}
