use proptest::prelude::*;

use super::*;
use crate::issuance::key::Keyer;

fn credential(authorization: &str) -> Credential {
    Credential {
        authorization: Some(HeaderValue::from_str(authorization).unwrap()),
        service: Some("container_registry".to_owned()),
        account: None,
        client: "10.0.0.1".parse().unwrap(),
    }
}

struct Fixture {
    keyer: Keyer,
    store: Credentials,
}

impl Fixture {
    fn new(limit: usize) -> Self {
        Self { keyer: Keyer::new().unwrap(), store: Credentials::new(limit).unwrap() }
    }

    fn token(&self, token: &str) -> Key {
        self.keyer.token(token.as_bytes())
    }

    /// Keeps a credential for `token`, honoured until 100, at moment 0.
    fn keep(&self, token: &str) -> Result<(), Full> {
        let what = credential("Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3N3b3Jk");
        let key = self.keyer.credential("gitlab", what.authorization.as_ref().map(HeaderValue::as_bytes));
        self.store.keep(self.token(token), key, &what, Timestamp(100), Timestamp(0))
    }

    fn has(&self, token: &str, now: i64) -> bool {
        self.store.find(self.token(token), Timestamp(now)).is_some()
    }
}

#[test]
fn a_credential_is_found_by_its_own_token_and_by_no_other() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();

    let found = fixture.store.find(fixture.token("a"), Timestamp(1)).unwrap();

    assert_eq!(found.credential, credential("Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3N3b3Jk"));
    assert!(found.credential.authorization.unwrap().is_sensitive());
    assert!(!fixture.has("b", 1));
}

#[test]
fn what_is_kept_holds_no_byte_of_the_credential_in_clear() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let state = fixture.store.lock();
    let entry = &state.entries[&fixture.token("a")];
    for canary in [&b"Y2FuYXJ5"[..], b"Basic", b"container_registry"] {
        assert!(!entry.sealed.as_ref().unwrap().windows(canary.len()).any(|window| window == canary));
    }
    assert!(!format!("{:?}", &*state).contains("Basic"));
}

#[test]
fn a_sealed_credential_moved_under_another_token_does_not_open() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    fixture.keep("b").unwrap();
    let mut state = fixture.store.lock();
    let (a, b) = (fixture.token("a"), fixture.token("b"));
    let stolen = state.entries[&a].sealed.clone();
    state.entries.get_mut(&b).unwrap().sealed = stolen;
    drop(state);
    assert!(fixture.has("a", 1) && !fixture.has("b", 1));
}

#[test]
fn a_credential_goes_when_its_token_is_not_honoured_any_more() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    assert!(fixture.has("a", 100));
    assert!(!fixture.has("a", 101));
    fixture.store.sweep(Timestamp(101));
    assert_eq!(fixture.store.bytes(), 0);
}

#[test]
fn a_credential_stays_while_an_upload_opened_with_it_is_open() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let (one, two) = (fixture.keyer.upload("g/p", "1"), fixture.keyer.upload("g/p", "2"));
    fixture.store.opened(one, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.store.opened(two, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.store.opened(two, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.store.sweep(Timestamp(500));
    assert!(fixture.has("a", 500));

    fixture.store.closed(one, Timestamp(500));
    assert!(fixture.has("a", 500), "the other upload is still open");

    fixture.store.closed(two, Timestamp(500));
    assert!(!fixture.has("a", 500));
    let state = fixture.store.lock();
    assert!(state.entries[&fixture.token("a")].sealed.is_none(), "wiped at once");
}

#[test]
fn whose_a_wiped_token_was_is_known_to_the_hard_end_of_its_last_upload() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let known = |now| fixture.store.key(fixture.token("a"), Timestamp(now)).is_some();
    for (upload, hard_end) in [("1", 1000), ("2", 900)] {
        let upload = fixture.keyer.upload("g/p", upload);
        fixture.store.opened(upload, fixture.token("a"), Timestamp(hard_end), Timestamp(1)).unwrap();
        fixture.store.closed(upload, Timestamp(50));
    }
    for swept in [101, 500, 1000] {
        assert!(!fixture.has("a", swept) && known(swept), "{swept}");
        fixture.store.sweep(Timestamp(swept));
        assert!(!fixture.has("a", swept) && known(swept), "{swept}, swept");
        assert_eq!(fixture.store.bytes(), OVERHEAD);
    }
    assert!(!known(1001));
    fixture.store.sweep(Timestamp(1001));
    assert_eq!(fixture.store.bytes(), 0);
    let state = fixture.store.lock();
    assert!(state.entries.is_empty() && state.uploads.is_empty() && state.owners.is_empty());
}

#[test]
fn an_upload_keeps_every_token_of_its_credential_that_may_continue_it() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("first").unwrap();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("first"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.keep("second").unwrap();
    fixture.store.sweep(Timestamp(500));
    assert!(fixture.has("first", 500) && fixture.has("second", 500));
    fixture.store.closed(upload, Timestamp(500));
    assert!(!fixture.has("first", 500) && !fixture.has("second", 500));
}

#[test]
fn an_upload_opened_later_keeps_no_token_that_had_lapsed() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("old").unwrap();
    let what = credential("Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3N3b3Jk");
    let key = fixture.store.key(fixture.token("old"), Timestamp(0)).unwrap();
    fixture.store.keep(fixture.token("new"), key, &what, Timestamp(300), Timestamp(90)).unwrap();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("new"), Timestamp(1000), Timestamp(101)).unwrap();
    assert!(!fixture.has("old", 400) && fixture.has("new", 400));
}

#[test]
fn an_upload_that_was_slow_to_open_keeps_its_token() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("a"), Timestamp(1000), Timestamp(110)).unwrap();
    assert!(fixture.has("a", 500));
}

#[test]
fn closing_an_upload_leaves_a_credential_whose_token_still_lives() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.store.closed(upload, Timestamp(50));
    assert!(fixture.has("a", 100) && !fixture.has("a", 101));
}

#[test]
fn an_upload_past_its_hard_end_keeps_nothing() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.store.sweep(Timestamp(1000));
    assert!(fixture.has("a", 1000) && !fixture.has("a", 1001));
    fixture.store.sweep(Timestamp(1001));
    assert_eq!(fixture.store.bytes(), 0);
}

#[test]
fn a_full_store_refuses_new_entries_keeps_the_old_and_makes_room_by_itself() {
    let fixture = Fixture::new(2 * (OVERHEAD + 150));
    fixture.keep("a").unwrap();
    fixture.keep("b").unwrap();
    assert_eq!(fixture.keep("c"), Err(Full));
    assert!(fixture.has("a", 1) && fixture.has("b", 1));
    let what = credential("Basic eA==");
    let late = fixture.store.keep(fixture.token("c"), fixture.token("x"), &what, Timestamp(900), Timestamp(101));
    assert_eq!(late, Ok(()));
}

#[test]
fn what_fits_exactly_is_kept() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let one = fixture.store.bytes();
    assert_eq!(Fixture::new(one).keep("a"), Ok(()));
    assert_eq!(Fixture::new(one - 1).keep("a"), Err(Full));
}

#[test]
fn an_open_upload_counts_until_it_is_closed() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let before = fixture.store.bytes();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    assert_eq!(fixture.store.bytes(), before + OVERHEAD);
    fixture.store.closed(upload, Timestamp(50));
    assert_eq!(fixture.store.bytes(), before);
}

#[test]
fn a_token_kept_twice_counts_once_and_keeps_its_upload() {
    let fixture = Fixture::new(CREDENTIAL_BYTES);
    fixture.keep("a").unwrap();
    let once = fixture.store.bytes();
    let upload = fixture.keyer.upload("g/p", "1");
    fixture.store.opened(upload, fixture.token("a"), Timestamp(1000), Timestamp(1)).unwrap();
    fixture.keep("a").unwrap();
    assert_eq!(fixture.store.bytes(), once + OVERHEAD);
    assert!(fixture.has("a", 500));
}

proptest! {
    #[test]
    fn every_credential_is_read_as_it_was_written(
        authorization in proptest::option::of("[ -~]{0,40}"),
        service in proptest::option::of(".{0,10}"),
        account in proptest::option::of(".{0,10}"),
        client in any::<IpAddr>(),
    ) {
        let authorization = authorization.map(|text| HeaderValue::from_str(&text).unwrap());
        let credential = Credential { authorization, service, account, client };
        prop_assert_eq!(wire::read(&wire::write(&credential, 0)), Some(credential));
    }
}
