//! Who a registry is: names that lead elsewhere or nowhere, and certificates that are not its own.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use crate::case::{Case, write};
use crate::line::{Line, head};
use crate::network::{self, Place};
use crate::scene::{ADA, Behind, PATIENT, Plan, Scene, scripted};
use crate::script::{Act, Asked, Peer, answer, ordinary};

const REPOSITORY: &str = "faults/one";
const TAGS: &str = "/v2/faults/one/tags/list";

/// An authority over certificates.
type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Result<Issuer> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn certified(issuer: &Issuer, name: &str, year: i32) -> Result<Arc<ServerConfig>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let leaf = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow::anyhow!(error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key)?))
}

/// What a front with TLS has seen.
#[derive(Debug, Default)]
struct Front {
    config: Option<Arc<ServerConfig>>,
    connections: usize,
    from: BTreeSet<IpAddr>,
    /// First bytes that were no TLS handshake.
    plain: usize,
}

/// Ends TLS before `peer`, with the certificate of the moment.
async fn front(peer: u16) -> Result<(u16, Rc<RefCell<Front>>)> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let port = listener.local_addr()?.port();
    let state = Rc::new(RefCell::new(Front::default()));
    let shared = Rc::clone(&state);
    // It goes with the run.
    spawn_local(async move {
        loop {
            let Ok((stream, from)) = listener.accept().await else { continue };
            shared.borrow_mut().connections += 1;
            shared.borrow_mut().from.insert(from.ip());
            let config = shared.borrow().config.clone();
            let shared = Rc::clone(&shared);
            spawn_local(async move {
                let mut first = [0];
                if matches!(stream.peek(&mut first).await, Ok(1)) && first != [22] {
                    shared.borrow_mut().plain += 1;
                }
                let Some(config) = config else { return };
                let Ok(mut outer) = TlsAcceptor::from(config).accept(stream).await else { return };
                let Ok(mut inner) = TcpStream::connect((Ipv4Addr::LOCALHOST, peer)).await else { return };
                let _ended = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    Ok((port, state))
}

/// The registry shows a certificate that is over, another's, or nobody's.
pub(crate) async fn certificates(case: &mut Case) -> Result<()> {
    let peer = Peer::start(ordinary).await?;
    let (port, state) = front(peer.port()).await?;
    let street = case.ground.yard.street_address();
    let (own, stranger) = (issuer("one issuer")?, issuer("another issuer")?);
    std::fs::create_dir_all(&case.dir)?;
    let ca = write(&case.dir, "origin-ca.crt", &own.pem())?;
    let name = street.to_string();
    let plan = Plan::new(Behind::Lines(format!("origins = [\"https://{street}:{port}\"]\nca = \"{}\"", ca.display())));
    let scene = Scene::set(case, plan).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    for (what, config, word) in [
        ("over", certified(&own, &name, 2020)?, "xpired"),
        ("another's", certified(&own, "elsewhere.example", 2099)?, "not valid for"),
        ("of an unknown issuer", certified(&stranger, &name, 2099)?, "UnknownIssuer"),
    ] {
        state.borrow_mut().config = Some(config);
        let before = state.borrow().connections;
        let reply = scene.get(TAGS, &token).await?.reply()?;
        case.must(matches!(reply.status, 502 | 503), format!("a certificate that is {what}: {}", reply.status));
        case.must(reply.is_oci_error(), "the answer is no error as registries write it");
        // A look whether it is back may be among them.
        let tries = state.borrow().connections - before;
        case.must(tries <= 2, format!("a certificate that is {what}: {tries} connections for one request"));
        case.must(scene.logged(word).await, format!("the log does not say that the certificate is {what}"));
        // It is looked for every two seconds, and found there, but no more to be trusted than before.
        let looked = state.borrow().connections + 2;
        let end = Instant::now() + Duration::from_secs(20);
        let mut away = shows_away(&scene).await?;
        while away && state.borrow().connections < looked && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
            away = shows_away(&scene).await?;
        }
        case.must(state.borrow().connections >= looked, "nobody looks whether it is back");
        case.must(away, format!("a certificate that is {what}: /readyz and tidegate_origin_up do not show it"));
        case.saw(format!("{what}: {}, {tries} connection, {}", reply.status, if away { "not ready" } else { "ready" }));
    }
    case.must(state.borrow().plain == 0, "it tried without TLS");
    case.must(peer.asked().is_empty(), "a registry that is not the one was sent a request");
    state.borrow_mut().config = Some(certified(&own, &name, 2099)?);
    let begun = Instant::now();
    let fine = scene.get(TAGS, &token).await?;
    case.must(fine.status() == Some(200), format!("with its own certificate: {}", fine.words()));
    case.saw(format!("its own: {} at once", fine.status().unwrap_or_default()));
    case.must(begun.elapsed() < Duration::from_secs(5), "with its own certificate it is not used at once");
    case.must(!shows_away(&scene).await?, "with its own certificate it still counts as away");
    case.stored("nothing: a scripted registry");
    scene.close(case).await?;
    let peers: Vec<IpAddr> = state.borrow().from.iter().copied().collect();
    scripted(case, &peers);
    Ok(())
}

/// Whether an operator is told that the only registry is away: by its gauge, and by /readyz with its reason.
async fn shows_away(scene: &Scene) -> Result<bool> {
    let metrics = scene.door.metrics().await?;
    let gauge = metrics.lines().filter(|line| line.starts_with("tidegate_origin_up{"));
    let down = gauge.map(|line| line.ends_with(" 0")).eq([true]);
    let mut line = Line::to(scene.admin).await?;
    line.send(&head("GET", "/readyz", scene.admin, &[])).await?;
    let ready = line.hear(PATIENT).await.reply()?;
    Ok(down && ready.status == 503 && ready.text().contains("every registry"))
}

/// The registry's name leads to another address, to none, and to two of which one is dead.
pub(crate) async fn names(case: &mut Case) -> Result<()> {
    let ground = Rc::clone(&case.ground);
    let street = ground.yard.street_address();
    let [a, b, c, _] = street.octets();
    let (second, dead) = (Ipv4Addr::new(a, b, c, 9), Ipv4Addr::new(a, b, c, 10));
    network::add_address(second)?;
    network::add_route(Place::In(ground.yard.gatehouse()), &format!("{a}.{b}.{c}.8/30"), street)?;
    let say = |word: &'static str| {
        move |asked: &Asked| match asked.method.as_str() {
            "GET" => Act::Answer(answer("200 OK", &[("X-Who", word)], b"{}")),
            _ => ordinary(asked),
        }
    };
    let port = case.port(0, 6);
    let one = Peer::at(SocketAddr::from((street, port)), say("one")).await?;
    let two = Peer::at(SocketAddr::from((second, port)), say("two")).await?;
    std::fs::create_dir_all(&case.dir)?;
    // The other names are those that the machine needs for itself.
    let hosts = |addresses: &[Ipv4Addr]| -> String {
        addresses
            .iter()
            .map(|address| format!("{address} registry.test\n"))
            .chain(["127.0.0.1 localhost\n".into()])
            .collect()
    };
    let file = write(&case.dir, "hosts", &hosts(&[street]))?;
    let resolv = write(&case.dir, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
    let script = "mount --bind \"$0\" /etc/hosts && mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
    let mut plan = Plan::new(Behind::Lines(format!("origins = [\"http://registry.test:{port}\"]")));
    plan.wrap = ["unshare", "--mount", "sh", "-c", script].map(Into::into).to_vec();
    plan.wrap.extend([file.clone().into_os_string(), resolv.into_os_string()]);
    let scene = Scene::set(case, plan).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let who = async |scene: &Scene| -> Result<String> {
        let heard = scene.get(TAGS, &token).await?;
        Ok(match heard.reply() {
            Ok(reply) if reply.status == 200 => reply.header("x-who").unwrap_or_default().to_owned(),
            Ok(reply) => reply.status.to_string(),
            Err(error) => error.to_string(),
        })
    };
    case.must(who(&scene).await? == "one", "the first address is not asked");

    write(&case.dir, "hosts", &hosts(&[second]))?;
    // Connections that live are kept; a registry that moves ends them.
    network::reset(Place::Street, port)?;
    let moved = who(&scene).await?;
    case.saw(format!("moved: the {moved} address"));
    case.must(moved == "two", "the new address is not asked");

    write(&case.dir, "hosts", &hosts(&[]))?;
    let kept = who(&scene).await?;
    // Each core has connections of its own, so a request may meet a core that has none.
    case.must(kept == "two" || kept == "503", "without a name it is neither served nor 503");
    network::reset(Place::Street, port)?;
    let gone = who(&scene).await?;
    case.saw(format!("no such name: {kept} where a connection lives, then {gone}"));
    case.must(gone == "503", "without a name and a connection it is not 503");
    write(&case.dir, "hosts", &hosts(&[second]))?;
    let end = Instant::now() + Duration::from_secs(10);
    while who(&scene).await? != "two" && Instant::now() < end {
        sleep(Duration::from_millis(200)).await;
    }
    case.must(who(&scene).await? == "two", "the name is back and is not used");

    network::add_address(dead)?;
    network::bury(Place::Street, dead)?;
    for order in [[dead, second], [second, dead]] {
        write(&case.dir, "hosts", &hosts(&order))?;
        network::reset(Place::Street, port)?;
        let begun = Instant::now();
        let skipped = who(&scene).await?;
        case.saw(format!("two addresses, one dead: {skipped} after {:.1} s", begun.elapsed().as_secs_f64()));
        case.must(skipped == "two", "a dead address in front of a living one is not passed over");
    }
    case.must(network::buried(Place::Street, dead)? > 0, "the dead address was never tried, so nothing is shown");
    case.stored("nothing: scripted registries");
    let _file = std::fs::read_to_string(&file).context("the hosts file")?;
    scene.close(case).await?;
    scripted(case, &one.peers());
    scripted(case, &two.peers());
    Ok(())
}
