use jsonwebtoken::Algorithm;
use serde_json::json;

use super::*;
use crate::token::testing::{NOW, TestKey, claims, claims_but, params, verifier, x5c};

fn arguments(json: bool) -> InspectArgs {
    InspectArgs {
        token: None,
        config: None,
        authority: None,
        certificates: Vec::new(),
        issuer: None,
        service: None,
        at: Some(NOW),
        json,
    }
}

/// Exit, standard output, standard error.
fn inspect(arguments: InspectArgs, input: &str) -> anyhow::Result<(Exit, String, String)> {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: Box::new(input.as_bytes()),
        out: Box::new(&mut out),
        errors: Box::new(&mut errors),
        typed: false,
    };
    let exit = run(&TokenArgs { command: Command::Inspect(arguments) }, Timestamp(0), &mut streams)?;
    drop(streams);
    Ok((exit, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap()))
}

/// The report of a token against the trusted key.
fn report(token: &str) -> Report {
    report_at(token, NOW)
}

fn report_at(token: &str, now: Timestamp) -> Report {
    let verifier = verifier(&[&TestKey::trusted().authority("root").pem()]);
    let against = Against { name: "authority gitlab of tidegate.toml".to_owned(), verifier, unchecked: Vec::new() };
    Report::new(token.as_bytes(), Some(&against), now)
}

fn text_of(report: &Report) -> String {
    let mut out = Vec::new();
    text::write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn libtrust() -> String {
    verifier(&[&TestKey::trusted().public_pem()]).keys.ids().next().unwrap().as_str().to_owned()
}

/// A token as GitLab writes it: libtrust `kid`, a nested token.
fn gitlab(mut claims: Value) -> String {
    let user = TestKey::trusted().sign(&json!({ "exp": NOW.0, "user_info": { "token_type": "build", "user_id": 7 } }));
    claims["user"] = json!(user);
    under(json!({ "alg": "RS256", "typ": "JWT", "kid": libtrust() }), &claims)
}

fn under(header: Value, claims: &Value) -> String {
    TestKey::trusted().sign_raw(Algorithm::RS256, &header.to_string(), claims.to_string().as_bytes())
}

#[test]
fn a_gitlab_token_is_told_in_full() {
    let report = report(&gitlab(claims()));
    let fingerprint = report.said.as_ref().unwrap().identity.as_ref().unwrap().fingerprint.clone();
    let expected = format!(
        "header
  alg       RS256
  kid       {}
  x5c       none
claims
  iss       gitlab-issuer
  aud       container_registry
  sub       ada
  auth_type gitlab_or_ldap
  jti       0b9d5a55-5d0f-4b5e-9a53-0d9a3f3a8f10
  user      {{\"token_type\":\"build\",\"user_id\":7}}
  iat       2027-01-15T08:00:00Z, now
  nbf       2027-01-15T07:59:55Z, 5 s ago
  exp       2027-01-15T08:05:00Z, in 5 min
  identity  {fingerprint}, known by `sub` and GitLab's user 7
grants
  repository group/project: pull, push
    meta {{\"project_id\":7,\"project_path\":\"group/project\"}}
verdicts (checked against authority gitlab of tidegate.toml)
  Tidegate           takes it
  distribution 2.8   takes it
  distribution 3.x   refuses it
                       its `kid` is a libtrust fingerprint, which 3.x does not compute: the registry needs a `jwks` \
         file with that `kid`, or `renew = \"resign\"` in front of it
  GitLab's registry  takes it
",
        libtrust()
    );
    assert_eq!(text_of(&report), expected);
    assert!(report.is_fine());
}

/// The first words of each refusal, by party.
fn refusals(report: &Report) -> Vec<String> {
    let reason = |verdict: &verdict::Verdict| {
        verdict.because.iter().map(|why| format!("{}: {why}", verdict.by)).collect::<Vec<_>>()
    };
    report.verdicts.iter().flat_map(reason).collect()
}

#[test]
fn every_refusal_is_put_in_words() {
    let own = |name: &str, value: Value| gitlab(claims_but(name, value));
    let by = |key: &TestKey, header: Value| {
        key.sign_raw(key.algorithm, &header.to_string(), claims().to_string().as_bytes())
    };
    let foreign = TestKey::foreign();
    for (token, words) in [
        (
            own("exp", json!(NOW.0 - 90)),
            "it ended 1 min 30 s ago: it speaks only for an upload that was opened while it lived",
        ),
        (
            own("nbf", json!(NOW.0 + 90)),
            "it is not valid before 2027-01-15T08:01:30Z, in 1 min 30 s: do the clocks agree?",
        ),
        (own("iss", json!("other")), "its `iss` is \"other\"; \"gitlab-issuer\" is expected"),
        (own("aud", json!("other")), "its `aud` is [\"other\"]; \"container_registry\" is expected"),
        (
            by(foreign, json!({ "alg": "RS256", "kid": libtrust() })),
            "its signature is not that of the key in authority gitlab",
        ),
        (by(foreign, json!({ "alg": "RS256", "kid": "x" })), "its `kid` \"x\" names no key of authority gitlab"),
        (
            by(foreign, json!({ "alg": "RS256", "x5c": x5c(&[&foreign.certificate()]) })),
            "the certificate in its `x5c` is neither in",
        ),
        (by(TestKey::p256(), json!({ "alg": "ES256" })), "its `alg` is \"ES256\", which is not that of the key in"),
        (under(json!({ "alg": "none" }), &claims()), "its `alg` is \"none\", which is not that of the key in"),
    ] {
        let report = report(&token);
        let told = refusals(&report);
        assert!(told[0].starts_with(&format!("Tidegate: {words}")), "{words}: {told:?}");
        assert!(!report.is_fine());
    }
}

/// Which of distribution 2.8, 3.x and GitLab's fork take a token.
fn takers(report: &Report) -> [bool; 3] {
    ["distribution 2.8", "distribution 3.x", "GitLab's registry"]
        .map(|by| report.verdicts.iter().find(|verdict| verdict.by == by).unwrap().takes)
}

#[test]
fn the_registries_differ_where_they_differ() {
    let header = |naming: Value| {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        header.as_object_mut().unwrap().extend(naming.as_object().unwrap().clone());
        header
    };
    let thumbprint = verifier(&[&TestKey::trusted().public_pem()]).keys.ids().nth(1).unwrap().as_str().to_owned();
    let chain = x5c(&[&TestKey::trusted().certificate()]);
    let list = claims_but("aud", json!(["container_registry"]));
    for (naming, claims, expected) in [
        (json!({ "kid": libtrust() }), claims(), [true, false, true]),
        (json!({ "kid": thumbprint }), claims(), [false, true, false]),
        (json!({ "x5c": chain, "kid": "junk" }), claims(), [true, true, true]),
        (json!({ "x5c": chain }), list, [false, true, true]),
        (json!({}), claims(), [false, false, false]),
        (json!({ "x5c": chain }), claims_but("exp", json!(NOW.0 - 55)), [true, true, true]),
        (json!({ "x5c": chain }), claims_but("exp", json!(NOW.0 - 65)), [false, false, false]),
        (json!({ "x5c": chain }), claims_but("nbf", json!(NOW.0 + 65)), [false, false, false]),
        (json!({ "x5c": chain }), claims_but("iss", json!("other")), [false, false, false]),
    ] {
        assert_eq!(takers(&report(&under(header(naming.clone()), &claims))), expected, "{naming} {claims}");
    }
}

#[test]
fn a_certificate_that_has_ended_is_named_as_the_reason() {
    let key = TestKey::p256();
    let mut short = params("leaf");
    short.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let leaf = key.issued_by(TestKey::trusted(), "root", &short);
    let token = key.sign_raw(
        key.algorithm,
        &json!({ "alg": "ES256", "x5c": x5c(&[&leaf]) }).to_string(),
        claims().to_string().as_bytes(),
    );
    let report = report(&token);
    assert_eq!(takers(&report), [false; 3]);
    assert!(refusals(&report).iter().all(|why| why.ends_with("the certificate in its `x5c` has ended")), "{report:?}");
}

#[test]
fn what_is_malformed_is_said_in_detail() {
    let whole = gitlab(claims());
    let cut = whole.rsplit_once('.').unwrap().0;
    for (token, words) in [
        ("rubbish".to_owned(), "it has 1 parts joined by dots; a signed token has three"),
        (cut.to_owned(), "it has 2 parts joined by dots"),
        (format!("{whole}.a.b"), "it has 5 parts joined by dots, as an encrypted token (JWE) has"),
        (whole.replacen('.', "=.", 1), "its header is not base64url without padding"),
        (format!("{whole}\n x"), "its signature is not base64url"),
        ("x".repeat(20_000), "it has 20000 bytes; a token has 16384 at most"),
        (under(json!({ "alg": "RS256", "crit": [] }), &claims()), "its header has `crit`, which no registry token has"),
        (under(json!({ "alg": "RS256", "typ": "JWE" }), &claims()), "its `typ` is \"JWE\", not \"JWT\""),
        (under(json!({ "typ": "JWT" }), &claims()), "its header has no `alg`"),
        (under(json!({ "alg": 1 }), &claims()), "a header parameter has the wrong type"),
        (gitlab(claims_but("exp", Value::Null)), "it has no `exp`"),
        (gitlab(claims_but("nbf", json!(1.5))), "its `nbf` is 1.5; registries take whole seconds since 1970 only"),
        (gitlab(claims_but("sub", json!(7))), "a claim has the wrong type"),
        (under(json!({ "alg": "RS256" }), &json!([])), "its payload is no JSON object"),
    ] {
        let (exit, out, _) = inspect(arguments(false), &token).unwrap();
        assert_eq!(exit, Exit::Wrong, "{words}");
        assert!(out.starts_with(&format!("malformed: {words}")), "{words}: {out}");
    }
}

#[test]
fn the_token_is_taken_from_what_people_have_at_hand() {
    let token = gitlab(claims());
    let plain = inspect(arguments(false), &token).unwrap();
    assert_eq!(plain.0, Exit::Fine);
    for input in [
        format!("\n  {token}\n"),
        format!("Bearer {token}"),
        json!({ "token": token }).to_string(),
        json!({ "expires_in": 300, "access_token": token }).to_string(),
    ] {
        assert_eq!(inspect(arguments(false), &input).unwrap(), plain, "{input}");
    }
    let given = InspectArgs { token: Some(token.clone()), ..arguments(false) };
    let (_, out, errors) = inspect(given, "").unwrap();
    assert_eq!(out, plain.1);
    assert!(errors.starts_with("warning: others on this machine can see the command line"));
    assert!(inspect(arguments(false), "").is_err());
    assert!(inspect(arguments(false), "{\"errors\":[]}").is_err());
    assert!(inspect(arguments(false), &"x".repeat(300_000)).is_err());
}

#[test]
fn neither_the_token_nor_a_signature_is_printed() {
    let token = gitlab(claims());
    let user =
        serde_json::from_slice::<Value>(Compact::parse(token.as_bytes()).unwrap().payload()).unwrap()["user"].clone();
    let user = user.as_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trusted.crt");
    std::fs::write(&file, TestKey::trusted().certificate().pem()).unwrap();
    for json in [false, true] {
        for certificates in [vec![], vec![file.clone()]] {
            let (_, out, errors) = inspect(InspectArgs { certificates, ..arguments(json) }, &token).unwrap();
            let said = out + &errors;
            for part in token.split('.').chain(user.split('.')) {
                assert!(!said.contains(part), "{said}");
            }
        }
    }
    let given = InspectArgs { token: Some(token.clone()), ..arguments(false) };
    assert!(!format!("{given:?}").contains(&token));
}

#[test]
fn keys_can_be_given_without_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (own, foreign) = (dir.path().join("own.crt"), dir.path().join("foreign.crt"));
    std::fs::write(&own, TestKey::trusted().certificate().pem()).unwrap();
    std::fs::write(&foreign, TestKey::foreign().certificate().pem()).unwrap();
    let with = |certificate: &Path, service: Option<&str>| InspectArgs {
        certificates: vec![certificate.to_owned()],
        service: service.map(str::to_owned),
        ..arguments(false)
    };
    let token = gitlab(claims());
    let (exit, out, _) = inspect(with(&own, None), &token).unwrap();
    assert_eq!(exit, Exit::Fine);
    assert!(out.contains("own.crt; any iss and aud is taken)"), "{out}");
    assert_eq!(inspect(with(&foreign, None), &token).unwrap().0, Exit::Wrong);
    assert_eq!(inspect(with(&own, Some("other")), &token).unwrap().0, Exit::Wrong);
    assert!(inspect(with(&dir.path().join("none"), None), &token).is_err());
}

#[test]
fn json_has_the_same_in_it() {
    let (exit, out, _) = inspect(arguments(true), &gitlab(claims())).unwrap();
    assert_eq!(exit, Exit::Fine);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["sub"], "ada");
    assert_eq!(report["left"], 300);
    assert_eq!(report["user_info"]["user_id"], 7);
    assert_eq!(report["access"][0]["meta"]["project_id"], 7);
    assert_eq!(report["verdicts"][1]["by"], "distribution 3.x");
    assert_eq!(report["verdicts"][1]["takes"], false);
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let (_, out, _) = inspect(arguments(false), &gitlab(claims_but("sub", json!("\u{1b}[2J\u{202e}x\n")))).unwrap();
    assert!(out.contains("sub       \\u{1b}[2J\\u{202e}x\\u{a}\n"), "{out}");
    let (_, out, _) = inspect(arguments(false), &gitlab(claims_but("sub", json!("x".repeat(5000))))).unwrap();
    assert!(out.len() < 4000);
}

#[test]
fn the_authority_is_the_one_that_fits() {
    let authority = |name: &str, issuer: &str| {
        let verifier = Verifier { issuer: issuer.to_owned(), ..verifier(&[&TestKey::trusted().public_pem()]) };
        let settings = gitlab::Settings {
            name: name.to_owned(),
            url: http::Uri::from_static("https://gitlab.internal/jwt/auth"),
            roots: None,
            verifier,
            timeout: Duration::from_secs(10),
            connect: Duration::from_secs(5),
        };
        (name.to_owned(), settings)
    };
    let two = BTreeMap::from([authority("a", "issuer-a"), authority("b", "gitlab-issuer")]);
    let one = BTreeMap::from([authority("a", "issuer-a")]);
    let token = Claims::parse(claims().to_string().as_bytes()).unwrap();
    let other = Claims::parse(claims_but("iss", json!("x")).to_string().as_bytes()).unwrap();
    let pick = |all, name, claims| {
        chosen(all, name, claims, Path::new("t.toml")).map(|found| found.name.clone()).map_err(|e| e.to_string())
    };
    assert_eq!(pick(&two, None, Some(&token)), Ok("b".to_owned()));
    assert_eq!(pick(&two, Some("a"), Some(&token)), Ok("a".to_owned()));
    assert_eq!(pick(&one, None, Some(&other)), Ok("a".to_owned()), "the only one says why it refuses");
    assert!(pick(&two, None, Some(&other)).is_err());
    assert!(pick(&two, None, None).unwrap_err().ends_with("name one with --authority: a, b"));
    assert!(pick(&two, Some("c"), None).is_err());
}
