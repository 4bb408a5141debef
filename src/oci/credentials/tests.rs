use proptest::prelude::*;

use super::*;

fn parse(value: &str) -> Credentials {
    Credentials::parse(&HeaderValue::from_bytes(value.as_bytes()).unwrap())
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic { user: user.to_owned(), password: Secret::new(password.as_bytes().to_vec()) }
}

#[test]
fn a_header_is_basic_or_bearer_or_neither() {
    let bearer = |token: &str| Credentials::Bearer(Secret::new(token.as_bytes().to_vec()));
    for (value, read) in [
        ("Basic amFuZTpzM2NyZXQ6", basic("jane", "s3cret:")),
        ("basic amFuZTo=", basic("jane", "")),
        ("BASIC OnB3", basic("", "pw")),
        ("Bearer a.b.c", bearer("a.b.c")),
        ("bearer x", bearer("x")),
        ("Bearer not:a~token", bearer("not:a~token")),
        ("Basic amFuZQ==", Credentials::Other),
        ("Basic amFuZTo", Credentials::Other),
        ("Basic amFuZTo=x", Credentials::Other),
        ("Basic !", Credentials::Other),
        ("Basic ", Credentials::Other),
        ("Basic", Credentials::Other),
        ("Basic  amFuZTo=", Credentials::Other),
        ("Bearer  x", Credentials::Other),
        ("Bearer x y", Credentials::Other),
        ("Bearer\tx", Credentials::Other),
        ("Bearer ä", Credentials::Other),
        (" Bearer x", Credentials::Other),
        ("Negotiate x", Credentials::Other),
        ("", Credentials::Other),
        // «jane\n:pw» and «\xff:pw»
        ("Basic amFuZQo6cHc=", Credentials::Other),
        ("Basic /zpwdw==", Credentials::Other),
    ] {
        assert_eq!(parse(value), read, "{value:?}");
    }
}

#[test]
fn a_password_need_not_be_text() {
    let read = parse("Basic YTr/");
    assert_eq!(read, Credentials::Basic { user: "a".to_owned(), password: Secret::new(vec![0xff]) });
}

#[test]
fn what_no_basic_header_can_say_is_not_written() {
    for (user, password) in [("a:b", "c"), ("a\n", "c"), ("a", "c\0")] {
        assert_eq!(Credentials::basic(user, password), None);
    }
    for token in ["", "a b", "a\n", "ä"] {
        assert_eq!(Credentials::bearer(&Secret::new(token.as_bytes().to_vec())), None);
    }
}

#[test]
fn what_was_read_is_not_shown() {
    assert!(!format!("{:?}", parse("Basic amFuZTpzM2NyZXQ6")).contains("s3cret"));
    assert!(!format!("{:?}", parse("Bearer canary")).contains("canary"));
    assert!(!format!("{:?}", Credentials::bearer(&Secret::new(b"canary".to_vec()))).contains("canary"));
    assert!(!format!("{:?}", Credentials::basic("jane", "s3cret")).contains("c3"));
}

proptest! {
    #[test]
    fn basic_comes_back_as_it_was(user in "[^:\\pC]{0,12}", password in "[^\\pC]{0,24}") {
        let header = Credentials::basic(&user, &password).unwrap();
        prop_assert!(header.is_sensitive());
        prop_assert_eq!(Credentials::parse(&header), basic(&user, &password));
    }

    #[test]
    fn bearer_comes_back_as_it_was(token in "[!-~]{1,24}") {
        let token = Secret::new(token.into_bytes());
        let header = Credentials::bearer(&token).unwrap();
        prop_assert!(header.is_sensitive());
        prop_assert_eq!(Credentials::parse(&header), Credentials::Bearer(token));
    }
}
