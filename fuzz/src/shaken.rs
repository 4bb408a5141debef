//! A client that shakes hands as it should, and may say anything then.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, ServerConfig, Tls13CipherSuite,
};
use tidegate::base::tls::provider as preferred;
use tidegate::server::tls::accept::accept;
use tidegate::server::tls::stream::Stream;

use super::line::Wire;

/// What a client is told, and servers of both kinds: with the ciphers this processor prefers, and with aws-lc's.
pub(crate) static ENDS: LazyLock<([ServerConfig; 2], Arc<ClientConfig>)> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let servers = [preferred(), Arc::clone(&provider)].map(|provider| {
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.clone_key())
            .expect("a server");
        server.enable_secret_extraction = true;
        server
    });
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (servers, Arc::new(client))
});

/// The client.
pub(crate) struct Client {
    wire: Wire,
    kernel: KernelConnection<ClientConnectionData>,
    suite: &'static Tls13CipherSuite,
    writing: Box<dyn MessageEncrypter>,
    written: u64,
    reading: Box<dyn MessageDecrypter>,
    read: u64,
    heard: Vec<u8>,
}

/// A client of this server, and our end of its connection, which is given so many bytes at a time.
pub(crate) fn shaken(server: &ServerConfig, at_once: usize, most: usize) -> (Client, Stream<Wire>) {
    let client = &ENDS.1;
    let wire = Wire::new(at_once);
    let name = ServerName::try_from("a.example").expect("a name");
    let mut session = UnbufferedClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut accepting = pin!(accept(server, wire.clone(), most));
    let mut cx = Context::from_waker(Waker::noop());
    let (mut incoming, mut stream, mut is_open) = (Vec::new(), None, false);
    while !is_open || stream.is_none() {
        is_open = advance(&mut session, &mut incoming, &wire);
        if stream.is_none()
            && let Poll::Ready(accepted) = accepting.as_mut().poll(&mut cx)
        {
            stream = Some(accepted.expect("a handshake").stream);
        }
        incoming.extend(wire.hear());
    }
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.tls13()).expect("TLS 1.3");
    let (secrets, kernel) = session.dangerous_into_kernel_connection().expect("keys");
    let ((written, writing), (read, reading)) = (secrets.tx, secrets.rx);
    let (writing, reading) = (encrypter(suite, writing), decrypter(suite, reading));
    let client = Client { wire, kernel, suite, writing, written, reading, read, heard: incoming };
    (client, stream.expect("a stream"))
}

fn advance(session: &mut UnbufferedClientConnection, incoming: &mut Vec<u8>, wire: &Wire) -> bool {
    loop {
        let UnbufferedStatus { discard, state } = session.process_tls_records(incoming);
        let (goes_on, is_open) = match state.expect("a server that does as it should") {
            ConnectionState::EncodeTlsData(mut data) => {
                let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut [])
                else {
                    panic!("nothing to say")
                };
                let mut record = vec![0; required_size];
                data.encode(&mut record).expect("enough room");
                wire.send(&record);
                (true, false)
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                (true, false)
            }
            ConnectionState::WriteTraffic(_) => (false, true),
            _ => (false, false),
        };
        incoming.drain(..discard);
        if !goes_on {
            return is_open;
        }
    }
}

impl Client {
    /// A record of these bytes, the last of which but zeros is its kind (RFC 8446 §5.2).
    pub(crate) fn sealed(&mut self, inner: &[u8]) -> Vec<u8> {
        let (kind, payload) = inner.split_last().expect("a kind");
        let message = OutboundPlainMessage {
            typ: ContentType::from(*kind),
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.writing.encrypt(message, self.written).expect("sealed").encode();
        self.written += 1;
        record
    }

    /// Goes on with the next key, as it must behind a `KeyUpdate`.
    pub(crate) fn update(&mut self) {
        let (written, secrets) = self.kernel.update_tx_secret().expect("a next key");
        (self.written, self.writing) = (written, encrypter(self.suite, secrets));
    }

    /// Sends.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// Closes the connection.
    pub(crate) fn cut(&self) {
        self.wire.cut();
    }

    /// The next record it hears, and its kind; session tickets are passed over.
    pub(crate) fn hear(&mut self) -> Option<(ContentType, Vec<u8>)> {
        self.heard.extend(self.wire.hear());
        loop {
            let length = 5 + usize::from(u16::from_be_bytes([*self.heard.get(3)?, *self.heard.get(4)?]));
            let mut record: Vec<u8> = self.heard.drain(..length).collect();
            let typ = ContentType::from(record[0]);
            let message = InboundOpaqueMessage::new(typ, ProtocolVersion::TLSv1_2, &mut record[5..]);
            let opened = self.reading.decrypt(message, self.read).expect("a record of ours");
            self.read += 1;
            let (typ, payload) = (opened.typ, opened.payload.to_vec());
            match (typ, payload.first()) {
                (ContentType::Handshake, Some(4)) => {}
                (ContentType::Handshake, Some(24)) => {
                    let (read, secrets) = self.kernel.update_rx_secret().expect("a next key");
                    (self.read, self.reading) = (read, decrypter(self.suite, secrets));
                    return Some((typ, payload));
                }
                _ => return Some((typ, payload)),
            }
        }
    }
}

fn encrypter(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    let (key, iv) = parts(secrets);
    suite.aead_alg.encrypter(key, iv)
}

fn decrypter(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageDecrypter> {
    let (key, iv) = parts(secrets);
    suite.aead_alg.decrypter(key, iv)
}

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("another kind of keys"),
    }
}
