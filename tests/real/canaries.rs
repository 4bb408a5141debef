//! Planted secrets, and the search for them.

use std::collections::{BTreeSet, HashSet};

use crate::canary::spellings;

/// No spelling is shorter.
const BEGINNING: usize = 8;

/// What was planted, by what it is.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    planted: Vec<(String, Vec<String>)>,
}

impl Canaries {
    /// A new secret: letters and digits that stand nowhere else.
    pub(crate) fn plant(&mut self, what: &str) -> String {
        let mut bytes = [0; 12];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        let secret = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().replace('0', "z");
        self.know(what, secret.as_bytes());
        secret
    }

    /// A secret that was made elsewhere: a key, a token.
    pub(crate) fn know(&mut self, what: &str, secret: &[u8]) {
        self.planted.push((what.to_owned(), spellings(secret)));
    }

    /// A token: its claims and its signature, since half of one is too much too.
    pub(crate) fn know_token(&mut self, what: &str, token: &str) {
        for part in token.split('.').skip(1) {
            self.know(what, part.as_bytes());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.planted.len()
    }

    /// What of them stands in a text.
    pub(crate) fn in_text(&self, text: &str) -> BTreeSet<&str> {
        // Thousands of spellings against a long log: looked for are only those whose beginning stands there at all.
        let there: HashSet<&[u8]> = text.as_bytes().windows(BEGINNING).collect();
        let begins = |spelling: &&String| there.contains(&spelling.as_bytes()[..BEGINNING]);
        let stands = |(_, spellings): &&(_, Vec<String>)| spellings.iter().filter(begins).any(|it| text.contains(it));
        self.planted.iter().filter(stands).map(|(what, _)| what.as_str()).collect()
    }
}

/// A search that finds nothing anywhere would prove nothing.
#[test]
fn a_planted_secret_is_found_in_every_spelling() {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    let mut canaries = Canaries::default();
    let secret = canaries.plant("a password");
    let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let texts = [
        format!("password={secret}&"),
        format!("Basic {}", BASE64_STANDARD.encode(format!("a:{secret}"))),
        format!("Basic {}", BASE64_STANDARD.encode(format!("ab:{secret}:"))),
        format!("eyJ.{}", BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"a\":\"{secret}\"}}"))),
        secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        hexadecimal.to_uppercase(),
        hexadecimal,
        format!("{:?}", secret.as_bytes()),
        format!("{:?}", format!("Basic {}", BASE64_STANDARD.encode(format!("a:{secret}"))).as_bytes()),
        format!("{:?}", bytes::Bytes::from(secret)),
    ];
    for text in texts {
        assert_eq!(canaries.in_text(&text), ["a password"].into(), "{text}");
    }
    assert!(canaries.in_text("a password").is_empty());
}
