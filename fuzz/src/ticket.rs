//! A sealed ticket opens for exactly the upload it was sealed for, and for no other spelling of it.

use std::sync::OnceLock;
use std::time::Duration;

use tidegate::base::clock::Timestamp;
use tidegate::base::secret::Secret;
use tidegate::oci::name::{RepositoryName, UploadId};
use tidegate::token::identity::Identity;
use tidegate::upload::ring::TicketRing;
use tidegate::upload::ticket::{Binding, OriginId, Ticket};

use super::lines;

/// The bytes are eleven lines: site, issuer, audience, repository and upload that a ticket is sealed for; the five that
/// it is opened for; and `AT TEXT`, which replaces so many characters of the sealed ticket from `AT` on (nothing: none).
pub fn check(data: &[u8]) {
    let Some([a, b, c, d, e, f, g, h, i, j, edit]) = lines(data) else { return };
    let (Some(sealed_for), Some(opened_for)) = (Names::read([a, b, c, d, e]), Names::read([f, g, h, i, j])) else {
        return;
    };
    let ring = ring();
    let ticket = Ticket::open(Identity([7; 32]), true, Duration::from_secs(60), OriginId(9), Timestamp(1_800_000_000));
    let sealed = ring.seal(ticket, &sealed_for.binding()).expect("sealed");
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(sealed.len() < 512 && sealed.bytes().all(word), "{sealed:?} does not survive in a query");
    let shown = edited(&sealed, edit);
    let own = sealed_for == opened_for && shown == sealed;
    assert_eq!(
        ring.open(&shown, &opened_for.binding()),
        own.then_some(ticket),
        "{sealed_for:?} {opened_for:?} {shown:?}"
    );
    // What was never sealed does not open either, and nobody else's key opens it.
    assert_eq!(ring.open(edit, &sealed_for.binding()), None);
    assert_eq!(other_ring().open(&sealed, &sealed_for.binding()), None);
}

fn edited(sealed: &str, edit: &str) -> String {
    let Some((at, text)) = edit.split_once(' ') else { return sealed.to_owned() };
    let Ok(at) = at.parse::<usize>() else { return sealed.to_owned() };
    let before = sealed.chars().take(at);
    let after = sealed.chars().skip(at.saturating_add(text.chars().count()));
    before.chain(text.chars()).chain(after).collect()
}

#[derive(Debug, PartialEq)]
struct Names<'a> {
    site: &'a str,
    issuer: &'a str,
    audience: &'a str,
    repository: RepositoryName,
    upload: UploadId,
}

impl<'a> Names<'a> {
    fn read([site, issuer, audience, repository, upload]: [&'a str; 5]) -> Option<Self> {
        let repository = RepositoryName::parse(repository).ok()?;
        let upload = UploadId::parse(upload).ok()?;
        Some(Self { site, issuer, audience, repository, upload })
    }

    fn binding(&self) -> Binding<'_> {
        let Self { site, issuer, audience, repository, upload } = self;
        Binding { site, issuer, audience, repository, upload }
    }
}

/// Two keys: the second opens what another replica sealed.
fn ring() -> &'static TicketRing {
    static RING: OnceLock<TicketRing> = OnceLock::new();
    RING.get_or_init(|| of(&[1, 2]))
}

fn other_ring() -> &'static TicketRing {
    static RING: OnceLock<TicketRing> = OnceLock::new();
    RING.get_or_init(|| of(&[3]))
}

fn of(keys: &[u8]) -> TicketRing {
    TicketRing::new(keys.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).expect("a ring")
}
