//! h2spec at Tidegate's own listener: HTTP/2 frame by frame (RFC 9113) and its header compression (RFC 7541). Unlike the
//! rest, this is Tidegate's own conformance and nobody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::course::Ground;
use crate::support::door::{Renew, counter};
use crate::support::process::{command, run, tail};
use crate::support::registry::Flavor;

/// As `tests/parts.sh` names it.
pub(crate) const PROGRAM: &str = "h2spec";

/// How many cases it has, the strict ones included. With fewer something was not asked.
const CASES: usize = 146;

/// Beyond the numbers of all courses, so that its ports are its own.
const NUMBER: u16 = 900;

/// It takes a second; a case that is not answered takes two more.
const DEADLINE: Duration = Duration::from_secs(300);

/// A case that follows a request with what must end it fails when the answer, which is short, was out before: on a busy
/// machine three times in a row. Only one that fails every time is a fault.
const ATTEMPTS: u32 = 10;

/// What it said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frames {
    pub(crate) tests: usize,
    pub(crate) passed: usize,
    pub(crate) skipped: usize,
    pub(crate) failed: usize,
}

impl Frames {
    /// Its last line: `146 tests, 146 passed, 0 skipped, 0 failed`.
    fn parse(words: &str) -> Result<Self> {
        let line = words.lines().map(str::trim).rfind(|line| line.ends_with(" failed")).context("it did not finish")?;
        let mut found = Self::default();
        for part in line.split(", ") {
            let (count, what) = part.split_once(' ').with_context(|| line.to_owned())?;
            let place = match what {
                "tests" => &mut found.tests,
                "passed" => &mut found.passed,
                "skipped" => &mut found.skipped,
                "failed" => &mut found.failed,
                _ => continue,
            };
            *place = count.parse().with_context(|| line.to_owned())?;
        }
        ensure!(found.tests == found.passed + found.skipped + found.failed, "{line}: does not add up");
        Ok(found)
    }
}

impl std::fmt::Display for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tests, passed, skipped, failed } = self;
        write!(f, "{tests} cases, {passed} passed, {skipped} skipped, {failed} failed")
    }
}

/// The cases it marks as failed. It writes a case when it begins and again, marked, on the same line when it is over.
fn failed(words: &str) -> BTreeSet<String> {
    words.lines().filter_map(|line| Some(line.split_once('×')?.1.trim().to_owned())).collect()
}

/// Runs it; a case that fails each time is an error in its own words.
pub(crate) async fn judge(ground: &Ground) -> Result<Frames> {
    let dir = ground.dir.join("h2spec");
    std::fs::create_dir_all(&dir)?;
    let standing = ground.stand(Flavor::Distribution31, Renew::Resign, NUMBER, &dir).await?;
    let (host, port) = (standing.orders.public.ip().to_string(), standing.orders.public.port().to_string());
    let mut stubborn: Option<BTreeSet<String>> = None;
    let mut frames = Frames::default();
    for attempt in 1..=ATTEMPTS {
        let mut command = command(PROGRAM);
        // A path that is answered with a body, without a token: some cases want one. Of its certificate it knows no
        // issuer.
        command.args(["--strict", "--tls", "--insecure", "--path", "/v2/", "--host", &host, "--port", &port]);
        let words = run(&mut command, DEADLINE).await?.words();
        std::fs::write(dir.join(format!("words-{attempt}.txt")), &words)?;
        frames = Frames::parse(&words).with_context(|| tail(&words, 40))?;
        ensure!(frames.tests >= CASES, "{frames}, of {CASES}\n{}", tail(&words, 60));
        let failed = failed(&words);
        ensure!(failed.is_empty() == (frames.failed == 0), "{frames}, but these failed: {failed:?}");
        let still = stubborn.map_or(failed.clone(), |before| &before & &failed);
        if still.is_empty() {
            frames = Frames { passed: frames.passed + frames.failed, failed: 0, ..frames };
            stubborn = None;
            break;
        }
        stubborn = Some(still);
    }
    ensure!(stubborn.is_none(), "{frames}, of {CASES}; each of {ATTEMPTS} times: {stubborn:?}");
    let counted = counter(&standing.door.metrics().await?, "tidegate_http_requests_total");
    ensure!(counted > 0, "Tidegate counted no request");
    let peers = standing.registry.peers()?;
    ensure!(peers.is_empty(), "what has no token reached the registry");
    standing.door.stop().await?;
    Ok(frames)
}

/// The reading of its last line. One that finds nothing anywhere would be no proof.
pub(crate) fn check() -> Result<()> {
    let read = Frames::parse("Finished in 0.3 seconds\n146 tests, 140 passed, 1 skipped, 5 failed\n")?;
    ensure!(read == Frames { tests: 146, passed: 140, skipped: 1, failed: 5 }, "read {read}");
    ensure!(
        Frames::parse("146 tests, 146 passed, 0 skipped, 5 failed").is_err(),
        "counts that do not add up were taken"
    );
    ensure!(failed("1: a ✔ 1: a\n 2: b   × 2: b\n").contains("2: b"), "no failed case was found");
    ensure!(Frames::parse("Error: connection refused").is_err(), "no result was taken for one");
    Ok(())
}
