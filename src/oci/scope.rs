//! The scope grammar of the Docker token specification: `repository:<name>:<action>[,<action>…]`.

use super::access::{Action, ResourceActions};

/// A `scope` value that cannot be read for certain; such a request is passed on, never cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope of the form `type:name:action[,action…]`")]
pub struct ScopeError;

/// The most entries of one token request.
pub const MAX_ENTRIES: usize = 64;

/// The longest `scope` value, in bytes; of several values in one token request, of all together.
pub const MAX_BYTES: usize = 8 * 1024;

/// Reads one `scope` value: several entries may stand in it, separated by spaces. Bounds: 64 entries, 8 KiB.
/// Entries come in the order they stand there, their actions sorted; [`super::access::merge`] adds up repeats.
///
/// ```
/// use tidegate::oci::scope;
///
/// let entries = scope::parse("repository:localhost:5000/image:push,pull registry:catalog:*").unwrap();
/// assert_eq!(entries[0].name, "localhost:5000/image");
/// assert_eq!(scope::write(&entries), "repository:localhost:5000/image:pull,push registry:catalog:*");
/// ```
///
/// # Errors
/// [`ScopeError`] when any entry does not parse.
pub fn parse(value: &str) -> Result<Vec<ResourceActions>, ScopeError> {
    if value.len() > MAX_BYTES {
        return Err(ScopeError);
    }
    let mut entries = Vec::new();
    for text in value.split(' ').filter(|text| !text.is_empty()) {
        if entries.len() == MAX_ENTRIES {
            return Err(ScopeError);
        }
        entries.push(entry(text)?);
    }
    Ok(entries)
}

/// Writes entries as one `scope` value, separated by spaces.
#[must_use]
pub fn write(entries: &[ResourceActions]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `type[(class)]:name:actions`, split at the first and at the last colon, so that a name may hold a port.
fn entry(text: &str) -> Result<ResourceActions, ScopeError> {
    let (resource, rest) = text.split_once(':').ok_or(ScopeError)?;
    let (name, actions) = rest.rsplit_once(':').ok_or(ScopeError)?;
    let (kind, class) = match resource.strip_suffix(')') {
        Some(open) => {
            let (kind, class) = open.split_once('(').ok_or(ScopeError)?;
            (kind, word(class)?)
        }
        None => (resource, ""),
    };
    if !is_name(name) {
        return Err(ScopeError);
    }
    let actions = actions.split(',').map(action).collect::<Result<Vec<_>, _>>()?;
    Ok(ResourceActions { class: class.to_owned(), ..ResourceActions::new(word(kind)?, name, &actions) })
}

/// `resourcetypevalue` of the grammar.
fn word(text: &str) -> Result<&str, ScopeError> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if fits { Ok(text) } else { Err(ScopeError) }
}

/// A name is compared literally, so whatever cannot end it is kept. A colon is read only where it separates a port
/// from the host before the first slash: authorities that split at the first two colons would otherwise see
/// another name and other actions than we do, and one spelling would stand for two requests.
fn is_name(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,:".contains(&byte));
    match text.split_once(':') {
        None => plain(text),
        Some((host, rest)) => {
            let port_and_path = rest.split_once('/');
            port_and_path.is_some_and(|(port, path)| {
                plain(host)
                    && !host.contains('/')
                    && !port.is_empty()
                    && port.bytes().all(|byte| byte.is_ascii_digit())
                    && plain(path)
            })
        }
    }
}

/// A word of letters and digits, or `*`. A word we do not know is kept as it is.
fn action(text: &str) -> Result<Action, ScopeError> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_word || text == "*" { Ok(Action::from(text)) } else { Err(ScopeError) }
}

#[cfg(test)]
mod tests;
