//! Two gateways behind a balancer, of which one dies in the middle of a push.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep};

use crate::case::{Case, write};
use crate::line::{Line, head};
use crate::measure::Measure;
use crate::network::Place;
use crate::registries::patch;
use crate::scene::{ADA, PATIENT, Plan, Scene, open, search, search_other};
use crate::support::authority::Life;
use crate::support::process::{Daemon, command};
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "faults/one";
/// How long the pushing client's token lives.
const SHORT: u64 = 5;

/// The one that served the PATCH is killed before the PUT, and the token has died by then.
pub(crate) async fn killed(case: &mut Case) -> Result<()> {
    let ground = std::rc::Rc::clone(&case.ground);
    std::fs::create_dir_all(&case.dir)?;
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret)?;
    let ring = write(&case.dir, "tickets.key", &STANDARD.encode(secret))?;
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600))?;
    let balancer = SocketAddr::from((ground.yard.street_address(), case.port(0, 5)));
    let mut plan = Plan::real(Flavor::Distribution31);
    plan.more = format!("[tickets]\nkeys = [\"{}\"]\n", ring.display());
    plan.realm = Some(balancer);
    let other: [SocketAddr; 2] = [7, 8].map(|what| (ground.yard.gate_address(), case.port(0, what)).into());
    let first: [SocketAddr; 2] = [0, 1].map(|what| (ground.yard.gate_address(), case.port(0, what)).into());
    let haproxy = balance(case, balancer, first, other).await?;
    let mut scene = Scene::set(case, plan).await?;
    let text = std::fs::read_to_string(scene.dir.join("door/tidegate.toml"))?;
    let text = text.replace(&first[0].to_string(), &other[0].to_string());
    let text = text.replace(&first[1].to_string(), &other[1].to_string());
    let dir = scene.dir.join("other");
    let second = open(&ground.tidegate, &[], ground.yard.gatehouse(), &dir, &text, other[1]).await?;

    // Everything goes by the balancer from here on.
    scene.public = balancer;
    answers(balancer).await?;
    scene.authority.set_life_of(ADA, Life::DiesOnCue(SHORT));
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let (heard, after) = patch(case, &scene, &upload, &token, 4 * MIB).await?;
    case.must(heard.status() == Some(202), format!("the PATCH was answered {}", heard.words()));
    let upload = after.context("no way on")?;
    let other_served = second.metrics().await?.contains("method=\"PATCH\"");
    case.must(!other_served, "the one that stays had served the PATCH, so nothing is shown");
    // The token has to die; nothing else tells when it has.
    sleep(Duration::from_secs(SHORT + 1)).await;
    scene.door.signal("KILL");
    scene.door.ended(Duration::from_secs(5)).await?;
    search(case, &scene.authority, &scene.door.log(), "")?;
    let base = Measure::of(&second, Place::In(ground.yard.gatehouse()), [other[0].port(), other[1].port()]).await?;
    scene.door = second;
    answers(balancer).await?;
    let put = scene.commit(&upload, &token, 4 * MIB).await?;
    case.saw(format!("PUT on the other one, with the dead token: {}", put.words()));
    case.must(put.status() == Some(201), "the push did not outlive its replica");
    scene.authority.set_life_of(ADA, Life::Plain(300));
    scene.push_and_pull(case, "after").await?;
    let said = haproxy.log();
    drop(haproxy);
    scene.public = other[0];
    scene.admin = other[1];
    // It had served nothing yet when it was looked at: what its first requests made it keep is not what is sought.
    scene.base = Some(Measure {
        memory: base.memory + 8192,
        descriptors: base.descriptors + 4,
        threads: base.threads + 4,
        ..base
    });
    scene.close(case).await?;
    case.must(said.contains("\"PATCH "), "the balancer wrote down no request, so nothing is shown");
    // Its requests are the client's, and so are the tickets in their targets.
    search_other(case, "balancer's log", &said, &["a ticket", "a value of"]);
    Ok(())
}

/// Waits until somebody behind the balancer answers.
async fn answers(balancer: SocketAddr) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let mut line = Line::to(balancer).await?;
        line.send(&head("GET", "/v2/", balancer, &[])).await?;
        if line.hear(PATIENT).await.status() == Some(401) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < end, "nobody answers behind the balancer");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The first as long as it is ready, then the other.
async fn balance(case: &Case, listen: SocketAddr, first: [SocketAddr; 2], other: [SocketAddr; 2]) -> Result<Daemon> {
    let dir = &case.dir;
    let text = format!(
        "global
  log stderr format raw daemon info
defaults
  mode http
  log global
  option httplog
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option forwardfor
frontend street
  bind {listen}
  default_backend gates
backend gates
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
  server first {} port {}
  server other {} port {} backup
",
        first[0],
        first[1].port(),
        other[0],
        other[1].port()
    );
    let file = write(dir, "haproxy.cfg", &text)?;
    let mut command = command("haproxy");
    command.arg("-db").arg("-f").arg(&file);
    let mut daemon = Daemon::spawn("haproxy", &mut command, &dir.join("haproxy.log"))?;
    daemon.wait_ready(Duration::from_secs(15), async |_| tokio::net::TcpStream::connect(listen).await.is_ok()).await?;
    Ok(daemon)
}
