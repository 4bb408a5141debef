//! What the suite says at its end: a tree of cases, each with a verdict, and how many there are of each.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The root of every name.
const ROOT: &str = "OCI Conformance Test";

/// Stands for the name of the root itself, whose verdict is the worst of all.
const ALL: &str = "all";

/// Stands for a case's name where the counts differ.
const COUNTS: &str = "counts";

/// As the suite spells them.
const SPELLINGS: [(&str, Verdict); 5] = [
    ("Pass", Verdict::Passed),
    ("FAIL", Verdict::Failed),
    ("Skip", Verdict::Skipped),
    ("Disabled", Verdict::Disabled),
    ("Error", Verdict::Broken),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
    Disabled,
    /// The suite itself came to grief.
    Broken,
}

impl Verdict {
    fn parse(text: &str) -> Option<Self> {
        SPELLINGS.iter().find(|(spelling, _)| *spelling == text).map(|(_, verdict)| *verdict)
    }
}

/// One run's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// The suite's own counts.
    counts: BTreeMap<Verdict, usize>,
    /// Name → the verdicts of all cases that bear it, sorted: the suite walks over maps, so the order of cases that bear
    /// one name differs from run to run.
    cases: BTreeMap<String, Vec<Verdict>>,
}

impl Verdicts {
    /// Reads the report that the suite prints.
    pub(crate) fn parse(report: &str) -> Result<Self> {
        let mut cases: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        let mut total = None;
        for line in report.lines().map(str::trim) {
            let Some((name, value)) = line.rsplit_once(": ") else { continue };
            if let (Some(name), Some(verdict)) = (name.strip_prefix(ROOT), Verdict::parse(value)) {
                let name = name.strip_prefix('/').unwrap_or(ALL);
                cases.entry(name.to_owned()).or_default().push(verdict);
            } else if let (name, Ok(count)) = (name.trim_end_matches('.'), value.trim().parse::<usize>()) {
                match Verdict::parse(name) {
                    Some(verdict) => drop(counts.insert(verdict, count)),
                    None if name == "Total" => total = Some(count),
                    None => {}
                }
            }
        }
        cases.values_mut().for_each(|verdicts| verdicts.sort());
        let total = total.context("the suite printed no total")?;
        ensure!(total > 0 && counts.values().sum::<usize>() == total, "{counts:?} do not add up to {total}");
        ensure!(!cases.is_empty(), "the suite printed no case");
        Ok(Self { counts, cases })
    }

    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many verdicts are compared.
    pub(crate) fn cases(&self) -> usize {
        self.cases.values().map(Vec::len).sum()
    }

    /// Name → how many of the cases that bear it failed, of how many; inner cases only where nothing below them failed.
    pub(crate) fn failed(&self) -> Vec<(&str, usize, usize)> {
        let failed = |verdicts: &[Verdict]| verdicts.iter().filter(|one| **one == Verdict::Failed).count();
        let leaf = |name: &str| {
            let below = format!("{name}/");
            !self.cases.iter().any(|(other, verdicts)| other.starts_with(&below) && failed(verdicts) > 0)
        };
        let rows = self.cases.iter().map(|(name, verdicts)| (name.as_str(), failed(verdicts), verdicts.len()));
        rows.filter(|(name, failed, _)| *failed > 0 && *name != ALL && leaf(name)).collect()
    }

    /// Names whose verdicts are not those of `other`, and how.
    pub(crate) fn differences(&self, other: &Self) -> BTreeMap<String, String> {
        let mut found = crate::compare::unlike(&self.cases, &other.cases);
        if self.counts != other.counts {
            found.insert(COUNTS.to_owned(), format!("{:?} alone, {:?} through", self.counts, other.counts));
        }
        found
    }
}
