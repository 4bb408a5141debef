//! A double of GitLab's token endpoint (`/jwt/auth`), as far as registries, clients and Tidegate can tell the two apart:
//! Basic credentials only, scopes from the raw query, RS256 tokens with a libtrust `kid` and no `x5c`, a nested `user`
//! token, `access[].meta`, an answer of `{"token":…}` and nothing more, and a bare 404 to POST.
//!
//! What it adds is control: how long its tokens live, what it answers on cue, and a record of every request it received.

mod issue;
mod scope;
mod serve;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use jsonwebtoken::EncodingKey;
use tokio::task::JoinHandle;

/// How long a token is taken by registries, and what clients are told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As GitLab does: so many seconds from now, and not a word about it.
    Plain(u64),
    /// Every registry takes it for so many seconds more, because its `exp` lies 60 s before that moment and 60 s is the
    /// registries' own leeway. Clients are not told and take it to live 60 s.
    DiesOnCue(u64),
    /// The same, and clients are told when it dies (`expires_in` and `issued_at`), so that those that listen renew in time
    /// for their next request although the push was shorter than the minute that all of them take a token to live.
    DiesAsTold(u64),
}

/// What the credential stands for in GitLab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Has a `sub` and a `user_id`.
    User { id: u64 },
    /// Has a `deploy_token_id` and no `sub`.
    DeployToken { id: u64 },
}

/// A credential and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) kind: Kind,
    pub(crate) auth_type: String,
    /// Repository → actions; a repository that ends in `/` stands for all below it.
    pub(crate) grants: Vec<(String, Vec<String>)>,
}

impl Login {
    /// A user who may do everything below `namespace/`.
    pub(crate) fn user(id: u64, name: &str, password: &str, namespace: &str) -> Self {
        let all = ["pull", "push", "delete"].map(str::to_owned).to_vec();
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            kind: Kind::User { id },
            auth_type: "personal_access_token".to_owned(),
            grants: vec![(format!("{namespace}/"), all)],
        }
    }
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What the credential deserves.
    Fair,
    /// This, whoever asks.
    Stubborn { status: u16, content_type: String, body: String },
    /// What the credential deserves, after so long.
    Slow(Duration),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Raw, without the question mark.
    pub(crate) query: String,
    /// In the order of arrival, values as bytes.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) peer: SocketAddr,
    pub(crate) status: u16,
}

impl Received {
    /// Every value of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_slice()).collect()
    }
}

/// A token it gave out.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) login: String,
    /// The claim, not the moment registries stop taking it.
    pub(crate) exp: u64,
}

/// Who signs, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) issuer: String,
    pub(crate) service: String,
    pub(crate) kid: String,
}

/// A running authority; ends when dropped.
#[derive(Debug)]
pub(crate) struct Authority {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    voice: Voice,
    key: EncodingKey,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("voice", &self.voice).finish_non_exhaustive()
    }
}

struct State {
    life: Life,
    /// Where a login has a life of its own.
    lives: BTreeMap<String, Life>,
    mood: Mood,
    logins: BTreeMap<String, Login>,
    received: Vec<Received>,
    issued: Vec<Issued>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority {
    /// Starts one on `listen` (port 0: any) that signs with the PEM key in `key`.
    pub(crate) async fn start(listen: SocketAddr, voice: Voice, key: &Path, life: Life) -> Result<Self> {
        let key = EncodingKey::from_rsa_pem(&std::fs::read(key)?)?;
        let state = State {
            life,
            lives: BTreeMap::new(),
            mood: Mood::Fair,
            logins: BTreeMap::new(),
            received: Vec::new(),
            issued: Vec::new(),
        };
        let shared = Arc::new(Shared { voice, key, state: Mutex::new(state) });
        let (address, serving) = serve::start(listen, Arc::clone(&shared)).await?;
        Ok(Self { address, shared, serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds or replaces a credential.
    pub(crate) fn admit(&self, login: Login) {
        self.shared.state().logins.insert(login.name.clone(), login);
    }

    /// Takes a credential away: it is answered 401 from now on. Tokens it obtained stay what they are.
    pub(crate) fn revoke(&self, name: &str) {
        self.shared.state().logins.remove(name);
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.shared.state().mood = mood;
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.shared.state().life = life;
    }

    /// Gives the tokens of one login a life of their own.
    pub(crate) fn set_life_of(&self, login: &str, life: Life) {
        self.shared.state().lives.insert(login.to_owned(), life);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    pub(crate) fn issued(&self) -> Vec<Issued> {
        self.shared.state().issued.clone()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
