use super::*;

#[test]
fn an_id_is_taken_only_where_it_can_stand_in_any_log() {
    for good in ["1", "ci-job/17", "01J9Z:abc_DEF.9+=@", &"a".repeat(128)] {
        assert!(is_plain(good.as_bytes()), "{good}");
    }
    for bad in [&b""[..], b"a b", b"a\"b", b"{}", b"a\x7f", b"\xff", &[b'a'; 129]] {
        assert!(!is_plain(bad), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn ids_given_are_never_the_same() {
    let ids = RequestIds::new();
    let request = Request::new(());
    assert_ne!(ids.of(&request), ids.of(&request));
    assert_ne!(ids.process, RequestIds::new().process);
}

#[test]
fn what_panicked_never_looks_like_a_whole() {
    let mut body = Body::wrap(Panicked);
    for _ in 0..2 {
        let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Some(Err(_)))));
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
    }
}
