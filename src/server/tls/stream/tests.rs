use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::accept::accept;
use super::*;
use crate::base::tls::provider;
use crate::base::tls::testing::certified;

/// Of many records, the last of them not full.
const MUCH: usize = 700_000;
const MOST: usize = 128 * 1024;

/// A connection that gives at most so many bytes at a time.
#[derive(Debug)]
struct Piecemeal(DuplexStream, usize);

impl AsyncRead for Piecemeal {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = self.1;
        let mut piece = vec![0; most.min(buf.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Piecemeal {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let most = self.1.min(buf.len());
        Pin::new(&mut self.0).poll_write(cx, &buf[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn much() -> Vec<u8> {
    (0..MUCH).map(|number| u8::try_from(number % 251).unwrap()).collect()
}

/// What both ends are told of each other; the client knows these suites only.
fn configs(suites: &[CipherSuite]) -> (ServerConfig, ClientConfig) {
    configs_by(provider(), suites)
}

fn configs_by(provider: Arc<CryptoProvider>, suites: &[CipherSuite]) -> (ServerConfig, ClientConfig) {
    let certified = certified(&["a.example"]);
    let mut roots = RootCertStore::empty();
    roots.add(certified.end_entity_cert().unwrap().clone()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    server.enable_secret_extraction = true;
    server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    let mut known = aws_lc_rs::default_provider();
    known.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
    let version = if known.cipher_suites.iter().all(|suite| suite.tls13().is_some()) { &TLS13 } else { &TLS12 };
    let client = ClientConfig::builder_with_provider(Arc::new(known))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

type Ends = (Stream<Piecemeal>, TlsStream<DuplexStream>);

/// Two ends that have shaken hands; the server is given so many bytes at a time.
async fn ends(server: &ServerConfig, client: ClientConfig, at_once: usize) -> Ends {
    let (near, far) = tokio::io::duplex(1 << 20);
    let name = ServerName::try_from("a.example").unwrap();
    let (accepted, client) = tokio::join!(
        accept(server, Piecemeal(near, at_once), MOST),
        TlsConnector::from(Arc::new(client)).connect(name, far)
    );
    let accepted = accepted.unwrap();
    assert_eq!(accepted.server_name.as_deref(), Some("a.example"));
    (accepted.stream, client.unwrap())
}

const AES: &[CipherSuite] = &[CipherSuite::TLS13_AES_128_GCM_SHA256];

/// What the reader is given until the end, with so much room at a time.
async fn read(stream: &mut Stream<Piecemeal>, room: usize) -> io::Result<Vec<u8>> {
    let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(got);
        }
        got.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn every_byte_passes_both_ways_by_every_suite_however_it_comes() {
    let suites = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ];
    let much = much();
    // What the processor prefers may not be aws-lc.
    let providers = [provider(), Arc::new(aws_lc_rs::default_provider())];
    for (provider, suite) in providers.iter().flat_map(|provider| suites.iter().map(move |suite| (provider, *suite))) {
        let (server, client) = configs_by(Arc::clone(provider), &[suite]);
        for at_once in [1, 4_099, 1 << 20] {
            for room in [1_000, 16 * 1024, 40_000, 139_264] {
                let (mut stream, mut client) = ends(&server, client.clone(), at_once).await;
                let sent = if at_once == 1 { &much[..70_000] } else { &much[..] };
                let (got, ()) = tokio::join!(read(&mut stream, room), async {
                    client.write_all(sent).await.unwrap();
                    client.shutdown().await.unwrap();
                });
                assert!(got.unwrap() == sent, "{suite:?}: {at_once} at once, room for {room}");
                let mut back = Vec::new();
                let (read, ()) = tokio::join!(client.read_to_end(&mut back), async {
                    stream.write_all(sent).await.unwrap();
                    stream.shutdown().await.unwrap();
                });
                read.unwrap();
                assert!(back == sent, "{suite:?}: back, {at_once} at once");
            }
        }
    }
}

#[tokio::test]
async fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    for suite in [AES, &[CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]] {
        let (server, client) = configs(suite);
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
        let talking = async {
            // In TLS 1.3 the client may say something as soon as it has heard the server; in 1.2 not until later.
            while client.is_handshaking() {
                let mut flight = Vec::new();
                while client.wants_write() {
                    client.write_tls(&mut flight).unwrap();
                }
                far.write_all(&flight).await.unwrap();
                let mut heard = vec![0; 4096];
                let read = far.read(&mut heard).await.unwrap();
                let mut heard = &heard[..read];
                while !heard.is_empty() {
                    client.read_tls(&mut heard).unwrap();
                    client.process_new_packets().unwrap();
                }
            }
            io::Write::write_all(&mut client.writer(), b"GET / HTTP/1.1").unwrap();
            let mut rest = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut rest).unwrap();
            }
            far.write_all(&rest).await.unwrap();
        };
        let (accepted, ()) = tokio::join!(accept(&server, Piecemeal(near, 1 << 20), MOST), talking);
        let mut got = [0; 14];
        accepted.unwrap().stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"GET / HTTP/1.1", "{suite:?}");
    }
}

#[tokio::test]
async fn a_read_with_room_gathers_records() {
    let (server, client) = configs(AES);
    let (mut stream, mut client) = ends(&server, client, 1 << 20).await;
    client.write_all(&much()[..400_000]).await.unwrap();
    client.flush().await.unwrap();
    let mut buffer = vec![0; MOST + 8 * 1024];
    for _ in 0..3 {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > MOST - MAX_PLAIN, "{read} bytes");
    }
}

#[tokio::test]
async fn a_stream_that_rests_keeps_no_buffer() {
    let (server, client) = configs(AES);
    let (mut stream, mut client) = ends(&server, client, 1 << 20).await;
    client.write_all(&much()).await.unwrap();
    stream.write_all(&much()[..400_000]).await.unwrap();
    stream.flush().await.unwrap();
    let mut got = vec![0; MUCH];
    stream.read_exact(&mut got).await.unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut ReadBuf::new(&mut got)).is_pending());
    assert_eq!((stream.buffers.input.capacity(), stream.buffers.plain.capacity()), (0, 0));
    assert_eq!(format!("{:?}", stream.buffers.output), format!("{:?}", Output::default()));
}

#[tokio::test]
async fn keys_change_when_the_client_wants_them_to() {
    for (room, at_once) in [(139_264, 1 << 20), (1_000, 777)] {
        let (server, client) = configs(AES);
        let (mut stream, mut client) = ends(&server, client, at_once).await;
        let (sent, mut got) = (&much()[..100_000], vec![0; 100_000]);
        for _ in 0..3 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            let (read, ()) = tokio::join!(
                async {
                    let mut at = 0;
                    while at < got.len() {
                        let end = got.len().min(at + room);
                        at += stream.read(&mut got[at..end]).await?;
                    }
                    io::Result::Ok(())
                },
                async {
                    client.write_all(sent).await.unwrap();
                    client.flush().await.unwrap();
                }
            );
            read.unwrap();
            assert!(got == sent);
            let mut back = vec![0; sent.len()];
            let (written, read) = tokio::join!(
                async {
                    stream.write_all(sent).await?;
                    stream.flush().await
                },
                client.read_exact(&mut back)
            );
            written.unwrap();
            read.unwrap();
            assert!(back == sent);
        }
    }
}

#[tokio::test]
async fn a_key_seals_no_more_than_its_suite_allows() {
    let (server, client) = configs(AES);
    let (mut stream, mut client) = ends(&server, client, 1 << 20).await;
    let Lead::Records(records) = &mut stream.lead else { panic!("TLS 1.3 is led by rustls") };
    records.limit = 5;
    let (sent, mut back) = (much(), vec![0; MUCH]);
    let (written, read) = tokio::join!(stream.write_all(&sent), client.read_exact(&mut back));
    written.unwrap();
    read.unwrap();
    assert!(back == sent);
    let Lead::Records(records) = &stream.lead else { panic!("TLS 1.3 is led by rustls") };
    assert!(records.written <= 5, "{} records by one key", records.written);
}

#[tokio::test]
async fn a_changed_record_is_the_end_and_the_client_is_told() {
    for room in [1_000, 139_264] {
        let (server, client) = configs(AES);
        let (mut stream, mut client) = ends(&server, client, 1 << 20).await;
        client.write_all(b"before").await.unwrap();
        client.flush().await.unwrap();
        let mut record = Vec::new();
        let session = client.get_mut().1;
        io::Write::write_all(&mut session.writer(), b"changed").unwrap();
        session.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        client.get_mut().0.write_all(&record).await.unwrap();
        let mut got = vec![0; room];
        let read = stream.read(&mut got).await.unwrap();
        assert_eq!(&got[..read], b"before");
        let error = stream.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(stream.write(b"no more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let told = client.read(&mut got).await.unwrap_err();
        assert!(told.to_string().contains("BadRecordMac"), "{told}");
    }
}

#[tokio::test]
async fn an_end_that_is_not_said_is_an_error() {
    for room in [1_000, 139_264] {
        let (server, client) = configs(AES);
        let (mut stream, mut client) = ends(&server, client, 1 << 20).await;
        client.write_all(b"some").await.unwrap();
        client.flush().await.unwrap();
        drop(client);
        let mut got = vec![0; room];
        assert_eq!(stream.read(&mut got).await.unwrap(), 4);
        assert_eq!(stream.read(&mut got).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_name_is_remembered_when_a_session_is_resumed() {
    for suite in [AES, &[CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]] {
        let (server, client) = configs(suite);
        for is_again in [false, true] {
            // The name is asserted for every handshake.
            let (mut stream, mut client) = ends(&server, client.clone(), 1 << 20).await;
            stream.write_all(b"hello").await.unwrap();
            stream.flush().await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            let resumed = client.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            assert_eq!(resumed, is_again, "{suite:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so_and_nothing_waits_for_ever() {
    let (server, _) = configs(AES);
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = accept(&server, Piecemeal(near, 1 << 20), MOST).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut told = Vec::new();
    far.read_to_end(&mut told).await.unwrap();
    assert_eq!(told.first(), Some(&21), "an alert: {told:?}");

    // A ClientHello of 16 MiB, one record after the other.
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let talking = tokio::spawn(async move {
        let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
        record.resize(5 + 0x4000, 0);
        while far.write_all(&record).await.is_ok() {
            record[5] = 0;
        }
    });
    let error = accept(&server, Piecemeal(near, 1 << 20), MOST).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    talking.await.unwrap();
}
