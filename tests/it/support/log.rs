//! The log of this process at its most talkative, watched for secrets while it is written.

use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use serde_json::Value;
use tidegate::telemetry::log::{Format, Settings, subscriber};
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

use super::{CANARY, soon};
use crate::canary::spellings;

/// How a token begins: `{"` in base64url.
const TOKEN: &str = "eyJ";
/// A ticket in a query.
const TICKET: &str = "_tidegate=";

struct Log {
    kept: Mutex<Kept>,
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    /// Lines of the gateway itself.
    own: Vec<Value>,
    /// Lines with a secret in them.
    leaks: Vec<String>,
}

static LOG: LazyLock<Log> = LazyLock::new(|| Log { kept: Mutex::default(), news: watch::Sender::new(0) });

/// What no line may hold: the canary in every spelling, tokens, tickets.
static SECRETS: LazyLock<Vec<String>> =
    LazyLock::new(|| spellings(CANARY.as_bytes()).into_iter().chain([TOKEN, TICKET].map(str::to_owned)).collect());

/// Begins to write it; all tests share one.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let settings = Settings { format: Format::Json, level: "trace".to_owned() };
        let subscriber = subscriber(&settings, Sink, false).unwrap();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// What a text holds that no line may.
pub(crate) fn secrets_in(text: &str) -> Vec<&'static str> {
    SECRETS.iter().filter(|secret| text.contains(secret.as_str())).map(String::as_str).collect()
}

/// Panics when a secret was written since it was asked last.
pub(crate) fn assert_nothing_secret() {
    let leaks = std::mem::take(&mut LOG.lock().leaks);
    assert!(leaks.is_empty(), "a secret is in the log:\n{}", leaks.join(""));
}

/// Waits for a line of the gateway.
pub(crate) async fn line(wanted: impl Fn(&Value) -> bool) -> Value {
    let mut news = LOG.news.subscribe();
    soon(async {
        loop {
            news.borrow_and_update();
            if let Some(line) = LOG.lock().own.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            news.changed().await.unwrap();
        }
    })
    .await
}

/// Waits for the access line of the request with this id.
pub(crate) async fn access(request_id: &str) -> Value {
    line(|line| line["target"] == "tidegate::access" && line["request_id"] == request_id).await
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the lines go; one write is one line.
struct Sink;

impl io::Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut kept = LOG.lock();
        if !secrets_in(&text).is_empty() {
            kept.leaks.push(text.to_string());
        }
        if text.contains("\"target\":\"tidegate::") {
            kept.own.push(serde_json::from_str(&text).unwrap());
            drop(kept);
            LOG.news.send_modify(|count| *count += 1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
