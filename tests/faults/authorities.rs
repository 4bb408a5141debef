//! What authorities do: go away, take their time, answer nonsense, send elsewhere, and take rights back.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::case::Case;
use crate::line::{Heard, Line, head};
use crate::network::{Place, accept, refuse};
use crate::registries::patch;
use crate::scene::{ADA, BOB, PATIENT, Plan, Scene, scripted, zeros};
use crate::script::{Act, Asked, Peer, answer};
use crate::support::authority::Life;
use crate::support::registry::Flavor;

const MIB: usize = 1 << 20;
/// What may be taken of an authority's answer of 5 MiB: 64 KiB are read, and the rest is what the kernel takes before the
/// connection is closed, which is its to choose: from 100 KiB to 1.4 MiB.
const TAKEN: usize = 2 << 20;
/// How long the tokens of those live who push too slowly.
const SHORT: u64 = 4;

/// The authority refuses connections.
pub(crate) async fn down(case: &mut Case) -> Result<()> {
    let mut plan = Plan::real(Flavor::Docker28);
    plan.more = "[push]\nreverify = \"1s\"\n".to_owned();
    let scene = Scene::set(case, plan).await?;
    let cached = scene.token(BOB, "faults/cached").await?;
    scene.authority.set_life_of(ADA, Life::DiesOnCue(SHORT));
    let token = scene.token(ADA, "faults/slow").await?;
    let upload = scene.open_upload(case, &token, "faults/slow").await?;
    // The token has to die; nothing else tells when it has.
    sleep(Duration::from_secs(SHORT + 1)).await;

    refuse(Place::Street, scene.authority.address().port())?;
    let again = scene.token(BOB, "faults/cached").await?;
    case.must(again == cached, "a living token in the cache was not handed out");
    let login = scene.ask_token(BOB, "faults/new").await?.reply()?;
    case.must(login.status == 503, format!("a new login is answered {}", login.status));
    case.must(login.header("retry-after").is_some(), "a new login is told nothing of when to come again");
    let stale = scene.get("/v2/faults/slow/tags/list", &token).await?;
    case.must(stale.status() == Some(401), "the dead token can be used for something else than its upload");
    let (heard, upload) = patch(case, &scene, &upload, &token, MIB).await?;
    case.must(heard.status() == Some(202), format!("the open upload was answered {}", heard.words()));
    let put = scene.commit(&upload.context("no way on")?, &token, MIB).await?;
    case.must(put.status() == Some(201), format!("the open upload ended with {}", put.words()));
    case.saw("cached token 200, new login 503 with Retry-After, open upload of a dead token 202 and 201");

    accept(Place::Street, scene.authority.address().port())?;
    let back = scene.ask_token(BOB, "faults/new").await?;
    case.must(back.status() == Some(200), format!("back again, a login is answered {}", back.words()));
    scene.close(case).await
}

/// The authority takes for ever, or sends a byte now and then; a crowd wants to log in.
pub(crate) async fn slow(case: &mut Case) -> Result<()> {
    const CLIENTS: usize = 100;
    const QUESTIONS: usize = 10;
    let trickling = Rc::new(Cell::new(false));
    let how = Rc::clone(&trickling);
    let peer = Peer::start(move |_: &Asked| match how.get() {
        true => Act::Trickle(answer("200 OK", &[("Content-Type", "application/json")], &[b' '; 2000]), SECOND),
        false => Act::Mute,
    })
    .await?;
    let mut plan = Plan::real(Flavor::Distribution31);
    plan.authority = Some(peer.port());
    // The push that comes before a fault would wait for a token too.
    let scene = {
        let origin = SocketAddr::from((case.ground.yard.yard_address(), case.port(case.scenes, 2)));
        let lines = format!("origins = [\"http://{origin}\"]");
        plan.behind = crate::scene::Behind::Lines(lines);
        let mut scene = Scene::set(case, plan).await?;
        scene.restart_registry(case, Flavor::Distribution31).await?;
        scene
    };
    let living = straight(&scene, ADA, "faults/one").await?;
    let pushed = scene.push_zeros(case, &living, "faults/one", MIB).await?;
    case.must(pushed.status() == Some(201), format!("a push with a living token: {}", pushed.words()));
    for (what, mode) in [("silent", false), ("trickling", true)] {
        trickling.set(mode);
        let before = peer.asked().len();
        let begun = Instant::now();
        let mut crowd = JoinSet::new();
        let basic = scene.basic(BOB)?;
        for number in 0..CLIENTS {
            let target = format!(
                "/jwt/auth?service={}&scope=repository:faults/{what}-{}:pull,push",
                scene.voice.service,
                number % QUESTIONS
            );
            let (public, basic) = (scene.public, basic.clone());
            crowd.spawn_local(async move {
                let mut line = Line::to(public).await?;
                line.send(&head("GET", &target, public, &[("Authorization", &basic)])).await?;
                anyhow::Ok(line.hear(PATIENT).await)
            });
        }
        let pull = scene.get(&format!("/v2/faults/one/blobs/{}", zeros(MIB)), &living).await?;
        case.must(pull.status() == Some(200), format!("a pull with a living token: {}", pull.words()));
        let pulled = begun.elapsed();
        let mut told = 0;
        while let Some(heard) = crowd.join_next().await {
            let heard = heard??;
            let retry =
                matches!(&heard, Heard::Answer(reply) if reply.status == 503 && reply.header("retry-after").is_some());
            case.must(retry, format!("{what}: a login ended with {}", heard.words()));
            told += usize::from(retry);
        }
        let took = begun.elapsed();
        let asked = peer.asked().len() - before;
        case.saw(format!(
            "{what}: {told} of {CLIENTS} logins 503 with Retry-After after {:.1} s, {asked} questions to the authority, a pull \
             meanwhile {:.1} s",
            took.as_secs_f64(),
            pulled.as_secs_f64()
        ));
        case.must(took < Duration::from_secs(15), format!("{what}: the deadline of 3 s was kept after {took:?}"));
        case.must(asked <= QUESTIONS, format!("{what}: {QUESTIONS} different questions were asked {asked} times"));
    }
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

const SECOND: Duration = Duration::from_secs(1);

/// A token from the double of GitLab itself.
async fn straight(scene: &Scene, user: &str, repository: &str) -> Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], scene.authority.address().port()));
    let target = format!("/jwt/auth?service={}&scope=repository:{repository}:pull,push", scene.voice.service);
    let mut line = Line::to(address).await?;
    line.send(&head("GET", &target, address, &[("Authorization", &scene.basic(user)?)])).await?;
    let reply = line.hear(PATIENT).await.reply()?;
    let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
    Ok(format!("Bearer {}", body.get("token").and_then(serde_json::Value::as_str).context("no token")?))
}

/// The authority answers what is no token.
pub(crate) async fn nonsense(case: &mut Case) -> Result<()> {
    const HTML: &str = "<html><body>sign in</body></html>";
    let kind = |kind: &'static str| ("Content-Type", kind);
    let huge = format!("{{\"token\":\"{}\"}}", "A".repeat(5 << 20));
    let zipped = [kind("application/json"), ("Content-Encoding", "gzip")];
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("500", answer("500 Internal Server Error", &[kind("text/plain")], b"boom")),
        ("502 page", answer("502 Bad Gateway", &[kind("text/html")], HTML.as_bytes())),
        ("200 page", answer("200 OK", &[kind("text/html")], HTML.as_bytes())),
        ("200 {}", answer("200 OK", &[kind("application/json")], b"{}")),
        ("200 null", answer("200 OK", &[kind("application/json")], b"{\"token\":null}")),
        ("5 MiB", answer("200 OK", &[kind("application/json")], huge.as_bytes())),
        ("5 MiB without a length", format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{huge}").into()),
        ("gzip", answer("200 OK", &zipped, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")),
        ("half", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"token\":\"".to_vec()),
    ];
    let turn = Rc::new(Cell::new(0));
    let (how, all) = (Rc::clone(&turn), answers.clone());
    let peer = Peer::narrow(move |_: &Asked| {
        Act::Last(all.get(how.get()).map(|(_, bytes)| bytes.clone()).unwrap_or_default())
    })
    .await?;
    let mut plan = Plan::peer(peer.port());
    plan.authority = Some(peer.port());
    let scene = Scene::set(case, plan).await?;
    let mut seen = Vec::new();
    for (index, (name, _)) in answers.iter().enumerate() {
        turn.set(index);
        for round in 0..2 {
            let before = peer.asked().len();
            let reply = scene.ask_token(BOB, "faults/one").await?.reply()?;
            case.must(matches!(reply.status, 502 | 503), format!("{name} became {}", reply.status));
            case.must(reply.is_oci_error(), format!("{name}: the answer is no error as registries write it"));
            case.must(reply.header("retry-after").is_some(), format!("{name}: nothing says when to come again"));
            let echoed =
                reply.text().contains("<html") || reply.text().contains("AAAA") || reply.text().contains("boom");
            case.must(!echoed, format!("{name}: the authority's words went to the client"));
            let asked = peer.asked().len() - before;
            case.must(asked >= 1, format!("{name}: the nonsense was remembered"));
            if round == 0 {
                seen.push(format!("{name} → {}", reply.status));
            }
        }
    }
    case.saw(seen.join(", "));
    case.stored("nothing: no token, no push");
    scene.close(case).await?;
    let most = peer.asked().iter().map(|asked| asked.given).max().unwrap_or_default();
    case.saw(format!("of an answer of 5 MiB {} KiB were taken, the kernels' part among them", most >> 10));
    case.must(most > 0, "nothing of any answer was taken, so nothing is shown");
    case.must(most <= TAKEN, format!("{most} bytes of an answer were taken"));
    scripted(case, &peer.peers());
    Ok(())
}

/// The authority sends its visitors elsewhere.
pub(crate) async fn elsewhere(case: &mut Case) -> Result<()> {
    let canary = Peer::start(|_: &Asked| Act::Answer(answer("200 OK", &[], b"{\"token\":\"stolen\"}"))).await?;
    let street = case.ground.yard.street_address();
    let to = format!("http://{street}:{}/users/sign_in", canary.port());
    let turn = Rc::new(Cell::new("302 Found"));
    let how = Rc::clone(&turn);
    let peer = Peer::start(move |_: &Asked| {
        let challenge = format!("Bearer realm=\"{to}\",service=\"container_registry\"");
        Act::Answer(answer(how.get(), &[("Location", &to), ("WWW-Authenticate", &challenge)], b""))
    })
    .await?;
    let mut plan = Plan::peer(peer.port());
    plan.authority = Some(peer.port());
    let scene = Scene::set(case, plan).await?;
    let mut seen = Vec::new();
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        turn.set(status);
        let reply = scene.ask_token(ADA, "faults/one").await?.reply()?;
        case.must(matches!(reply.status, 502 | 503), format!("{status} became {}", reply.status));
        case.must(reply.header("location").is_none(), format!("{status}: the client was sent there too"));
        seen.push(format!("{} → {}", status.get(..3).unwrap_or_default(), reply.status));
    }
    case.saw(format!("{}; {} connections to where it leads", seen.join(", "), canary.connections()));
    case.must(canary.connections() == 0, "a redirect of the authority was followed");
    case.stored("nothing: no token, no push");
    scene.close(case).await?;
    scripted(case, &peer.peers());
    Ok(())
}

/// The right to push is taken back while a push that outlived its token runs.
pub(crate) async fn revoked(case: &mut Case) -> Result<()> {
    let mut plan = Plan::real(Flavor::Distribution31);
    plan.more = "[push]\nreverify = \"1s\"\n".to_owned();
    let scene = Scene::set(case, plan).await?;
    scene.authority.set_life(Life::DiesOnCue(SHORT));
    let (ada, bob) = (scene.token(ADA, "faults/ada").await?, scene.token(BOB, "faults/bob").await?);
    let mut adas = scene.open_upload(case, &ada, "faults/ada").await?;
    let bobs = scene.open_upload(case, &bob, "faults/bob").await?;
    // The tokens have to die; nothing else tells when they have.
    sleep(Duration::from_secs(SHORT + 1)).await;
    let (heard, after) = patch(case, &scene, &adas, &ada, MIB).await?;
    case.must(heard.status() == Some(202), format!("before, the open upload was answered {}", heard.words()));
    adas = after.context("no way on")?;

    let begun = Instant::now();
    scene.authority.revoke(ADA);
    let refused = loop {
        let (heard, after) = patch(case, &scene, &adas, &ada, 1000).await?;
        match after {
            Some(after) if begun.elapsed() < Duration::from_secs(6) => adas = after,
            _ => break heard,
        }
        sleep(Duration::from_millis(200)).await;
    };
    case.saw(format!("refused {:.1} s later: {}", begun.elapsed().as_secs_f64(), refused.words()));
    case.must(refused.status() == Some(401), "the upload went on, or ended otherwise than with 401");
    let put = scene.commit(&adas, &ada, MIB).await?;
    case.must(put.status() == Some(401), format!("it could still be committed: {}", put.words()));
    case.must(scene.logged("the extension of an upload ends").await, "nothing of it stands in the log");
    let (heard, after) = patch(case, &scene, &bobs, &bob, MIB).await?;
    case.must(heard.status() == Some(202), format!("another user's upload was answered {}", heard.words()));
    let put = scene.commit(&after.context("no way on")?, &bob, MIB).await?;
    case.must(put.status() == Some(201), format!("another user's upload ended with {}", put.words()));
    case.saw("another user's upload 201");
    scene.close(case).await
}
