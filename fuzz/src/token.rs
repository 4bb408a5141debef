//! A client token: nothing verifies that the trusted key did not sign under a header that means what we take it for,
//! and what verifies says what any other reader of its JSON reads.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate::base::clock::Timestamp;
use tidegate::token::claims::Claims;
use tidegate::token::verifier::{Signed, Standing};

use super::keys::{HEADER, ISSUER, Key, PAYLOAD, SERVICE, token, verifier};

/// The bytes are a line that says what the rest is:
/// `token`: a token, in which `$H`, `$P` and `$S` stand for the three parts of one that is right;
/// `payload`, `header`: that part of a token that the trusted key signs;
/// `foreign`: a header for [`PAYLOAD`] that a stranger signs. `$KID`, `$X5C`, `$FOREIGN_X5C` stand for our key's names.
pub fn check(data: &[u8]) {
    let Some([what, text]) = super::lines(data) else { return };
    match what {
        "token" => edited(text),
        "payload" => payload(text),
        "header" => header(&with_names(text)),
        "foreign" => {
            let forged = Key::foreign().sign(&with_names(text), PAYLOAD);
            assert!(verifier().verify(forged.as_bytes()).is_err(), "a stranger's token is believed: {text}");
        }
        _ => {}
    }
}

fn with_names(text: &str) -> String {
    text.replace("$KID", &Key::trusted().kid)
        .replace("$FOREIGN_X5C", &Key::foreign().x5c)
        .replace("$X5C", &Key::trusted().x5c)
}

/// Of an edited token, only one that was signed so verifies.
fn edited(text: &str) {
    let parts: Vec<&str> = token().split('.').collect();
    let [h, p, s] = parts.as_slice() else { unreachable!() };
    let shown = text.replace("$H", h).replace("$P", p).replace("$S", s);
    if verifier().verify(shown.as_bytes()).is_ok() {
        let message = shown.rsplit_once('.').map(|(message, _)| message);
        assert_eq!(message, Some(format!("{h}.{p}").as_str()), "what nobody signed is believed");
    } else {
        assert_ne!(shown, token(), "the token that is right is not believed");
    }
}

fn payload(text: &str) {
    let signed = Key::trusted().sign(HEADER, text);
    let read = verifier().verify(signed.as_bytes());
    let Ok(signed) = read else { return };
    let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text:?} is no JSON"));
    assert_eq!(value["iss"], ISSUER, "{text:?}");
    let audience = |aud: &Value| match aud {
        Value::Array(all) => all.iter().all(Value::is_string) && all.iter().any(|one| one == SERVICE),
        one => one == SERVICE,
    };
    assert!(audience(&value["aud"]), "{text:?} is not for us");
    nothing_twice(text);
    says(signed.claims(), &value);
    lives(&signed, &value);
}

/// What the claims say is what the JSON says, type for type; Go's decoder takes keys in any case, so those are one.
fn says(claims: &Claims, value: &Value) {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    assert!(value["exp"].is_u64(), "exp is {}", value["exp"]);
    assert_eq!(Some(claims.expires.0), value["exp"].as_i64());
    for (name, read) in [("nbf", claims.not_before), ("iat", claims.issued_at)] {
        assert_eq!(read.map(|at| at.0), value[name].as_i64(), "{name}");
        assert!(value.get(name).is_none_or(Value::is_u64), "{name} is {}", value[name]);
    }
    let texts =
        [("sub", &claims.subject), ("jti", &claims.id), ("auth_type", &claims.auth_type), ("user", &claims.user)];
    for (name, read) in texts {
        assert_eq!(*read, text(name), "{name}");
        assert!(value.get(name).is_none_or(|it| it.is_string() || it.is_null()), "{name} is {}", value[name]);
    }
    let none = Vec::new();
    let access = value["access"].as_array().unwrap_or(&none);
    assert_eq!(claims.access.len(), access.len(), "entries appeared or went");
    for (claim, entry) in claims.access.iter().zip(access) {
        assert!(entry.is_object(), "{entry} is no entry");
        assert_eq!(Some(claim.kind.as_str()), entry["type"].as_str());
        assert_eq!(Some(claim.name.as_str()), entry["name"].as_str());
        assert_eq!(claim.class.as_deref(), entry["class"].as_str());
        let actions: Vec<_> = claim.actions.iter().map(|action| Some(action.as_str())).collect();
        let written: Vec<_> = entry["actions"].as_array().unwrap_or(&none).iter().map(Value::as_str).collect();
        assert_eq!(actions, written, "rights appeared or went");
        let meta = claim.meta.as_deref().map(|meta| serde_json::from_str::<Value>(meta.get()).expect("JSON"));
        assert_eq!(meta.filter(|meta| !meta.is_null()).as_ref(), entry.get("meta").filter(|meta| !meta.is_null()));
    }
}

/// Living from `nbf` to `exp`, a minute of leeway on both sides, and lapsed after that.
fn lives(signed: &Signed, value: &Value) {
    let (exp, nbf) = (value["exp"].as_i64().unwrap_or(0), value["nbf"].as_i64());
    let first = nbf.map_or(i64::MIN, |nbf| nbf.saturating_sub(60));
    for now in [first.saturating_sub(1), first, exp, exp.saturating_add(59), exp.saturating_add(60)] {
        let living = matches!(signed.at(Timestamp(now)), Ok(Standing::Living(_)));
        let early = signed.at(Timestamp(now)).is_err();
        assert_eq!(living, first <= now && now < exp.saturating_add(60), "at {now}");
        assert_eq!(early, now < first, "at {now}");
    }
}

/// A header over [`PAYLOAD`]: only ours may be believed, and only with its own algorithm.
fn header(text: &str) {
    let token = Key::trusted().sign(text, PAYLOAD);
    if verifier().verify(token.as_bytes()).is_err() {
        return;
    }
    let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text:?} is no JSON"));
    nothing_twice(text);
    assert_eq!(value["alg"], "ES256", "{text:?}");
    for name in ["crit", "b64", "cty", "enc", "zip"] {
        assert!(value.get(name).is_none(), "{text:?} must be understood and is not");
    }
    match (value.get("x5c"), value.get("kid")) {
        (Some(Value::Array(chain)), _) => assert_eq!(chain.first(), Some(&Value::from(Key::trusted().x5c.as_str()))),
        (_, Some(Value::String(kid))) => {
            assert!(verifier().keys.ids().any(|id| id.as_str() == kid), "{kid:?} is not our key's name");
        }
        _ => {}
    }
}

/// No key stands twice in the object, in any case, nor in an entry of `access`.
fn nothing_twice(text: &str) {
    let pairs: Pairs = serde_json::from_str(text).expect("an object");
    let names: BTreeSet<String> = pairs.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names.len(), pairs.0.len(), "{text:?} says something twice");
    for (_, access) in pairs.0.iter().filter(|(name, _)| name == "access") {
        let entries: Vec<Pairs> = serde_json::from_str(access.get()).unwrap_or_default();
        for Pairs(pairs) in entries {
            let names: BTreeSet<&String> = pairs.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), pairs.len(), "{text:?} says something twice");
        }
    }
}

/// An object with all its pairs, repeated ones too.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(All)
    }
}
