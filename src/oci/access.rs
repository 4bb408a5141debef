//! What a request needs and what a token grants, in the words of the Docker token scope grammar.

use std::fmt;

/// One resource and the actions on it: an entry of `scope=`, of a challenge, or of what a request needs.
///
/// ```
/// use tidegate::oci::access::{Action, ResourceActions};
///
/// let granted = ResourceActions::repository("group/image", &[Action::Any]);
/// let needed = ResourceActions::repository("group/image", &[Action::Push, Action::Pull]);
/// assert!(granted.covers(&needed));
/// assert_eq!(needed.intersect(&granted).as_ref(), Some(&needed));
/// assert_eq!(needed.to_string(), "repository:group/image:pull,push");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceActions {
    /// The resource type: `repository`, `registry`.
    pub kind: String,
    /// The resource class, as in `repository(plugin)`; empty when absent.
    pub class: String,
    /// The resource name, taken literally.
    pub name: String,
    /// Sorted, without repeats.
    pub actions: Vec<Action>,
}

/// A right on a resource. An unknown word is kept, so that it can be compared, never widened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `pull`
    Pull,
    /// `push`
    Push,
    /// `delete`
    Delete,
    /// `*`, which satisfies any action
    Any,
    /// Any other word.
    Other(String),
}

/// The access a request needs before it may reach the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// A valid token, whatever it grants: `GET /v2/`, `OPTIONS`.
    AnyToken,
    /// Every one of these.
    Resources(Vec<ResourceActions>),
    /// The registry decides (`/gitlab/v1/`): the verified access list goes over whole.
    WholeToken,
}

impl ResourceActions {
    /// A resource without a class.
    #[must_use]
    pub fn new(kind: &str, name: &str, actions: &[Action]) -> Self {
        let mut actions = actions.to_vec();
        actions.sort();
        actions.dedup();
        Self { kind: kind.to_owned(), class: String::new(), name: name.to_owned(), actions }
    }

    /// `repository:<name>:<actions>`.
    #[must_use]
    pub fn repository(name: &str, actions: &[Action]) -> Self {
        Self::new("repository", name, actions)
    }

    /// Whether the resource is the same: type and name equal, class ignored, as the registries compare.
    #[must_use]
    pub fn same_resource(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    /// Whether this grant satisfies all of `needed`: the same resource, and each action named here or `*` here.
    #[must_use]
    pub fn covers(&self, needed: &Self) -> bool {
        self.same_resource(&needed.kind, &needed.name) && needed.actions.iter().all(|action| self.grants(action))
    }

    /// Whether this grant holds `action`, by name or by `*`.
    #[must_use]
    pub fn grants(&self, action: &Action) -> bool {
        self.actions.iter().any(|granted| granted.covers(action))
    }

    /// What of this need `granted` satisfies, in the need's own words: a granted `*` gives the needed action, never
    /// `*`. `None` when nothing is left or the resource is another.
    #[must_use]
    pub fn intersect(&self, granted: &Self) -> Option<Self> {
        if !self.same_resource(&granted.kind, &granted.name) {
            return None;
        }
        let actions: Vec<_> = self.actions.iter().filter(|action| granted.grants(action)).cloned().collect();
        (!actions.is_empty()).then(|| Self { actions, ..self.clone() })
    }
}

impl fmt::Display for ResourceActions {
    /// The entry as it stands in `scope=`: `type[(class)]:name:action[,action…]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.class.is_empty() {
            write!(f, "({})", self.class)?;
        }
        write!(f, ":{}:", self.name)?;
        for (at, action) in self.actions.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

/// One entry per resource and class, in the order of their first appearance, actions added up.
#[must_use]
pub fn merge(entries: impl IntoIterator<Item = ResourceActions>) -> Vec<ResourceActions> {
    let mut merged: Vec<ResourceActions> = Vec::new();
    for entry in entries {
        match merged.iter_mut().find(|one| one.same_resource(&entry.kind, &entry.name) && one.class == entry.class) {
            Some(one) => {
                one.actions.extend(entry.actions);
                one.actions.sort();
                one.actions.dedup();
            }
            None => merged.push(entry),
        }
    }
    merged
}

impl Needed {
    /// The resources by name, for a challenge; none where no scope would help.
    #[must_use]
    pub fn resources(&self) -> &[ResourceActions] {
        match self {
            Self::Resources(resources) => resources,
            Self::AnyToken | Self::WholeToken => &[],
        }
    }
}

impl Action {
    /// Whether a grant of this satisfies a need of `needed`: the same word, or `*` here. A needed `*` takes a granted
    /// `*`: no list of words adds up to it.
    #[must_use]
    pub fn covers(&self, needed: &Self) -> bool {
        self == needed || *self == Self::Any
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Any => "*",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Action {
    fn from(word: &str) -> Self {
        match word {
            "pull" => Self::Pull,
            "push" => Self::Push,
            "delete" => Self::Delete,
            "*" => Self::Any,
            other => Self::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
