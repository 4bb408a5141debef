//! What is told, on standard output.

use std::io::{self, Write};

/// The teller. Lines are flushed at once: a reader follows.
#[derive(Debug)]
pub(super) struct Story<W = io::Stdout> {
    out: W,
}

impl<W: Write> Story<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    /// A line, or several.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A heading, with a blank line before it.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.line(&format!("\n{text}"))
    }

    /// Lines of somebody else, indented and marked.
    pub(super) fn quote(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| self.line(&format!("   | {}", line.trim_end())))
    }

    /// Rows whose columns are as wide as their widest cell.
    pub(super) fn table(&mut self, rows: &[Vec<String>]) -> io::Result<()> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or_default())
            .collect();
        for row in rows {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            self.line(&format!("   {}", line.trim_end()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
