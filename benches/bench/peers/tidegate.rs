//! Tidegate as in production: tokens verified, re-signed with a P-256 key, every request counted and logged as JSON.

use anyhow::Result;

use super::{Orders, free_address};
use crate::tokens::{ISSUER, SERVICE};

/// Writes its configuration and returns what it is called with.
pub(super) fn arguments(orders: &Orders<'_>) -> Result<Vec<String>> {
    let file = orders.dir.join("tidegate.toml");
    let keys = orders.given.keys;
    let text = format!(
        "[listeners.public]
address = \"{address}\"
tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}
[listeners.admin]
address = \"{admin}\"
[authorities.gitlab]
kind = \"gitlab\"
url = \"http://{authority}\"
issuer = \"{ISSUER}\"
service = \"{SERVICE}\"
trusted = [\"{trusted}\"]
[sites.\"*\"]
authority = \"gitlab\"
renew = \"resign\"
[sites.\"*\".registry]
origins = [\"http://{origin}\"]
[signing]
key = \"{signing}\"
certificate = \"{leaf}\"
{tokens}",
        address = orders.address,
        admin = free_address()?,
        certificate = keys.tls_certificate.display(),
        key = keys.tls_key.display(),
        authority = orders.given.authority,
        trusted = keys.authority_certificate.display(),
        origin = orders.given.origin,
        signing = keys.signing_key.display(),
        leaf = keys.signing_leaf.display(),
        tokens = orders.given.token_cache.map(|bytes| format!("[tokens]\ncache = \"{bytes}\"\n")).unwrap_or_default(),
    );
    std::fs::write(&file, text)?;
    Ok(vec!["serve".into(), "--config".into(), file.display().to_string()])
}
