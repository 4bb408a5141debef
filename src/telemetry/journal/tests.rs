use std::sync::mpsc;

use super::*;
use crate::telemetry::log::tests::Captured;

/// A standard error whose reader reads only when it is told to.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn everything_is_written_in_order_before_the_journal_ends() {
    let captured = Captured::default();
    let (journal, closing) = Journal::start(captured.clone(), Arc::default()).unwrap();
    let lines: Vec<String> = (0..10_000).map(|number| format!("line {number}\n")).collect();
    for line in &lines {
        (&journal).write_all(line.as_bytes()).unwrap();
    }
    drop(closing);
    assert_eq!(captured.text(), lines.concat());
}

#[test]
fn a_log_that_nobody_reads_stops_nobody_and_loses_what_is_counted() {
    let (reader, stuck) = mpsc::channel();
    let metrics = Arc::new(Metrics::new());
    let (journal, closing) = Journal::start(Stuck(stuck), Arc::clone(&metrics)).unwrap();
    let line = vec![b'x'; 1024];
    let written = 2 * PENDING / line.len() + 1;
    for _ in 0..written {
        (&journal).write_all(&line).unwrap();
    }
    let text = metrics.encode();
    let lost = text.lines().find_map(|line| line.strip_prefix("tidegate_limit_hits_total{limit=\"log_lines\"} "));
    let lost: usize = lost.unwrap().parse().unwrap();
    assert!(lost > 0 && lost <= written, "{lost} of {written}");
    drop(reader);
    drop(closing);
}
