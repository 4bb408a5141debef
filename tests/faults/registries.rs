//! What registries do: die, refuse, fall silent, fill up, and lie about where their answers end.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep, timeout};

use crate::case::Case;
use crate::line::{Heard, Line, head};
use crate::network::{Place, reappear, received, reset, stands, vanish};
use crate::scene::{ADA, Behind, PATIENT, Plan, Scene, next, scripted, zeros};
use crate::script::{Act, Asked, Peer, answer, ordinary};
use crate::support::door::counter;
use crate::support::process::{command, run};
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "faults/one";
const TAGS: &str = "/v2/faults/one/tags/list";

/// The registry is killed when a third of a PATCH has come.
pub(crate) async fn killed(case: &mut Case) -> Result<()> {
    for flavor in Flavor::ALL {
        let mut scene = Scene::set(case, Plan::real(flavor)).await?;
        let token = scene.token(ADA, REPOSITORY).await?;
        let upload = scene.open_upload(case, &token, REPOSITORY).await?;
        let mut line = scene.begin_patch(&upload, &token, Some(8 * MIB)).await?;
        let sent = line.pour(2 * MIB, PATIENT).await;
        case.must(sent == 2 * MIB, "the first part of the body was not taken");
        scene.registry.take().context("a registry")?.kill().await?;
        line.pour(6 * MIB, Duration::from_secs(3)).await;
        let heard = line.hear(Duration::from_secs(5)).await;
        drop(line);
        case.saw(format!("{}: {}", flavor.name(), heard.words()));
        case.must(!matches!(heard, Heard::Silence), "the client was left waiting");
        case.must(!heard.is_success(), "a push that broke off looks like a success");
        if let Heard::Answer(reply) = &heard {
            case.must(matches!(reply.status, 502 | 503), format!("answered {}", reply.status));
            case.must(reply.is_oci_error(), "the answer is no error as registries write it");
        }
        let down = scene.get(TAGS, &token).await?.reply()?;
        case.saw(format!("then {}", down.status));
        case.must(down.status == 503 && down.header("retry-after").is_some(), "down, it is not 503 with Retry-After");

        scene.restart_registry(case, flavor).await?;
        let again = scene.push_zeros(case, &token, REPOSITORY, MIB).await?;
        case.must(again.status() == Some(201), format!("the next push ended with {}", again.words()));
        let log = scene.registry.as_ref().context("a registry")?.log();
        let id = upload.location.split(['/', '?']).nth(6).unwrap_or_default().to_owned();
        let retried = log.lines().any(|line| line.contains("\"PATCH ") && line.contains(&id));
        case.must(!id.is_empty() && !retried, "the PATCH was sent a second time");
        scene.close(case).await?;
    }
    Ok(())
}

/// Errors that are the registry's to explain.
pub(crate) async fn errors(case: &mut Case) -> Result<()> {
    const BODY: &[u8] =
        br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"in the registry's own words","detail":null}]}"#;
    let peer = Peer::start(|asked: &Asked| {
        let status =
            ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "429 Too Many Requests"]
                .into_iter()
                .find(|status| asked.target.contains(&format!("/error-{}", status.get(..3).unwrap_or_default())));
        match status {
            Some(status) => {
                Act::Answer(answer(status, &[("Retry-After", "17"), ("Content-Type", "application/json")], BODY))
            }
            None => ordinary(asked),
        }
    })
    .await?;
    let scene = Scene::set(case, Plan::peer(peer.port())).await?;
    let mut seen = Vec::new();
    for status in [500, 502, 503, 429] {
        let repository = format!("faults/error-{status}");
        let token = scene.token(ADA, &repository).await?;
        for (method, target, body) in [
            ("GET", format!("/v2/{repository}/manifests/v1"), &b""[..]),
            ("POST", format!("/v2/{repository}/blobs/uploads/"), &b""[..]),
            ("PUT", format!("/v2/{repository}/manifests/v1"), &b"{\"schemaVersion\":2}"[..]),
        ] {
            let reply = scene.request(method, &target, &token, body).await?.reply()?;
            case.must(reply.status == status, format!("{method}: {status} arrived as {}", reply.status));
            case.must(reply.header("retry-after") == Some("17"), format!("{method} {status}: Retry-After got lost"));
            case.must(reply.body == BODY && reply.whole, format!("{method} {status}: the registry's words got lost"));
        }
        seen.push(status.to_string());
    }
    case.saw(format!("{} with Retry-After and body as sent", seen.join(", ")));
    case.stored("nothing: a scripted registry");
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// An answer before the body's end, from a registry that then reads no more.
pub(crate) async fn early(case: &mut Case) -> Result<()> {
    let refusal = answer("400 Bad Request", &[("Content-Type", "application/json")], b"{\"errors\":[]}");
    let peer = Peer::start(move |asked: &Asked| match asked.method.as_str() {
        "PATCH" => Act::Deaf(MIB, refusal.clone()),
        _ => ordinary(asked),
    })
    .await?;
    let scene = Scene::set(case, Plan::peer(peer.port())).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    // This client listens while it sends, and holds back the end of its body: it is not what the refusal waits for.
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(24 * MIB)).await?;
    let late = async {
        peer.refused().await;
        sleep(Duration::from_secs(1)).await;
    };
    let told = tokio::select! {
        biased;
        sent = line.pour_until_told(8 * MIB) => Some(sent),
        () = late => None,
    };
    case.must(told.is_some(), "a client that listens heard nothing for 1 s after the registry had refused");
    let heard = line.hear(PATIENT).await;
    drop(line);
    let words = heard.status().map_or_else(|| heard.words(), |status| status.to_string());
    case.saw(format!("{words} with 16 of 24 MiB and more still to come"));
    case.must(heard.status() == Some(400), format!("a client that listens heard {}", heard.words()));

    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    // This client looks for an answer only when it has sent everything.
    let mut line = scene.begin_patch(&upload, &token, Some(24 * MIB)).await?;
    let sent = line.pour(24 * MIB, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    drop(line);
    case.saw(format!("{} of 24 MiB sent, then {}", sent / MIB, heard.words()));
    case.must(heard.status() == Some(400), "a client that writes before it reads did not hear the refusal");
    let first = peer.asked_for("_state").last().map(|asked| asked.port).context("no PATCH arrived")?;
    let ground = std::rc::Rc::clone(&case.ground);
    let open = || stands(Place::In(ground.yard.gatehouse()), first, peer.port()).unwrap_or(true);
    until(case, "the connection to a deaf registry is still open", Duration::from_secs(10), || !open()).await;
    let reply = scene.get(TAGS, &token).await?;
    case.must(reply.status() == Some(200), "the next request failed");
    let last = peer.asked().last().map(|asked| asked.port);
    case.must(last != Some(first), "the connection to a deaf registry was used again");
    case.stored("nothing: a scripted registry");
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// A registry that takes everything and never answers.
pub(crate) async fn silent(case: &mut Case) -> Result<()> {
    let peer = Peer::start(|asked: &Asked| match asked.method.as_str() {
        "PATCH" => Act::Mute,
        _ => ordinary(asked),
    })
    .await?;
    // `response` is shorter than the body takes: it must count from the last byte.
    let scene = Scene::set(case, Plan::peer(peer.port()).timeout("response", "4s")).await?;
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(6 * MIB)).await?;
    for _ in 0..5 {
        line.pour(MIB, PATIENT).await;
        let early = line.hear(Duration::from_millis(1400)).await;
        case.must(matches!(early, Heard::Silence), format!("while the body was coming: {}", early.words()));
    }
    line.pour(MIB, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    drop(line);
    case.saw(format!("nothing for 7 s of body, then {}", heard.words()));
    case.must(heard.status() == Some(504), "it is not 504");
    if let Heard::Answer(reply) = heard {
        case.must(reply.took >= Duration::from_millis(3500), "the time for an answer did not begin with the last byte");
        case.must(reply.is_oci_error(), "the answer is no error as registries write it");
    }
    let hits = scene.door.metrics().await?;
    case.must(hits.contains("tidegate_limit_hits_total{limit=\"response\"} 1"), "the limit was not counted");
    case.stored("nothing: a scripted registry");
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// The registry's host is gone without a word: in the middle of a body, and behind a pooled connection.
pub(crate) async fn vanished(case: &mut Case) -> Result<()> {
    // Far longer than anybody waits here: it is not what ends the wait.
    let scene = Scene::set(case, Plan::real(Flavor::Distribution31).timeout("response", "300s")).await?;
    let ground = std::rc::Rc::clone(&case.ground);
    let yard = Place::In(ground.yard.yard());
    let token = scene.token(ADA, REPOSITORY).await?;
    let upload = scene.open_upload(case, &token, REPOSITORY).await?;
    let mut line = scene.begin_patch(&upload, &token, Some(256 * MIB)).await?;
    line.pour(4 * MIB, PATIENT).await;
    vanish(yard, scene.origin.port(), None)?;
    line.pour(252 * MIB, Duration::from_secs(20)).await;
    let heard = line.hear(PATIENT).await;
    drop(line);
    case.saw(format!("PATCH: {}", heard.words()));
    case.must(!heard.is_success() && !matches!(heard, Heard::Silence), "a push into nowhere did not end as an error");
    reappear(yard, scene.origin.port(), None)?;

    let fine = scene.get(TAGS, &token).await?;
    case.must(fine.status().is_some_and(|status| status < 500), format!("back again: {}", fine.words()));
    vanish(yard, scene.origin.port(), None)?;
    for (what, most) in [("GET on a pooled connection", 20), ("the next GET", 6)] {
        let begun = Instant::now();
        let heard = scene.get(TAGS, &token).await?;
        let took = begun.elapsed();
        case.saw(format!("{what}: {}", heard.words()));
        case.must(matches!(heard.status(), Some(502..=504)), format!("{what} was not 502, 503 or 504"));
        case.must(took < Duration::from_secs(most), format!("{what} took {:.0} s", took.as_secs_f64()));
    }
    reappear(yard, scene.origin.port(), None)?;
    let again = scene.push_zeros(case, &token, REPOSITORY, MIB).await?;
    case.must(again.status() == Some(201), format!("the next push ended with {}", again.words()));
    scene.close(case).await
}

/// A connection in the pool is reset, and a registry that hangs up on what it was sent.
pub(crate) async fn reset_while_idle(case: &mut Case) -> Result<()> {
    let scene = Scene::set(case, Plan::real(Flavor::Docker28)).await?;
    let ground = std::rc::Rc::clone(&case.ground);
    let token = scene.token(ADA, REPOSITORY).await?;
    let mut passed = 0;
    for _ in 0..5 {
        scene.push_zeros(case, &token, REPOSITORY, 1000).await?;
        let killed = reset(Place::In(ground.yard.yard()), scene.origin.port())?;
        case.must(killed > 0, "there was no pooled connection to reset");
        let get = scene.get(&format!("/v2/{REPOSITORY}/blobs/{}", zeros(1000)), &token).await?;
        reset(Place::In(ground.yard.yard()), scene.origin.port())?;
        let push = scene.push_zeros(case, &token, REPOSITORY, 1000).await?;
        passed += usize::from(get.status() == Some(200)) + usize::from(push.status() == Some(201));
    }
    case.saw(format!("{passed} of 10 requests after a reset passed"));
    case.must(passed == 10, "a request failed for a connection that had been reset before");
    scene.close(case).await?;

    let peer = Peer::start(|asked: &Asked| match asked.target.contains("hangs-up") {
        true => Act::Last(Vec::new()),
        false => ordinary(asked),
    })
    .await?;
    let scene = Scene::set(case, Plan::peer(peer.port())).await?;
    let token = scene.token(ADA, "faults/hangs-up").await?;
    for (method, target) in [
        ("GET", "/v2/faults/hangs-up/manifests/v1"),
        ("PATCH", "/v2/faults/hangs-up/blobs/uploads/8d6b4a46-2b9c-4a1c-9d0e-2f1f6f5d9b11"),
        ("PUT", "/v2/faults/hangs-up/manifests/v1"),
    ] {
        let before = peer.asked().len();
        let heard = scene.request(method, target, &token, b"{\"schemaVersion\":2}").await?;
        let times = peer.asked().len() - before;
        case.saw(format!("{method} the registry hung up on: {}, sent {times}×", heard.status().unwrap_or_default()));
        case.must(heard.status() == Some(502), format!("{method}: {}", heard.words()));
        case.must(times == 1, format!("{method} was sent {times} times"));
    }
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// The client is gone in the middle of a body, and its cut body must not look whole to the registry.
pub(crate) async fn client_gone(case: &mut Case) -> Result<()> {
    for flavor in Flavor::ALL {
        let scene = Scene::set(case, Plan::real(flavor)).await?;
        let ground = std::rc::Rc::clone(&case.ground);
        let (yard, origin) = (Place::In(ground.yard.yard()), scene.origin.port());
        let token = scene.token(ADA, REPOSITORY).await?;
        for chunked in [false, true] {
            let upload = scene.open_upload(case, &token, REPOSITORY).await?;
            // The digest is right for what is sent before the line is cut, so that only the missing end stands between
            // this body and a blob.
            let part = (MIB + usize::from(chunked)) + usize::from(flavor == Flavor::Docker28) * 2;
            let target = format!("{}&digest={}", upload.location, zeros(part));
            let before: HashMap<u16, u64> = received(yard, origin)?.into_iter().collect();
            let mut line = Line::to(scene.public).await?;
            let length = (4 * MIB).to_string();
            let framing = if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", length.as_str()) };
            line.send(&head("PUT", &target, scene.public, &[("Authorization", token.as_str()), framing])).await?;
            if chunked {
                line.send(format!("{part:x}\r\n").as_bytes()).await?;
                line.pour(part, PATIENT).await;
                line.send(b"\r\n").await?;
            } else {
                line.pour(part, PATIENT).await;
            }
            busy(case, &scene, 1, Duration::from_secs(10)).await?;
            // Until the registry has it all, so that it is the end that is missing and nothing else.
            let with = async || loop {
                for (port, bytes) in received(yard, origin)? {
                    if bytes >= before.get(&port).unwrap_or(&0) + u64::try_from(part)? {
                        return anyhow::Ok(port);
                    }
                }
                sleep(Duration::from_millis(20)).await;
            };
            let with = timeout(PATIENT, with()).await.context("the body did not get to the registry")??;
            drop(line);
            let open = || stands(yard, origin, with).unwrap_or(true);
            let otherwise = "the registry's connection was not closed within 1 s";
            let closed = until(case, otherwise, Duration::from_secs(1), || !open()).await;
            busy(case, &scene, 0, Duration::from_secs(10)).await?;
            let blob = scene.get(&format!("/v2/{REPOSITORY}/blobs/{}", zeros(part)), &token).await?;
            let framing = if chunked { "chunked" } else { "with length" };
            let (flavor, took) = (flavor.name(), closed.as_secs_f64());
            case.saw(format!("{flavor} {framing}: the registry's connection closed after {took:.1} s"));
            case.must(blob.status() == Some(404), format!("a cut body ({framing}) was stored: {}", blob.words()));
        }
        scene.close(case).await?;
    }
    Ok(())
}

/// The registry's disk is full.
pub(crate) async fn disk_full(case: &mut Case) -> Result<()> {
    for flavor in Flavor::ALL {
        let scene = Scene::set(case, Plan::new(Behind::Cramped(flavor, 12))).await?;
        let token = scene.token(ADA, REPOSITORY).await?;
        let heard = scene.push_zeros(case, &token, REPOSITORY, 32 * MIB).await?;
        case.saw(format!("{}: {}", flavor.name(), heard.words()));
        case.must(!heard.is_success(), "a push onto a full disk looks like a success");
        let Heard::Answer(reply) = heard else {
            case.must(false, "the registry's error did not arrive");
            return scene.close(case).await;
        };
        let log = scene.registry.as_ref().context("a registry")?.log();
        let own = log.lines().any(|line| line.contains("\"PATCH ") && line.contains(&format!(" {} ", reply.status)));
        case.must(own, format!("the registry did not answer {}", reply.status));
        case.must(scene.door.ask("/readyz").await.is_ok(), "a registry with a full disk made Tidegate unready");
        let pull = scene.get("/v2/faults/warm-up/tags/list", &scene.token(ADA, "faults/warm-up").await?).await?;
        case.must(pull.status() == Some(200), format!("reading from it: {}", pull.words()));
        scene.close(case).await?;
    }
    Ok(())
}

/// Answers that do not end where they say.
pub(crate) async fn misframed(case: &mut Case) -> Result<()> {
    const WRONG: [(&str, &str); 6] = [
        ("short", "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nonly this"),
        ("no-last-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n"),
        ("two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("not-a-number", "HTTP/1.1 200 OK\r\nContent-Length: 5,6\r\n\r\nhello!"),
        ("not-http", "220 ready when you are\r\n\r\n"),
    ];
    const EXTRA: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let peer = Peer::start(|asked: &Asked| {
        let wrong = WRONG.iter().find(|(name, _)| asked.target.contains(name)).map(|(_, bytes)| *bytes);
        match wrong {
            Some(bytes) => Act::Last(bytes.as_bytes().to_vec()),
            None if asked.target.contains("extra") => Act::Answer(EXTRA.as_bytes().to_vec()),
            None => ordinary(asked),
        }
    })
    .await?;
    let plain = Scene::set(case, Plan::peer(peer.port())).await?;
    let mut plan = Plan::peer(peer.port());
    plan.tls = true;
    let tls = Scene::set(case, plan).await?;
    let token = plain.token(ADA, REPOSITORY).await?;
    let mut words = Vec::new();
    for (name, _) in WRONG {
        let target = format!("/v2/{REPOSITORY}/manifests/{name}");
        let heard = plain.get(&target, &token).await?;
        case.must(!heard.is_success(), format!("{name}: a success over HTTP/1.1: {}", heard.words()));
        let (code, status) = over_h2(&tls, &target, &token, case).await?;
        case.must(code != 0 || status >= 500, format!("{name}: a success over HTTP/2: {status}"));
        let h1 = heard.status().map_or("closed".to_owned(), |status| {
            if status < 400 { format!("{status}, cut") } else { status.to_string() }
        });
        let h2 = if code == 0 { status.to_string() } else { format!("{status}, reset (curl {code})") };
        words.push(format!("{name}: {h1} / {h2}"));
    }
    case.saw(format!("HTTP/1.1 / HTTP/2: {}", words.join("; ")));
    for _ in 0..3 {
        let extra = plain.get(&format!("/v2/{REPOSITORY}/manifests/extra"), &token).await?.reply()?;
        case.must(extra.body == b"hello", format!("more than its length says: {}", extra.text()));
        let next = plain.get(TAGS, &token).await?.reply()?;
        case.must(next.body == b"{}", format!("the next answer was poisoned: {}", next.text()));
    }
    case.saw("bytes after an answer's end reach nobody");
    case.stored("nothing: a scripted registry");
    tls.close(case).await?;
    plain.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// curl's exit code and the status it saw, over HTTP/2.
async fn over_h2(scene: &Scene, target: &str, token: &str, case: &mut Case) -> Result<(i32, u16)> {
    let mut curl = command("curl");
    curl.args([
        "-sS",
        "--http2",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{http_version} %{exitcode}",
    ]);
    curl.arg("--cacert").arg(&case.ground.keys.tls_ca).arg("-H").arg(format!("Authorization: {token}"));
    curl.arg(format!("https://{}{target}", scene.public));
    let ran = run(&mut curl, PATIENT).await?;
    let mut words = ran.stdout.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let (status, version, code): (i32, i32, i32) = (number(), number(), number());
    case.must(version == 2, format!("curl did not speak HTTP/2: {}", ran.words()));
    Ok((code, u16::try_from(status).unwrap_or_default()))
}

/// Waits until so many requests are in flight; how long it took.
pub(crate) async fn busy(case: &mut Case, scene: &Scene, wanted: u64, most: Duration) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let now = counter(&scene.door.metrics().await?, "tidegate_http_requests_in_flight");
        if now == wanted {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > most {
            case.must(false, format!("{now} requests are in flight after {} s, not {wanted}", most.as_secs()));
            return Ok(begun.elapsed());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits so long at most for something that is otherwise wrong; how long it took.
async fn until(case: &mut Case, otherwise: &str, most: Duration, done: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        // In this order: who looks late must not call late what was done in time.
        let took = begun.elapsed();
        if done() {
            return took;
        }
        if took > most {
            case.must(false, otherwise);
            return took;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// One more step of an upload: so many zeros.
pub(crate) async fn patch(
    case: &mut Case,
    scene: &Scene,
    upload: &crate::scene::Upload,
    token: &str,
    length: usize,
) -> Result<(Heard, Option<crate::scene::Upload>)> {
    let mut line = scene.begin_patch(upload, token, Some(length)).await?;
    line.pour(length, PATIENT).await;
    let heard = line.hear(PATIENT).await;
    let after = match &heard {
        Heard::Answer(reply) if reply.status == 202 => Some(next(case, reply)?),
        _ => None,
    };
    Ok((heard, after))
}
