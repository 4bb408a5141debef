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

/// `{"errors":[{"code":…,"message":…,"detail":…}]}` with a trailing newline, `detail` null when there is none.
#[must_use]
pub fn body(_code: ErrorCode, _message: &str, _detail: &[ResourceActions]) -> Bytes {
    todo!()
}
