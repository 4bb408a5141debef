use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use serde_json::{Value, json};

use super::ask::query;
use super::*;
use crate::authority::gitlab::{Asker, Question};
use crate::authority::testing::{Received, TokenServer, answer, grant, refused};
use crate::base::body::Body;
use crate::base::clock::Clock;
use crate::issuance::issued::{Issued, TokenRequest, Variant};
use crate::issuance::testing::{push_settings, token_settings};
use crate::oci::access::Action;
use crate::policy::Renew;
use crate::telemetry::metrics::Metrics;
use crate::token::testing::{NOW, claims, claims_but};
use crate::token::verifier::{self, Verifier};

const QUERY: &str = "service=container_registry&scope=repository:group/project:pull,push&account=ada%20b";
const AUTHORIZATION: &str = "Basic YWRhOmNhbmFyeQ==";

/// What the authority does when it is asked again.
type Script = Box<dyn Fn(&Received) -> Response<Body> + Send>;

/// A push whose token was obtained at [`NOW`] and has lapsed.
struct Push {
    server: TokenServer,
    service: TokenService,
    clock: Clock,
    metrics: Arc<Metrics>,
    verifier: Verifier,
    token: Vec<u8>,
    again: Arc<Mutex<Script>>,
}

impl Push {
    async fn with(first: Value) -> Self {
        let again: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| grant(&claims()))));
        let asked = AtomicUsize::new(0);
        let server = TokenServer::start({
            let (again, first) = (Arc::clone(&again), first.clone());
            move |request| {
                let first_time = asked.fetch_add(1, Ordering::SeqCst) == 0;
                let answer = if first_time { grant(&first) } else { (again.lock().unwrap())(&request) };
                async move { answer }
            }
        })
        .await;
        let (clock, metrics) = (Clock::manual(NOW), Arc::new(Metrics::new()));
        let handle = Handle::current();
        let (tokens, push) = (token_settings(), push_settings());
        let service =
            TokenService::new(server.settings(), &tokens, &push, clock.clone(), Arc::clone(&metrics), handle).unwrap();
        let verifier = server.settings().verifier;
        let mut this = Self { server, service, clock, metrics, verifier, token: Vec::new(), again };
        this.token = this.obtain().await;
        this.service.opened(&this.token, &project(), &upload("1"), this.hard_end(), NOW);
        this.pass(361);
        this
    }

    async fn new() -> Self {
        Self::with(claims()).await
    }

    /// A token, as a client gets it at the token endpoint.
    async fn obtain(&self) -> Vec<u8> {
        let question = Question {
            query: Some(QUERY.to_owned()),
            authorization: Some(AUTHORIZATION.parse().unwrap()),
            asker: Asker { address: "203.0.113.9".parse().unwrap(), scheme: "https", host: None },
            request_id: None,
            user_agent: None,
        };
        let request = TokenRequest { question, renew: Renew::Resign, variant: Variant::Docker };
        let Issued::Token(issued) = self.service.issue(request).await else { panic!("no token") };
        let body: Value = serde_json::from_slice(issued.body.expose()).unwrap();
        body["token"].as_str().unwrap().as_bytes().to_vec()
    }

    fn hard_end(&self) -> Timestamp {
        NOW.plus(push_settings().max_session)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the authority says from now on.
    fn then(&self, script: impl Fn(&Received) -> Response<Body> + Send + 'static) {
        *self.again.lock().unwrap() = Box::new(script);
    }

    /// The authority grants these claims from now on, with a life that starts at the present moment.
    fn then_grant(&self, claims: Value) {
        let clock = self.clock.clone();
        self.then(move |_| grant(&moved(claims.clone(), clock.now())));
    }

    fn lapsed(&self) -> Lapsed {
        match self.verifier.verify(&self.token).unwrap().at(Timestamp(i64::MAX)) {
            Ok(verifier::Standing::Lapsed(lapsed)) => lapsed,
            other => panic!("not lapsed: {other:?}"),
        }
    }

    async fn reverify_in(&self, repository: &RepositoryName, opened: Timestamp) -> Standing {
        self.service.reverify(&self.token, &self.lapsed(), repository, NOW, opened, self.now()).await
    }

    async fn reverify(&self) -> Standing {
        self.reverify_in(&project(), NOW).await
    }

    async fn exchange(&self, needed: &[ResourceActions]) -> Result<Exchanged, ExchangeError> {
        let lapsed = self.lapsed();
        self.service.exchange(&self.token, lapsed.claims(), lapsed.identity(), needed, self.now()).await
    }
}

fn project() -> RepositoryName {
    RepositoryName::parse("group/project").unwrap()
}

fn other_project() -> RepositoryName {
    RepositoryName::parse("group/other").unwrap()
}

fn upload(id: &str) -> UploadId {
    UploadId::parse(id).unwrap()
}

fn push_access() -> Vec<ResourceActions> {
    vec![ResourceActions::repository("group/project", &[Action::Pull, Action::Push])]
}

fn moved(mut claims: Value, now: Timestamp) -> Value {
    claims["iat"] = json!(now.0);
    claims["nbf"] = json!(now.0 - 5);
    claims["exp"] = json!(now.0 + 300);
    claims["jti"] = json!(format!("another-{}", now.0));
    claims
}

#[tokio::test]
async fn the_authority_is_asked_as_the_client_asked_but_for_exactly_this_push() {
    let push = Push::new().await;
    push.then_grant(claims());

    assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });

    let received = push.server.received();
    let asked = &received[1];
    assert_eq!(
        asked.target,
        "/jwt/auth?service=container_registry&scope=repository:group/project:pull,push&client_id=tidegate&account=ada%20b"
    );
    assert_eq!(asked.header("authorization"), Some(AUTHORIZATION));
    assert_eq!(asked.header("x-forwarded-for"), Some("203.0.113.9"));
}

#[tokio::test]
async fn the_authority_is_asked_once_in_every_period() {
    let push = Push::new().await;
    push.then_grant(claims());
    let first = push.now();
    push.reverify().await;
    push.pass(59);
    assert_eq!(push.reverify().await, Standing::Confirmed { at: first });
    assert_eq!(push.server.asked(), 2);
    push.pass(1);
    assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });
    assert_eq!(push.server.asked(), 3);
}

#[tokio::test]
async fn a_young_ticket_is_not_asked_about() {
    let push = Push::new().await;
    let verified = push.now().minus(Duration::from_secs(59));
    let standing = push.service.reverify(&push.token, &push.lapsed(), &project(), verified, NOW, push.now()).await;
    assert_eq!((standing, push.server.asked()), (Standing::StillFresh, 1));

    push.then_grant(claims());
    let ahead = push.now().plus(Duration::from_secs(3_600));
    let standing = push.service.reverify(&push.token, &push.lapsed(), &project(), ahead, NOW, push.now()).await;
    assert_eq!(standing, Standing::Confirmed { at: push.now() }, "a verification in the future proves nothing");
}

#[tokio::test]
async fn fifty_requests_of_a_push_ask_once_together() {
    let push = Arc::new(Push::new().await);
    push.then_grant(claims());
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let push = Arc::clone(&push);
            tokio::spawn(async move { push.reverify().await })
        })
        .collect();
    for task in asking {
        assert_eq!(task.await.unwrap(), Standing::Confirmed { at: push.now() });
    }
    assert_eq!(push.server.asked(), 2);
}

#[tokio::test]
async fn a_refused_credential_ends_all_its_uploads_that_are_open() {
    for (status, code) in [(401, "UNAUTHORIZED"), (401, "anything"), (403, "DENIED")] {
        let push = Push::new().await;
        push.then(move |_| refused(status, code, "no"));

        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Credential), "{status} {code}");

        assert!(push.service.is_killed(&push.token, &project(), NOW, push.now()));
        assert!(push.service.is_killed(&push.token, &other_project(), NOW, push.now()));
        push.then_grant(claims());
        push.pass(3_600);
        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Earlier), "what ended does not begin again");
        assert_eq!(push.server.asked(), 2);
    }
}

#[tokio::test]
async fn an_upload_opened_after_the_refusal_is_another_matter() {
    let push = Push::new().await;
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    push.reverify().await;
    push.pass(1);
    assert!(!push.service.is_killed(&push.token, &project(), push.now(), push.now()));
    push.then_grant(claims());
    assert_eq!(push.reverify_in(&project(), push.now()).await, Standing::Confirmed { at: push.now() });
}

#[tokio::test]
async fn a_grant_without_push_ends_the_uploads_of_that_repository_only() {
    for actions in [json!(["pull"]), json!(["push"]), json!([])] {
        let push = Push::new().await;
        let access = json!([{"type": "repository", "name": "group/project", "actions": actions}]);
        push.then_grant(claims_but("access", access));

        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Grant), "{actions}");

        assert!(push.service.is_killed(&push.token, &project(), NOW, push.now()));
        assert!(!push.service.is_killed(&push.token, &other_project(), NOW, push.now()));
        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Earlier));
    }
}

#[tokio::test]
async fn a_token_of_somebody_else_ends_the_uploads_of_that_repository() {
    for (name, value) in [("sub", json!("eve")), ("auth_type", json!("deploy_token")), ("sub", Value::Null)] {
        let push = Push::new().await;
        push.then_grant(claims_but(name, value.clone()));
        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Identity), "{name} {value}");
        assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Earlier));
        assert!(!push.service.is_killed(&push.token, &other_project(), NOW, push.now()));
    }
}

#[tokio::test]
async fn any_other_answer_is_no_answer() {
    let table: [(u16, &str); 9] = [
        (403, "Forbidden"),
        (403, ""),
        (403, r#"{"errors":[{"code":"UNAVAILABLE"}]}"#),
        (404, ""),
        (429, ""),
        (500, ""),
        (302, ""),
        (200, "<html>"),
        (200, r#"{"token":"not-one-of-theirs"}"#),
    ];
    for (status, body) in table {
        let push = Push::new().await;
        push.then(move |_| answer(status, &[], body));
        assert_eq!(push.reverify().await, Standing::Unreachable, "{status} {body}");
        assert!(!push.service.is_killed(&push.token, &project(), NOW, push.now()));
        assert_eq!(push.reverify().await, Standing::Unreachable);
        assert_eq!(push.server.asked(), 2, "{status} {body}: asked again too soon");
        push.pass(60);
        push.then_grant(claims());
        assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });
    }
}

#[tokio::test]
async fn a_token_that_has_already_lapsed_says_nothing() {
    let push = Push::new().await;
    push.then(|_| grant(&claims()));
    assert_eq!(push.reverify().await, Standing::Unreachable);
}

#[tokio::test]
async fn without_the_credential_nobody_is_asked() {
    let push = Push::new().await;
    let lapsed = push.lapsed();
    let standing = push.service.reverify(b"another token", &lapsed, &project(), NOW, NOW, push.now()).await;
    assert_eq!((standing, push.server.asked()), (Standing::NoCredential, 1));
}

#[tokio::test]
async fn a_closed_upload_takes_its_credential_along() {
    let push = Push::new().await;
    push.service.closed(&project(), &upload("1"), push.now());
    assert_eq!(push.reverify().await, Standing::NoCredential);
}

#[tokio::test]
async fn what_was_ended_stays_ended_when_its_upload_is_closed() {
    let push = Push::new().await;
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Credential));
    push.service.closed(&project(), &upload("1"), push.now());
    push.service.inner.credentials.sweep(push.now());
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Earlier));
    assert!(push.service.is_killed(&push.token, &project(), NOW, push.now()));
}

#[tokio::test]
async fn a_push_that_goes_on_with_another_token_of_its_credential_is_asked_about() {
    let mut push = Push::new().await;
    push.then_grant(claims());
    push.token = push.obtain().await;
    push.pass(361);
    push.service.inner.credentials.sweep(push.now());
    assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });
}

#[tokio::test]
async fn a_holder_without_a_name_is_compared_by_what_there_is() {
    let nameless = claims_but("sub", Value::Null);
    let push = Push::with(nameless.clone()).await;
    push.then_grant(nameless.clone());
    assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });

    let push = Push::with(nameless.clone()).await;
    push.then_grant(claims());
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Identity), "it has a name now");

    let push = Push::with(nameless.clone()).await;
    let mut anonymous = nameless;
    anonymous["auth_type"] = json!("none");
    push.then_grant(anonymous);
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Identity), "the credential is no longer looked at");
}

#[tokio::test]
async fn a_full_kill_list_refuses_every_extension() {
    let push = Push::new().await;
    let kills = KillList::new(0, Duration::from_secs(3_600));
    assert!(kills.kill(push.service.inner.keyer.token(b"x"), push.now()).is_err());
    for number in 0..KILL_LIST_ENTRIES {
        push.service.inner.renewals.kills.kill(push.service.inner.keyer.token(&number.to_be_bytes()), NOW).unwrap();
    }
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Credential));
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::KillListFull));
    let nobody = push.service.reverify(b"no credential", &push.lapsed(), &project(), NOW, NOW, push.now()).await;
    assert_eq!(nobody, Standing::Revoked(Revoked::KillListFull), "nobody knows whom the lost entry meant");
    assert!(push.metrics.encode().contains(r#"tidegate_limit_hits_total{limit="kill_list"} 1"#));
}

#[tokio::test]
async fn an_exchange_asks_for_exactly_what_is_needed_and_is_kept_while_the_margin_is_left() {
    let push = Push::new().await;
    push.then_grant(claims());

    let first = push.exchange(&push_access()).await.unwrap();
    assert_eq!((first.issued, first.expires.since(push.now())), (push.now(), 300));
    assert_ne!(first.token.expose(), push.token);
    assert!(push.server.received()[1].target.contains("&scope=repository:group/project:pull,push&"));

    push.pass(180);
    assert_eq!(push.exchange(&push_access()).await.unwrap().token, first.token);
    assert_eq!(push.server.asked(), 2);

    push.pass(1);
    assert_ne!(push.exchange(&push_access()).await.unwrap().token, first.token);
    assert_eq!(push.server.asked(), 3);
}

#[tokio::test]
async fn a_kept_exchange_is_served_to_its_last_seconds_while_the_authority_cannot_be_asked() {
    let push = Push::new().await;
    push.then_grant(claims());
    let first = push.exchange(&push_access()).await.unwrap();
    push.then(|_| answer(502, &[], "<html>"));

    push.pass(294);
    assert_eq!(push.exchange(&push_access()).await.unwrap().token, first.token);
    assert_eq!(push.server.asked(), 3, "it was not asked");

    push.pass(1);
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::Unreachable);
}

#[tokio::test]
async fn a_kept_exchange_of_a_refused_credential_is_not_served_when_the_authority_falls_silent() {
    let push = Push::new().await;
    push.then_grant(claims());
    push.exchange(&push_access()).await.unwrap();
    push.pass(200);
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Credential));
    push.then(|_| answer(502, &[], "<html>"));
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::Unreachable);
}

#[tokio::test]
async fn several_needs_are_several_scopes_and_a_key_of_their_own() {
    let push = Push::new().await;
    let from = json!({"type": "repository", "name": "g/from", "actions": ["pull"]});
    let mut access = claims()["access"].clone();
    access.as_array_mut().unwrap().push(from);
    push.then_grant(claims_but("access", access));
    let mut needed = push_access();
    push.exchange(&needed).await.unwrap();
    needed.push(ResourceActions::repository("g/from", &[Action::Pull]));
    push.exchange(&needed).await.unwrap();
    let asked = &push.server.received()[2].target;
    assert!(asked.contains("&scope=repository:group/project:pull,push&scope=repository:g/from:pull&"), "{asked}");
}

#[tokio::test]
async fn an_exchange_confirms_the_push() {
    let push = Push::new().await;
    push.then_grant(claims());
    push.exchange(&push_access()).await.unwrap();
    assert_eq!(push.reverify().await, Standing::Confirmed { at: push.now() });
    assert_eq!(push.server.asked(), 2);
}

#[tokio::test]
async fn an_exchange_that_is_not_granted_ends_the_push() {
    let pull = json!([{"type": "repository", "name": "group/project", "actions": ["pull"]}]);
    let table = [
        (claims_but("access", pull), ExchangeError::NotGranted),
        (claims_but("sub", json!("eve")), ExchangeError::IdentityChanged),
    ];
    for (claims, expected) in table {
        let push = Push::new().await;
        push.then_grant(claims);
        assert_eq!(push.exchange(&push_access()).await.unwrap_err(), expected);
        assert!(push.service.is_killed(&push.token, &project(), NOW, push.now()));
        assert!(!push.service.is_killed(&push.token, &other_project(), NOW, push.now()));
    }
}

#[tokio::test]
async fn a_mount_source_that_is_not_granted_any_more_ends_no_push() {
    let push = Push::new().await;
    push.then_grant(claims());
    let mut needed = push_access();
    needed.push(ResourceActions::repository("g/from", &[Action::Pull]));
    assert_eq!(push.exchange(&needed).await.unwrap_err(), ExchangeError::NotGranted);
    assert!(!push.service.is_killed(&push.token, &project(), NOW, push.now()));
}

#[tokio::test]
async fn an_exchange_of_a_refused_credential_is_revoked_and_of_a_silent_authority_unreachable() {
    let push = Push::new().await;
    push.then(|_| answer(502, &[], "<html>"));
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::Unreachable);
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::Revoked);
    assert!(push.service.is_killed(&push.token, &project(), NOW, push.now()));
    push.service.closed(&project(), &upload("1"), push.now());
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::NoCredential);
}

#[tokio::test]
async fn an_exchanged_token_is_not_served_once_its_credential_is_refused() {
    let push = Push::new().await;
    push.then_grant(claims());
    push.exchange(&push_access()).await.unwrap();
    push.pass(60);
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    assert_eq!(push.reverify().await, Standing::Revoked(Revoked::Credential));
    assert_eq!(push.exchange(&push_access()).await.unwrap_err(), ExchangeError::Revoked);
}

#[tokio::test]
async fn a_credential_refused_while_a_push_runs_is_not_served_from_the_cache() {
    let push = Push::new().await;
    push.then_grant(claims());
    push.obtain().await;
    assert_eq!(push.server.asked(), 2);
    push.then(|_| refused(401, "UNAUTHORIZED", "no"));
    push.reverify().await;
    push.then_grant(claims());
    push.obtain().await;
    assert_eq!(push.server.asked(), 4, "the token obtained before the refusal was handed out again");
}

#[test]
fn a_query_keeps_what_may_stand_there_and_encodes_the_rest() {
    let scope = [ResourceActions::repository("a&b/c=d%", &[Action::Pull])];
    let expected = "service=a%20b%2Bc&scope=repository:a%26b/c%3Dd%25:pull&client_id=tidegate&account=%C3%A4";
    assert_eq!(query("a b+c", &scope, Some("ä")), expected);
}
