//! Progress of a push, as the link sees it: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

use super::authority::Authority;
use super::link::Link;
use super::passage::Passage;
use crate::base::units::ByteSize;

const TICK: Duration = Duration::from_millis(100);
/// Between lines where there is no terminal.
const PLAIN: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "   [{bar:20}] {bytes}/{total_bytes}  {elapsed}  {msg}";

/// Shows what goes over one link.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    name: &'a str,
    link: &'a Link,
    authority: &'a Authority,
    total: u64,
    started: Instant,
    /// None where there is no terminal.
    bar: Option<ProgressBar>,
}

impl<'a> Meter<'a> {
    /// A meter for a layer of `total` bytes.
    pub(super) fn new(name: &'a str, link: &'a Link, authority: &'a Authority, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(total));
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(TEMPLATE)) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { name, link, authority, total, started: Instant::now(), bar }
    }

    /// Follows the link for as long as it is polled.
    ///
    /// # Cancel safety
    /// Made to be dropped, when the push has ended.
    pub(super) async fn follow(&self) -> std::convert::Infallible {
        let mut tick = interval(if self.bar.is_some() { TICK } else { PLAIN });
        loop {
            tick.tick().await;
            self.show(&self.state());
        }
    }

    /// The last word.
    pub(super) fn end(self, word: &str) {
        self.show(word);
    }

    fn show(&self, word: &str) {
        let bytes = self.layer().map_or(0, |passage| passage.bytes).min(self.total);
        match &self.bar {
            Some(bar) => {
                bar.set_message(word.to_owned());
                bar.set_position(bytes);
            }
            None => {
                let (bytes, total) = (mib(bytes), mib(self.total));
                let seconds = self.started.elapsed().as_secs();
                // Nobody is left to tell when standard error is gone.
                let _unheard = writeln!(
                    std::io::stderr().lock(),
                    "   {}: {bytes} of {total} MiB on the link, {seconds} s; {word}",
                    self.name
                );
            }
        }
    }

    /// The latest try to send the layer.
    fn layer(&self) -> Option<Passage> {
        self.link.passages.all().into_iter().rfind(Passage::is_layer)
    }

    fn state(&self) -> String {
        let Some(layer) = self.layer() else { return "the client asks for a token".to_owned() };
        if layer.arrived.is_some() {
            return "the layer has been passed on".to_owned();
        }
        let issued = self.authority.issued();
        let token = issued.iter().find(|issued| Some(issued.token) == layer.token);
        token.map_or_else(String::new, |token| life(token.dies, Instant::now()))
    }
}

impl Drop for Meter<'_> {
    /// A bar that was begun keeps its line, and what follows begins with the next.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
            let _unheard = writeln!(std::io::stderr().lock());
        }
    }
}

/// What is left of a token, in words.
pub(super) fn life(dies: Instant, now: Instant) -> String {
    if now < dies {
        format!("its token: {:.0} s left", (dies - now).as_secs_f64())
    } else {
        format!("its token: dead for {:.0} s", (now - dies).as_secs_f64())
    }
}

/// A number of bytes in MiB, with a tenth.
pub(super) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (ByteSize(1 << 20).0);
    format!("{}.{}", tenths / 10, tenths % 10)
}
