use proptest::prelude::*;
use toml::de::DeTable;

use super::*;
use crate::config::problem::Place;

/// Reads `value = …` as a `T`, and gives it or the complaint.
fn read<T: Value>(toml: &str) -> Result<T, String> {
    let text = format!("value = {toml}");
    let file = std::path::Path::new("test.toml");
    let mut reporter = Reporter::new(file, &text);
    let table = DeTable::parse(&text).expect("the test writes TOML");
    let (_, value) = table.get_ref().iter().next().expect("one key");
    let item = Item { place: Place { key: "value".to_owned(), span: value.span() }, value: value.get_ref() };
    let found = T::read(&item, &mut reporter);
    let problems = reporter.finish();
    assert!(found.is_some() || !problems.list.is_empty(), "nothing was read, and nothing was said");
    if problems.list.is_empty() { Ok(found.expect("it was read")) } else { Err(problems.to_string()) }
}

fn host(text: &str) -> bool {
    text.parse::<HostName>().is_ok()
}

#[test]
fn hosts_are_names_or_addresses_with_a_port_where_clients_give_one() {
    for good in ["registry.example.com", "registry:5000", "Registry", "10.0.0.1:443", "[::1]:443", "[::1]", "a_b"] {
        assert!(host(good), "{good}");
    }
    for bad in [
        "",
        "*",
        "a b",
        "https://a",
        "a/b",
        "u@a",
        "u:p@a",
        "a:0",
        "a:99999",
        "a:",
        "::1",
        "[::1",
        "[x]",
        "a?b",
        "a#b",
        ".:x",
    ] {
        assert!(!host(bad), "{bad}");
    }
    assert_eq!("Registry.Example.COM:5000".parse::<HostName>().unwrap().0, "registry.example.com:5000");
}

#[test]
fn urls_are_absolute_and_hold_no_credentials_query_or_fragment() {
    for good in ["https://a", "http://a:1/x/y", "https://[::1]/", "HTTPS://a"] {
        assert!(good.parse::<Url>().is_ok(), "{good}");
    }
    for bad in
        ["a", "/x", "//a", "a:5000", "ftp://a", "https://", "https://u@a", "https://a?x", "https://a?", "https://a#x"]
    {
        assert!(bad.parse::<Url>().is_err(), "{bad}");
    }
}

#[test]
fn origins_are_urls_without_a_path() {
    for good in ["https://a", "http://a:5000/"] {
        assert!(good.parse::<Origin>().is_ok(), "{good}");
    }
    for bad in ["http://a:5000/v2/", "http://a//", "a:5000"] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

#[test]
fn rates_are_sizes_a_second() {
    assert_eq!("16KiB/s".parse::<Rate>().unwrap().0, 16 << 10);
    for bad in ["16KiB", "16/s", "/s", "16KiB/m"] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

#[test]
fn words_are_taken_as_they_are_written_and_no_other_way() {
    assert_eq!(read::<Renew>("'resign'").unwrap(), Renew::Resign);
    assert!(read::<Renew>("'Resign'").unwrap_err().ends_with("did you mean `resign`?"));
    assert!(read::<Renew>("true").unwrap_err().contains("one of `resign`, `exchange`, `off`"));
}

#[test]
fn numbers_have_any_of_tomls_spellings_and_no_sign() {
    for (text, number) in [("0", 0), ("10_000", 10_000), ("0x10", 16), ("4294967295", u32::MAX)] {
        assert_eq!(read::<u32>(text), Ok(number), "{text}");
    }
    for bad in ["-1", "4294967296", "1.0", "'1'"] {
        assert!(read::<u32>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_wrong_element_of_a_list_is_named_by_its_place() {
    let said = read::<Redirects>("['a.example.com', 'https://b']").unwrap_err();
    assert!(said.contains("1:27: error: value[1]: "), "{said}");
    let said = read::<Vec<At<IpNet>>>("['10.0.0.0/8', 7, 'x']").unwrap_err();
    assert!(said.contains("value[1]: ") && said.contains("value[2]: ") && !said.contains("value[0]"), "{said}");
}

#[test]
fn credentials_of_a_url_are_not_repeated() {
    let said = read::<Url>("'https://user:CANARY@host/?token=CANARY'").unwrap_err();
    assert!(said.contains("host") && !said.contains("CANARY"), "{said}");
    let said = read::<HostName>("'user:CANARY@host'").unwrap_err();
    assert!(!said.contains("CANARY"), "{said}");
}

#[test]
fn defaults_are_written_as_they_are_read() {
    fn both_ways<T: Written + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(read::<T>(&value.written()), Ok(value));
    }
    both_ways(Ttl::default());
    both_ways("90s".parse::<Ttl>().unwrap());
    both_ways("6h".parse::<Ttl>().unwrap());
    both_ways(ByteSize(0));
    both_ways(ByteSize(3 << 20));
    both_ways(Rate(0));
    both_ways(Renew::Off);
    both_ways(OnAuthorityDown::Stop);
    both_ways(Format::Text);
    both_ways(Redirects::Refuse);
    both_ways(Redirects::Hosts(vec!["blobs.example.com".to_owned()]));
    both_ways(true);
    both_ways(7_u32);
    both_ways("a \"quoted\" text".to_owned());
}

proptest! {
    #[test]
    fn a_host_that_is_taken_can_stand_in_a_url_and_in_a_header(text in "[a-zA-Z0-9.:@/?#*\\[\\]_ %-]{0,24}") {
        if let Ok(HostName(host)) = text.parse() {
            prop_assert!(http::HeaderValue::from_str(&host).is_ok());
            let uri: http::Uri = format!("https://{host}/x").parse().unwrap();
            prop_assert_eq!(uri.authority().unwrap().as_str(), host.as_str());
            prop_assert_eq!(uri.path(), "/x");
        }
    }
}
