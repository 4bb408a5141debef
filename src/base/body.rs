//! The one body type, and collecting a small one with a bound.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

/// Why a body ended before its end. The receiver of a message must never take the part it got for the whole.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body is refused: two readers could take its bytes differently (RFC 9112 §11.2), so there is nothing to wait for
/// and nothing to try again. The words name the fault and quote nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's body is malformed: {0}")]
pub struct Malformed(pub &'static str);

/// A request or response body. Boxed at most once; short answers not at all.
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// These bytes; the length is known.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }

    /// Any other body.
    #[must_use]
    pub fn wrap<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self(Kind::Boxed(Box::pin(body)))
    }

    /// Reads the whole body into memory, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`CollectError::TooLarge`] once more than `limit` bytes came; [`CollectError::Broken`] when the body broke off.
    ///
    /// # Cancel safety
    /// Dropping the future drops the body and what was read.
    pub async fn collect_bounded(mut self, limit: usize) -> Result<Bytes, CollectError> {
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() {
                if all.len().saturating_add(data.len()) > limit {
                    return Err(CollectError::TooLarge { limit });
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(all.freeze())
    }
}

/// Why [`Body::collect_bounded`] gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The body is larger than the bound.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The body broke off.
    #[error("the body broke off")]
    Broken(#[source] BodyError),
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}
