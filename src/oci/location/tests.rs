use proptest::prelude::*;

use super::*;

const UPLOAD: &str = "/v2/g/p/blobs/uploads/u-1";

fn name() -> RepositoryName {
    RepositoryName::parse("g/p").unwrap()
}

#[test]
fn a_location_of_this_repository_is_reduced_to_path_and_query() {
    for (location, kept) in [
        (UPLOAD.to_owned(), UPLOAD.to_owned()),
        (format!("{UPLOAD}?_state=a%3D%3D&x"), format!("{UPLOAD}?_state=a%3D%3D&x")),
        (format!("http://reg-1:5000{UPLOAD}?_state=a"), format!("{UPLOAD}?_state=a")),
        (format!("HTTPS://[::1]:5000{UPLOAD}"), UPLOAD.to_owned()),
        (format!("https://user@evil.example{UPLOAD}"), UPLOAD.to_owned()),
        (format!("{UPLOAD}?"), UPLOAD.to_owned()),
        (format!("{UPLOAD}?a#b?c"), format!("{UPLOAD}?a")),
        (format!("{UPLOAD}#f"), UPLOAD.to_owned()),
        (format!("{UPLOAD}?u=http://x/../y&&"), format!("{UPLOAD}?u=http://x/../y&&")),
        (format!("{UPLOAD}?%5Ftidegate=x&_tidegates=y"), format!("{UPLOAD}?%5Ftidegate=x&_tidegates=y")),
    ] {
        let read = BlobPushLocation::parse(&location, &name()).unwrap();
        assert_eq!(read.with_ticket(None), kept, "{location}");
        assert_eq!(read.upload.as_str(), "u-1");
    }
}

#[test]
fn a_location_that_leads_elsewhere_is_foreign() {
    for location in [
        "",
        "/",
        "u-1",
        "v2/g/p/blobs/uploads/u-1",
        "//evil.example/v2/g/p/blobs/uploads/u-1",
        "///v2/g/p/blobs/uploads/u-1",
        "\\\\evil.example/v2/g/p/blobs/uploads/u-1",
        "/\\evil.example/v2/g/p/blobs/uploads/u-1",
        "/v2/g/p/blobs/uploads\\u-1",
        "http:/v2/g/p/blobs/uploads/u-1",
        "http:///v2/g/p/blobs/uploads/u-1",
        "ftp://h/v2/g/p/blobs/uploads/u-1",
        "javascript://h/v2/g/p/blobs/uploads/u-1",
        "http://h?/v2/g/p/blobs/uploads/u-1",
        "http://h#/v2/g/p/blobs/uploads/u-1",
        "/prefix/v2/g/p/blobs/uploads/u-1",
        "/v2/o/q/blobs/uploads/u-1",
        "/v2/g/p/x/blobs/uploads/u-1",
        "/v2/g/px/blobs/uploads/u-1",
        "/v2/g/pg/p/blobs/uploads/u-1",
        "/v2//blobs/uploads/u-1",
        "/v2/g/p/blobs/uploads/",
        "/v2/g/p/blobs/uploads",
        "/v2/g/p/blobs/uploads/u/1",
        "/v2/g/p/blobs/uploads/..",
        "/v2/g/p/../p/blobs/uploads/u-1",
        "/v2/g/p/blobs/uploads/u-1/../../../../../jwt/auth",
        "/v2/g%2Fp/blobs/uploads/u-1",
        "/v2/g/p/blobs/uploads/u%2D1",
        "/v2/g/p/blobs/sha256:aa",
        "/v2/g/p/blobs/uploads/u-1\r\nX: y",
        "/v2/g/p/blobs/uploads/u-1?a b",
        "/v2/g/p/blobs/uploads/u-1?a\\b",
        "/v2/g/p/blobs/uploads/u-1?a\0",
        "/v2/g/p/blobs/uploads/u-1?\u{e4}",
        "/v2/g/p/blobs/uploads/u-1?_tidegate=planted",
        "/v2/g/p/blobs/uploads/u-1?a&_tidegate",
    ] {
        assert_eq!(BlobPushLocation::parse(location, &name()), Err(LocationError::Foreign), "{location:?}");
    }
}

#[test]
fn a_ticket_is_the_last_parameter() {
    for (location, sent) in [
        (UPLOAD.to_owned(), format!("{UPLOAD}?_tidegate=T-_1")),
        (format!("{UPLOAD}?"), format!("{UPLOAD}?_tidegate=T-_1")),
        (format!("{UPLOAD}?a=b%3D"), format!("{UPLOAD}?a=b%3D&_tidegate=T-_1")),
        (format!("{UPLOAD}?a&"), format!("{UPLOAD}?a&&_tidegate=T-_1")),
    ] {
        let read = BlobPushLocation::parse(&location, &name()).unwrap();
        assert_eq!(read.with_ticket(Some("T-_1")), sent, "{location}");
    }
}

#[test]
fn exactly_the_ticket_is_taken_out() {
    for (query, left, ticket) in [
        (None, None, None),
        (Some(""), Some(""), None),
        (Some("a=b&c"), Some("a=b&c"), None),
        (Some("_tidegate=T"), None, Some("T")),
        (Some("_tidegate="), None, Some("")),
        (Some("_tidegate"), None, Some("")),
        (Some("_tidegate=T=="), None, Some("T==")),
        (Some("a=b&_tidegate=T"), Some("a=b"), Some("T")),
        (Some("_tidegate=T&a=b"), Some("a=b"), Some("T")),
        (Some("_state=x%3D&_tidegate=T&digest=sha256:aa"), Some("_state=x%3D&digest=sha256:aa"), Some("T")),
        (Some("a&&_tidegate=T"), Some("a&"), Some("T")),
        (Some("a&_tidegate=T&"), Some("a&"), Some("T")),
        (Some("_tidegate=T&"), Some(""), Some("T")),
        (Some("&_tidegate=T"), Some(""), Some("T")),
        (Some("%5Ftidegate=T"), Some("%5Ftidegate=T"), None),
        (Some("_tidegates=T&x_tidegate=T&_Tidegate=T"), Some("_tidegates=T&x_tidegate=T&_Tidegate=T"), None),
        (Some("a=_tidegate=T"), Some("a=_tidegate=T"), None),
        (Some("a;_tidegate=T"), Some("a;_tidegate=T"), None),
    ] {
        let taken = take_ticket(query).unwrap();
        assert_eq!((taken.query.as_deref(), taken.ticket), (left, ticket), "{query:?}");
    }
}

#[test]
fn two_tickets_are_refused() {
    for query in
        ["_tidegate=T&_tidegate=T", "_tidegate&a&_tidegate=", "_tidegate=T&a=b&_tidegate=U", "_tidegate&_tidegate"]
    {
        assert_eq!(take_ticket(Some(query)), Err(Repeated), "{query}");
    }
}

proptest! {
    #[test]
    fn putting_in_and_taking_out_leaves_every_other_byte(query in prop::option::of("[a-z_=&%+;:/?]{1,24}"), ticket in "[A-Za-z0-9_-]{1,24}") {
        let suffix = query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        let location = BlobPushLocation::parse(&format!("{UPLOAD}{suffix}"), &name()).unwrap();
        prop_assert_eq!(&location.query, &query);
        let sent = location.with_ticket(Some(&ticket));
        let (path, sent) = sent.split_once('?').unwrap();
        prop_assert_eq!(path, UPLOAD);
        let taken = take_ticket(Some(sent)).unwrap();
        prop_assert_eq!(taken.query.as_deref(), query.as_deref());
        prop_assert_eq!(taken.ticket, Some(ticket.as_str()));
    }

    #[test]
    fn wherever_the_ticket_stands_the_other_pairs_keep_their_order(mut pairs in prop::collection::vec("[a-z=%]{1,6}", 0..5), at in any::<prop::sample::Index>()) {
        let others = pairs.join("&");
        pairs.insert(at.index(pairs.len() + 1), "_tidegate=T".to_owned());
        let query = pairs.join("&");
        let taken = take_ticket(Some(&query)).unwrap();
        prop_assert_eq!(taken.query.as_deref().unwrap_or_default(), others);
        prop_assert_eq!(taken.ticket, Some("T"));
    }

    #[test]
    fn no_query_yields_more_than_it_held(query in "(_tidegate|_tidegate=|&|a|=|%5F){0,8}") {
        let tickets = query.split('&').filter(|pair| *pair == "_tidegate" || pair.starts_with("_tidegate=")).count();
        match take_ticket(Some(&query)) {
            Err(Repeated) => prop_assert!(tickets > 1),
            Ok(taken) => {
                prop_assert_eq!(tickets, usize::from(taken.ticket.is_some()));
                prop_assert_eq!(take_ticket(taken.query.as_deref()).unwrap().ticket, None);
            }
        }
    }
}
