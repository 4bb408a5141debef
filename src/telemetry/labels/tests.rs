use super::*;

fn check<L: Label>() {
    for (position, value) in L::ALL.iter().enumerate() {
        assert_eq!(value.index(), position, "{value:?} stands elsewhere in its enum than in its list");
        assert!(value.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        assert_eq!(L::ALL.iter().filter(|other| other.as_str() == value.as_str()).count(), 1, "{value:?} is not alone");
    }
}

#[test]
fn every_label_value_stands_at_its_index_and_is_unique() {
    check::<Listener>();
    check::<DeniedReason>();
    check::<TokenResult>();
    check::<CacheResult>();
    check::<TokenSource>();
    check::<Limit>();
    check::<RouteKind>();
    check::<Renew>();
    check::<MethodLabel>();
}

#[test]
fn a_status_nobody_registered_counts_by_its_class() {
    assert_eq!(Code::from(StatusCode::NOT_FOUND), Code(404));
    assert_eq!(Code::from(StatusCode::from_u16(599).unwrap()), Code(5));
    assert_eq!(Code::from(StatusCode::from_u16(299).unwrap()), Code(2));
}
