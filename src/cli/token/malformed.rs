//! Why a token is malformed, in words: the verifier says no more than that it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::token::claims::Claims;
use crate::token::compact::{Compact, MAX_TOKEN};

/// The first thing that is wrong with the form of a token; `None` for one that can be read.
pub(super) fn why(token: &[u8]) -> Option<String> {
    if let Ok(compact) = Compact::parse(token) {
        return Claims::parse(compact.payload()).err().map(|_| claims(compact.payload()));
    }
    Some(form(token))
}

fn form(token: &[u8]) -> String {
    if token.len() > MAX_TOKEN {
        return format!("it has {} bytes; a token has {MAX_TOKEN} at most", token.len());
    }
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        let more = if parts.len() == 5 { ", as an encrypted token (JWE) has" } else { "" };
        return format!("it has {} parts joined by dots{more}; a signed token has three", parts.len());
    };
    let decoded = [("header", header), ("payload", payload), ("signature", signature)]
        .map(|(name, part)| (name, URL_SAFE_NO_PAD.decode(part)));
    if let Some((name, _)) = decoded.iter().find(|(_, part)| part.is_err()) {
        return format!(
            "its {name} is not base64url without padding: cut off, broken into lines, or changed on its way"
        );
    }
    let header = decoded.into_iter().next().and_then(|(_, part)| part.ok()).unwrap_or_default();
    let Ok(Value::Object(header)) = serde_json::from_slice(&header) else {
        return "its header is no JSON object".to_owned();
    };
    let strange = ["crit", "b64", "cty", "enc", "zip"].into_iter().find(|name| header.contains_key(*name));
    match (strange, header.get("alg"), header.get("typ")) {
        (Some(name), _, _) => format!("its header has `{name}`, which no registry token has"),
        (_, None, _) => "its header has no `alg`".to_owned(),
        (_, _, Some(typ)) if !typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")) => {
            format!("its `typ` is {typ}, not \"JWT\"")
        }
        _ => "a header parameter has the wrong type, or stands there twice".to_owned(),
    }
}

fn claims(payload: &[u8]) -> String {
    let Ok(Value::Object(claims)) = serde_json::from_slice(payload) else {
        return "its payload is no JSON object".to_owned();
    };
    for name in ["iss", "exp"] {
        if !claims.contains_key(name) {
            return format!("it has no `{name}`");
        }
    }
    for name in ["exp", "nbf", "iat"] {
        match claims.get(name) {
            Some(value) if !value.is_u64() => {
                return format!("its `{name}` is {value}; registries take whole seconds since 1970 only");
            }
            _ => {}
        }
    }
    "a claim has the wrong type, stands there twice, or is nested too deep".to_owned()
}
