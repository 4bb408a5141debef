//! A request's body, read from its connection by whoever wants it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::{Reading, Shared};
use crate::base::body::BodyError;
use crate::server::framing::Length;

/// What of a body is still to come.
#[derive(Debug)]
pub(super) struct Incoming<T: AsyncRead + AsyncWrite + Unpin> {
    /// None once it has ended.
    connection: Option<Shared<T>>,
    length: Length,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Incoming<T> {
    pub(super) fn new(connection: Shared<T>, length: Length) -> Self {
        Self { connection: Some(connection), length }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Body for Incoming<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(connection) = &this.connection else { return Poll::Ready(None) };
        let mut wire = connection.lock();
        let polled = wire.poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Length::Counted(left)) = (&polled, &mut this.length) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        let is_over = wire.reading() == Reading::Over;
        drop(wire);
        if is_over {
            this.connection = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.connection, self.length) {
            (None, _) => SizeHint::with_exact(0),
            (_, Length::Counted(left)) => SizeHint::with_exact(left),
            (_, Length::Chunked) => SizeHint::default(),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Drop for Incoming<T> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.lock().leave_body();
        }
    }
}
