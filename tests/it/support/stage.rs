//! Everything a push meets, on one clock.

use std::time::Duration;

use http::StatusCode;
use tidegate::base::clock::{Clock, Timestamp};

use super::authority::{Account, Authority};
use super::client::{Answer, Ask};
use super::gateway::{Gateway, Setup};
use super::registry::Registry;
use super::tokens::LIFE;

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000);
/// A repository, and what opens an upload in it.
pub(crate) const REPOSITORY: &str = "group/project";
pub(crate) const PUSH: &str = "repository:group/project:pull,push";

/// The authority, the registry, the gateway between them, and the clock they share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) authority: Authority,
    pub(crate) registry: Registry,
    pub(crate) gateway: Gateway,
}

impl Stage {
    /// With the user `ada`, who may push into [`REPOSITORY`].
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let clock = Clock::manual(START);
        let authority = Authority::start(clock.clone()).await;
        let registry = Registry::start(clock.clone()).await;
        authority.admit("ada", Account::user("ada", 1, &[REPOSITORY]));
        let gateway = Gateway::start(&setup, &clock, authority.wire.address, registry.wire.address).await;
        Self { clock, authority, registry, gateway }
    }

    /// Another gateway between the same two.
    pub(crate) async fn replica(&self, setup: &Setup) -> Gateway {
        Gateway::start(setup, &self.clock, self.authority.wire.address, self.registry.wire.address).await
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets every token that was issued so far lapse: past `exp` and the leeway.
    pub(crate) fn lapse(&self) {
        self.clock.advance(Duration::from_secs(LIFE.unsigned_abs() + 60));
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        self.gateway.send(ask).await
    }

    /// A token that `login` obtains through the gateway.
    pub(crate) async fn token(&self, login: &str, scope: &str) -> String {
        let target = format!("/jwt/auth?service=container_registry&scope={scope}&account={login}");
        let answer = self.send(Ask::new("GET", &target).header("authorization", self.authority.basic(login))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// Opens an upload in [`REPOSITORY`]; gives its Location.
    pub(crate) async fn open(&self, token: &str) -> String {
        self.open_in(REPOSITORY, token).await
    }

    pub(crate) async fn open_in(&self, repository: &str, token: &str) -> String {
        let answer = self.send(Ask::new("POST", &uploads(repository)).token(token)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.header("location").to_owned()
    }

    /// A PATCH with a few bytes.
    pub(crate) async fn patch(&self, location: &str, token: &str) -> Answer {
        self.send(Ask::new("PATCH", location).token(token).body("layer")).await
    }

    /// Asserts that the PATCH is taken; gives the next Location.
    pub(crate) async fn goes_on(&self, location: &str, token: &str) -> String {
        let answer = self.patch(location, token).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.header("location").to_owned()
    }

    /// Asserts that the PATCH is refused as registries refuse a token, and that the registry does not hear of it.
    pub(crate) async fn stops(&self, location: &str, token: &str) {
        self.refuses(Ask::new("PATCH", location).token(token).body("layer"), PUSH).await;
    }

    /// Asserts that a request is answered with the challenge for `scope` that says `invalid_token`, and that the
    /// registry does not hear of it.
    pub(crate) async fn refuses(&self, ask: Ask, scope: &str) {
        let before = self.registry.requests().len();
        let answer = self.send(ask).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), challenge(scope, "invalid_token"));
        assert_eq!(answer.json()["errors"][0]["code"], "UNAUTHORIZED");
        assert_eq!(self.registry.requests().len(), before, "the registry heard of it");
    }
}

/// Where uploads of a repository are opened.
pub(crate) fn uploads(repository: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/")
}

/// A challenge of the site's configured realm, to the byte.
pub(crate) fn challenge(scope: &str, error: &str) -> String {
    let mut text = "Bearer realm=\"https://registry.test/jwt/auth\",service=\"container_registry\"".to_owned();
    for (name, value) in [("scope", scope), ("error", error)] {
        if !value.is_empty() {
            text.push_str(&format!(",{name}=\"{value}\""));
        }
    }
    text
}

/// A Location without its ticket.
pub(crate) fn without_ticket(location: &str) -> String {
    location.split_once("&_tidegate=").unwrap().0.to_owned()
}

/// The ticket of a Location.
pub(crate) fn ticket(location: &str) -> &str {
    location.split_once("&_tidegate=").unwrap().1
}
