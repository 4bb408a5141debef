//! Secrets planted in what passes through Tidegate, and the search for them where none may be.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Secrets that were planted.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    secrets: Vec<(String, String)>,
}

impl Canaries {
    /// Makes a password for `user` and remembers it in the forms it travels in.
    pub(crate) fn plant(&mut self, user: &str) -> String {
        let mut bytes = [0; 12];
        // Without randomness the password is merely the same each time.
        let _kept = aws_lc_rs::rand::fill(&mut bytes);
        let password = format!("canary-{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.secrets.push((format!("password of {user}"), password.clone()));
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.secrets.push((format!("credentials of {user}"), pair.trim_end_matches('=').to_owned()));
        password
    }

    /// Remembers a token: each of its parts that says something, since half a token in a log is too much too.
    pub(crate) fn token(&mut self, token: &str) {
        for (what, part) in ["header", "claims", "signature"].into_iter().zip(token.split('.')).skip(1) {
            self.secrets.push((format!("{what} of a token"), part.to_owned()));
        }
    }

    /// Remembers a ticket.
    pub(crate) fn ticket(&mut self, ticket: &str) {
        self.secrets.push(("a ticket".to_owned(), ticket.to_owned()));
    }

    /// What of them, or of the parameters that carry secrets in Locations, stands in any of the texts.
    pub(crate) fn leaks_in(&self, texts: &[(&str, &str)]) -> Vec<String> {
        let mut leaks = Vec::new();
        for (place, text) in texts {
            leaks.extend(
                self.secrets
                    .iter()
                    .filter(|(_, secret)| text.contains(secret))
                    .map(|(what, _)| format!("{what} in the {place}")),
            );
            for parameter in ["_tidegate=", "_state="] {
                if text.split(parameter).skip(1).any(carries_a_value) {
                    leaks.push(format!("a value of {parameter} in the {place}"));
                }
            }
        }
        leaks.sort();
        leaks.dedup();
        leaks
    }
}

/// The search, held against texts that do and do not hold something. One that finds nothing anywhere would be no proof.
pub(crate) fn check() -> Result<()> {
    let mut canaries = Canaries::default();
    let password = canaries.plant("alice");
    canaries.token("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl");
    canaries.ticket("a-ticket");
    let url = format!("/v2/a/b/blobs/uploads/1?_state={}&_tidegate={}", "A".repeat(200), "B".repeat(200));
    for leak in [password.as_str(), "bearer eyJzdWIiOiJhbGljZSJ9", "c2lnbmF0dXJl", "x=a-ticket", &url] {
        ensure!(!canaries.leaks_in(&[("text", leak)]).is_empty(), "a planted secret was not found");
    }
    let clean = "eyJhbGciOiJSUzI1NiJ9 /v2/a/b/blobs/uploads/1?_state=[redacted]&_tidegate=[redacted] alice";
    ensure!(canaries.leaks_in(&[("text", clean)]).is_empty(), "a secret was found where there is none");
    Ok(())
}

/// True when what follows a parameter's name is long enough to be the real thing; a redaction is short.
fn carries_a_value(rest: &str) -> bool {
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).count() >= 20
}
