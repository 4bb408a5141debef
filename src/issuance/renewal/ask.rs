//! The questions themselves, each a task of its own, and what their answers end.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::{Check, ExchangeError, Exchanged, Holder, Kept, Revoked, Said};
use crate::authority::answer::{Answer, Granted, Refusal};
use crate::authority::gitlab::{Asker, Question};
use crate::base::clock::Timestamp;
use crate::issuance::credentials::Credential;
use crate::issuance::key::Key;
use crate::issuance::service::Inner;
use crate::oci::access::{Action, ResourceActions};
use crate::oci::form::encode;
use crate::oci::name::RepositoryName;
use crate::telemetry::labels::Limit;
use crate::token::verifier::{self, Verified};

/// What a scope is made of and may stand in a query's value as it is (RFC 3986 §3.4).
const READABLE: &[u8] = b":/,";

impl Inner {
    /// Asks whether the push is still granted. Runs as a task of its own.
    pub(super) async fn check(
        self: Arc<Self>,
        token: Key,
        credential: Key,
        grant: Key,
        repository: RepositoryName,
    ) -> Check {
        let needed = ResourceActions::repository(repository.as_str(), &[Action::Pull, Action::Push]);
        let answer = match self.credentials.find(token, self.clock.now()) {
            Some(found) => self.ask_again(&found.credential, std::slice::from_ref(&needed)).await,
            None => None,
        };
        let at = self.clock.now();
        let said = match answer {
            Some(Again::Token(_, new)) if new.claims().covers(&needed) => {
                Said::Grants(Holder::of(new.claims(), new.identity()))
            }
            Some(Again::Token(..)) => {
                self.kill(grant, Revoked::Grant, at);
                Said::NotGranted
            }
            Some(Again::Refused) => {
                self.refuse(credential, at).await;
                Said::Refused
            }
            None => Said::Nothing,
        };
        let check = Check { at, since: Instant::now(), said };
        if matches!(check.said, Said::Grants(_) | Said::Nothing) {
            // What ended the extension is on the kill list, and says nothing about uploads that are opened later.
            self.renewals.checks.insert(grant, check.clone()).await;
        }
        check
    }

    /// Obtains a token in place of another. Runs as a task of its own.
    pub(super) async fn obtain(
        self: Arc<Self>,
        token: Key,
        credential: Key,
        key: Key,
        holder: Holder,
        needed: Vec<ResourceActions>,
    ) -> Result<Exchanged, ExchangeError> {
        let found = self.credentials.find(token, self.clock.now()).ok_or(ExchangeError::NoCredential)?;
        let answer = self.ask_again(&found.credential, &needed).await;
        let now = self.clock.now();
        let (granted, new) = match answer {
            Some(Again::Token(granted, new)) => (granted, new),
            Some(Again::Refused) => {
                self.refuse(credential, now).await;
                return Err(ExchangeError::Revoked);
            }
            None => return Err(ExchangeError::Unreachable),
        };
        let pushes = needed.iter().filter(|one| one.grants(&Action::Push) && one.grants(&Action::Pull));
        let same = holder.is(&Holder::of(new.claims(), new.identity()));
        for one in pushes {
            let grant = self.keyer.grant(credential, &one.name);
            if !same {
                self.kill(grant, Revoked::Identity, now);
            } else if !new.claims().covers(one) {
                self.kill(grant, Revoked::Grant, now);
            } else {
                let said = Said::Grants(Holder::of(new.claims(), new.identity()));
                self.renewals.checks.insert(grant, Check { at: now, since: Instant::now(), said }).await;
            }
        }
        if !same {
            return Err(ExchangeError::IdentityChanged);
        }
        if !needed.iter().all(|one| new.claims().covers(one)) {
            return Err(ExchangeError::NotGranted);
        }
        let expires = new.claims().expires;
        let exchanged = Exchanged { token: granted.token, issued: now, expires };
        let kept = Kept { credential, since: Instant::now(), life: expires.until(now), exchanged: exchanged.clone() };
        self.renewals.exchanged.insert(key, kept).await;
        Ok(exchanged)
    }

    /// Asks the authority with a kept credential; `None` when that gave no answer that counts.
    async fn ask_again(&self, credential: &Credential, scope: &[ResourceActions]) -> Option<Again> {
        let service = credential.service.as_deref().unwrap_or(&self.authority.verifier().service);
        let question = Question {
            query: Some(query(service, scope, credential.account.as_deref())),
            authorization: credential.authorization.clone(),
            asker: Asker { address: credential.client, scheme: "https", host: None },
            request_id: None,
            user_agent: Some(HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")))),
        };
        match self.authority.ask(&question).await {
            Answer::Granted(granted) => match granted.signed.at(self.clock.now()) {
                Ok(verifier::Standing::Living(verified)) => Some(Again::Token(granted, verified)),
                Ok(verifier::Standing::Lapsed(_)) | Err(_) => None,
            },
            Answer::Denied(refusal) if is_clear(&refusal) => Some(Again::Refused),
            Answer::Denied(_)
            | Answer::Passed(_)
            | Answer::Opaque { .. }
            | Answer::Throttled { .. }
            | Answer::Unreachable { .. } => None,
        }
    }

    /// The authority refuses the credential: all its uploads end, and its tokens are not handed out again.
    async fn refuse(&self, credential: Key, at: Timestamp) {
        self.kill(credential, Revoked::Credential, at);
        self.cache.forget(credential).await;
    }

    pub(super) fn kill(&self, key: Key, why: Revoked, at: Timestamp) {
        let known = self.renewals.kills.moment(key).is_some_and(|moment| moment >= at);
        if known {
            return;
        }
        tracing::warn!(authority = self.authority.name(), reason = %why, "the extension of running uploads ends");
        if self.renewals.kills.kill(key, at).is_err() {
            self.metrics.limit_hit(Limit::KillList);
            tracing::warn!(authority = self.authority.name(), "the kill list is full: no open upload is extended");
        }
    }
}

/// An answer that counts.
enum Again {
    Token(Box<Granted>, Verified),
    Refused,
}

/// 401, or 403 that says `DENIED`: a ban of the address or a limit on addresses is a 403 without that code.
fn is_clear(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::UNAUTHORIZED
        || (refusal.status == StatusCode::FORBIDDEN && refusal.codes().iter().any(|code| code == "DENIED"))
}

/// `service=…&scope=…[&scope=…]&client_id=tidegate[&account=…]`
pub(super) fn query(service: &str, scope: &[ResourceActions], account: Option<&str>) -> String {
    let mut query = String::from("service=");
    encode(service, READABLE, &mut query);
    for entry in scope {
        query.push_str("&scope=");
        encode(&entry.to_string(), READABLE, &mut query);
    }
    query.push_str("&client_id=tidegate");
    if let Some(account) = account {
        query.push_str("&account=");
        encode(account, READABLE, &mut query);
    }
    query
}
