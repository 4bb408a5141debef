use proptest::prelude::*;

use super::*;
use crate::oci::form;
use crate::oci::grammar::Regex;

const NAME: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
const TAG: &str = "[a-zA-Z0-9_][a-zA-Z0-9._-]*";
const DIGEST: &str = "[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+";
const D: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

/// `classify` in one line: `kind needed`, needed as a scope would say it; or the error.
fn classify(method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match Route::classify(&method, path, query) {
        Ok(route) => {
            let needed = match &*route.needed {
                Needed::AnyToken => "any".to_owned(),
                Needed::WholeToken => "whole".to_owned(),
                Needed::Resources(resources) => crate::oci::scope::write(resources),
            };
            format!("{} {needed}", route.kind.as_str())
        }
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn every_endpoint_of_the_specification_takes_its_access() {
    for (end, method, target, expected) in [
        ("end-1", "GET", "/v2/".to_owned(), "base any"),
        ("end-2", "GET", format!("/v2/g/p/blobs/{D}"), "blob repository:g/p:pull"),
        ("end-2", "HEAD", format!("/v2/g/p/blobs/{D}"), "blob repository:g/p:pull"),
        ("end-3", "GET", "/v2/g/p/manifests/v1.0".to_owned(), "manifest repository:g/p:pull"),
        ("end-3", "HEAD", format!("/v2/g/p/manifests/{D}"), "manifest repository:g/p:pull"),
        ("end-4a", "POST", "/v2/g/p/blobs/uploads/".to_owned(), "upload_open repository:g/p:pull,push"),
        ("end-4b", "POST", format!("/v2/g/p/blobs/uploads/?digest={D}"), "upload_open repository:g/p:pull,push"),
        ("end-5", "PATCH", "/v2/g/p/blobs/uploads/u-1?_state=x".to_owned(), "upload repository:g/p:pull,push"),
        ("end-6", "PUT", format!("/v2/g/p/blobs/uploads/u-1?digest={D}"), "upload repository:g/p:pull,push"),
        ("end-7", "PUT", "/v2/g/p/manifests/latest".to_owned(), "manifest repository:g/p:pull,push"),
        ("end-8a", "GET", "/v2/g/p/tags/list".to_owned(), "tags repository:g/p:pull"),
        ("end-8b", "GET", "/v2/g/p/tags/list?n=1&last=a".to_owned(), "tags repository:g/p:pull"),
        ("end-9", "DELETE", "/v2/g/p/manifests/latest".to_owned(), "manifest repository:g/p:delete"),
        ("end-10", "DELETE", format!("/v2/g/p/blobs/{D}"), "blob repository:g/p:delete"),
        (
            "end-11",
            "POST",
            format!("/v2/g/p/blobs/uploads/?mount={D}&from=o/q"),
            "upload_open repository:g/p:pull,push repository:o/q:pull",
        ),
        ("end-11", "POST", format!("/v2/g/p/blobs/uploads/?mount={D}"), "upload_open repository:g/p:pull,push"),
        ("end-12a", "GET", format!("/v2/g/p/referrers/{D}"), "referrers repository:g/p:pull"),
        ("end-12b", "GET", format!("/v2/g/p/referrers/{D}?artifactType=a/b"), "referrers repository:g/p:pull"),
        ("end-13", "GET", "/v2/g/p/blobs/uploads/u-1".to_owned(), "upload repository:g/p:pull"),
        ("status", "HEAD", "/v2/g/p/blobs/uploads/u-1".to_owned(), "upload repository:g/p:pull"),
        ("end-14", "DELETE", "/v2/g/p/blobs/uploads/u-1".to_owned(), "upload repository:g/p:delete"),
        ("catalog", "GET", "/v2/_catalog".to_owned(), "catalog registry:catalog:*"),
        ("catalog", "GET", "/v2/_catalog?n=1&last=g/p".to_owned(), "catalog registry:catalog:*"),
    ] {
        assert_eq!(classify(method, &target), expected, "{end} {method} {target}");
    }
}

#[test]
fn what_the_registries_serve_beside_the_specification_is_known() {
    for (method, target, expected) in [
        ("GET", "/v2", "base any"),
        ("HEAD", "/v2/", "base any"),
        ("POST", "/v2/", "base any"),
        ("OPTIONS", "/v2/", "base any"),
        ("OPTIONS", "/v2/g/p/tags/list", "tags any"),
        ("OPTIONS", "/v2/_catalog", "catalog registry:catalog:*"),
        ("POST", "/v2/g/p/tags/list", "tags repository:g/p:pull,push"),
        ("POST", "/v2/g/p/blobs/uploads", "upload_open repository:g/p:pull,push"),
        ("GET", "/v2/g/p/blobs/uploads/", "upload_open repository:g/p:pull"),
        ("GET", "/gitlab/v1", "gitlab whole"),
        ("GET", "/gitlab/v1/", "gitlab whole"),
        ("GET", "/gitlab/v1/repositories/g/p/tags/list/?n=1", "gitlab whole"),
        ("PATCH", "/gitlab/v1/repositories/g/p/?dry_run=true", "gitlab whole"),
        ("GET", "/v2/g/p/blobs/sha256%3Aaa", "blob repository:g/p:pull"),
        ("PUT", "/v2/g/p/manifests/sha256%3aaa", "manifest repository:g/p:pull,push"),
    ] {
        assert_eq!(classify(method, target), expected, "{method} {target}");
    }
}

#[test]
fn names_may_hold_the_words_of_endpoints() {
    for (target, expected) in [
        ("/v2/tags/list/tags/list", "tags repository:tags/list:pull"),
        ("/v2/manifests/manifests/manifests", "manifest repository:manifests:pull"),
        ("/v2/a/blobs/uploads/manifests/x", "manifest repository:a/blobs/uploads:pull"),
        ("/v2/a/blobs/uploads/blobs/uploads/x", "upload repository:a/blobs/uploads:pull"),
        ("/v2/a/manifests/x/blobs/uploads/", "upload_open repository:a/manifests/x:pull"),
        ("/v2/a/blobs/uploads/tags/list", "tags repository:a/blobs/uploads:pull"),
        ("/v2/a/manifests/blobs/sha256:aa", "blob repository:a/manifests:pull"),
    ] {
        assert_eq!(classify("GET", target), expected, "{target}");
    }
}

#[test]
fn a_mount_takes_pull_on_its_source_whatever_the_method() {
    let upload = "/v2/g/p/blobs/uploads/u-1";
    for (method, query, expected) in [
        ("POST", "from=o/q", "upload repository:g/p:pull,push repository:o/q:pull"),
        ("PATCH", "_state=x&from=o%2Fq", "upload repository:g/p:pull,push repository:o/q:pull"),
        ("PATCH", "fr%6Fm=o/q", "upload repository:g/p:pull,push repository:o/q:pull"),
        ("GET", "from=o/q", "upload repository:g/p:pull repository:o/q:pull"),
        ("DELETE", "from=o/q", "upload repository:g/p:delete repository:o/q:pull"),
        ("DELETE", "from=g/p", "upload repository:g/p:pull,delete"),
        ("OPTIONS", "from=o/q", "upload repository:o/q:pull"),
        ("PUT", "from=", "upload repository:g/p:pull,push"),
        ("PUT", "from", "upload repository:g/p:pull,push"),
        ("PUT", "From=o/q&xfrom=o/q", "upload repository:g/p:pull,push"),
        ("PUT", "x=from;y", "upload repository:g/p:pull,push"),
        ("PUT", "%zz=1&x=%zz", "upload repository:g/p:pull,push"),
        ("POST", "from=o/q&from=o/q", "Ambiguous"),
        ("POST", "from=&from=o/q", "Ambiguous"),
        ("POST", "from=o/q&%66rom=o/r", "Ambiguous"),
        ("POST", "mount=a&mount=b", "Ambiguous"),
        ("POST", "mount=a&from=o/q&m%6Funt=b", "Ambiguous"),
        ("POST", "x=1;from=o/q", "Ambiguous"),
        ("POST", "from=o/q;x", "Ambiguous"),
        ("POST", "from=o/q%3Bx", "Ambiguous"),
        ("POST", "a;from=o/q", "Ambiguous"),
        ("POST", "from=%zz", "Ambiguous"),
        ("POST", "mount=%ff", "Ambiguous"),
        ("POST", "from=o+q", "Ambiguous"),
        ("POST", "from=O/q", "Ambiguous"),
        ("POST", "from=../g/p", "Ambiguous"),
        ("POST", "from=o%252Fq", "Ambiguous"),
        ("POST", "from=o/*", "Ambiguous"),
    ] {
        assert_eq!(classify(method, &format!("{upload}?{query}")), expected, "{method} {query}");
    }
    assert_eq!(classify("GET", "/v2/?from=o/q"), "base any");
    assert_eq!(classify("GET", "/v2/_catalog?from=o/q"), "catalog registry:catalog:*");
}

#[test]
fn paths_that_two_readers_could_read_differently_are_refused() {
    for path in [
        "/v2/g%2fp/tags/list",
        "/v2/g%2Fp/tags/list",
        "/v2/g%2fp%2ftags%2flist",
        "/v2/%67/tags/list",
        "/v2/g/%70/manifests/x",
        "/v2/g/tags%2flist",
        "/v2/%2e%2e/g/tags/list",
        "/v2/a/../g/tags/list",
        "/v2/a/./g/tags/list",
        "/v2/a/../../jwt/auth",
        "/v2/..",
        "/v2/.",
        "/v2/g/blobs/uploads/..",
        "/v2/g/manifests/..",
        "/v2//g/tags/list",
        "//v2/g/tags/list",
        "/v2//",
        "/v2/g/blobs/uploads//",
        "/v2/g;x/tags/list",
        "/v2/g/tags/list;x",
        "/v2/g\\p/tags/list",
        "/v2/G/tags/list",
        "/v2/h:5000/g/tags/list",
        "/v2/g/p_/tags/list",
        "/v2/g\u{1}/tags/list",
        "/v2/g /tags/list",
        "/v2/g\u{7f}/tags/list",
        "/v2/ä/tags/list",
        "/v2/g/tags/list#x",
        "/v2/g%3Ap/tags/list",
        "/v2/g/manifests/v1%3A",
        "/v2/g/manifests/%61",
        "/v2/g/blobs/sha256%3Aaa%3Abb",
        "/v2/g/blobs/sha256%253Aaa",
        "/gitlab/v1/../../v2/g/tags/list",
        "/gitlab/v1/%2e%2e/x/",
        "/gitlab/v1//",
        "/gitlab/v1/..\\..\\x/",
        "/gitlab/v1/x;y/",
        "/gitlab/v1/x\u{1}/",
        "/gitlab/../v2/",
    ] {
        let read = Route::classify(&Method::GET, path, None);
        assert_eq!(read, Err(RouteError::Ambiguous), "{path:?}");
    }
    let long = |bytes: usize| format!("/v2/{}/tags/list", "a".repeat(bytes));
    assert!(Route::classify(&Method::GET, &long(255), None).is_ok());
    assert_eq!(Route::classify(&Method::GET, &long(256), None), Err(RouteError::Ambiguous));
}

#[test]
fn what_no_registry_serves_is_unknown() {
    for path in [
        "",
        "*",
        "/",
        "/v1/",
        "/v2x",
        "/V2/",
        "/v2/g",
        "/v2/g/p",
        "/v2/tags/list",
        "/v2/manifests/x",
        "/v2/blobs/uploads/",
        "/v2/blobs/uploads/x",
        "/v2/g/tags/list/",
        "/v2/g/tags/lists",
        "/v2/_catalog/",
        "/v2/g/_catalog",
        "/v2/g/manifests/",
        "/v2/g/manifests/.x",
        "/v2/g/manifests/a/b",
        "/v2/g/blobs/latest",
        "/v2/g/blobs/",
        "/v2/g/referrers/latest",
        "/v2/g/blobs/uploads/a:b",
        "/v2/g/blobs/uploads/a/b",
        "/v2/g/blobs/uploads/a/",
        "/gitlab",
        "/gitlab/v1x",
        "/gitlab/v2/",
        "/jwt/auth",
    ] {
        let read = Route::classify(&Method::GET, path, None);
        assert_eq!(read, Err(RouteError::Unknown), "{path:?}");
    }
}

#[test]
fn methods_no_registry_serves_are_refused_first() {
    for method in ["CONNECT", "TRACE", "PROPFIND", "get"] {
        for target in ["/v2/", "/v2/g/tags/list", "/v2/g/../x", "/nowhere"] {
            assert_eq!(classify(method, target), "Method", "{method} {target}");
        }
    }
}

/// Every reading a set of anchored expressions has of `path`: kind and name, whichever way the name could end.
fn readings(path: &str) -> Vec<(RouteKind, String)> {
    let name = Regex::new(NAME);
    let tails = [
        (RouteKind::Manifest, Regex::new(&format!("/manifests/({TAG}|{DIGEST})"))),
        (RouteKind::Tags, Regex::new("/tags/list")),
        (RouteKind::Blob, Regex::new(&format!("/blobs/{DIGEST}"))),
        (RouteKind::UploadOpen, Regex::new("/blobs/uploads/?")),
        (RouteKind::Upload, Regex::new("/blobs/uploads/[a-zA-Z0-9_.=-]+")),
        (RouteKind::Referrers, Regex::new(&format!("/referrers/{DIGEST}"))),
    ];
    let Some(rest) = path.strip_prefix("/v2/") else { return vec![] };
    let splits = rest.char_indices().map(|(at, _)| rest.split_at(at)).filter(|(head, _)| name.matches(head));
    splits
        .flat_map(|(head, tail)| {
            tails.iter().filter(move |(_, re)| re.matches(tail)).map(move |(kind, _)| (*kind, head.to_owned()))
        })
        .collect()
}

/// Paths made of the endpoints' own words, so that every confusion between a name and a tail comes up.
fn any_path() -> impl Strategy<Value = String> {
    let words =
        ["a", "blobs", "uploads", "manifests", "tags", "list", "referrers", "sha256:aa", "_x", "", ".", "A", "b-"];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..8)
        .prop_map(|segments| format!("/v2/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_path_is_read_as_the_registries_expressions_read_it(path in any_path()) {
        let readings = readings(&path);
        prop_assert!(readings.len() <= 1, "the expressions themselves disagree: {readings:?}");
        match (Route::classify(&Method::GET, &path, None), readings.first()) {
            (Ok(Route { kind, repository: Some(repository), .. }), Some((expected, name))) => {
                prop_assert_eq!(kind, *expected);
                prop_assert_eq!(repository.as_str(), name);
            }
            (Ok(route), None) => prop_assert_eq!(route.kind, RouteKind::Base),
            // `.` and `..` are in the identifiers' charset; a path that ends in them is another path.
            (Err(_), Some((RouteKind::Upload, _))) => prop_assert!(path.ends_with("/.")),
            (read, expected) => prop_assert!(read.is_err() && expected.is_none(), "{read:?} {expected:?}"),
        }
    }

    #[test]
    fn what_is_authorised_is_what_is_forwarded(
        path in "/v2/[aA0._/%2fe;-]{1,8}(/tags/list|/manifests/x|/blobs/uploads/[a.]{0,2}|/blobs/sha256(:|%3A)a)",
        method in prop::sample::select(vec![Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS]),
    ) {
        if let Ok(route) = Route::classify(&method, &path, None) {
            let name = route.repository.unwrap();
            let tail = path.strip_prefix("/v2/").and_then(|rest| rest.strip_prefix(name.as_str())).unwrap();
            prop_assert!(["/tags/list", "/manifests/x", "/blobs/"].iter().any(|start| tail.starts_with(start)));
            for resource in route.needed.resources() {
                prop_assert!(resource.same_resource("repository", name.as_str()));
            }
        }
    }

    #[test]
    fn a_source_is_authorised_under_the_name_the_registry_decodes(query in "(from|fr%6fm|mount|x)=[a/%2f+A;]{0,4}(&(from|mount|x)=[a/]{0,3})?") {
        if let Ok(route) = Route::classify(&Method::OPTIONS, "/v2/g/p/tags/list", Some(&query)) {
            // Go's reading: pairs at `&`, those with `;` or a broken escape skipped, the first value wins.
            let first = query.split('&').filter(|pair| !pair.contains(';')).find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                (form::text(name)? == "from").then(|| form::text(value))?
            });
            let named: Vec<_> = route.needed.resources().iter().map(|resource| resource.name.clone()).collect();
            prop_assert_eq!(named, first.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>());
        }
    }
}
