//! The slow link with a hop that spools, as nginx, ingresses and many proxies do unless they are told otherwise.
//!
//! Each request's body is taken in at the link's rate, and only when its last byte has come does the request's head go
//! on. That, and nothing else, turns the time of an upload into the age of its token. Answers go back as they come.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::passage::{Open, Passages};
use super::serving::{Ear, Serving, send};
use crate::base::body::{Body, BodyError};
use crate::base::units::ByteSize;

/// What is read of a spooled body at a time.
const CHUNK: usize = 64 * 1024;
/// How far a link that was kept waiting, by a busy machine for one, may catch up.
const CREDIT: Duration = Duration::from_millis(250);
/// Of an error's body.
const LARGEST_ERROR: usize = 1 << 20;

/// A running link; ends when dropped.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) passages: Passages,
    _serving: Serving,
}

struct Line {
    target: SocketAddr,
    /// Bytes a second.
    rate: f64,
    /// When what was let through so far has paid for its time.
    free: Mutex<Instant>,
    spools: PathBuf,
    spooled: AtomicU64,
    passages: Passages,
}

impl Link {
    /// Leads all requests that come to `ear` to `target`, and keeps bodies in `spools` meanwhile.
    pub(super) fn lead(ear: Ear, target: SocketAddr, rate: ByteSize, spools: &Path) -> Self {
        let passages = Passages::default();
        let line = Arc::new(Line {
            target,
            rate: f64::from(u32::try_from(rate.0).unwrap_or(u32::MAX)),
            free: Mutex::new(Instant::now()),
            spools: spools.to_owned(),
            spooled: AtomicU64::new(0),
            passages: passages.clone(),
        });
        let address = ear.address;
        let serving = ear.serve(move |request| {
            let line = Arc::clone(&line);
            async move { line.answer(request).await }
        });
        Self { address, passages, _serving: serving }
    }
}

impl Line {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let passage = self.passages.begin(&request);
        let response = match self.carry(&passage, request).await {
            Ok(response) => response,
            // The far side hung up without an answer: a hop has no other word for that.
            Err(error) => {
                let mut response = Response::new(Body::full(format!("the link: {error:#}\n")));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        };
        passage.answered(response.status());
        response
    }

    async fn carry(&self, passage: &Open, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            let spooled = self.spool(passage, body).await?;
            // As nginx does it: what came in chunks goes on in one piece, whose length is known by now.
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(spooled.left));
            Body::wrap(spooled)
        };
        hop_by_hop(&mut parts.headers);
        passage.arrives();
        let response = send(self.target, Request::from_parts(parts, body)).await?;
        let (mut parts, body) = response.into_parts();
        hop_by_hop(&mut parts.headers);
        // A registry that refuses hangs up with most of the body unread. Its words are taken in before that.
        let body = if parts.status.is_client_error() || parts.status.is_server_error() {
            let body = body.collect_bounded(LARGEST_ERROR).await?;
            passage.refused(&body);
            Body::full(body)
        } else {
            body
        };
        Ok(Response::from_parts(parts, body))
    }

    async fn spool(&self, passage: &Open, mut body: Incoming) -> anyhow::Result<Spooled> {
        let path = self.spools.join(format!("spooled-{}", self.spooled.fetch_add(1, Ordering::Relaxed)));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).await?;
        // Its name is not needed any more, and without one nobody has to remove it.
        tokio::fs::remove_file(&path).await?;
        let mut left = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            self.pay(data.len()).await;
            file.write_all(&data).await?;
            let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
            passage.took(bytes);
            left += bytes;
        }
        file.flush().await?;
        file.rewind().await?;
        Ok(Spooled { file, left })
    }

    /// Waits for as long as the link takes for so many bytes. All connections share it.
    async fn pay(&self, bytes: usize) {
        let cost = Duration::from_secs_f64(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / self.rate);
        let now = Instant::now();
        let paid = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            *free = (*free).max(now.checked_sub(CREDIT).unwrap_or(now)) + cost;
            *free
        };
        sleep_until(paid).await;
    }
}

/// Headers of one connection, which are nobody else's business (RFC 9110 §7.6.1).
fn hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// A body that was taken in whole.
struct Spooled {
    file: File,
    left: u64,
}

impl http_body::Body for Spooled {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut chunk = vec![0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        chunk.truncate(read);
        // A file that is shorter than what was written to it ends the request before its end.
        self.left = match u64::try_from(read).ok().filter(|read| *read > 0).and_then(|read| self.left.checked_sub(read))
        {
            Some(left) => left,
            None => return Poll::Ready(Some(Err("the spooled body changed".into()))),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
