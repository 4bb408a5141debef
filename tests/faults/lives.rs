//! What befalls Tidegate's own process: signals, clocks that jump, files that are wrong.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate::base::clock::Clock;
use tokio::time::{Instant, sleep};

use crate::case::{Case, write};
use crate::line::Heard;
use crate::registries::{busy, patch};
use crate::scene::{ADA, BOB, PATIENT, Plan, Scene, next, scripted};
use crate::script::{Peer, ordinary};
use crate::support::process::{command_in, run};
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "faults/one";
const TAGS: &str = "/v2/faults/warm-up/tags/list";

/// How far ahead of its own clock a registry lets a token's be, seconds.
const LEEWAY: i64 = 60;
/// How soon after SIGTERM a balancer is told.
const UNREADY: Duration = Duration::from_secs(2);

/// The wall clock jumps two hours ahead, back, and two hours behind.
pub(crate) async fn clock(case: &mut Case) -> Result<()> {
    let library = std::fs::read_dir("/usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists())
        .context("no libfaketimeMT.so.1: install faketime")?;
    std::fs::create_dir_all(&case.dir)?;
    let file = write(&case.dir, "clock", "+0\n")?;
    let wrap: Vec<OsString> = vec![
        "env".into(),
        format!("LD_PRELOAD={}", library.display()).into(),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()).into(),
        "FAKETIME_NO_CACHE=1".into(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
    ];
    let mut plan = Plan::real(Flavor::Docker28);
    plan.wrap.clone_from(&wrap);
    let scene = Scene::set(case, plan).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let asked = |scene: &Scene| scene.authority.received().len();
    let before = asked(&scene);
    case.must(scene.token(ADA, REPOSITORY).await? == token, "the token was not cached, so nothing is shown");
    case.must(asked(&scene) == before, "the cache was not used, so nothing is shown");
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let (heard, after) = patch(case, &scene, &upload, &token, MIB).await?;
    case.must(heard.status() == Some(202), format!("before, a PATCH was answered {}", heard.words()));
    let upload = after.context("no way on")?;

    for (offset, words) in [("+2h", "two hours ahead"), ("-2h", "two hours behind")] {
        write(&case.dir, "clock", &format!("{offset}\n"))?;
        let before = asked(&scene);
        let again = scene.ask_token(ADA, REPOSITORY).await?;
        if offset == "+2h" {
            case.must(asked(&scene) > before, "a token that is over was handed out from the cache");
        }
        let pull = scene.get(TAGS, &token).await?;
        case.must(pull.status() == Some(401), format!("{words}: a token of another time was taken: {}", pull.words()));
        let (push, _) = patch(case, &scene, &upload, &token, 1000).await?;
        case.must(push.status() == Some(401), format!("{words}: the open upload: {}", push.words()));
        case.saw(format!(
            "{words}: login {}, pull {}, open upload {}",
            again.status().unwrap_or_default(),
            pull.status().unwrap_or_default(),
            push.status().unwrap_or_default()
        ));
        write(&case.dir, "clock", "+0\n")?;
        let fine = scene.get("/v2/faults/one/tags/list", &token).await?;
        case.must(fine.status() != Some(401), format!("right again after {words}: a pull: {}", fine.words()));
    }
    let (heard, after) = patch(case, &scene, &upload, &token, MIB).await?;
    case.must(heard.status() == Some(202), format!("right again: the open upload was answered {}", heard.words()));
    if let Some(after) = after {
        let put = scene.commit(&after, &token, 2 * MIB).await?;
        case.saw(format!("right again: the open upload ends with {}", put.status().unwrap_or_default()));
        case.must(put.status() == Some(201), format!("right again: the upload ended with {}", put.words()));
    }
    scene.push_and_pull(case, "after").await?;
    scene.close(case).await?;
    minted(case, &file, wrap).await
}

/// What a registry is shown before, while and after the clock is wrong: it would call what is made in its future not yet
/// valid, and what it is shown a real one does not tell.
async fn minted(case: &mut Case, clock: &Path, wrap: Vec<OsString>) -> Result<()> {
    let peer = Peer::start(ordinary).await?;
    let mut plan = Plan::peer(peer.port());
    plan.wrap = wrap;
    let scene = Scene::set(case, plan).await?;
    let (mut seen, mut ahead) = (0, 0);
    for (offset, repository) in [("+0", "before"), ("+2h", "ahead"), ("-2h", "behind"), ("+0", "after")] {
        std::fs::write(clock, format!("{offset}\n"))?;
        let target = format!("/v2/faults/{repository}/tags/list");
        if let Ok(token) = scene.token(ADA, &format!("faults/{repository}")).await {
            scene.get(&target, &token).await?;
        }
        let asked = peer.asked_for(&target);
        let wanted = usize::from(offset == "+0");
        case.must(asked.len() == wanted, format!("{offset}: the registry was asked {} times", asked.len()));
        for one in asked {
            let (iat, now) = (issued_at(&one.head)?, Clock::System.now().0);
            case.must(iat <= now + LEEWAY, format!("{offset}: a registry token of {} s ahead", iat - now));
            (seen, ahead) = (seen + 1, ahead.max(iat - now));
        }
    }
    case.saw(format!("{seen} tokens shown to a registry, made at most {ahead} s in its future"));
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// When the token in a request was made, by what it says.
fn issued_at(head: &str) -> Result<i64> {
    let claims = head.split("Bearer ").nth(1).and_then(|token| token.split('.').nth(1)).context("no token")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    claims.get("iat").and_then(serde_json::Value::as_i64).context("no iat")
}

/// A habit from other servers, in the middle of a push.
pub(crate) async fn hangup(case: &mut Case) -> Result<()> {
    let scene = Scene::set(case, Plan::real(Flavor::Distribution31)).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(2 * MIB)).await?;
    line.pour(MIB, PATIENT).await;
    // What a change of certificates, keys or configuration would come with.
    write(&scene.dir.join("door"), "tidegate.toml", "this is no configuration\n")?;
    scene.door.signal("HUP");
    line.pour(MIB, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    drop(line);
    case.must(heard.status() == Some(202), format!("the PATCH ended with {}", heard.words()));
    let upload = next(case, &heard.reply()?)?;
    let put = scene.commit(&upload, &token, 2 * MIB).await?;
    case.must(put.status() == Some(201), format!("the push ended with {}", put.words()));
    case.must(scene.logged("SIGHUP").await, "nothing in the log says that it does not reload");
    case.saw("push 202 and 201; the log says that the configuration is read at start only");
    scene.push_and_pull(case, "after").await?;
    scene.close(case).await
}

/// Told to leave in the middle of a push; then told twice.
pub(crate) async fn leaving(case: &mut Case) -> Result<()> {
    let mut scene = Scene::set(case, Plan::real(Flavor::Distribution31)).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(2 * MIB)).await?;
    line.pour(MIB, PATIENT).await;
    busy(case, &scene, 1, Duration::from_secs(5)).await?;
    scene.door.signal("TERM");
    let begun = Instant::now();
    let unready = loop {
        let ready = scene.door.ask("/readyz").await;
        let took = begun.elapsed();
        if ready.is_err_and(|error| error.to_string().contains("503")) {
            break took;
        }
        if took > UNREADY {
            case.must(false, "leaving, it calls itself ready");
            break took;
        }
        sleep(Duration::from_millis(20)).await;
    };
    case.saw(format!("unready after {:.1} s", unready.as_secs_f64()));
    // Far longer than that, and longer than it would wait for an upload that nobody touches.
    for _ in 0..8 {
        sleep(Duration::from_secs(1)).await;
        line.pour(1000, PATIENT).await;
    }
    let ready = scene.door.ask("/readyz").await;
    case.must(
        ready.is_err_and(|error| error.to_string().contains("503")),
        "still leaving, it calls itself ready again",
    );
    case.must(scene.door.ask("/healthz").await.is_ok(), "leaving, it calls itself dead");
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let new = scene.request("POST", &target, &token, b"").await?.reply()?;
    case.must(new.status == 503 && new.header("retry-after").is_some(), format!("a new push: {}", new.status));
    line.pour(MIB - 8000, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    drop(line);
    case.must(heard.status() == Some(202), format!("the PATCH ended with {}", heard.words()));
    let upload = next(case, &heard.reply()?)?;
    let put = scene.commit(&upload, &token, 2 * MIB).await?;
    case.must(put.status() == Some(201), format!("the push ended with {}", put.words()));
    let ran = begun.elapsed();
    let code = scene.door.ended(Duration::from_secs(20)).await?;
    case.must(code == Some(0), format!("it ended with {code:?}"));
    case.must(ran > UNREADY, "the push was over as soon as it had to be unready, so nothing is shown");
    case.saw(format!(
        "a new push 503 with Retry-After, the push that ran 202 and 201 after {:.0} s, exit 0",
        ran.as_secs_f64()
    ));
    case.back("the process ended");
    scene.close_after_end(case)?;

    let mut scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(2 * MIB)).await?;
    line.pour(MIB, PATIENT).await;
    busy(case, &scene, 1, Duration::from_secs(5)).await?;
    scene.door.signal("TERM");
    sleep(Duration::from_secs(1)).await;
    scene.door.signal("TERM");
    let code = scene.door.ended(Duration::from_secs(10)).await?;
    let heard = line.hear(Duration::from_secs(5)).await;
    case.saw(format!("told twice: {}, exit {}", heard.words(), code.unwrap_or(-1)));
    case.must(code == Some(1), format!("told twice, it ended with {code:?}"));
    case.must(!heard.is_success() && !matches!(heard, Heard::Silence), "a push that was cut looks like a success");
    case.must(scene.door.log().contains(REPOSITORY), "the log does not say what was cut");
    case.back("the process ended");
    scene.close_after_end(case)
}

/// Files that are missing, open to all, cut, or do not belong together.
pub(crate) async fn broken_start(case: &mut Case) -> Result<()> {
    let scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let ground = std::rc::Rc::clone(&case.ground);
    let (dir, keys) = (scene.dir.clone(), &ground.keys);
    let good = std::fs::read_to_string(dir.join("door/tidegate.toml"))?;
    let path = |path: &PathBuf| path.display().to_string();
    let (key, certificate) = (path(&keys.signing_key), path(&keys.signing_leaf));
    let open = write(&dir, "open.key", &std::fs::read_to_string(&keys.signing_key)?)?;
    let public = std::process::Command::new("chmod").arg("0644").arg(&open).status()?.success();
    case.must(public, "chmod");
    let cut = write(&dir, "cut.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")?;
    let short = write(&dir, "short.key", "c2hvcnQ=\n")?;
    let private = std::process::Command::new("chmod").arg("0600").arg(&short).status()?.success();
    case.must(private, "chmod");
    let tickets = format!("{good}\n[tickets]\nkeys = [\"{}\"]\n", short.display());
    let trusted = format!("trusted = [\"{}\"]", path(&keys.authority_certificate));
    let broken = [
        ("no signing key", good.replace(&key, "/nowhere/signing.key")),
        ("a signing key open to all", good.replace(&key, &path(&open))),
        ("a key that is not the certificate's", good.replace(&key, &path(&keys.tls_key))),
        ("a certificate that is none", good.replace(&certificate, &path(&cut))),
        ("nobody trusted", good.replace(&trusted, "trusted = []")),
        ("a trusted file that is missing", good.replace(&trusted, "trusted = [\"/nowhere/gitlab.crt\"]")),
        ("a ticket key that is too short", tickets),
        (
            "a word it does not know",
            good.replace("authority = \"gitlab\"", "authority = \"gitlab\"\nauthoritty = \"x\""),
        ),
        ("not TOML", format!("{good}\n[[[")),
    ];
    let mut refused = Vec::new();
    for (what, text) in broken {
        case.must(text != good, format!("{what}: the file was not changed, so nothing is shown"));
        let file = write(&dir, "broken.toml", &text)?;
        let mut command = command_in(Some(ground.yard.gatehouse()), &ground.tidegate);
        command.arg("serve").arg("--config").arg(&file);
        let ran = run(&mut command, Duration::from_secs(10)).await?;
        case.must(!ran.ok && !ran.hung, format!("{what}: it started, or did not end"));
        case.must(!ran.words().contains("panicked"), format!("{what}: a panic"));
        case.must(!ran.words().contains("\"serving\""), format!("{what}: it served before it ended"));
        refused.push(what);
    }
    case.saw(format!("not started: {}", refused.join(", ")));
    scene.close(case).await
}

/// There is no way to make a handler panic from outside; what is left is to see that a panic would not end the process.
pub(crate) async fn panic(case: &mut Case) -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    case.must(!manifest.contains("panic = \"abort\""), "a profile ends the process with the first panic");
    let proof = std::fs::read_to_string(root.join("src/server/tests/limits.rs"))?;
    let name = "a_panic_is_one_requests_end_and_not_its_connections";
    case.must(proof.contains(name), "the test that shows what a panic does is gone");
    case.saw(format!("not reachable from outside; shown by `{name}`: 500, the connection goes on, the counter is up"));
    let scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let hostile = [
        "/v2/%ff/%00",
        "/v2/a/manifests/%2e%2e",
        "/v2//x/blobs/uploads/?_tidegate=AAAA&_tidegate=B",
        "/jwt/auth?scope=:::",
    ];
    for target in hostile {
        let heard = scene.get(target, "Bearer a.b.c").await?;
        case.must(
            heard.status().is_some_and(|status| (200..500).contains(&status)),
            format!("{target}: {}", heard.words()),
        );
    }
    let metrics = scene.door.metrics().await?;
    case.must(metrics.contains("tidegate_panics_total 0"), "a panic was counted");
    let _token = scene.token(BOB, REPOSITORY).await?;
    scene.close(case).await
}
