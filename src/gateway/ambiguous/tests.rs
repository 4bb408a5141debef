use super::*;

fn asked(version: Version, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Option<String>, Ambiguous> {
    let mut request = Request::builder().version(version).method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    requested_host(&request.body(()).unwrap()).map(|host| host.map(|host| host.to_string()))
}

#[test]
fn a_request_has_one_reading_or_is_refused() {
    use Ambiguous as No;
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Result<&'a str, No>);
    let host = ("host", "r.test");
    let rows: [Row<'_>; 27] = [
        ("GET", "/v2/", &[host], Ok("r.test")),
        ("GET", "/v2/", &[host, ("accept", "a"), ("accept", "b")], Ok("r.test")),
        ("GET", "http://r.test/v2/", &[("host", "R.TEST:80")], Ok("r.test")),
        ("GET", "https://r.test:5000/v2/", &[("host", "r.test:5000")], Ok("r.test:5000")),
        ("CONNECT", "r.test:443", &[host], Err(No::Method)),
        ("TRACE", "/", &[host], Err(No::Method)),
        ("OPTIONS", "*", &[host], Err(No::Asterisk)),
        ("GET", "/v2/", &[host, ("x_forwarded_for", "1")], Err(No::Underscore)),
        ("GET", "/v2/", &[host, ("authorization", "a"), ("authorization", "a")], Err(No::Authorizations)),
        ("GET", "/v2/", &[host, ("content-length", "5"), ("content-length", "5")], Err(No::Lengths)),
        ("GET", "/v2/", &[host, host], Err(No::Hosts)),
        ("GET", "/v2/", &[], Err(No::NoHost)),
        ("GET", "http://r.test", &[host], Ok("r.test")),
        ("GET", "http://r.test?a=b", &[host], Err(No::Target)),
        ("GET", "/v2/", &[("host", "[::1]:5000")], Ok("[::1]:5000")),
        ("GET", "/v2/", &[("host", "r.test:abc")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "r.test:+80")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "r.test:65536")], Err(No::Host)),
        ("GET", "/v2/", &[("host", ":80")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "a b")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "r.test/x")], Err(No::Host)),
        ("GET", "/v2/", &[("host", "u@r.test")], Err(No::Host)),
        ("GET", "http://u@r.test/v2/", &[host], Err(No::OtherHost)),
        ("GET", "http://other.test/v2/", &[host], Err(No::OtherHost)),
        ("GET", "http://r.test:81/v2/", &[host], Err(No::OtherHost)),
        ("GET", "https://r.test/v2/", &[("host", "r.test:80")], Err(No::OtherHost)),
    ];
    for (method, target, headers, expected) in rows {
        let expected = expected.map(|host| Some(host.to_owned()));
        assert_eq!(asked(Version::HTTP_11, method, target, headers), expected, "{method} {target} {headers:?}");
    }
}

#[test]
fn older_clients_may_leave_out_the_host_and_newer_ones_say_it_in_the_target() {
    assert_eq!(asked(Version::HTTP_10, "GET", "/v2/", &[]), Ok(None));
    assert_eq!(asked(Version::HTTP_2, "GET", "/v2/", &[]), Err(Ambiguous::NoHost));
    assert_eq!(asked(Version::HTTP_2, "GET", "/v2/", &[("host", "r.test")]), Ok(Some("r.test".to_owned())));
    assert_eq!(asked(Version::HTTP_2, "GET", "https://r.test/v2/", &[]), Ok(Some("r.test".to_owned())));
    assert_eq!(asked(Version::HTTP_2, "GET", "https://u@r.test/v2/", &[]), Err(Ambiguous::Host));
    let other = [("host", "other.test")];
    assert_eq!(asked(Version::HTTP_2, "GET", "https://r.test/v2/", &other), Err(Ambiguous::OtherHost));
}

/// As HTTP/2 brings them, in parts; none where the parser has refused it.
fn by_parts(path: &str) -> Option<Result<Option<String>, Ambiguous>> {
    let target = PathAndQuery::try_from(path).ok()?;
    let uri = Uri::builder().scheme("https").authority("r.test").path_and_query(target).build().ok()?;
    let mut request = Request::new(());
    (*request.uri_mut(), *request.version_mut()) = (uri, Version::HTTP_2);
    Some(requested_host(&request).map(|host| host.map(|host| host.to_string())))
}

#[test]
fn a_target_is_a_path_over_either_version() {
    for path in ["/", "/v2/", "/v2/?n=1", "/a|b{c}", "/a?b={c}\\"] {
        assert_eq!(by_parts(path), Some(Ok(Some("r.test".to_owned()))), "{path}");
    }
    for path in ["?a=b", "/a\\b", "/\u{e4}", "/a\"b", "/?\u{e4}"] {
        assert_eq!(by_parts(path), Some(Err(Ambiguous::Target)), "{path}");
    }
    for path in ["https://other.test/v2/", "v2/", "@x"] {
        assert!(matches!(by_parts(path), None | Some(Err(Ambiguous::Target))), "{path}");
    }
}
