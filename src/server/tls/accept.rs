//! A handshake.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::session::{Buffers, Progress, Session};
use super::stream::{Stream, invalid};

/// The most that a client may send before its handshake is over: rustls' own bound where it reads by itself.
const MAX_HANDSHAKE: usize = 0xffff;
/// A `ClientHello` with a key for a post-quantum exchange, and what comes with it.
const ROOM: usize = 4 * 1024;

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Accepted<I> {
    /// What is said on it from now on.
    pub stream: Stream<I>,
    /// The name the client asked for (RFC 6066 §3).
    pub server_name: Option<Arc<str>>,
    /// Whether it will speak HTTP/2.
    pub h2: bool,
}

/// Chooses a certificate, and remembers for which name: rustls does not tell it of a session without buffers.
#[derive(Debug)]
struct Asked {
    certificates: Arc<dyn ResolvesServerCert>,
    name: OnceLock<Arc<str>>,
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.name.get_or_init(|| Arc::from(name));
        }
        self.certificates.resolve(hello)
    }
}

/// Shakes hands; a read of the stream will end once it has gathered so much.
///
/// # Errors
/// What went wrong; the client was told as far as it listens.
///
/// # Cancel safety
/// Dropping the future cuts the connection.
pub async fn accept<I: AsyncRead + AsyncWrite + Unpin>(
    config: &ServerConfig,
    mut io: I,
    most: usize,
) -> io::Result<Accepted<I>> {
    let asked = Arc::new(Asked { certificates: Arc::clone(&config.cert_resolver), name: OnceLock::new() });
    let mut config = config.clone();
    config.cert_resolver = Arc::<Asked>::clone(&asked);
    let mut session = Session::new(UnbufferedServerConnection::new(Arc::new(config)).map_err(invalid)?);
    let mut buffers = Buffers::default();
    loop {
        let progress = session.advance(&mut buffers);
        let told = poll_fn(|cx| buffers.output.poll_write_to(cx, &mut io)).await;
        match progress.map_err(invalid)? {
            Progress::Open => {
                told?;
                break;
            }
            Progress::Handshaking if buffers.input.len() < MAX_HANDSHAKE => {
                told?;
                io.flush().await?;
                buffers.input.reserve(ROOM);
                if io.read_buf(&mut buffers.input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Progress::Handshaking => return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake is too long")),
            Progress::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    io.flush().await?;
    let server_name = asked.name.get().cloned();
    let h2 = session.alpn() == Some(super::H2);
    let stream = Stream::new(io, session, buffers, most).map_err(invalid)?;
    Ok(Accepted { stream, server_name, h2 })
}
