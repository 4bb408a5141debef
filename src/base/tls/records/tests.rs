use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::base::tls::testing::certified;

/// Of several records, the last of them not full.
const MUCH: usize = 100_000;

/// One suite, with the records of aws-lc or of ring.
fn only(name: CipherSuite, by_ring: bool) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == name);
    if by_ring {
        seal_by_ring(&mut provider.cipher_suites);
    }
    Arc::new(provider)
}

/// Two ends that have shaken hands.
fn ends(server: Arc<CryptoProvider>, client: Arc<CryptoProvider>) -> (ServerConnection, ClientConnection) {
    let certified = certified(&["a.example"]);
    let mut roots = RootCertStore::empty();
    roots.add(certified.end_entity_cert().unwrap().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(server)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let client = ClientConfig::builder_with_provider(client)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("a.example").unwrap()).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        carry(&mut client, &mut server).unwrap();
        carry(&mut server, &mut client).unwrap();
    }
    (server, client)
}

type End<Data> = rustls::ConnectionCommon<Data>;

/// Carries what one end has to send to the other; gives what it reads there.
fn carry<A, B>(from: &mut End<A>, to: &mut End<B>) -> Result<Vec<u8>, rustls::Error> {
    deliver(sealed(from), to)
}

fn sealed<A>(from: &mut End<A>) -> Vec<u8> {
    let mut sealed = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut sealed).unwrap();
    }
    sealed
}

fn deliver<B>(sealed: Vec<u8>, to: &mut End<B>) -> Result<Vec<u8>, rustls::Error> {
    use std::io::Read as _;
    let (mut sealed, mut read) = (&sealed[..], Vec::new());
    while !sealed.is_empty() {
        to.read_tls(&mut sealed).unwrap();
        to.process_new_packets()?;
        let _waiting = to.reader().read_to_end(&mut read);
    }
    Ok(read)
}

fn say<A>(from: &mut End<A>, what: &[u8]) {
    use std::io::Write as _;
    from.set_buffer_limit(None);
    from.writer().write_all(what).unwrap();
}

#[test]
fn what_one_library_seals_the_other_opens() {
    let much: Vec<u8> = (0..MUCH).map(|number| u8::try_from(number % 251).unwrap()).collect();
    for name in AES_GCM {
        for (server, client) in [(true, false), (false, true), (true, true)] {
            let (mut server, mut client) = ends(only(name, server), only(name, client));
            assert_eq!(server.negotiated_cipher_suite().map(|suite| suite.suite()), Some(name));
            say(&mut server, &much);
            assert!(carry(&mut server, &mut client).unwrap() == much, "{name:?}: to the client");
            say(&mut client, &much);
            assert!(carry(&mut client, &mut server).unwrap() == much, "{name:?}: to the server");
            client.refresh_traffic_keys().unwrap();
            say(&mut client, &much);
            assert!(carry(&mut client, &mut server).unwrap() == much, "{name:?}: with the next key");
        }
    }
}

#[test]
fn a_record_that_was_changed_is_refused() {
    for name in AES_GCM {
        let (mut server, mut client) = ends(only(name, true), only(name, false));
        say(&mut client, b"GET / HTTP/1.1");
        let mut record = sealed(&mut client);
        *record.last_mut().unwrap() ^= 1;
        assert_eq!(deliver(record, &mut server), Err(rustls::Error::DecryptError), "{name:?}");
    }
}

#[test]
fn nothing_but_the_records_is_rings() {
    let (plain, mut changed) =
        (aws_lc_rs::default_provider().cipher_suites, aws_lc_rs::default_provider().cipher_suites);
    seal_by_ring(&mut changed);
    let names = |suites: &[SupportedCipherSuite]| suites.iter().map(SupportedCipherSuite::suite).collect::<Vec<_>>();
    assert_eq!(names(&changed), names(&plain), "the same suites, in the same order");
    let mut by_ring = Vec::new();
    for (changed, plain) in changed.iter().zip(&plain) {
        let (Some(changed), Some(plain)) = (changed.tls13(), plain.tls13()) else {
            assert_eq!(changed, plain, "TLS 1.2");
            continue;
        };
        assert!(std::ptr::addr_eq(changed.hkdf_provider, plain.hkdf_provider), "{:?}", plain.common.suite);
        assert!(std::ptr::addr_eq(changed.common.hash_provider, plain.common.hash_provider));
        assert_eq!(changed.common.confidentiality_limit, plain.common.confidentiality_limit);
        if !std::ptr::addr_eq(changed.aead_alg, plain.aead_alg) {
            by_ring.push(plain.common.suite);
        }
    }
    by_ring.sort_by_key(|name| AES_GCM.iter().position(|it| it == name));
    assert_eq!(by_ring, AES_GCM);
}
