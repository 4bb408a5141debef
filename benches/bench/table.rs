//! The figures of a run: a table for people, JSON for programs, and whether the targets are met.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// Against whom a target is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Against {
    /// The cheapest of all columns of peers.
    Best,
    /// The cheaper of the columns whose name begins so.
    Named(&'static str),
    /// No peer: the figure itself.
    Figure,
    /// A figure of another row, by what it is called.
    Other(&'static str, f64),
}

/// What a row has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) against: Against,
    pub(crate) most: f64,
}

/// One thing measured, in all columns.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// Of each column: its name, whether it is ours, the figure of every round.
    pub(crate) columns: Vec<(String, bool, Vec<f64>)>,
    pub(crate) targets: Vec<Target>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, targets: Vec<Target>) -> Self {
        Self { name: name.into(), unit, columns: Vec::new(), targets }
    }

    /// Adds the figure of one round.
    pub(crate) fn add(&mut self, column: &str, ours: bool, figure: f64) {
        match self.columns.iter_mut().find(|(name, _, _)| name == column) {
            Some((_, _, figures)) => figures.push(figure),
            None => self.columns.push((column.to_owned(), ours, vec![figure])),
        }
    }

    fn medians(&self) -> impl Iterator<Item = (&str, bool, f64)> {
        self.columns.iter().map(|(name, ours, figures)| (name.as_str(), *ours, median(figures)))
    }

    /// The median of the first of our columns, if it was measured.
    pub(crate) fn ours(&self) -> Option<f64> {
        self.medians().find(|(_, ours, _)| *ours).map(|(_, _, figure)| figure)
    }

    /// The median of a column, if it was measured.
    pub(crate) fn column(&self, name: &str) -> Option<f64> {
        self.medians().find(|(column, _, _)| *column == name).map(|(_, _, figure)| figure)
    }

    /// What a target is measured by: a figure of ours over that of the peer.
    fn ratio(&self, ours: f64, against: &Against) -> Option<f64> {
        let peer = |start: &str| {
            let peers = self.medians().filter(|(name, ours, _)| !ours && name.starts_with(start));
            peers.map(|(_, _, figure)| figure).min_by(f64::total_cmp)
        };
        match against {
            Against::Best => peer("").map(|peer| ours / peer),
            Against::Named(name) => peer(name).map(|peer| ours / peer),
            Against::Figure => Some(ours),
            Against::Other(_, other) => Some(ours / other),
        }
    }

    /// Each target with the ratio that the first of our columns has.
    fn verdicts(&self) -> Vec<(&Target, f64)> {
        let Some(ours) = self.ours() else { return Vec::new() };
        self.targets.iter().filter_map(|target| Some((target, self.ratio(ours, &target.against)?))).collect()
    }
}

/// All rows of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Whether any target is missed.
    pub(crate) fn missed(&self) -> bool {
        self.rows.iter().flat_map(Row::verdicts).any(|(target, ratio)| ratio > target.most)
    }

    /// As a table in Markdown.
    pub(crate) fn text(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for (name, _, _) in self.rows.iter().flat_map(|row| &row.columns) {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        let mut lines =
            vec![[vec!["".into()], columns.iter().map(|it| (*it).to_owned()).collect(), vec!["".into()]].concat()];
        for row in &self.rows {
            let figure = |column: &&str| {
                let found = row.medians().find(|(name, _, _)| name == column);
                found.map(|(_, _, figure)| readable(figure)).unwrap_or_default()
            };
            let verdicts: Vec<String> =
                row.verdicts().into_iter().map(|(target, ratio)| verdict(target, ratio)).collect();
            let name = format!("{}, {}", row.name, row.unit);
            lines.push([vec![name], columns.iter().map(figure).collect(), vec![verdicts.join("; ")]].concat());
        }
        let mut text = format!("{}\n\n", self.title);
        for (number, line) in lines.iter().enumerate() {
            let _infallible = writeln!(text, "| {} |", line.join(" | "));
            if number == 0 {
                let _infallible = writeln!(text, "|{}", " --- |".repeat(line.len()));
            }
        }
        text
    }

    /// Writes every round's figures and the ratios.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let text =
            serde_json::to_string_pretty(&json!({ "title": self.title, "missed": self.missed(), "rows": rows }))?;
        Ok(std::fs::write(path, text + "\n")?)
    }
}

fn row(row: &Row) -> Value {
    let columns: Vec<Value> = row
        .columns
        .iter()
        .map(|(name, ours, figures)| {
            let ratio = if *ours { row.ratio(median(figures), &Against::Best) } else { None };
            json!({ "name": name, "median": median(figures), "rounds": figures, "ratio_to_best_peer": ratio })
        })
        .collect();
    let targets: Vec<Value> = row
        .verdicts()
        .into_iter()
        .map(|(target, ratio)| json!({ "against": words(&target.against), "most": target.most, "is": ratio }))
        .collect();
    json!({ "name": row.name, "unit": row.unit, "columns": columns, "targets": targets })
}

fn verdict(target: &Target, ratio: f64) -> String {
    let met = if ratio <= target.most { "met" } else { "MISSED" };
    match target.against {
        Against::Figure => format!("≤ {}: {met}", target.most),
        _ => format!("{ratio:.2} of {} (≤ {}: {met})", words(&target.against), target.most),
    }
}

fn words(against: &Against) -> &'static str {
    match against {
        Against::Best => "the better peer",
        Against::Named(name) | Against::Other(name, _) => name,
        Against::Figure => "the figure itself",
    }
}

fn readable(figure: f64) -> String {
    match figure {
        small if small < 10.0 => format!("{small:.3}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

/// The middle one; of an even number the mean of the two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |back: usize| sorted.get((sorted.len().saturating_sub(back)) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(0), middle(1))
}
