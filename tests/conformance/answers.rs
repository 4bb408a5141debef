//! What the registry answered in each case, as the suite recorded it: verdicts can agree although a status differs, since
//! many cases are content with any of several.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

/// Below it the registry answers; elsewhere, at the token endpoint, Tidegate does, and says what it likes.
const REGISTRY: &str = "/v2/";

/// Header fields that only Tidegate's answers have. It adds nothing else and takes nothing away.
const OURS: [&str; 1] = ["x-request-id"];

/// Through Tidegate this answer is Tidegate's own, in its own words.
const UNAUTHORIZED: &str = "401";

/// Header fields of which the value is compared too; those of the others are random, or name a host or a moment.
const COMPARED: [&str; 6] = [
    "accept-ranges",
    "cache-control",
    "content-type",
    "docker-distribution-api-version",
    "link",
    "oci-filters-applied",
];

/// One run's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answers {
    /// Name of a case → what was asked and answered in each that bears it, sorted, with all that is random taken out.
    exchanges: BTreeMap<String, Vec<String>>,
    /// Who was asked: `host:port`, by `/v2/` requests only.
    hosts: BTreeSet<String>,
    /// Name of a case → why it failed or was skipped.
    reasons: BTreeMap<String, BTreeSet<String>>,
}

impl Answers {
    /// Reads `junit.xml`. The suite writes nothing but `&`-escaped text between its tags, so no XML parser is needed.
    pub(crate) fn parse(junit: &str) -> Result<Self> {
        let mut answers = Self::default();
        for case in junit.split("<testcase ").skip(1) {
            let name = between(case, "name=\"", "\"").map(unescape).unwrap_or_default();
            let name = name.split_once('/').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
            let record = between(case, "<system-err>", "</system-err>").map(unescape).unwrap_or_default();
            let exchanges = answers.read(&record);
            answers.exchanges.entry(name.clone()).or_default().push(exchanges);
            if let Some(reason) = between(case, "<system-out>", "</system-out>") {
                // Of several complaints the order is random. The one about the status says most.
                let mut reason: Vec<String> = unescape(reason).lines().map(plain).collect();
                reason.sort_by_key(|line| (!line.contains("status code"), line.clone()));
                answers.reasons.entry(name).or_default().insert(reason.join("; "));
            }
        }
        answers.exchanges.values_mut().for_each(|exchanges| exchanges.sort());
        ensure!(!answers.hosts.is_empty(), "the suite recorded no request");
        Ok(answers)
    }

    /// `METHOD path status (fields)`, one after the other.
    fn read(&mut self, record: &str) -> String {
        let mut exchanges = Vec::new();
        let (mut method, mut path) = ("?", String::new());
        let mut lines = record.lines().peekable();
        while let Some(line) = lines.next() {
            match line {
                "~~~ REQUEST ~~~" => {
                    method = lines.next().and_then(|line| line.strip_prefix("Method: ")).unwrap_or("?");
                    path = self.path(lines.next().and_then(|line| line.strip_prefix("URL: ")).unwrap_or("?"));
                }
                "~~~ RESPONSE ~~~" => {
                    let status = lines.next().and_then(|line| line.strip_prefix("Status: ")).unwrap_or("?");
                    let mut fields = Vec::new();
                    let _title = lines.next_if_eq(&"Headers:");
                    while let Some(field) = lines.peek().and_then(|line| Field::parse(line)) {
                        fields.extend(field.compared(status == UNAUTHORIZED));
                        lines.next();
                    }
                    if path.starts_with(REGISTRY) {
                        exchanges.push(format!("{method} {path} {status} ({})", fields.join("; ")));
                    } else {
                        exchanges.push(format!("{method} {path} {status}"));
                    }
                }
                "~~~ Error ~~~" => exchanges.push(format!("{method} {path} no answer")),
                _ => {}
            }
        }
        exchanges.join(SEPARATOR)
    }

    /// The path with digests and upload ids taken out, without query. Notes who was asked.
    fn path(&mut self, url: &str) -> String {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if path.starts_with(REGISTRY.trim_start_matches('/')) {
            self.hosts.insert(host.to_owned());
        }
        for (before_random, after) in RANDOM {
            if let Some((before, random)) = path.split_once(before_random)
                && !random.is_empty()
            {
                return format!("/{before}{after}");
            }
        }
        format!("/{}", plain(path))
    }

    /// Who was asked for anything below `/v2/`.
    pub(crate) fn hosts(&self) -> &BTreeSet<String> {
        &self.hosts
    }

    /// How many answers of the registry are compared.
    pub(crate) fn exchanges(&self) -> usize {
        let exchanges = self.exchanges.values().flatten().flat_map(|record| record.split(SEPARATOR));
        exchanges.filter(|one| one.contains(REGISTRY)).count()
    }

    /// Why the first case of this name that did not pass did not, whoever was asked.
    pub(crate) fn reason(&self, name: &str) -> String {
        let reason = self.reasons.get(name).and_then(BTreeSet::first).cloned().unwrap_or_default();
        self.hosts.iter().fold(reason, |reason, host| reason.replace(host.as_str(), "registry"))
    }

    /// Names whose exchanges are not those of `other`, and how.
    pub(crate) fn differences(&self, other: &Self) -> BTreeMap<String, String> {
        crate::compare::unlike(&self.exchanges, &other.exchanges)
    }
}

/// What comes before the random ends of paths, and what stands for both: ids of uploads, and a tag that must not exist.
const RANDOM: [(&str, &str); 2] =
    [("/blobs/uploads/", "/blobs/uploads/…"), ("/manifests/missing-", "/manifests/missing-…")];

/// Between the exchanges of one case.
const SEPARATOR: &str = ", then ";

/// A header field as the suite writes it down.
struct Field<'a> {
    name: String,
    value: &'a str,
}

impl<'a> Field<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, value) = line.strip_prefix(' ')?.trim_start().split_once(": [")?;
        let value = value.strip_suffix(']')?;
        let named = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        named.then(|| Self { name: name.to_ascii_lowercase(), value })
    }

    /// What of it is held against the other run, if anything.
    fn compared(self, by_name_only: bool) -> Option<String> {
        let Self { name, value } = self;
        if OURS.contains(&name.as_str()) {
            return None;
        }
        Some(if COMPARED.contains(&name.as_str()) && !by_name_only { format!("{name}: {value}") } else { name })
    }
}

/// What stands between the first `open` and the `close` after it.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    Some(text.split_once(open)?.1.split_once(close)?.0)
}

/// The references that Go's encoder writes.
fn unescape(text: &str) -> String {
    let pairs = [("&#xA;", "\n"), ("&#xD;", "\r"), ("&#x9;", "\t"), ("&#34;", "\""), ("&#39;", "'")];
    let text = pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Without what is random: the hexadecimal of a digest becomes an ellipsis.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        let (before, after) = rest.split_at(at + 1);
        let hex = after.len() - after.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        out.push_str(before);
        // The shortest digest there is has 64 digits.
        if hex >= 64 {
            out.push('…');
            rest = after.get(hex..).unwrap_or_default();
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
