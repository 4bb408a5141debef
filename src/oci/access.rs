//! What a request needs and what a token grants, in the words of the Docker token scope grammar.

/// One resource and the actions on it: an entry of `scope=`, of a challenge, or of what a request needs.
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
    /// `repository:<name>:<actions>`.
    #[must_use]
    pub fn repository(name: &str, actions: &[Action]) -> Self {
        let mut actions = actions.to_vec();
        actions.sort();
        actions.dedup();
        Self { kind: "repository".to_owned(), class: String::new(), name: name.to_owned(), actions }
    }

    /// Whether the resource is the same: type and name equal, class ignored, as the registries compare.
    #[must_use]
    pub fn same_resource(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }
}

impl Action {
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
