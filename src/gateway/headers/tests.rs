use std::sync::Arc;

use http::Request;

use super::*;
use crate::gateway::ambiguous::requested_host;

fn peer(address: &str, secure: bool) -> Peer {
    let local = "127.0.0.1:443".parse().unwrap();
    Peer { address: format!("{address}:40000").parse().unwrap(), local, secure, server_name: None::<Arc<str>> }
}

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().uri("/v2/").header("host", "registry.example.com");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn origin(request: &Request<()>, from: &str, trusted: &[IpNet]) -> ClientOrigin {
    let asked = requested_host(request).ok().flatten();
    ClientOrigin::of(request.headers(), asked, &peer(from, true), trusted)
}

fn cleaned(headers: &[(&str, &str)], from: &str, trusted: &[IpNet]) -> HeaderMap {
    let mut request = request(headers);
    let client = origin(&request, from, trusted);
    clean_request(request.headers_mut(), &client, None);
    request.headers().clone()
}

#[test]
fn another_protocol_is_asked_for_by_a_field_that_names_one() {
    type Row<'a> = (&'a [(&'static str, &'static str)], bool);
    let rows: [Row<'_>; 9] = [
        (&[], false),
        (&[("connection", "upgrade")], false),
        (&[("connection", "upgrade"), ("upgrade", "")], false),
        (&[("upgrade", "h2c")], true),
        (&[("connection", "upgrade"), ("upgrade", "h2c")], true),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], true),
        (&[("upgrade", "TLS/1.0, HTTP/1.1")], true),
        (&[("upgrade", ""), ("upgrade", "h2c")], true),
        (&[("http2-settings", "AAMAAABk")], false),
    ];
    for (fields, asks) in rows {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(asks_to_switch(&headers), asks, "{fields:?}");
    }
}

#[test]
fn a_stranger_cannot_say_who_it_is() {
    let headers = cleaned(
        &[
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/evil"),
            ("x-real-ip", "10.9.9.9"),
            ("forwarded", "for=10.9.9.9;host=evil.example;proto=http"),
        ],
        "192.0.2.7",
        &[],
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["x-real-ip"], "192.0.2.7");
    assert_eq!(headers["x-forwarded-host"], "registry.example.com");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert!(!headers.contains_key("forwarded") && !headers.contains_key("x-forwarded-prefix"));
}

#[test]
fn trusted_proxies_are_believed_from_the_right_to_the_first_stranger() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let headers = cleaned(
        &[
            ("x-forwarded-for", "203.0.113.66, 198.51.100.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "other.example.com:8443"),
        ],
        "10.0.0.1",
        &trusted,
    );
    assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 10.0.0.2, 10.0.0.1");
    assert_eq!(headers["x-real-ip"], "198.51.100.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["host"], "other.example.com:8443");
}

#[test]
fn an_address_that_does_not_parse_ends_the_chain_where_it_stands() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let headers = cleaned(&[("x-forwarded-for", "198.51.100.1, unknown")], "10.0.0.1", &trusted);
    assert_eq!(headers["x-real-ip"], "10.0.0.1");
}

#[test]
fn connection_names_fields_away_but_not_those_that_make_the_message() {
    let headers = cleaned(
        &[
            ("connection", "x-secret, authorization, x-forwarded-for, content-length, Host"),
            ("x-secret", "1"),
            ("authorization", "Bearer t"),
            ("content-length", "5"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("expect", "100-continue"),
        ],
        "192.0.2.7",
        &[],
    );
    for gone in ["connection", "x-secret", "keep-alive", "proxy-authorization", "upgrade", "expect"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["authorization"], "Bearer t");
    assert_eq!(headers["content-length"], "5");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    assert_eq!(headers["host"], "registry.example.com");
}

#[test]
fn the_authority_of_http_2_becomes_the_host() {
    let request = Request::builder().uri("https://registry.example.com:8443/v2/").body(()).unwrap();
    let client = origin(&request, "192.0.2.7", &[]);
    let mut headers = HeaderMap::new();
    clean_request(&mut headers, &client, None);
    assert_eq!(headers["host"], "registry.example.com:8443");
}

#[test]
fn cookies_in_crumbs_become_one_field() {
    let headers = cleaned(&[("cookie", "a=1"), ("cookie", "b=2")], "192.0.2.7", &[]);
    assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
}

#[test]
fn names_with_an_underscore_pass_for_no_other() {
    let headers = cleaned(&[("x_forwarded_for", "10.9.9.9"), ("x_real_ip", "10.9.9.9")], "192.0.2.7", &[]);
    assert!(headers.keys().all(|name| !name.as_str().contains('_')), "{headers:?}");
}

#[test]
fn a_chain_may_name_ports() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let headers = cleaned(&[("x-forwarded-for", "198.51.100.1:40321, [2001:db8::1]:443")], "10.0.0.1", &trusted);
    assert_eq!(headers["x-real-ip"], "2001:db8::1");
    let headers = cleaned(&[("x-forwarded-for", "198.51.100.1:40321, 10.0.0.2")], "10.0.0.1", &trusted);
    assert_eq!(headers["x-real-ip"], "198.51.100.1");
}

#[test]
fn a_host_has_no_user() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let headers = cleaned(&[("x-forwarded-host", "evil@other.example")], "10.0.0.1", &trusted);
    assert_eq!(headers["x-forwarded-host"], "registry.example.com");
}

#[test]
fn no_trailer_is_promised_that_a_head_may_not_have() {
    for (promised, passes) in [
        ("X-Sum", true),
        ("X-Sum, Digest", true),
        ("X-Forwarded-For", false),
        ("X-Sum,x-real-ip", false),
        ("X_Real_IP", false),
        ("X-Sum, Upgrade", false),
        ("Cookie", false),
        ("X-Sum,", false),
    ] {
        let headers = cleaned(&[("trailer", "X-Other"), ("trailer", promised)], "192.0.2.1", &[]);
        assert_eq!(headers.contains_key("trailer"), passes, "{promised}");
    }
}
