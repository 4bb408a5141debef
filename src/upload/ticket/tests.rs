use super::*;

fn opened() -> Ticket {
    let max_session = Duration::from_secs(21_600);
    Ticket::open(Identity([7; 32]), true, max_session, OriginId(1), Timestamp(1_000))
}

#[test]
fn a_ticket_ends_the_longest_session_after_it_was_opened() {
    let Ticket { opened, verified, hard_end, .. } = opened();
    assert_eq!((opened, verified, hard_end), (Timestamp(1_000), Timestamp(1_000), Timestamp(22_600)));
}

#[test]
fn the_next_ticket_differs_in_its_last_verification_alone() {
    let later = Ticket { verified: Timestamp(1_300), ..opened() };
    for (before, verified, after) in
        [(opened(), Some(Timestamp(1_300)), later), (later, Some(Timestamp(1_200)), later), (later, None, later)]
    {
        assert_eq!(before.next(verified), after, "{verified:?}");
    }
}

#[test]
fn an_origin_has_the_same_id_on_every_replica() {
    // The first eight bytes that sha256sum (coreutils) prints.
    assert_eq!(OriginId::of("http://registry:5000"), OriginId(0xa5e9b004a7083042));
}
