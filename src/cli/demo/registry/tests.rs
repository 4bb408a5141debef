use super::{listening, refused_upload};

const V2: &str = r#"time="2026-11-22T22:38:34Z" level=info msg="listening on 127.0.0.1:35581" go.version=go1.19.8
time="2026-11-22T23:05:26Z" level=warning msg="error authorizing context: invalid token" go.version=go1.19.8 http.request.method=PATCH http.request.uri="/v2/demo/a/blobs/uploads/01a2?_state=secret%3D" vars.name=demo/a
time="2026-11-22T23:05:27Z" level=warning msg="error authorizing context: authorization token required" http.request.method=GET http.request.uri=/v2/ version=2
"#;

#[test]
fn the_port_is_the_one_it_says_it_listens_on() {
    assert_eq!(listening(V2).unwrap().to_string(), "127.0.0.1:35581");
    assert_eq!(listening("level=info msg=\"starting\""), None);
}

#[test]
fn a_refusal_is_told_of_the_upload_and_without_its_state() {
    let refused = refused_upload(V2).unwrap();
    assert_eq!(refused, "PATCH /v2/demo/a/blobs/uploads/01a2: error authorizing context: invalid token");
    assert_eq!(refused_upload("msg=\"listening on 127.0.0.1:1\""), None);
}
