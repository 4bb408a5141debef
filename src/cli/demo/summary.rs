//! What happened to which token, and whether it is what was promised.

use http::StatusCode;
use tokio::time::Instant;

use super::authority::{Asker, Issued};
use super::child::Ran;
use super::door::{AccessLine, Metrics};
use super::meter::mib;
use super::passage::Passage;
use super::story::Story;
use super::{Exit, Plan};
use crate::policy::Renew;

/// The push without Tidegate.
#[derive(Debug)]
pub(super) struct Straight {
    pub(super) passages: Vec<Passage>,
    pub(super) started: Instant,
    pub(super) ran: Ran,
    /// The registry's reason, as it stands in its log.
    pub(super) reason: Option<String>,
}

/// The push with it.
#[derive(Debug)]
pub(super) struct Through {
    pub(super) passages: Vec<Passage>,
    pub(super) started: Instant,
    pub(super) ran: Ran,
    pub(super) lines: Vec<AccessLine>,
    pub(super) metrics: Metrics,
    /// The digest, or what is wrong with what was pulled.
    pub(super) pulled: Result<String, String>,
}

/// Everything that is known at the end.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) plan: &'a Plan,
    pub(super) issued: Vec<Issued>,
    pub(super) straight: Straight,
    pub(super) through: Through,
}

impl Summary<'_> {
    /// Tells it all, and what was not as promised.
    pub(super) fn tell(&self, story: &mut Story) -> anyhow::Result<Exit> {
        story.heading("What happened to which token")?;
        let (straight, through) = (&self.straight, &self.through);
        story.line(" straight")?;
        story.table(&self.tokens(straight.started, through.started))?;
        story.line("")?;
        story.table(&self.requests(&straight.passages, straight.started, &[]))?;
        story.heading(" through Tidegate")?;
        story.table(&self.tokens(through.started, Instant::now()))?;
        story.line("")?;
        story.table(&self.requests(&through.passages, through.started, &through.lines))?;
        self.tell_tokens(story)?;
        let broken = self.broken_promises();
        if broken.is_empty() {
            story.heading("As promised: the registry refused the layer whose token had died on the way, and took it through Tidegate.")?;
            story.line("Tidegate knew the dead token by the upload's own sealed ticket, in its Location: the same identity, a token that")?;
            story.line("lived when the upload was opened. For this upload, and for nothing else, a living token took its place.")?;
            return Ok(Exit::Fine);
        }
        story.heading("Not as promised:")?;
        broken.iter().try_for_each(|what| story.line(&format!("   - {what}")))?;
        Ok(Exit::Wrong)
    }

    /// A row for each token that was issued from one moment to another.
    fn tokens(&self, started: Instant, ended: Instant) -> Vec<Vec<String>> {
        let mut rows = vec![["token", "issued", "dies", "asked for by", "grants"].map(str::to_owned).to_vec()];
        for (issued, number) in
            self.issued.iter().zip(1..).filter(|(issued, _)| issued.at >= started && issued.at < ended)
        {
            let asker = match issued.asker {
                Asker::Client => self.plan.client.program(),
                Asker::Tidegate => "tidegate",
            };
            let grants = if issued.scope.is_empty() { "nothing" } else { &issued.scope };
            let (at, dies) = (seconds(issued.at, started), seconds(issued.dies, started));
            rows.push([&format!("no. {number}"), at.as_str(), &dies, asker, grants].map(str::to_owned).to_vec());
        }
        rows
    }

    /// A row for each request that carried a token.
    fn requests(&self, passages: &[Passage], started: Instant, lines: &[AccessLine]) -> Vec<Vec<String>> {
        let mut lines: Vec<Option<&AccessLine>> = lines.iter().map(Some).collect();
        let heading = ["request", "sent", "arrived", "its token, on arrival", "answer", ""].map(str::to_owned).to_vec();
        let mut rows = vec![heading];
        for passage in passages {
            let line = lines.iter_mut().find(|line| line.is_some_and(|line| line.is_about(passage)));
            let line = line.and_then(Option::take);
            let Some((number, issued)) = self.token(passage) else { continue };
            let at = |moment| seconds(moment, started);
            let token = match passage.arrived {
                Some(arrived) if arrived < issued.dies => {
                    format!("no. {number}: {:.0} s left", (issued.dies - arrived).as_secs_f64())
                }
                Some(arrived) => format!("no. {number}: dead for {:.0} s", (arrived - issued.dies).as_secs_f64()),
                None => format!("no. {number}"),
            };
            let rescue = line
                .filter(|line| line.rescued)
                .map(|line| format!("rescued by Tidegate ({})", line.renew.as_deref().unwrap_or_default()));
            rows.push(vec![
                what(passage),
                at(passage.set_out),
                passage.arrived.map_or_else(|| "never".to_owned(), at),
                token,
                // A request that never was passed on, its client hung up on.
                passage
                    .arrived
                    .and(passage.status)
                    .map_or_else(|| "none".to_owned(), |status| status.as_u16().to_string()),
                rescue.unwrap_or_default(),
            ]);
        }
        rows
    }

    fn tell_tokens(&self, story: &mut Story) -> anyhow::Result<()> {
        let metrics = &self.through.metrics;
        let counted = |source: &str| metrics.counter("tidegate_registry_tokens_total", source);
        let own = self.issued.iter().filter(|issued| issued.asker == Asker::Tidegate).count();
        story.heading(" registry tokens")?;
        match self.plan.renew {
            Renew::Exchange => story.line(&format!(
                "   Where {0}'s token was dead or about to die, Tidegate asked the authority again with {0}'s credential: {own} tokens.",
                self.plan.client.program()
            ))?,
            Renew::Resign | Renew::Off => story.line(&format!(
                "   Tidegate showed the registry tokens of its own: {} signed, {} used again. Each says what the client's said, or less.",
                counted("minted"),
                counted("cached")
            ))?,
        }
        story.line(&format!("   tidegate_rescues_total: {}", self.rescues()))?;
        Ok(())
    }

    fn rescues(&self) -> u64 {
        self.through.metrics.counter("tidegate_rescues_total", "")
    }

    /// The token a request carried, and its number.
    fn token(&self, passage: &Passage) -> Option<(usize, &Issued)> {
        let token = passage.token?;
        self.issued.iter().zip(1..).find(|(issued, _)| issued.token == token).map(|(issued, number)| (number, issued))
    }

    /// Whether it carried a layer, set out with a living token and arrived with a dead one.
    fn outlived_its_token(&self, passage: &Passage) -> bool {
        let Some((_, issued)) = self.token(passage) else { return false };
        passage.is_layer()
            && passage.set_out < issued.dies
            && passage.arrived.is_some_and(|arrived| arrived > issued.dies)
    }

    fn broken_promises(&self) -> Vec<String> {
        let Self { straight, through, .. } = self;
        let ended = |passages: &[Passage], with: fn(StatusCode) -> bool| {
            passages.iter().any(|passage| self.outlived_its_token(passage) && passage.status.is_some_and(with))
        };
        let promises = [
            (!straight.ran.ok, "the straight push was to fail, and passed"),
            (
                ended(&straight.passages, |status| status == StatusCode::UNAUTHORIZED),
                "the registry was to answer 401 to a layer whose token died on the link",
            ),
            (through.ran.ok, "the push through Tidegate was to pass, and failed"),
            (
                ended(&through.passages, |status| status.is_success()),
                "a layer whose token died on the link was to be taken through Tidegate",
            ),
            (self.rescues() > 0, "Tidegate was to count a rescue"),
            (through.lines.iter().any(|line| line.rescued), "Tidegate was to log a rescue"),
        ];
        let broken = promises.iter().filter(|(kept, _)| !kept).map(|(_, promise)| (*promise).to_owned());
        let differs =
            through.pulled.as_ref().err().map(|error| format!("what was pulled was to be what was pushed: {error}"));
        broken.chain(differs).collect()
    }
}

impl AccessLine {
    fn is_about(&self, passage: &Passage) -> bool {
        self.method == passage.method.as_str() && self.path == passage.path
    }
}

fn seconds(moment: Instant, started: Instant) -> String {
    format!("{:.1} s", moment.saturating_duration_since(started).as_secs_f64())
}

/// A request in a few words: an upload's id says nothing to a reader.
fn what(passage: &Passage) -> String {
    let Passage { method, path, bytes, .. } = passage;
    let place = match path.split_once("/blobs/uploads/") {
        Some((_, "")) => "blobs/uploads/".to_owned(),
        Some(_) => "blobs/uploads/<id>".to_owned(),
        // `/v2/<name>/blobs/<digest>` and their like.
        None => match path.rsplit('/').collect::<Vec<_>>().as_slice() {
            [last, kind, _, _, ..] => format!("{kind}/{last:.14}"),
            _ => path.clone(),
        },
    };
    let size = if passage.is_layer() { format!(", {} MiB", mib(*bytes)) } else { String::new() };
    format!("{:5} {place}{size}", method.as_str())
}

#[cfg(test)]
mod tests;
