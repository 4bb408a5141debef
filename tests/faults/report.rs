//! What a run looks like on paper.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::case::Row;
use crate::support::process::{command, run};
use crate::table::NOT_BUILT;

/// A fault as it goes by on the screen.
pub(crate) fn line(row: &Row) -> String {
    let verdict = if row.wrong.is_empty() { "ok   " } else { "WRONG" };
    let mut text = format!("{verdict} {:2} {:22} {:4.0} s", row.fault.number, row.fault.name, row.took.as_secs_f64());
    for part in row.saw.iter().chain(&row.stored).chain(&row.back) {
        let _ = write!(text, "\n         {part}");
    }
    for what in &row.wrong {
        let _ = write!(text, "\n      !! {what}");
    }
    text
}

/// One line for the end.
pub(crate) fn summary(rows: &[Row]) -> String {
    let right = rows.iter().filter(|row| row.wrong.is_empty()).count();
    format!("{right} of {} as expected", rows.len())
}

/// The parts and their versions, by asking them.
pub(crate) async fn versions() -> Result<Vec<(String, String)>> {
    let asked: [(&str, &[&str]); 8] = [
        ("docker-registry", &["--version"]),
        ("registry", &["--version"]),
        ("crane", &["version"]),
        ("curl", &["--version"]),
        ("haproxy", &["-v"]),
        ("iptables", &["--version"]),
        ("faketime", &["--version"]),
        ("uname", &["-sr"]),
    ];
    let mut versions = Vec::new();
    for (program, arguments) in asked {
        let said = run(command(program).args(arguments), Duration::from_secs(20)).await?.words();
        let line = said.lines().find(|line| !line.is_empty()).unwrap_or_default();
        let line = line.split(" (").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        versions.push((program.to_owned(), line));
    }
    Ok(versions)
}

const INTRODUCTION: &str = "# Faults

Real parts break in the middle of things, one way at a time: the binary as an operator runs it, Debian's docker-registry and
distribution 3.1, real clients, and scripted peers only where misbehaviour is wanted on cue. Clients, Tidegate and registries
stand in network namespaces of their own. `make faults` runs every row and writes this page from what happened; nothing in it
is written by hand, and what is wrong is found by assertions.

After every fault, besides what its row says: within 30 s descriptors and threads are back where they were (connections kept for
the next request aside), memory is within a tenth and 4 MiB (the allocator keeps what a crowd
needed: crowds come twice, and the second must make do with it), no request is in flight and no client connected; every blob that
the registry holds has the digest it is named by; nobody but Tidegate has asked the registry, or the scripted peer in its place,
anything; no password, token, ticket or upload state stands in Tidegate's log (at its finest level) or metrics; and no password,
client's token or ticket stands in what the registry wrote, no password or token in what the balancer wrote.
";

/// `docs/faults.md`.
pub(crate) fn page(rows: &[Row], versions: &[(String, String)]) -> String {
    let mut page = String::from(INTRODUCTION);
    let _ = write!(page, "\nRun on {}: {}.\n\n", today(), summary(rows));
    page.push_str(
        "| | fault | injected | expected | what the client saw | what the registry holds | what came back | |\n",
    );
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in rows {
        let verdict = match row.wrong.is_empty() {
            true => "as expected".to_owned(),
            false => format!("**{}**", cell(&row.wrong)),
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {verdict} |",
            row.fault.number,
            row.fault.what,
            row.fault.how,
            row.fault.expected,
            cell(&row.saw),
            cell(&row.stored),
            cell(&row.back)
        );
    }
    page.push_str("\nNot built yet:\n\n| | fault | in its place |\n| --- | --- | --- |\n");
    for (number, what, instead) in NOT_BUILT {
        let _ = writeln!(page, "| {number} | {what} | {instead} |");
    }
    page.push_str("\n## Parts\n\n| part | version |\n| --- | --- |\n");
    for (part, version) in versions {
        let _ = writeln!(page, "| {part} | {version} |");
    }
    page
}

/// Several sentences in one field of a table.
fn cell(parts: &[String]) -> String {
    parts.join("<br>").replace('|', "/").replace('\n', " ")
}

/// The date, as the machine writes it.
fn today() -> String {
    let date = std::process::Command::new("date").arg("+%-d %B %Y").env("LC_ALL", "C").output();
    date.map(|date| String::from_utf8_lossy(&date.stdout).trim().to_owned()).unwrap_or_default()
}
