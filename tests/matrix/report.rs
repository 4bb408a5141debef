//! What a run looks like on paper.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::cells::{CLIENTS, Combination, Expected, Hop, Recipe};
use crate::stage::{Cell, Outcome};
use crate::support::clients::Client;
use crate::support::door::Renew;
use crate::support::process::{command, run};
use crate::support::registry::Flavor;

/// A combination as it goes by on the screen.
pub(crate) fn lines(outcome: &Outcome) -> String {
    let mut text = outcome.combination.name();
    for cell in &outcome.cells {
        let verdict = if cell.passed { "passed" } else { "FAILED" };
        let _ = write!(text, "\n    {:8} {verdict} {:5.0} s", cell.client.name(), cell.took.as_secs_f64());
        if cell.tries > 1 {
            let _ = write!(text, "  on try {}", cell.tries);
        }
        if !cell.passed {
            let _ = write!(text, "  {} | registry: {}", cell.client_words, cell.registry_words);
        }
    }
    if let Some(proof) = &outcome.proof {
        let _ = write!(text, "\n    rescues {} in {} uploads", proof.rescues, proof.uploads_rescued);
    }
    text
}

/// One line for the end.
pub(crate) fn summary(outcomes: &[Outcome]) -> String {
    let count = |with: bool, passed: bool| {
        let ours = outcomes.iter().filter(|outcome| outcome.combination.renew.is_some() == with);
        ours.flat_map(|outcome| &outcome.cells).filter(|cell| cell.passed == passed).count()
    };
    format!(
        "with Tidegate {} passed, {} did not; without {} passed, {} did not",
        count(true, true),
        count(true, false),
        count(false, true),
        count(false, false)
    )
}

/// The parts and their versions, by asking them.
pub(crate) async fn versions() -> Result<Vec<(String, String)>> {
    let asked: [(&str, &[&str]); 13] = [
        ("docker", &["--version"]),
        ("dockerd", &["--version"]),
        ("containerd", &["--version"]),
        ("skopeo", &["--version"]),
        ("podman", &["--version"]),
        ("buildah", &["--version"]),
        ("crane", &["version"]),
        ("oras", &["version"]),
        ("regctl", &["version", "--format", "{{.VCSTag}}"]),
        ("docker-registry", &["--version"]),
        ("registry", &["--version"]),
        ("nginx", &["-v"]),
        ("uname", &["-sr"]),
    ];
    let mut versions = Vec::new();
    for (program, arguments) in asked {
        let said = run(command(program).args(arguments), Duration::from_secs(20)).await?.words();
        let line = said.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        versions.push((program.to_owned(), line));
    }
    Ok(versions)
}

/// `docs/matrix.md`.
pub(crate) fn page(outcomes: &[Outcome], recipe: Recipe, versions: &[(String, String)]) -> String {
    let mut page = String::from(INTRODUCTION);
    let _ = write!(
        page,
        "\nRun on {}: a layer of {} MiB at {:.1} MB/s, tokens that registries take for {} s and clients for 60 s.\nCells: {}.\n",
        today(),
        recipe.mib,
        recipe.rate / 1e6,
        seconds(recipe),
        summary(outcomes)
    );
    for flavor in Flavor::ALL {
        let _ = write!(page, "\n## Registry {}\n", flavor.name());
        page.push_str(&table(outcomes, flavor));
    }
    page.push_str(&reasons(outcomes));
    page.push_str(&rescued(outcomes));
    page.push_str("\n## Parts\n\n| part | version |\n| --- | --- |\n");
    for (part, version) in versions {
        let _ = writeln!(page, "| {part} | {version} |");
    }
    page
}

const INTRODUCTION: &str = "# The matrix

Eight clients push into two registries over a slow line while their tokens run out half-way: straight, with an nginx that
spools request bodies in front of Tidegate, and with one behind it. `make matrix` runs every cell and writes this page from
what happened; nothing in it is written by hand. Each cell passed means: pushed, pulled back by the same client into an empty
place, digests equal, and the registry was asked by nobody but Tidegate, which runs in a network namespace that alone has a
way to it. Without Tidegate the clients talk to the registry over the same line and through the same nginx.
";

const CTR_HUNG: &str = "² On another try: `ctr` of containerd 1.6 hung before, as it does at times after any 401 to its manifest, with \
    Tidegate and without (containerd pull request 6995).";

const IN_CHUNKS: &str = "³ In chunks: after five tries with the whole layer regctl sends it by the MiB, and the hop holds none of these \
    back long enough to die.";

/// The cells of one registry: a row a client, a column a path.
fn table(outcomes: &[Outcome], flavor: Flavor) -> String {
    let columns: Vec<Combination> = order().into_iter().map(|column| Combination { flavor, ..column }).collect();
    let mut text = String::from("\n| client |");
    for column in &columns {
        let _ = write!(text, " {} |", heading(*column));
    }
    let _ = writeln!(text, "\n| --- |{}", " --- |".repeat(columns.len()));
    for client in CLIENTS {
        let _ = write!(text, "| {} |", client.name());
        for column in &columns {
            let cell = find(outcomes, *column, client);
            let _ = write!(text, " {} |", cell.map_or("not run".to_owned(), |cell| entry(*column, cell)));
        }
        text.push('\n');
    }
    text
}

/// The columns, what is without Tidegate beside what is with it.
fn order() -> Vec<Combination> {
    let column = |hop, tls, renew| Combination { flavor: Flavor::Docker28, hop, tls, renew };
    vec![
        column(Hop::Straight, false, None),
        column(Hop::Straight, false, Some(Renew::Resign)),
        column(Hop::Straight, true, Some(Renew::Resign)),
        column(Hop::Straight, false, Some(Renew::Exchange)),
        column(Hop::Front, false, None),
        column(Hop::Front, false, Some(Renew::Resign)),
        column(Hop::Front, false, Some(Renew::Exchange)),
        column(Hop::Behind, false, Some(Renew::Resign)),
        column(Hop::Behind, false, Some(Renew::Exchange)),
    ]
}

fn heading(column: Combination) -> String {
    let path = match (column.hop, column.renew) {
        (Hop::Straight, _) if column.tls => "straight, TLS",
        (Hop::Straight, _) => "straight",
        (Hop::Front | Hop::Behind, None) => "spooling",
        (Hop::Front, _) => "spooling in front",
        (Hop::Behind, _) => "spooling behind",
    };
    match column.renew {
        Some(renew) => format!("{path}: Tidegate, {}", renew.name()),
        None => format!("{path}: **without**"),
    }
}

fn entry(column: Combination, cell: &Cell) -> String {
    let seconds = match cell.tries {
        1 => format!("{} s", cell.took.as_secs()),
        _ => format!("{} s²", cell.took.as_secs()),
    };
    match (cell.passed, column.expected(cell.client)) {
        (true, _) if in_chunks(column, cell) => format!("passes³, {seconds}"),
        (true, _) => format!("passes, {seconds}"),
        (false, _) if column.hop == Hop::Behind && column.renew == Some(Renew::Exchange) => {
            format!("cannot pass¹, {seconds}")
        }
        (false, _) => format!("**fails**, {seconds}"),
    }
}

/// Whether it passed where only a client that cuts blobs up can.
fn in_chunks(column: Combination, cell: &Cell) -> bool {
    cell.passed && column.hop != Hop::Straight && column.expected(cell.client) == Expected::Recorded
}

/// Why what failed failed, in the programs' own words.
fn reasons(outcomes: &[Outcome]) -> String {
    let mut text = format!("\n¹ {}\n", crate::cells::EXCHANGE_BEHIND);
    if outcomes.iter().flat_map(|outcome| &outcome.cells).any(|cell| cell.tries > 1) {
        let _ = writeln!(text, "\n{CTR_HUNG}");
    }
    if outcomes.iter().any(|outcome| outcome.cells.iter().any(|cell| in_chunks(outcome.combination, cell))) {
        let _ = writeln!(text, "\n{IN_CHUNKS}");
    }
    text.push_str("\n## Last words\n\n");
    text.push_str("| registry | path | client | the client | the registry |\n| --- | --- | --- | --- | --- |\n");
    for outcome in outcomes {
        for cell in outcome.cells.iter().filter(|cell| !cell.passed) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | `{}` | `{}` |",
                outcome.combination.flavor.name(),
                heading(outcome.combination),
                cell.client.name(),
                plain(&cell.client_words),
                plain(&cell.registry_words)
            );
        }
    }
    text
}

/// What Tidegate counted.
fn rescued(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "\n## What was rescued\n\nRequests forwarded although the client's own token had died, and the uploads they belong to; the \
         lines of log that were searched for passwords, tokens, tickets and upload state, and what was found.\n\n\
         | registry | path | rescues | uploads | log searched | found |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for outcome in outcomes {
        let Some(proof) = &outcome.proof else { continue };
        let found = if proof.leaks.is_empty() { "nothing".to_owned() } else { proof.leaks.join("; ") };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} KiB | {found} |",
            outcome.combination.flavor.name(),
            heading(outcome.combination),
            proof.rescues,
            proof.uploads_rescued,
            proof.log_bytes / 1024
        );
    }
    text
}

fn find(outcomes: &[Outcome], combination: Combination, client: Client) -> Option<&Cell> {
    let outcome = outcomes.iter().find(|outcome| outcome.combination == combination)?;
    outcome.cells.iter().find(|cell| cell.client == client)
}

/// Text inside a table's code span.
fn plain(text: &str) -> String {
    text.replace('|', "/").replace('`', "'")
}

fn seconds(recipe: Recipe) -> u64 {
    use crate::support::authority::Life;
    match recipe.life {
        Life::Plain(seconds) | Life::DiesOnCue(seconds) | Life::DiesAsTold(seconds) => seconds,
    }
}

/// The date, as the machine writes it.
fn today() -> String {
    let date = std::process::Command::new("date").arg("+%-d %B %Y").env("LC_ALL", "C").output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().to_owned()).unwrap_or_default()
}
