//! `from=`: the repository a blob is to be mounted from (distribution-spec end-11). The registries ask for pull on
//! it whatever the method, so we do.

use super::RouteError;
use crate::oci::form;
use crate::oci::name::RepositoryName;

/// The source of a mount, decoded as Go's `FormValue` decodes it; an empty one counts for nothing there, nor here.
///
/// Registries differ in what they make of a repeated parameter, of `;` and of broken escapes, so a query in which
/// `from` or `mount` depends on that is refused, and so is a `from` that names no repository.
pub(super) fn source(query: Option<&str>) -> Result<Option<RepositoryName>, RouteError> {
    let (mut from, mut mount) = (None, None);
    for pair in query.unwrap_or_default().split('&') {
        // Go before 1.17 took `;` for a separator, later ones skip the pair that holds one.
        if pair.contains(';') {
            if pair.split(';').flat_map(form::pairs).any(|(name, _)| parameter(name).is_some()) {
                return Err(RouteError::Ambiguous);
            }
            continue;
        }
        for (name, value) in form::pairs(pair) {
            let held = match parameter(name) {
                Some(Parameter::From) => &mut from,
                Some(Parameter::Mount) => &mut mount,
                None => continue,
            };
            let value = form::text(value.unwrap_or_default()).ok_or(RouteError::Ambiguous)?;
            if held.replace(value).is_some() {
                return Err(RouteError::Ambiguous);
            }
        }
    }
    let from = from.filter(|from| !from.is_empty());
    from.map(|from| RepositoryName::parse(&from).map_err(|_| RouteError::Ambiguous)).transpose()
}

enum Parameter {
    From,
    Mount,
}

/// Which of the two a raw name spells: the registry decodes names as it decodes values.
fn parameter(name: &str) -> Option<Parameter> {
    match form::text(name)?.as_str() {
        "from" => Some(Parameter::From),
        "mount" => Some(Parameter::Mount),
        _ => None,
    }
}
