//! The registry's error codes and body (OCI distribution-spec, «Error codes»; distribution's `errcode`).

use bytes::Bytes;

use super::access::ResourceActions;

/// The codes we answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 401
    Unauthorized,
    /// 403
    Denied,
    /// 503, and 502/504: the registry or the authority cannot be asked
    Unavailable,
    /// 429
    TooManyRequests,
    /// 400 for an ambiguous path
    NameInvalid,
    /// 404
    NameUnknown,
    /// 404 for an upload that is not one of ours
    BlobUploadUnknown,
    /// 400 for a repeated or broken upload ticket
    BlobUploadInvalid,
    /// 405
    Unsupported,
    /// 400, 408, 413, 431 and the rest
    Unknown,
}

impl ErrorCode {
    /// The word on the wire: `UNAUTHORIZED`, `TOOMANYREQUESTS`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unavailable => "UNAVAILABLE",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::Unsupported => "UNSUPPORTED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The body as distribution's `errcode` writes it. Field order is part of what clients' tests compare.
#[derive(serde::Serialize)]
struct Errors<'a> {
    errors: [Entry<'a>; 1],
}

#[derive(serde::Serialize)]
struct Entry<'a> {
    code: &'static str,
    message: &'a str,
    detail: Option<Vec<Access<'a>>>,
}

/// One needed right: distribution writes its Go struct without JSON names, hence the capitals.
#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Access<'a> {
    r#type: &'a str,
    class: &'a str,
    name: &'a str,
    action: &'a str,
}

/// `{"errors":[{"code":…,"message":…,"detail":…}]}` with a trailing newline, `detail` null when there is none, else
/// one element per action. Content type `application/json`.
///
/// ```
/// use tidegate::oci::error::{ErrorCode, body};
///
/// let body = body(ErrorCode::Denied, "access forbidden", &[]);
/// assert_eq!(body, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"access forbidden\",\"detail\":null}]}\n");
/// ```
#[must_use]
pub fn body(code: ErrorCode, message: &str, detail: &[ResourceActions]) -> Bytes {
    let accesses = detail.iter().flat_map(|resource| {
        resource.actions.iter().map(|action| Access {
            r#type: &resource.kind,
            class: &resource.class,
            name: &resource.name,
            action: action.as_str(),
        })
    });
    let detail = (!detail.is_empty()).then(|| accesses.collect());
    let errors = Errors { errors: [Entry { code: code.as_str(), message, detail }] };
    // Strings and lists of strings always serialize; an empty body would still be an error by its status.
    let mut json = serde_json::to_vec(&errors).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

#[cfg(test)]
mod tests;
