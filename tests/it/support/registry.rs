//! A double of a registry: uploads in memory with a `_state` that must come back as it was, tokens checked as
//! registries check them, and whatever else a test tells it to answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tidegate::base::clock::Clock;

use super::CANARY;
use super::tokens::{ISSUER, Key, SERVICE, claims, unique};
use super::wire::{Answer, Received, Script, Wire, reply};

/// What registries add to `exp`.
const LEEWAY: i64 = 60;

/// A running registry.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) wire: Wire,
    house: Arc<House>,
}

struct House {
    clock: Clock,
    rules: Mutex<Vec<Rule>>,
    uploads: Mutex<HashMap<String, Upload>>,
    /// Put before the path of every Location.
    base: Mutex<String>,
}

struct Rule {
    when: Box<dyn Fn(&Received) -> bool + Send + Sync>,
    at_head: bool,
    answer: Answer,
}

struct Upload {
    state: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House")
    }
}

impl Registry {
    pub(crate) async fn start(clock: Clock) -> Self {
        let house = Arc::new(House {
            clock,
            rules: Mutex::default(),
            uploads: Mutex::default(),
            base: Mutex::new("http://registry.test".to_owned()),
        });
        Self { wire: Wire::start(Arc::clone(&house)).await, house }
    }

    /// Answers this from now on to requests with this method, when all of the request is there.
    pub(crate) fn says(&self, method: &str, answer: Answer) {
        self.rule(method, false, answer);
    }

    /// Answers this from now on to requests with this method, before their body is read.
    pub(crate) fn says_early(&self, method: &str, answer: Answer) {
        self.rule(method, true, answer);
    }

    fn rule(&self, method: &str, at_head: bool, answer: Answer) {
        let method = method.to_owned();
        let when = Box::new(move |request: &Received| request.method == method);
        self.house.rules.lock().unwrap().insert(0, Rule { when, at_head, answer });
    }

    /// What stands before the path of its Locations.
    pub(crate) fn locates_at(&self, base: &str) {
        base.clone_into(&mut self.house.base.lock().unwrap());
    }

    /// Everything it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.wire.requests()
    }

    /// The last thing it was asked.
    pub(crate) fn last(&self) -> Received {
        self.requests().pop().unwrap()
    }

    /// What was pushed into an upload so far.
    pub(crate) fn uploaded(&self, upload: &str) -> Vec<u8> {
        self.house.uploads.lock().unwrap()[upload].bytes.clone()
    }
}

impl Script for House {
    fn at_head(&self, request: &Received) -> Option<Answer> {
        self.ruled(request, true)
    }

    fn at_end(&self, request: &Received) -> Answer {
        self.ruled(request, false).unwrap_or_else(|| Answer::Reply(self.answer(request)))
    }
}

impl House {
    fn ruled(&self, request: &Received, at_head: bool) -> Option<Answer> {
        let rules = self.rules.lock().unwrap();
        rules.iter().find(|rule| rule.at_head == at_head && (rule.when)(request)).map(|rule| rule.answer.clone())
    }

    fn answer(&self, request: &Received) -> Vec<u8> {
        if !self.admits(request) {
            let challenge = "Bearer realm=\"https://elsewhere.test/token\",service=\"x\",error=\"invalid_token\"";
            return reply("401 Unauthorized", &[("WWW-Authenticate", challenge)], b"{\"errors\":[]}");
        }
        let path = request.path();
        match path.split_once("/blobs/uploads/") {
            Some((name, "")) => self.open(name),
            Some((name, id)) => self.go_on(request, name, id),
            None if request.method == "PUT" => {
                reply("201 Created", &[("Location", path), ("Docker-Content-Digest", "sha256:m")], b"")
            }
            None if request.method == "DELETE" => reply("202 Accepted", &[], b""),
            None => reply("200 OK", &[("Content-Type", "application/json")], b"{}"),
        }
    }

    /// A signature it trusts, the right issuer and audience, not past its time.
    fn admits(&self, request: &Received) -> bool {
        let token = request.bearer();
        let known = [Key::signing(), Key::authority()].iter().any(|key| key.signed(token));
        let claims = claims(token);
        let living = claims["exp"].as_i64().unwrap() + LEEWAY > self.clock.now().0;
        known && living && claims["iss"] == ISSUER && claims["aud"] == SERVICE
    }

    fn open(&self, name: &str) -> Vec<u8> {
        let id = unique();
        self.uploads.lock().unwrap().insert(id.clone(), Upload { state: state(), bytes: Vec::new() });
        self.located("202 Accepted", name, &id)
    }

    fn go_on(&self, request: &Received, name: &str, id: &str) -> Vec<u8> {
        let mut uploads = self.uploads.lock().unwrap();
        let query = request.query().unwrap_or_default();
        let own = uploads.get(id).is_some_and(|upload| query.split('&').any(|pair| pair == upload.state));
        if !own {
            return reply("404 Not Found", &[], b"{\"errors\":[{\"code\":\"BLOB_UPLOAD_INVALID\"}]}");
        }
        let upload = uploads.get_mut(id).unwrap();
        upload.bytes.extend_from_slice(&request.body);
        if request.method == "PATCH" {
            upload.state = state();
        }
        let ended = match request.method.as_str() {
            "PUT" => {
                let blob = format!("{name}/blobs/sha256:b");
                Some(reply("201 Created", &[("Location", &blob), ("Docker-Content-Digest", "sha256:b")], b""))
            }
            "DELETE" => Some(reply("204 No Content", &[], b"")),
            _ => None,
        };
        drop(uploads);
        let status = if request.method == "PATCH" { "202 Accepted" } else { "204 No Content" };
        ended.unwrap_or_else(|| self.located(status, name, id))
    }

    fn located(&self, status: &str, name: &str, id: &str) -> Vec<u8> {
        let uploads = self.uploads.lock().unwrap();
        let Upload { state, bytes } = &uploads[id];
        let location = format!("{}{name}/blobs/uploads/{id}?{state}", self.base.lock().unwrap());
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        reply(status, &[("Location", &location), ("Range", &range), ("Docker-Upload-UUID", id)], b"")
    }
}

/// As distribution writes it: base64 with its padding percent-encoded.
fn state() -> String {
    format!("_state={CANARY}-{}%3D%3D", unique())
}
