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

/// One line, without secrets, without what differs from run to run, not too long.
fn shorten(line: &str) -> String {
    let line = line.split_once("msg=\"").map_or(line, |(_, message)| message.trim_end_matches('"')).replace("\\n", " ");
    let text = line.split_whitespace().map(calm).collect::<Vec<_>>().join(" ");
    // oras prints the whole error body; a Go error has its cause at the end.
    let text = text.split(" [map[").next().unwrap_or_default().trim_end_matches(':');
    let letters: Vec<char> = text.chars().collect();
    match letters.len().checked_sub(LONGEST) {
        None | Some(0) => text.to_owned(),
        Some(over) => {
            let kept = letters.len() - over;
            let (first, last) = (letters.iter().take(kept / 3), letters.iter().skip(over + kept / 3));
            format!("{} … {}", first.collect::<String>().trim_end(), last.collect::<String>().trim_start())
        }
    }
}

/// Upload URLs carry the upload's state, digests and ports are of this run only, and none of them says why.
fn calm(word: &str) -> String {
    if let Some((before, _)) = word.split_once("sha256:") {
        return format!("{before}sha256:…");
    }
    if word.starts_with("/tmp/") {
        return "…".to_owned();
    }
    if let Some((path, _)) = word.split_once("/blobs/uploads/") {
        return calm(&format!("{path}/blobs/uploads…"));
    }
    match word.split_once("127.0.0.1:") {
        Some((before, after)) => {
            format!("{before}127.0.0.1{}", calm(after.trim_start_matches(|c: char| c.is_ascii_digit())))
        }
        None => word.to_owned(),
    }
}
