//! The play itself, in the order in which it is seen.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use http::StatusCode;
use tokio::time::Instant;

use super::authority::{Authority, PATH};
use super::child::{Ran, tail};
use super::client::{Place, repository};
use super::door::{CONFIGURATION, Door, LOG, Orders};
use super::image::Image;
use super::link::Link;
use super::meter::Meter;
use super::registry::Registry;
use super::serving::Ear;
use super::story::Story;
use super::summary::{Straight, Summary, Through};
use super::{Exit, Plan, keys};
use crate::base::secret::Secret;
use crate::telemetry::labels::Label as _;

/// How long clients may take for the rest of a push, beside the layer's time on the link.
const REST: Duration = Duration::from_secs(20);
/// Lines of a client's last words.
const LAST_WORDS: usize = 2;

/// Plays it; the end is whether everything happened as promised.
///
/// # Errors
/// What could not be started.
///
/// # Cancel safety
/// Dropping the future ends all that was started; only the files are left.
pub(super) async fn play(plan: &Plan, dir: &Path, story: &mut Story) -> anyhow::Result<Exit> {
    story.line(
        "The same push twice, over a slow link with a hop that spools request bodies, as nginx does by default.",
    )?;
    story.line(
        "The registry looks at a token once: when a request's head arrives, which then is after its last byte.",
    )?;

    let minter = keys::make(dir, plan.life).context("keys and certificates could not be made")?;
    let image = Image::make(&dir.join("image"), plan.size).await.context("the image could not be made")?;
    let password = password()?;
    let ear = Ear::open().await?;
    // By name: crane asks no private address for a token but the registry's own.
    let realm = format!("http://localhost:{}{PATH}", ear.address.port());
    let authority = Authority::open(ear, minter, Secret::new(password.clone().into_bytes()));
    let registry = Registry::start(&plan.registry, dir, &realm).await.context("the registry could not be started")?;
    // Clients find Tidegate, and the token endpoint it offers, at the far end of the second link.
    let (straight, through) = (Ear::open().await?, Ear::open().await?);
    let realm = format!("http://{}{PATH}", through.address);
    let orders =
        Orders { dir, authority: authority.address, registry: registry.address, realm: &realm, renew: plan.renew };
    let door = Door::start(&orders).await.context("Tidegate could not be started")?;
    let straight = Link::lead(straight, registry.address, plan.rate, dir);
    let through = Link::lead(through, door.address, plan.rate, dir);
    let stage = Stage { plan, dir, image: &image, authority: &authority, password: &password };
    stage.introduce(&registry, &door, story)?;

    let client = plan.client.program();
    story.heading(&format!("1. Straight: {client} -> link -> registry"))?;
    let direct = stage.push("straight", &straight, story).await?;
    let straight = Straight {
        passages: straight.passages.all(),
        started: direct.started,
        ran: direct.ran,
        reason: registry.last_refused_upload(),
    };
    stage.tell_straight(&straight, story)?;

    story.heading(&format!("2. Through Tidegate: {client} -> link -> Tidegate -> registry"))?;
    let rescued = stage.push("through", &through, story).await?;
    // Before anything is pulled, so that all that is told is about the push.
    let (passages, issued) = (through.passages.all(), authority.issued());
    let (lines, metrics) = (door.access_lines(), door.metrics().await?);
    let (name, place_dir) = (repository("through"), dir.join("through"));
    let place = Place { address: through.address, dir: &place_dir, repository: &name, password: &password };
    let pulled = if rescued.ran.ok {
        plan.client.pull_back(&image, &place, &rescued.ran).await.map_err(|error| format!("{error:#}"))
    } else {
        Err("nothing was pushed".to_owned())
    };
    let through = Through { passages, started: rescued.started, ran: rescued.ran, lines, metrics, pulled };
    stage.tell_through(&through, story)?;

    let summary = Summary { plan, issued, straight, through };
    summary.tell(story)
}

/// What both pushes share.
struct Stage<'a> {
    plan: &'a Plan,
    dir: &'a Path,
    image: &'a Image,
    authority: &'a Authority,
    password: &'a str,
}

/// A push that has ended.
struct Pushed {
    started: Instant,
    ran: Ran,
}

impl Stage<'_> {
    fn introduce(&self, registry: &Registry, door: &Door, story: &mut Story) -> anyhow::Result<()> {
        let Plan { registry: program, client, rate, life, renew, .. } = self.plan;
        let seconds = life.as_secs();
        let rows = [
            ("registry", program.name.clone(), format!("{}, with token authentication", registry.address)),
            (
                "authority",
                "in this process".to_owned(),
                format!("{}, its tokens live {seconds} s", self.authority.address),
            ),
            (
                "tidegate",
                format!("serve --config {CONFIGURATION}"),
                format!("{}, renew = \"{}\", log in {LOG}", door.address, renew.as_str()),
            ),
            (
                "client",
                client.name.clone(),
                format!("pushes one layer of {} MiB", super::meter::mib(self.image.layer_size)),
            ),
            (
                "link",
                "in this process".to_owned(),
                format!("{rate}/s, spools: {} s for the layer", self.transit().as_secs()),
            ),
        ];
        story.heading(&format!("Started, with all files in {}:", self.dir.display()))?;
        let rows = rows.map(|(part, what, how)| vec![part.to_owned(), what, how]);
        Ok(story.table(&rows)?)
    }

    /// How long the link takes for the layer.
    fn transit(&self) -> Duration {
        Duration::from_secs(self.image.layer_size.div_ceil(self.plan.rate.0.max(1)))
    }

    async fn push(&self, name: &str, link: &Link, story: &mut Story) -> anyhow::Result<Pushed> {
        let (dir, repository) = (self.dir.join(name), repository(name));
        let place = Place { address: link.address, dir: &dir, repository: &repository, password: self.password };
        let client = &self.plan.client;
        client.prepare(self.image, &place).await?;
        story.line("   Watch the token die while the link still takes the layer in.")?;
        let started = Instant::now();
        let meter = Meter::new(name, link, self.authority, self.image.layer_size);
        // Time for a second try of clients that make one, and an end to those that go on for ever.
        let deadline = self.transit() * 2 + REST;
        let ran = tokio::select! {
            ran = client.push(self.image, &place, deadline) => ran,
            never = meter.follow() => match never {},
        };
        let word = match &ran {
            Ok(ran) if ran.ok => "passed",
            Ok(_) => "failed",
            Err(_) => "could not run",
        };
        meter.end(word);
        Ok(Pushed { started, ran: ran? })
    }

    fn tell_straight(&self, straight: &Straight, story: &mut Story) -> anyhow::Result<()> {
        let client = self.plan.client.program();
        let Ran { ok, overdue, words } = &straight.ran;
        let outcome = match (ok, overdue) {
            (true, _) => "succeeded, which is not what should be shown".to_owned(),
            (_, true) => "was still trying, and was ended. It had said:".to_owned(),
            _ => "gave up:".to_owned(),
        };
        story.line(&format!("   {client} {outcome}"))?;
        story.quote(&last_words(words))?;
        let refused = straight.passages.iter().rfind(|passage| passage.status == Some(StatusCode::UNAUTHORIZED));
        if let Some(words) = refused.and_then(|passage| passage.refusal.as_deref()) {
            story.line("   The registry had answered:")?;
            story.quote(&format!("401 {words}"))?;
        }
        if let Some(reason) = &straight.reason {
            story.line("   and logged:")?;
            story.quote(reason)?;
        }
        Ok(())
    }

    fn tell_through(&self, through: &Through, story: &mut Story) -> anyhow::Result<()> {
        let client = self.plan.client.program();
        if through.ran.ok {
            story.line(&format!("   {client} is done."))?;
        } else {
            story.line(&format!("   {client} gave up, which is not what should be shown:"))?;
            story.quote(&last_words(&through.ran.words))?;
        }
        match &through.pulled {
            Ok(digest) => story.line(&format!("   Pulled back and compared: the same, {digest}"))?,
            Err(error) => story.line(&format!("   Pulled back and compared: {error}"))?,
        }
        Ok(())
    }
}

/// What a client says at the end, without its progress.
fn last_words(words: &str) -> String {
    let marks = ["rror", "nauthorized", "fatal", "denied"];
    let bad: Vec<&str> = words.lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).collect();
    let last = if bad.is_empty() { tail(words, LAST_WORDS) } else { tail(&bad.join("\n"), LAST_WORDS) };
    without_queries(&last)
}

/// Some clients print the URL that failed, and it fills lines with what only registries can read.
fn without_queries(text: &str) -> String {
    let mut parts = text.split('?');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| character == '"' || character.is_whitespace()).unwrap_or(part.len());
        plain.push_str("?…");
        plain.push_str(part.get(end..).unwrap_or_default());
    }
    plain
}

/// Of this run alone.
fn password() -> anyhow::Result<String> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).context("no random bytes")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
