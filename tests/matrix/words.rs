//! Picking the line that says why out of what programs print.

const LONGEST: usize = 160;

/// A client's last words, without what changes from run to run.
pub(crate) fn of_client(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling = ["unauthorized", "401", "502", "closed", "denied", "error", "Error", "fatal", "not done"];
    let line = lines.iter().rev().find(|line| telling.iter().any(|word| line.contains(word))).or(lines.last());
    shorten(line.copied().unwrap_or_default())
}

/// What a registry logged last about a repository that was not all right.
pub(crate) fn of_registry(log: &str, repository: &str) -> String {
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains(repository) && (line.contains("level=warning") || line.contains("level=error")));
    line.and_then(|line| line.split_once("msg=\"")?.1.split('"').next()).map(shorten).unwrap_or_default()
}

/// One line, secrets and addresses out, not too long.
fn shorten(line: &str) -> String {
    let words: Vec<String> = line.split_whitespace().map(strip_query).collect();
    let mut text = words.join(" ");
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST - 1).collect::<String>() + "…";
    }
    text
}

/// Upload URLs carry the upload's state, which is long and says nothing.
fn strip_query(word: &str) -> String {
    match word.split_once("?") {
        Some((path, _)) if path.contains("/v2/") => format!("{path}?…"),
        _ => word.to_owned(),
    }
}
