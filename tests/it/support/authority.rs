//! A double of GitLab's `/jwt/auth`: Basic credentials, scopes from the raw query, RS256 tokens with a libtrust `kid`,
//! a nested `user` token and `access[].meta`, an answer of `{"token":…}` and nothing more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate::base::clock::Clock;

use super::tokens::{ISSUER, Key, LIFE, SERVICE, unique};
use super::wire::{Answer, Received, Script, Wire, reply};

/// A credential and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) password: String,
    /// `sub`; a deploy token has none.
    pub(crate) subject: Option<String>,
    /// What the nested `user` token says, such as `("user_id", 7)`; none: no such token.
    pub(crate) id: Option<(&'static str, u64)>,
    /// Repository and actions.
    pub(crate) grants: Vec<(String, Vec<String>)>,
    /// `meta` of every access entry, to the byte.
    pub(crate) meta: Option<String>,
}

/// A running authority.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) wire: Wire,
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Desk {
    clock: Clock,
    accounts: Mutex<BTreeMap<String, Account>>,
    /// What it says instead of the truth.
    says: Mutex<Option<Answer>>,
}

impl Account {
    /// A user with a personal access token who may pull and push these.
    pub(crate) fn user(name: &str, id: u64, repositories: &[&str]) -> Self {
        Self::of(Some(name), ("user_id", id), repositories)
    }

    /// A deploy token: nobody's name.
    pub(crate) fn deploy_token(id: u64, repositories: &[&str]) -> Self {
        Self::of(None, ("deploy_token_id", id), repositories)
    }

    fn of(subject: Option<&str>, id: (&'static str, u64), repositories: &[&str]) -> Self {
        let grants = repositories.iter().map(|name| ((*name).to_owned(), actions("pull,push"))).collect();
        let password = format!("{}-{}", super::PASSWORD, unique());
        Self { password, subject: subject.map(str::to_owned), id: Some(id), grants, meta: None }
    }

    /// The same with other actions in one repository.
    pub(crate) fn granted(mut self, repository: &str, granted: &str) -> Self {
        self.grants.retain(|(name, _)| name != repository);
        self.grants.push((repository.to_owned(), actions(granted)));
        self
    }
}

fn actions(list: &str) -> Vec<String> {
    list.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect()
}

impl Authority {
    pub(crate) async fn start(clock: Clock) -> Self {
        let desk = Arc::new(Desk { clock, accounts: Mutex::default(), says: Mutex::default() });
        Self { wire: Wire::start(Arc::clone(&desk)).await, desk }
    }

    /// Adds or replaces a credential.
    pub(crate) fn admit(&self, login: &str, account: Account) {
        self.desk.accounts.lock().unwrap().insert(login.to_owned(), account);
    }

    pub(crate) fn account(&self, login: &str) -> Account {
        self.desk.accounts.lock().unwrap()[login].clone()
    }

    /// Changes a credential.
    pub(crate) fn change(&self, login: &str, change: impl FnOnce(&mut Account)) {
        change(self.desk.accounts.lock().unwrap().get_mut(login).unwrap());
    }

    /// Takes a credential away: it is answered 401 from now on.
    pub(crate) fn revoke(&self, login: &str) {
        self.desk.accounts.lock().unwrap().remove(login).unwrap();
    }

    /// Answers this from now on, whoever asks; `None`: the truth again.
    pub(crate) fn says(&self, answer: impl Into<Option<Answer>>) {
        *self.desk.says.lock().unwrap() = answer.into();
    }

    /// `Basic …` of a credential.
    pub(crate) fn basic(&self, login: &str) -> String {
        basic(login, &self.account(login).password)
    }

    /// A token that a client got here without the gateway.
    pub(crate) fn token(&self, login: &str, scope: &str) -> String {
        self.desk.token(&self.account(login), scope)
    }
}

/// `Basic …` of a pair.
pub(crate) fn basic(login: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{login}:{password}")))
}

/// What GitLab says to a credential it does not know.
pub(crate) fn unauthorized() -> Vec<u8> {
    let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "HTTP Basic: Access denied." }] });
    json_reply("401 Unauthorized", &body)
}

/// What GitLab says to a credential that may do nothing.
pub(crate) fn denied() -> Vec<u8> {
    let body = json!({ "errors": [{ "code": "DENIED", "message": "access forbidden" }], "http_status": 403 });
    json_reply("403 Forbidden", &body)
}

fn json_reply(status: &str, body: &Value) -> Vec<u8> {
    reply(status, &[("Content-Type", "application/json; charset=utf-8")], body.to_string().as_bytes())
}

impl Script for Desk {
    fn at_end(&self, request: &Received) -> Answer {
        if let Some(answer) = self.says.lock().unwrap().clone() {
            return answer;
        }
        if request.method != "GET" || request.path() != "/jwt/auth" {
            return Answer::Reply(reply("404 Not Found", &[], b""));
        }
        let Some((login, password)) = credential(request) else { return Answer::Reply(denied()) };
        let account = self.accounts.lock().unwrap().get(&login).filter(|known| known.password == password).cloned();
        let Some(account) = account else { return Answer::Reply(unauthorized()) };
        let scopes = scopes(request.query().unwrap_or_default());
        Answer::Reply(json_reply("200 OK", &json!({ "token": self.token(&account, &scopes) })))
    }
}

impl Desk {
    fn token(&self, account: &Account, scopes: &str) -> String {
        let now = self.clock.now().0;
        let access: Vec<Value> = scopes.split_whitespace().filter_map(|scope| grant(account, scope)).collect();
        let mut claims = json!({
            "iss": ISSUER, "aud": SERVICE, "jti": unique(), "iat": now, "nbf": now - 5, "exp": now + LIFE,
            "auth_type": if account.subject.is_some() { "personal_access_token" } else { "deploy_token" },
            "access": access,
        });
        if let Some(subject) = &account.subject {
            claims["sub"] = json!(subject);
        }
        if let Some((kind, id)) = account.id {
            let user = json!({ "iss": ISSUER, "exp": now + 60, "user_info": { kind: id } });
            claims["user"] = json!(Key::authority().sign(&user.to_string()));
        }
        let mut payload = claims.to_string();
        if let Some(meta) = &account.meta {
            // To the byte as the test wrote it, which a JSON library would not keep.
            payload = payload.replace("\"meta\":null", &format!("\"meta\":{meta}"));
        }
        Key::authority().sign(&payload)
    }
}

/// What of one scope the account holds.
fn grant(account: &Account, scope: &str) -> Option<Value> {
    let mut parts = scope.splitn(3, ':');
    let (kind, name, asked) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, held) = account.grants.iter().find(|(repository, _)| repository == name)?;
    let granted: Vec<&str> = asked.split(',').filter(|action| held.iter().any(|own| own == action)).collect();
    let mut entry = json!({ "type": kind, "name": name, "actions": granted });
    if account.meta.is_some() {
        entry["meta"] = Value::Null;
    }
    (!granted.is_empty()).then_some(entry)
}

fn credential(request: &Received) -> Option<(String, String)> {
    let value = request.header("authorization")?;
    let (scheme, encoded) = value.split_once(' ')?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (login, password) = pair.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (login.to_owned(), password.to_owned()))
}

/// Every `scope`, repeated or separated by blanks.
fn scopes(query: &str) -> String {
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
    values.map(|value| value.replace("%3A", ":").replace("%2C", ",").replace(['+'], " ")).collect::<Vec<_>>().join(" ")
}
