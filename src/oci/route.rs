//! What a request under `/v2/` asks for, and the access that takes (distribution-spec end-1 … end-14, GitLab's `/gitlab/v1/`).

use http::Method;

use super::access::Needed;
use super::name::{RepositoryName, UploadId};

/// Why a path is no route of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A path that two readers could understand differently: `..`, `//`, encoded slashes in a name. Answered 400.
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
    /// `GET /v2/`
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
    /// `POST /v2/<name>/blobs/uploads/`
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which endpoint.
    pub kind: RouteKind,
    /// The repository, where the endpoint has one.
    pub repository: Option<RepositoryName>,
    /// The upload session, for [`RouteKind::Upload`].
    pub upload: Option<UploadId>,
    /// What it takes. `from=` of any method on a repository adds pull on that name.
    pub needed: Needed,
}

impl Route {
    /// Classifies the raw request target; no byte is decoded but `from=`, as the registry decodes it.
    ///
    /// # Errors
    /// [`RouteError`] for what must not reach a registry.
    pub fn classify(_method: &Method, _path: &str, _query: Option<&str>) -> Result<Self, RouteError> {
        todo!()
    }
}
