//! Reading a query as GitLab does: `scope` from the raw string, repeated or separated by spaces, each split at its first
//! two colons.

use super::Login;

/// `repository:<path>:<actions>` and what was granted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

/// The values of one parameter, percent-decoded, in order.
pub(super) fn values(query: &str, key: &str) -> Vec<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
        .collect()
}

/// What of the asked-for scopes this credential holds. Whatever it holds nothing of is left out.
pub(super) fn grant(query: &str, login: &Login) -> Vec<Granted> {
    let asked = values(query, "scope");
    asked.iter().flat_map(|scopes| scopes.split_whitespace()).filter_map(|scope| grant_one(scope, login)).collect()
}

fn grant_one(scope: &str, login: &Login) -> Option<Granted> {
    let mut parts = scope.splitn(3, ':');
    let (kind, name, asked) = (parts.next()?, parts.next()?, parts.next()?);
    // GitLab's repositories are projects, and a project has a namespace.
    if kind != "repository" || !name.contains('/') {
        return None;
    }
    let held = login.grants.iter().find(|(path, _)| path == name || (path.ends_with('/') && name.starts_with(path)))?;
    let actions: Vec<String> =
        asked.split(',').filter(|action| held.1.iter().any(|own| own == action)).map(str::to_owned).collect();
    (!actions.is_empty()).then(|| Granted { kind: kind.to_owned(), name: name.to_owned(), actions })
}

/// Percent-decoding with `+` as a space; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let decoded = escaped.and_then(|(digits, after)| {
            let value = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((value, after))
        });
        match decoded {
            Some((value, after)) => {
                out.push(value);
                rest = after;
            }
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
