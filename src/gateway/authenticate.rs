//! Phase 2: what the Authorization header proves.

use http::{HeaderMap, header};
use moka::sync::Cache;

use crate::base::clock::Timestamp;
use crate::base::fingerprint::{Fingerprint, FingerprintHasher};
use crate::base::secret::Secret;
use crate::oci::credentials::Credentials;
use crate::policy::decide::Evidence;
use crate::telemetry::outcome::Record;
use crate::token::claims::Claims;
use crate::token::verifier::{Signed, Standing, TokenError, Verifier};

/// How long a token that nobody shows any more is remembered. What counts is asked of its claims at every use.
const UNUSED: std::time::Duration = std::time::Duration::from_secs(600);

/// Checks client tokens, each signature once.
#[derive(Debug)]
pub struct Authenticator {
    verifier: Verifier,
    /// Only tokens whose signature, issuer and audience are right.
    signed: Cache<Fingerprint, Known, FingerprintHasher>,
}

/// A token that was checked, and what remembering it costs.
#[derive(Clone, Debug)]
struct Known {
    signed: Signed,
    weight: u32,
}

/// What a request brought.
#[derive(Debug)]
pub struct Presented {
    /// For the decision.
    pub evidence: Evidence,
    /// The token itself; empty when none was sent.
    pub token: Secret,
    /// What it is known by in this process's caches.
    pub digest: Fingerprint,
}

impl Authenticator {
    /// A check against this verifier, remembering `bytes` of tokens.
    #[must_use]
    pub fn new(verifier: Verifier, bytes: u64) -> Self {
        let weigher = |_: &Fingerprint, known: &Known| known.weight;
        let signed = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigher)
            .time_to_idle(UNUSED)
            .build_with_hasher(FingerprintHasher::default());
        Self { verifier, signed }
    }

    /// What it is checked against.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Reads the header and checks the token in it.
    #[must_use]
    pub fn evidence(&self, headers: &HeaderMap, now: Timestamp) -> Presented {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (value, more) = (values.next(), values.next());
        let token = match value.map(Credentials::parse) {
            // Two readers could believe different ones.
            _ if more.is_some() => return Presented::refused(TokenError::Malformed),
            Some(Credentials::Bearer(token)) => token,
            Some(Credentials::Basic { .. } | Credentials::Other) | None => return Presented::missing(),
        };
        let digest = Fingerprint::of(token.expose());
        let evidence = match self.signed(token.expose(), digest).and_then(|signed| signed.at(now)) {
            Ok(Standing::Living(token)) => Evidence::Living(token),
            Ok(Standing::Lapsed(token)) => Evidence::Lapsed(token),
            Err(error) => Evidence::Refused(error),
        };
        Presented { evidence, token, digest }
    }

    fn signed(&self, token: &[u8], digest: Fingerprint) -> Result<Signed, TokenError> {
        if let Some(known) = self.signed.get(&digest) {
            return Ok(known.signed);
        }
        let signed = self.verifier.verify(token)?;
        // The claims take about as much as the token they were read from, and their map entries as much again.
        let weight = u32::try_from(token.len().saturating_mul(2).saturating_add(256)).unwrap_or(u32::MAX);
        self.signed.insert(digest, Known { signed: signed.clone(), weight });
        Ok(signed)
    }
}

impl Presented {
    fn missing() -> Self {
        Self { evidence: Evidence::Missing, token: Secret::new(Vec::new()), digest: Fingerprint::default() }
    }

    fn refused(error: TokenError) -> Self {
        Self { evidence: Evidence::Refused(error), token: Secret::new(Vec::new()), digest: Fingerprint::default() }
    }

    fn claims(&self) -> Option<&Claims> {
        match &self.evidence {
            Evidence::Living(token) => Some(token.claims()),
            Evidence::Lapsed(token) => Some(token.claims()),
            Evidence::Missing | Evidence::Refused(_) => None,
        }
    }

    /// Writes who it is into the record.
    pub fn note(&self, record: &Record, now: Timestamp) {
        let Some(claims) = self.claims() else { return };
        record.with(|outcome| {
            outcome.subject.clone_from(&claims.subject);
            outcome.auth_type.clone_from(&claims.auth_type);
            outcome.token_age = claims.issued_at.map(|issued| now.since(issued));
            outcome.token_left = Some(claims.expires.since(now));
        });
    }
}
