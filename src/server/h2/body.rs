//! A request's body, as it comes on its stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::pulse::Heard;
use crate::base::body::BodyError;

/// What of a body is still to come.
pub(super) struct Incoming {
    stream: RecvStream,
    /// What is left of what `Content-Length` said; that it is true is the crate's to see (RFC 9113 §8.1.1).
    left: Option<u64>,
    heard: Arc<Heard>,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, length: Option<u64>, heard: Arc<Heard>) -> Self {
        Self { stream, left: length, heard }
    }

    /// A part is somebody's now, and as much may come again.
    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, BodyError> {
        self.stream.flow_control().release_capacity(data.len())?;
        self.heard.took(data.len());
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(data.len() as u64);
        }
        Ok(Frame::data(data))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    /// A stream that was reset, for whatever reason, is an error: only its end says that it ended (RFC 9113 §8.1).
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            return Poll::Ready(Some(data.map_err(Into::into).and_then(|data| self.take(data))));
        }
        let trailers: Option<HeaderMap> = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
