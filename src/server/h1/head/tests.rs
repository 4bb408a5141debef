use super::*;

fn head(target: &str, fields: usize) -> Bytes {
    format!("GET {target} HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(fields)).into()
}

#[test]
fn as_many_fields_are_taken_as_are_allowed() {
    for most in [1, FIELDS - 1, FIELDS, FIELDS + 1, 3 * FIELDS] {
        let parsed = parse(&head("/", most), most).unwrap();
        assert_eq!(parsed.request.headers().get_all("a").iter().count(), most);
        assert_eq!(parse(&head("/", most + 1), most).unwrap_err(), Unfit::Fields, "{most}");
    }
}

#[test]
fn a_target_is_as_long_as_can_be_held() {
    let longest = format!("/{}", "x".repeat(MAX_TARGET - 1));
    assert_eq!(parse(&head(&longest, 0), 1).unwrap().request.uri().path(), longest);
    assert_eq!(parse(&head(&format!("{longest}x"), 0), 1).unwrap_err(), Unfit::Target);
    assert_eq!(MAX_TARGET, 65_534);
}

#[test]
fn a_head_is_one_and_whole() {
    let whole = head("/", 1);
    assert_eq!(parse(&whole.slice(..whole.len() - 2), 1).unwrap_err(), Unfit::Parser);
    let two = Bytes::from([&*whole, b"GET"].concat());
    assert_eq!(parse(&two, 1).unwrap_err(), Unfit::Parser);
}
