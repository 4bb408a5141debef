//! What a request under `/v2/` asks for, and the access that takes (distribution-spec end-1 … end-14, GitLab's `/gitlab/v1/`).
//!
//! Path and query are read raw, as they will be forwarded: what is authorised is what the registry gets to read.

use std::sync::Arc;

use http::Method;

use super::access::{Action, Needed, ResourceActions, merge};
use super::name::{RepositoryName, UploadId};

mod mount;
mod path;

/// Why a path is no route of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A path or a `from=` that two readers could understand differently: `..`, `//`, encoded slashes in a name.
    /// Answered 400.
    #[error("the path can be read in more than one way")]
    Ambiguous,
    /// Nothing a registry serves. Answered 404.
    #[error("no such endpoint")]
    Unknown,
    /// The method is not one a registry serves. Answered 405.
    #[error("the method is not allowed")]
    Method,
}

/// A label for metrics and the access line; a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// `/v2/` and `/v2`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/manifests/<reference>`
    Manifest,
    /// `/v2/<name>/blobs/<digest>`
    Blob,
    /// `/v2/<name>/referrers/<digest>`
    Referrers,
    /// `/v2/<name>/blobs/uploads/`, with or without the last slash. A kind is a path: only `POST` opens an upload.
    UploadOpen,
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload,
    /// `/gitlab/v1/…`
    Gitlab,
    /// The token endpoint.
    Token,
    /// Everything on a `proxy` site.
    Proxy,
    /// `GET /` on a registry site.
    Root,
    /// None of them.
    Other,
}

/// A classified request.
///
/// ```
/// use http::Method;
/// use tidegate::oci::access::{Action, Needed, ResourceActions};
/// use tidegate::oci::route::{Route, RouteKind};
///
/// let route = Route::classify(&Method::PATCH, "/v2/group/image/blobs/uploads/6b3c9a93", Some("_state=x")).unwrap();
/// assert_eq!(route.kind, RouteKind::Upload);
/// let push = ResourceActions::repository("group/image", &[Action::Pull, Action::Push]);
/// assert_eq!(*route.needed, Needed::Resources(vec![push]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which endpoint.
    pub kind: RouteKind,
    /// The repository, where the endpoint has one.
    pub repository: Option<RepositoryName>,
    /// The upload session, for [`RouteKind::Upload`].
    pub upload: Option<UploadId>,
    /// What it takes. `from=` of any method on a repository adds pull on that name.
    pub needed: Arc<Needed>,
}

impl Route {
    /// Classifies the raw request target; no byte is decoded but `from=`, as the registry decodes it.
    ///
    /// The access is a matter of the method and the resource alone, as in the registries: `POST …/tags/list` takes
    /// pull and push before the registry answers it with 405.
    ///
    /// # Errors
    /// [`RouteError`] for what must not reach a registry.
    pub fn classify(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        let actions = actions(method)?;
        let path::Target { kind, repository, upload } = path::read(path)?;
        let needed = match (kind, &repository) {
            (_, Some(repository)) => on_repository(repository, actions, query)?,
            (RouteKind::Catalog, None) => {
                Needed::Resources(vec![ResourceActions::new("registry", "catalog", &[Action::Any])])
            }
            (RouteKind::Gitlab, None) => Needed::WholeToken,
            _ => Needed::AnyToken,
        };
        Ok(Self { kind, repository, upload, needed: Arc::new(needed) })
    }
}

impl RouteKind {
    /// The label, in snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Tags => "tags",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Referrers => "referrers",
            Self::UploadOpen => "upload_open",
            Self::Upload => "upload",
            Self::Gitlab => "gitlab",
            Self::Token => "token",
            Self::Proxy => "proxy",
            Self::Root => "root",
            Self::Other => "other",
        }
    }
}

/// What a method takes on a repository. Nothing is gained by letting a method through that no registry serves, and
/// CONNECT and TRACE mean something to the hops in between.
fn actions(method: &Method) -> Result<&'static [Action], RouteError> {
    match *method {
        Method::GET | Method::HEAD => Ok(&[Action::Pull]),
        Method::POST | Method::PUT | Method::PATCH => Ok(&[Action::Pull, Action::Push]),
        Method::DELETE => Ok(&[Action::Delete]),
        Method::OPTIONS => Ok(&[]),
        _ => Err(RouteError::Method),
    }
}

/// The access on the repository itself, and pull on the one that a blob is to be mounted from.
fn on_repository(name: &RepositoryName, actions: &[Action], query: Option<&str>) -> Result<Needed, RouteError> {
    let own = (!actions.is_empty()).then(|| ResourceActions::repository(name.as_str(), actions));
    let from = mount::source(query)?.map(|from| ResourceActions::repository(from.as_str(), &[Action::Pull]));
    let resources = merge(own.into_iter().chain(from));
    Ok(if resources.is_empty() { Needed::AnyToken } else { Needed::Resources(resources) })
}

#[cfg(test)]
mod tests;
