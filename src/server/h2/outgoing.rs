//! An answer's body on its way out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;

use super::SEND_BUFFER;
use super::exchange::OF_CONNECTIONS;
use crate::base::body::{Body, BodyError};
use crate::base::h1::fields::may_come_behind;
use crate::base::io::Stall;

/// What is left of an answer.
pub(super) struct Outgoing {
    stream: SendStream<Bytes>,
    body: Body,
    /// What is left of what was taken from the body, and whether it is the last of it.
    part: Option<(Bytes, bool)>,
    /// The client's window is shut.
    stall: Stall,
}

/// Why the rest of it is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// Its body failed; the client sees the stream reset.
    #[error("the body broke off")]
    Body(#[source] BodyError),
    /// The client reset the stream.
    #[error("the client reset the stream: {0}")]
    Reset(Reason),
    /// The client did not let a byte through for `timeouts.idle`.
    #[error("the client reads nothing of the stream")]
    Idle,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] h2::Error),
}

impl Outgoing {
    /// `idle`: how long the client may keep its window shut.
    pub(super) fn new(stream: SendStream<Bytes>, body: Body, idle: Duration) -> Self {
        Self { stream, body, part: None, stall: Stall::new(idle) }
    }

    /// Ready when all of it is handed over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        let polled = self.poll_sent(cx);
        match &polled {
            // What came of the body is not the whole of it.
            Poll::Ready(Err(Unsent::Body(_))) => self.stream.send_reset(Reason::INTERNAL_ERROR),
            Poll::Ready(Err(Unsent::Idle)) => self.stream.send_reset(Reason::CANCEL),
            _ => {}
        }
        polled
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            if let Poll::Ready(reason) = self.stream.poll_reset(cx)? {
                return Poll::Ready(Err(Unsent::Reset(reason)));
            }
            if let Some((part, is_last)) = &mut self.part {
                let capacity = ready!(poll_capacity(cx, &mut self.stream, &mut self.stall, part.len()))?;
                let now = part.split_to(capacity.min(part.len()));
                let is_all = part.is_empty();
                let is_end = is_all && *is_last;
                self.stream.send_data(now, is_end)?;
                if is_end {
                    return Poll::Ready(Ok(()));
                }
                if is_all {
                    self.part = None;
                }
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Err(Unsent::Body(error))),
                None => {
                    self.stream.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() && !self.body.is_end_stream() => {}
                    Ok(data) => self.part = Some((data, self.body.is_end_stream())),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.stream.send_trailers(allowed(&trailers))?;
                        return Poll::Ready(Ok(()));
                    }
                },
            }
        }
    }
}

/// Those that may stand behind a body, and over HTTP/2 at all (RFC 9113 §8.2.2).
fn allowed(trailers: &HeaderMap) -> HeaderMap {
    let allowed = trailers.iter().filter(|(name, _)| may_come_behind(name) && !OF_CONNECTIONS.contains(name));
    allowed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Ready with what the client lets through of so many bytes, once that is any.
fn poll_capacity(
    cx: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    stall: &mut Stall,
    length: usize,
) -> Poll<Result<usize, Unsent>> {
    if length == 0 {
        return Poll::Ready(Ok(0));
    }
    // Only once there is a part to send: what is reserved of the connection's window is lost to its other streams.
    stream.reserve_capacity(length.min(SEND_BUFFER));
    loop {
        let capacity = stream.capacity();
        if capacity > 0 {
            stall.went_on();
            return Poll::Ready(Ok(capacity));
        }
        match stream.poll_capacity(cx) {
            Poll::Ready(Some(capacity)) => drop(capacity?),
            Poll::Ready(None) => return Poll::Ready(Err(Unsent::Reset(Reason::CANCEL))),
            Poll::Pending => {
                ready!(stall.poll(cx));
                return Poll::Ready(Err(Unsent::Idle));
            }
        }
    }
}
