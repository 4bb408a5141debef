use super::*;
use crate::base::clock::Timestamp;
use crate::oci::name::{RepositoryName, UploadId};
use crate::token::identity::Identity;
use crate::upload::ticket::OriginId;

fn ticket() -> Ticket {
    Ticket {
        identity: Identity([7; 32]),
        extends: true,
        opened: Timestamp(1_000),
        hard_end: Timestamp(22_600),
        verified: Timestamp(1_300),
        origin: OriginId::of("http://registry:5000"),
    }
}

fn names() -> (RepositoryName, UploadId) {
    (RepositoryName::parse("group/project").unwrap(), UploadId::parse("9b1c-2f").unwrap())
}

fn binding<'a>(names: &'a (RepositoryName, UploadId)) -> Binding<'a> {
    Binding {
        site: "registry.example.com",
        issuer: "issuer",
        audience: "service",
        repository: &names.0,
        upload: &names.1,
    }
}

#[test]
fn what_one_replica_seals_another_with_the_same_key_opens() {
    let key = Secret::new(vec![3; 32]);
    let names = names();
    let sealed = TicketRing::new(vec![key.clone()]).unwrap().seal(ticket(), &binding(&names)).unwrap();
    assert_eq!(TicketRing::new(vec![key]).unwrap().open(&sealed, &binding(&names)), Some(ticket()));
    assert_eq!(sealed.len(), 131);
}

#[test]
fn a_previous_key_still_opens_and_the_first_one_seals() {
    let (old, new) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
    let names = names();
    let before = TicketRing::new(vec![old.clone()]).unwrap();
    let rotated = TicketRing::new(vec![new, old]).unwrap();
    let sealed = before.seal(ticket(), &binding(&names)).unwrap();
    assert_eq!(rotated.open(&sealed, &binding(&names)), Some(ticket()));
    let sealed = rotated.seal(ticket(), &binding(&names)).unwrap();
    assert_eq!(before.open(&sealed, &binding(&names)), None);
}

#[test]
fn a_ticket_with_any_bit_flipped_does_not_open() {
    let ring = TicketRing::ephemeral().unwrap();
    let names = names();
    let sealed = ring.seal(ticket(), &binding(&names)).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ring.open(&URL_SAFE_NO_PAD.encode(flipped), &binding(&names)), None, "bit {bit}");
    }
    assert_eq!(ring.open(&sealed, &binding(&names)), Some(ticket()));
}

#[test]
fn a_ticket_opens_for_its_own_site_issuer_audience_repository_and_upload_only() {
    let ring = TicketRing::ephemeral().unwrap();
    let names = names();
    let own = binding(&names);
    let sealed = ring.seal(ticket(), &own).unwrap();
    let repository = RepositoryName::parse("group/other").unwrap();
    let upload = UploadId::parse("9b1c-2e").unwrap();
    let others = [
        Binding { site: "other.example.com", ..own },
        Binding { issuer: "other", ..own },
        Binding { audience: "other", ..own },
        Binding { repository: &repository, ..own },
        Binding { upload: &upload, ..own },
        // The same bytes, cut elsewhere.
        Binding { issuer: "issuers", audience: "ervice", ..own },
    ];
    for other in others {
        assert_eq!(ring.open(&sealed, &other), None, "{other:?}");
    }
}

#[test]
fn no_two_seals_of_one_ticket_are_alike() {
    let ring = TicketRing::ephemeral().unwrap();
    let names = names();
    assert_ne!(ring.seal(ticket(), &binding(&names)), ring.seal(ticket(), &binding(&names)));
}

#[test]
fn what_is_no_ticket_opens_as_none() {
    let ring = TicketRing::ephemeral().unwrap();
    let names = names();
    for sealed in ["", "AQ", "!", "AQAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(600)] {
        assert_eq!(ring.open(sealed, &binding(&names)), None, "{sealed}");
    }
}

/// Seals so many tickets and looks for a salt that came twice: two tickets would share a key and its nonce.
fn salts_differ(count: usize) {
    let ring = TicketRing::new(vec![Secret::new(vec![3; 32])]).unwrap();
    let names = names();
    let mut seen = std::collections::HashSet::with_capacity(count);
    for number in 0..count {
        let sealed = URL_SAFE_NO_PAD.decode(ring.seal(ticket(), &binding(&names)).unwrap()).unwrap();
        let salt: [u8; SALT] = sealed[1..=SALT].try_into().unwrap();
        assert!(seen.insert(salt), "ticket {number} has the salt of an earlier one");
    }
}

#[test]
fn no_two_tickets_share_a_salt() {
    salts_differ(100_000);
}

#[test]
#[ignore = "takes minutes; `cargo test --release --lib salt -- --ignored`"]
fn no_two_of_ten_million_tickets_share_a_salt() {
    salts_differ(10_000_000);
}
