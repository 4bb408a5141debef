use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::token::identity::Identity;
use crate::token::testing::{NOW, TestKey, claims, claims_but, verifier};
use crate::token::verifier::Standing;
use crate::upload::ticket::OriginId;

const HOUR: Duration = Duration::from_secs(3600);
const UPLOAD: &str = "/v2/group/project/blobs/uploads/9b1c";

/// What the token of `claims` is two hours after it was issued.
fn two_hours_later(claims: &Value) -> Evidence {
    evidence(claims, later())
}

fn later() -> Timestamp {
    NOW.plus(2 * HOUR)
}

fn evidence(claims: &Value, now: Timestamp) -> Evidence {
    let key = TestKey::trusted();
    match verifier(&[&key.public_pem()]).verify(key.sign(claims).as_bytes()).unwrap().at(now) {
        Ok(Standing::Living(token)) => Evidence::Living(token),
        Ok(Standing::Lapsed(token)) => Evidence::Lapsed(token),
        Err(error) => Evidence::Refused(error),
    }
}

fn identity(evidence: &Evidence) -> Identity {
    match evidence {
        Evidence::Living(token) => token.identity(),
        Evidence::Lapsed(token) => token.identity(),
        Evidence::Missing | Evidence::Refused(_) => Identity([0; 32]),
    }
}

/// A ticket of an upload that `claims` opened when it was issued.
fn ticket_of(claims: &Value) -> Ticket {
    Ticket::open(identity(&evidence(claims, NOW)), true, 6 * HOUR, OriginId(1), NOW)
}

struct Ask {
    method: Method,
    path: &'static str,
    query: Option<&'static str>,
    evidence: Evidence,
    ticket: Option<Ticket>,
    renew: Renew,
    now: Timestamp,
}

impl Ask {
    /// The one request that a lapsed token may make.
    fn own_upload() -> Self {
        let (evidence, ticket) = (two_hours_later(&claims()), Some(ticket_of(&claims())));
        let (method, path) = (Method::PATCH, UPLOAD);
        Self { method, path, query: None, evidence, ticket, renew: Renew::Resign, now: later() }
    }

    fn decide(self) -> Decision {
        let route = Route::classify(&self.method, self.path, self.query).unwrap();
        let Self { method, evidence, ticket, renew, now, .. } = self;
        decide(Question { method: &method, route: &route, evidence, ticket, renew, now })
    }

    fn refused(self) -> Refusal {
        match self.decide() {
            Decision::Refuse(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[test]
fn a_lapsed_token_goes_on_with_its_own_upload() {
    for method in [Method::PATCH, Method::PUT, Method::GET, Method::HEAD] {
        let decision = Ask { method: method.clone(), ..Ask::own_upload() }.decide();
        assert!(matches!(decision, Decision::Extend(_)), "{method}");
    }
}

#[test]
fn a_lapsed_token_does_nothing_else() {
    let rows = [
        (Method::GET, "/v2/"),
        (
            Method::GET,
            "/v2/group/project/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (Method::GET, "/v2/group/project/manifests/latest"),
        (Method::PUT, "/v2/group/project/manifests/latest"),
        (Method::DELETE, "/v2/group/project/manifests/latest"),
        (Method::GET, "/v2/group/project/tags/list"),
        (Method::POST, "/v2/group/project/blobs/uploads/"),
        (Method::DELETE, UPLOAD),
        (Method::POST, UPLOAD),
        (Method::GET, "/gitlab/v1/repositories/group/project/"),
    ];
    for (method, path) in rows {
        let refusal = Ask { method: method.clone(), path, ..Ask::own_upload() }.refused();
        assert_eq!(refusal, Refusal::Lapsed, "{method} {path}");
    }
}

#[test]
fn a_lapsed_token_without_a_ticket_does_nothing() {
    assert_eq!(Ask { ticket: None, ..Ask::own_upload() }.refused(), Refusal::Lapsed);
}

#[test]
fn a_lapsed_token_with_another_subjects_ticket_does_nothing() {
    let ticket = ticket_of(&claims_but("sub", json!("eve")));
    assert_eq!(Ask { ticket: Some(ticket), ..Ask::own_upload() }.refused(), Refusal::Ticket);
}

#[test]
fn two_deploy_tokens_do_not_take_each_others_upload() {
    let deploy = |id: &str| {
        let mut claims = claims_but("sub", Value::Null);
        claims["auth_type"] = json!("deploy_token");
        claims["jti"] = json!(id);
        claims
    };
    let (one, other) = (deploy("one"), deploy("other"));
    let own = Ask { evidence: two_hours_later(&one), ticket: Some(ticket_of(&one)), ..Ask::own_upload() };
    assert!(matches!(own.decide(), Decision::Extend(_)));
    let foreign = Ask { evidence: two_hours_later(&one), ticket: Some(ticket_of(&other)), ..Ask::own_upload() };
    assert_eq!(foreign.refused(), Refusal::Ticket);
}

#[test]
fn a_lapsed_token_older_than_the_upload_it_speaks_for_is_refused() {
    // Leeway and all, the token ended 360 s after it was issued.
    let opened_after = Ticket { opened: NOW.plus(Duration::from_secs(361)), ..ticket_of(&claims()) };
    assert_eq!(Ask { ticket: Some(opened_after), ..Ask::own_upload() }.refused(), Refusal::Ticket);
    let opened_before = Ticket { opened: NOW.minus(Duration::from_secs(120)), ..ticket_of(&claims()) };
    assert_eq!(Ask { ticket: Some(opened_before), ..Ask::own_upload() }.refused(), Refusal::Ticket);
}

#[test]
fn a_ticket_past_its_hard_end_extends_nothing() {
    let at = |now| Ask { evidence: evidence(&claims(), now), now, ..Ask::own_upload() };
    let end = NOW.plus(6 * HOUR);
    assert!(matches!(at(Timestamp(end.0 - 1)).decide(), Decision::Extend(_)));
    assert_eq!(at(end).refused(), Refusal::SessionEnd);
}

#[test]
fn a_ticket_that_does_not_extend_is_worth_nothing_to_a_lapsed_token() {
    let ticket = Ticket { extends: false, ..ticket_of(&claims()) };
    assert_eq!(Ask { ticket: Some(ticket), ..Ask::own_upload() }.refused(), Refusal::Lapsed);
    assert_eq!(Ask { renew: Renew::Off, ..Ask::own_upload() }.refused(), Refusal::Lapsed);
}

#[test]
fn a_lapsed_token_that_never_granted_push_extends_nothing() {
    let mut pull = claims();
    pull["access"][0]["actions"] = json!(["pull"]);
    for method in [Method::PATCH, Method::PUT, Method::GET] {
        let (evidence, ticket) = (two_hours_later(&pull), Some(ticket_of(&pull)));
        assert_eq!(Ask { method, evidence, ticket, ..Ask::own_upload() }.refused(), Refusal::Lapsed);
    }
}

#[test]
fn a_lapsed_token_mounts_from_nowhere() {
    let mounting = || Ask { query: Some("from=group/other"), ..Ask::own_upload() };
    assert_eq!(mounting().refused(), Refusal::Lapsed);
    let mut both = claims();
    both["access"].as_array_mut().unwrap().push(json!({
        "type": "repository", "name": "group/other", "actions": ["pull"],
    }));
    assert_eq!(Ask { evidence: two_hours_later(&both), ..mounting() }.refused(), Refusal::Lapsed);
}

#[test]
fn a_living_token_does_what_it_grants_and_no_more() {
    let living = |method, path, query| {
        let evidence = evidence(&claims(), NOW);
        Ask { method, path, query, evidence, ticket: None, renew: Renew::Resign, now: NOW }
    };
    let granted = living(Method::POST, "/v2/group/project/blobs/uploads/", None);
    assert!(matches!(granted.decide(), Decision::Permit(_)));
    for (method, path, query) in [
        (Method::POST, "/v2/group/other/blobs/uploads/", None),
        (Method::DELETE, UPLOAD, None),
        (Method::POST, "/v2/group/project/blobs/uploads/", Some("mount=sha256:00&from=group/other")),
        (Method::PATCH, UPLOAD, Some("from=group/other")),
        (Method::GET, "/v2/_catalog", None),
    ] {
        assert_eq!(living(method.clone(), path, query).refused(), Refusal::Scope, "{method} {path} {query:?}");
    }
}

#[test]
fn the_permit_of_a_living_token_is_no_rescue_and_keeps_the_ticket() {
    let ticket = ticket_of(&claims());
    let living = || Ask { evidence: evidence(&claims(), NOW), now: NOW, ..Ask::own_upload() };
    for ticket in [None, Some(ticket)] {
        let Decision::Permit(permit) = Ask { ticket, ..living() }.decide() else { panic!("not permitted") };
        assert!(!permit.is_rescue());
        assert_eq!((permit.ticket(), permit.verified()), (ticket, Some(NOW)));
    }
}

#[test]
fn the_whole_of_a_token_goes_on_only_where_the_registry_decides() {
    let access = |path| {
        let evidence = evidence(&claims(), NOW);
        let ask = Ask { method: Method::GET, path, evidence, ticket: None, now: NOW, ..Ask::own_upload() };
        match ask.decide() {
            Decision::Permit(permit) => permit.access().len(),
            other => panic!("not permitted: {other:?}"),
        }
    };
    assert_eq!(access("/v2/"), 0);
    assert_eq!(access("/gitlab/v1/repositories/group/other/"), 1);
}

#[test]
fn without_a_bearer_or_with_one_that_is_not_believed_nothing_goes_on() {
    let ask = |evidence| Ask { evidence, ..Ask::own_upload() };
    assert_eq!(ask(Evidence::Missing).refused(), Refusal::Missing);
    let forged = Evidence::Refused(TokenError::Signature);
    assert_eq!(ask(forged).refused(), Refusal::Token(TokenError::Signature));
    let early = evidence(&claims(), NOW.minus(HOUR));
    assert_eq!(ask(early).refused(), Refusal::Token(TokenError::NotYet));
}

fn push() -> PushSettings {
    PushSettings {
        max_session: 6 * HOUR,
        max_unverified: HOUR,
        reverify: Duration::from_secs(60),
        exchange_margin: Duration::from_secs(120),
        on_authority_down: OnAuthorityDown::Continue,
    }
}

fn extension() -> Extension {
    match Ask::own_upload().decide() {
        Decision::Extend(extension) => extension,
        other => panic!("not an extension: {other:?}"),
    }
}

#[test]
fn a_revoked_credential_ends_the_extension() {
    assert_eq!(extension().confirm(Word::Revoked, &push(), later()).unwrap_err(), Refusal::Revoked);
}

#[test]
fn an_unreachable_authority_ends_it_only_where_the_configuration_says_so() {
    assert!(extension().confirm(Word::Unreachable, &push(), later()).is_ok());
    let stop = PushSettings { on_authority_down: OnAuthorityDown::Stop, ..push() };
    assert_eq!(extension().confirm(Word::Unreachable, &stop, later()).unwrap_err(), Refusal::AuthorityDown);
}

#[test]
fn without_a_credential_at_hand_the_last_verification_bounds_it() {
    // Verified when it was opened, two hours ago.
    let within = |max_unverified| {
        let push = PushSettings { max_unverified, ..push() };
        extension().confirm(Word::NoCredential, &push, later()).map(|permit| permit.verified())
    };
    assert_eq!(within(2 * HOUR).unwrap_err(), Refusal::Unverified);
    assert_eq!(within(2 * HOUR + Duration::from_secs(1)).unwrap(), None, "nobody verified anything");
}

#[test]
fn the_permit_of_an_extension_grants_what_is_needed_and_says_it_is_a_rescue() {
    let permit = extension().confirm(Word::Confirmed(later()), &push(), later()).unwrap();
    assert!(permit.is_rescue());
    assert_eq!(permit.ticket(), Some(ticket_of(&claims())));
    assert_eq!(permit.verified(), Some(later()));
    let access = permit.access();
    assert_eq!(access.len(), 1);
    assert_eq!(access[0].name, "group/project");
    assert_eq!(access[0].actions, [Action::Pull, Action::Push]);
    assert_eq!(access[0].meta.as_ref().unwrap().get(), r#"{"project_id":7,"project_path":"group/project"}"#);
}
