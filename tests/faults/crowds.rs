//! Many transfers over slow lines, and a gateway that gets little memory or little of a processor.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::case::Case;
use crate::line::{Line, head};
use crate::measure::{memory, mib};
use crate::network::{Place, Slow, socket_memory};
use crate::scene::{ADA, PATIENT, Plan, Scene, digest_of};
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "faults/one";
/// What one transfer may hold in the process, KiB: two reads of `limits.buffer_bytes`, and what a connection takes.
const EACH: u64 = 320;
/// What the sockets of all may come to hold besides a tenth, KiB: a window more or less of one of them.
const WINDOW: u64 = 6 << 10;
/// A machine that has other things to do takes more than one stretch to fill what its kernel keeps for each. What grows for
/// ever has grown by a quarter even in the last of these.
const STRETCHES: u32 = 4;

/// A control group of the first version, gone when dropped.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    /// Makes one of this `kind` and sets these values.
    fn make(kind: &str, number: u16, values: &[(&str, &str)]) -> Result<Self> {
        let base = PathBuf::from("/sys/fs/cgroup").join(kind);
        for left in std::fs::read_dir(&base).with_context(|| format!("no control groups ({kind})"))? {
            let left = left?.file_name().to_string_lossy().into_owned();
            let pid = left.strip_prefix("tidegate-").and_then(|rest| rest.split('-').next());
            if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
                let _used = std::fs::remove_dir(base.join(&left));
            }
        }
        let path = base.join(format!("tidegate-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        let this = Self(path);
        for (name, value) in values {
            std::fs::write(this.0.join(name), value).with_context(|| (*name).to_owned())?;
        }
        Ok(this)
    }

    fn take(&self, pid: u32) -> Result<()> {
        Ok(std::fs::write(self.0.join("cgroup.procs"), pid.to_string())?)
    }

    fn value(&self, name: &str) -> Result<u64> {
        Ok(std::fs::read_to_string(self.0.join(name))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that is on its way out still counts for a moment.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            let _slept = std::process::Command::new("sleep").arg("0.1").status();
        }
    }
}

/// A registry that takes a trickle, and clients that would send a flood; twice.
pub(crate) async fn slow_registry(case: &mut Case) -> Result<()> {
    let (crowd, lasts) = if case.ground.full { (100_u32, 20) } else { (20, 6) };
    // A line that a hundred share stands still for seconds at a time.
    let mut scene = Scene::set(case, Plan::real(Flavor::Docker28).timeout("idle", "60s")).await?;
    let ground = std::rc::Rc::clone(&case.ground);
    let token = scene.token(ADA, REPOSITORY).await?;
    let group = Group::make("memory", case.number, &[("memory.limit_in_bytes", "268435456")])?;
    group.take(scene.door.pid()?)?;
    for round in 0..2 {
        let base = memory(scene.door.pid()?)?;
        let slow = Slow::down(Place::In(ground.yard.gatehouse()), ground.yard.yard_address(), 8000)?;
        let (mut opened, mut pouring) = (Vec::new(), JoinSet::new());
        for _ in 0..crowd {
            let upload = scene.open_upload(case, &token, REPOSITORY).await?;
            opened.push(scene.begin_patch(&upload, &token, Some(1 << 30)).await?);
        }
        let (going, over) = tokio::sync::watch::channel(());
        for mut line in opened {
            let over = over.clone();
            pouring.spawn_local(async move {
                let (mut sent, turn) = (0, Duration::from_secs(1));
                while over.has_changed().is_ok() {
                    let begun = Instant::now();
                    sent += line.pour((1 << 30) - sent, turn).await;
                    if begun.elapsed() < turn {
                        break; // All has gone, or the connection is dead.
                    }
                }
                (line, sent)
            });
        }
        watch(case, &scene, base, crowd, lasts, round == 0).await?;
        drop(going);
        let (mut sent, mut lines) = (0, Vec::new());
        while let Some(poured) = pouring.join_next().await {
            let (line, bytes) = poured?;
            sent += bytes;
            lines.push(line);
        }
        // What the kernels on the way keep of each, with the largest windows that Linux comes with; a line that is not
        // slow at all carries many times that.
        let most = usize::try_from(crowd)? * 40 * MIB;
        case.must(sent < most, format!("the clients were not held back: {} MiB went", sent / MIB));
        let peak = group.value("memory.max_usage_in_bytes")? / 1024;
        drop((slow, lines));
        if round == 0 {
            case.saw(format!(
                "{crowd} pushes of 1 GiB held to {} MiB in all; {:.0} of 256 MiB of memory used",
                sent / MIB,
                mib(peak)
            ));
            scene.rebase(case).await?;
        }
    }
    scene.close(case).await
}

/// Looks at the process half-way and at the end of so many seconds, or later if its sockets have not settled by then.
async fn watch(case: &mut Case, scene: &Scene, base: u64, crowd: u32, lasts: u64, told: bool) -> Result<()> {
    let ground = Rc::clone(&case.ground);
    let gate = Place::In(ground.yard.gatehouse());
    let look = || anyhow::Ok((memory(scene.door.pid()?)?, socket_memory(gate)?));
    let (half, grown) = (Duration::from_secs(lasts / 2), |from: u64, to: u64| to > from + from / 10 + WINDOW);
    sleep(half).await;
    let ((mut first, mut sockets), mut left) = (look()?, STRETCHES);
    let (second, later) = loop {
        sleep(half).await;
        let (second, later) = look()?;
        left -= 1;
        if left == 0 || !grown(sockets, later) {
            break (second, later);
        }
        (first, sockets) = (second, later);
    };
    let each = second.saturating_sub(base) / u64::from(crowd);
    if told {
        case.saw(format!(
            "{each} KiB for each transfer, half-way {:.1} MiB, at the end {:.1} MiB; its sockets {} then {} MiB",
            mib(first),
            mib(second),
            sockets / 1024,
            later / 1024
        ));
    }
    case.must(each <= EACH, format!("{each} KiB for each transfer"));
    case.must(second <= first + first / 20 + 1024, "memory grows while the transfers stand still");
    let words = format!("sockets grow while the transfers stand still, from {sockets} to {later} KiB");
    case.must(!grown(sockets, later), words);
    Ok(())
}

/// Clients that read a trickle of what a registry would send at once; twice.
pub(crate) async fn slow_clients(case: &mut Case) -> Result<()> {
    let (crowd, lasts) = if case.ground.full { (100_u32, 20) } else { (20, 6) };
    let mut scene = Scene::set(case, Plan::real(Flavor::Distribution31).timeout("idle", "60s")).await?;
    let ground = std::rc::Rc::clone(&case.ground);
    let token = scene.token(ADA, REPOSITORY).await?;
    // Every four bytes are their own number, so that what is lost, doubled or out of place shows.
    let whole: Rc<Vec<u8>> = Rc::new((0_u32..16 << 20).flat_map(u32::to_le_bytes).collect());
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let blob = digest_of(&whole);
    let target = format!("{}{}digest={blob}", upload.location, if upload.location.contains('?') { '&' } else { '?' });
    let pushed = scene.request("PUT", &target, &token, &whole).await?;
    case.must(pushed.status() == Some(201), format!("a push: {}", pushed.words()));
    let blob = format!("/v2/{REPOSITORY}/blobs/{blob}");
    for round in 0..2 {
        let base = memory(scene.door.pid()?)?;
        let slow = Slow::down(Place::In(ground.yard.gatehouse()), ground.yard.street_address(), 8000)?;
        let (going, over) = tokio::sync::watch::channel(());
        let mut reading = JoinSet::new();
        for _ in 0..crowd {
            let mut line = Line::to(scene.public).await?;
            line.send(&head("GET", &blob, scene.public, &[("Authorization", &token)])).await?;
            let (whole, mut over) = (Rc::clone(&whole), over.clone());
            reading.spawn_local(async move {
                let mut read = 0;
                let pull = async {
                    let begun = line.begun().await;
                    if begun != Some((200, Some(whole.len()))) {
                        return format!("a pull began with {begun:?}");
                    }
                    while let Some(piece) = line.some().await {
                        if whole.get(read..read + piece.len()) != Some(&piece) {
                            return format!("what came after {read} bytes of a pull is not what was pushed");
                        }
                        read += piece.len();
                    }
                    format!("a pull ended after {read} bytes")
                };
                let wrong = tokio::select! {
                    ended = pull => Some(ended),
                    _ = over.changed() => None,
                };
                (line, read, wrong)
            });
        }
        watch(case, &scene, base, crowd, lasts, round == 0).await?;
        drop(going);
        let (mut read, mut lines) = (0, Vec::new());
        while let Some(done) = reading.join_next().await {
            let (line, bytes, wrong) = done?;
            read += bytes;
            lines.push(line);
            case.must(wrong.is_none(), wrong.unwrap_or_default());
        }
        case.must(read > 0, "nothing arrived at all");
        drop((slow, lines));
        if round == 0 {
            case.saw(format!("{crowd} pulls of 64 MiB took {} MiB in all", read / MIB));
            scene.rebase(case).await?;
        }
    }
    scene.close(case).await
}

/// A tenth of a core, and then 64 MiB.
pub(crate) async fn starved(case: &mut Case) -> Result<()> {
    let (requests_at_once, crowd) = if case.ground.full { (600, 60) } else { (100, 20) };
    let mut scene = Scene::set(case, Plan::real(Flavor::Docker28).timeout("response", "60s")).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let quota = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")];
    let processor = Group::make("cpu", case.number, &quota)?;
    processor.take(scene.door.pid()?)?;
    for round in 0..2 {
        let mut requests = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..requests_at_once {
            let (public, token) = (scene.public, token.clone());
            requests.spawn_local(async move {
                let mut line = Line::to(public).await?;
                let target = "/v2/faults/warm-up/tags/list";
                line.send(&head("GET", target, public, &[("Authorization", &token)])).await?;
                anyhow::Ok(line.hear(PATIENT).await)
            });
        }
        let health = scene.door.ask("/healthz").await;
        case.must(health.is_ok(), "starved, it does not say how it is within 5 s");
        let mut answered = 0;
        while let Some(heard) = requests.join_next().await {
            let heard = heard??;
            // The token is for another repository: what counts is that it is answered, and answered right.
            case.must(heard.status() == Some(401), format!("starved: {}", heard.words()));
            answered += 1;
        }
        if round == 0 {
            let took = begun.elapsed().as_secs_f64();
            case.saw(format!(
                "a tenth of a core: {answered} of {requests_at_once} requests answered in {took:.1} s, /healthz 200"
            ));
            scene.rebase(case).await?;
        }
    }
    let pushed = scene.push_zeros(case, &token, REPOSITORY, 4 * MIB).await?;
    case.must(pushed.status() == Some(201), format!("starved: a push ended with {}", pushed.words()));
    scene.close(case).await?;
    drop(processor);

    let mut scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let group = Group::make("memory", case.number, &[("memory.limit_in_bytes", "67108864")])?;
    group.take(scene.door.pid()?)?;
    let mut stalled = Vec::new();
    for _ in 0..crowd {
        let upload = scene.open_upload(case, &token, REPOSITORY).await?;
        let mut line = scene.begin_patch(&upload, &token, Some(64 * MIB)).await?;
        line.pour(MIB, PATIENT).await;
        stalled.push(line);
    }
    let pushed = scene.push_zeros(case, &token, REPOSITORY, 32 * MIB).await?;
    case.must(pushed.status() == Some(201), format!("in 64 MiB: a push ended with {}", pushed.words()));
    let peak = group.value("memory.max_usage_in_bytes")? / 1024;
    case.saw(format!(
        "64 MiB of memory: {crowd} stalled pushes and one that runs, {:.0} MiB taken for them",
        mib(peak)
    ));
    case.must(scene.door.ask("/healthz").await.is_ok(), "in 64 MiB it was killed");
    drop(stalled);
    scene.rebase(case).await?;
    let again = scene.push_zeros(case, &token, REPOSITORY, 32 * MIB).await?;
    case.must(again.status() == Some(201), format!("afterwards a push ended with {}", again.words()));
    scene.close(case).await
}
