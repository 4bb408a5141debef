//! What a run looks like on paper.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::compare::Judged;
use crate::course::{Course, Outcome, Way};
use crate::frames::{self, Frames};
use crate::suite::{self, Profile};
use crate::support::process::{command, run};
use crate::support::registry::Flavor;
use crate::verdicts::Verdict;

/// How much of a reason is told.
const REASON: usize = 160;

/// A course as it goes by on the screen.
pub(crate) fn line(outcome: &Outcome) -> String {
    let count = |verdict| outcome.verdicts.count(verdict);
    format!(
        "{:22} {} passed, {} failed, {} skipped of {}; {} verdicts, {} exchanges, {} logged, {:.0} s",
        outcome.course.name(),
        count(Verdict::Passed),
        count(Verdict::Failed) + count(Verdict::Broken),
        count(Verdict::Skipped) + count(Verdict::Disabled),
        outcome.verdicts.total(),
        outcome.verdicts.cases(),
        outcome.answers.exchanges(),
        outcome.logged,
        outcome.took.as_secs_f64()
    )
}

/// One line for the end.
pub(crate) fn summary(outcomes: &[Outcome], judged: &Judged) -> String {
    let through = outcomes.iter().filter(|outcome| outcome.course.is_through());
    let (courses, verdicts, answers) = through.fold((0, 0, 0), |(courses, verdicts, answers), outcome| {
        (courses + 1, verdicts + outcome.verdicts.cases(), answers + outcome.answers.exchanges())
    });
    let (wrong, noise) = (judged.wrong.len(), judged.noise.len());
    format!(
        "{courses} runs through Tidegate, {verdicts} verdicts and {answers} exchanges: {wrong} differ, {noise} are noise"
    )
}

/// The parts and their versions, by asking them. Some know none of their own; what they were built from stands beside them.
pub(crate) async fn versions() -> Result<Vec<(String, String)>> {
    let mut versions = Vec::new();
    for (program, argument) in [("docker-registry", "--version"), ("registry", "--version"), ("uname", "-sr")] {
        let said = run(command(program).arg(argument), Duration::from_secs(20)).await?.words();
        let line = said.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        versions.push((program.to_owned(), line));
    }
    for (part, module) in [(suite::PROGRAM, "distribution-spec/conformance"), (frames::PROGRAM, "summerwind/h2spec")] {
        let built = format!("cat \"$(dirname \"$(command -v {part})\")/.{part}\"");
        let built = run(command("sh").args(["-c", &built]), Duration::from_secs(20)).await?.stdout;
        let line = built.lines().find(|line| line.contains(module)).unwrap_or_default();
        versions.push((part.to_owned(), line.trim().replace('@', " ")));
    }
    Ok(versions)
}

/// `docs/conformance.md`.
pub(crate) fn page(
    outcomes: &[Outcome],
    judged: &Judged,
    frames: Option<&Frames>,
    versions: &[(String, String)],
) -> String {
    let mut page = String::from(INTRODUCTION);
    let _ = write!(page, "\nRun on {}: {}.\n\n", today(), summary(outcomes, judged));
    page.push_str(&table(outcomes));
    page.push_str("\n## What differs\n\n");
    page.push_str(&list(&judged.wrong, "Nothing.\n"));
    page.push_str("\n## What a registry alone did not do twice alike\n\n");
    page.push_str(&list(
        &judged.noise,
        "Nothing, once cases that bear the same name are counted and not put in order.\n",
    ));
    let _ = writeln!(page, "{FRAMES}{}.", frames.map_or("Not run".to_owned(), Frames::to_string));
    page.push_str(FAILURES);
    for flavor in Flavor::ALL {
        page.push_str(&failures(outcomes, flavor));
    }
    page.push_str("\n## Parts\n\n| part | version |\n| --- | --- |\n");
    for (part, version) in versions {
        let _ = writeln!(page, "| {part} | {version} |");
    }
    page
}

const INTRODUCTION: &str = "# Conformance

The [conformance suite](https://github.com/opencontainers/distribution-spec/tree/main/conformance) of the OCI distribution
specification, run at registries alone and at the same registries through Tidegate. `make conformance` runs it and writes
this page from what happened; nothing in it is written by hand.

**What it means.** Tidegate is not a registry and conforms to nothing by itself: it must not change what the registry behind
it says. So a client, or a suite, that gets along with your registry gets along with it through Tidegate, and what your
registry cannot do it still cannot. Held against each other are, case for case, the verdicts, and exchange for exchange the
status, the names of all header fields of the answer and the values of those that are not random. Tidegate's own are one field,
`X-Request-Id`, the words of a 401 and the token endpoint. Any other difference fails the target.

**How it is known that Tidegate was not gone round.** Registry and Tidegate run in network namespaces of their own, and from
where the suite runs there is no way to the registry. The registry's access log must show the one address of Tidegate, every
request of the suite's own record must have gone to Tidegate, and Tidegate's access log must show each of them with the
protocol of that row. Each run has an empty registry, and tokens from a double of GitLab's token endpoint; where Tidegate
signs (`resign`), the registry trusts Tidegate alone.

Profiles: *stable* is what the suite asks when it is told nothing (distribution-spec 1.1). *Narrow* leaves out what registries of
this family do not claim: SHA-512, referrers, subjects, layers that stay elsewhere. *Wide* adds all that is optional: cancelled
uploads, digest headers, tags as parameters of a manifest's PUT, sparse manifests.
";

const FRAMES: &str = "
## HTTP/2, frame by frame

[h2spec](https://github.com/summerwind/h2spec) at Tidegate's own listener over TLS, its strict cases included. None of its
requests has a token, and none may reach the registry. ";

const FAILURES: &str = "
## What the registries themselves fail

Alone and through Tidegate alike, in the suite's words. Of several cases that bear one name the number that failed is given, and
the first reason.
";

/// A row a run.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| registry | profile | path | passed | failed | skipped | verdicts compared | exchanges compared | logged by Tidegate |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Outcome { course, verdicts, answers, logged, .. } in outcomes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            course.flavor.name(),
            course.profile.name(),
            path(*course),
            verdicts.count(Verdict::Passed),
            verdicts.count(Verdict::Failed) + verdicts.count(Verdict::Broken),
            verdicts.count(Verdict::Skipped) + verdicts.count(Verdict::Disabled),
            verdicts.cases(),
            answers.exchanges(),
            if course.is_through() { logged.to_string() } else { "–".to_owned() }
        );
    }
    text
}

fn path(course: Course) -> String {
    match course.way {
        Way::Alone => "alone".to_owned(),
        Way::AloneAgain => "alone, again".to_owned(),
        Way::Through(http, renew) => format!("Tidegate, {}, {}", http.protocol(), renew.name()),
    }
}

fn list(lines: &[String], none: &str) -> String {
    if lines.is_empty() {
        return none.to_owned();
    }
    lines.iter().map(|line| format!("- `{}`\n", plain(line))).collect()
}

/// What one registry fails: a row for what fails in the same group for the same reason in the same profiles.
fn failures(outcomes: &[Outcome], flavor: Flavor) -> String {
    let mut cases: BTreeMap<&str, (BTreeSet<Profile>, String, String)> = BTreeMap::new();
    for Outcome { course, verdicts, answers, .. } in outcomes {
        if course.flavor != flavor || course.way != Way::Alone {
            continue;
        }
        for (name, failed, of) in verdicts.failed() {
            let many = if of == 1 { String::new() } else { format!(" ({failed} of {of})") };
            let case = cases.entry(name).or_insert_with(|| (BTreeSet::new(), answers.reason(name), many));
            case.0.insert(course.profile);
        }
    }
    let mut rows: BTreeMap<(&str, String, String), Vec<String>> = BTreeMap::new();
    for (name, (profiles, reason, many)) in cases {
        let profiles = profiles.into_iter().map(Profile::name).collect::<Vec<_>>().join(", ");
        let (group, case) = name.split_once('/').unwrap_or(("", name));
        rows.entry((group, profiles, reason)).or_default().push(format!("{case}{many}"));
    }
    let mut text = format!(
        "\n### Registry {}\n\n| group | cases | profiles | reason |\n| --- | --- | --- | --- |\n",
        flavor.name()
    );
    for ((group, profiles, reason), cases) in rows {
        let _ = writeln!(text, "| {group} | {} | {profiles} | `{}` |", cases.join(", "), plain(&reason));
    }
    text
}

/// Text inside a table's code span, not longer than one reads.
fn plain(text: &str) -> String {
    let text = text.replace('|', "/").replace('`', "'");
    match text.char_indices().nth(REASON) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The date, as the machine writes it.
fn today() -> String {
    let date = std::process::Command::new("date").arg("+%-d %B %Y").env("LC_ALL", "C").output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().to_owned()).unwrap_or_default()
}
