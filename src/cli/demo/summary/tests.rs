use http::{Method, StatusCode};
use tokio::time::Instant;

use super::what;
use crate::cli::demo::passage::Passage;

#[test]
fn a_request_is_told_without_what_only_a_program_can_read() {
    for (method, path, bytes, told) in [
        (Method::POST, "/v2/demo/a/blobs/uploads/", 0, "POST  blobs/uploads/"),
        (Method::PATCH, "/v2/demo/a/blobs/uploads/01a2-7b", 25 << 20, "PATCH blobs/uploads/<id>, 25.0 MiB"),
        (Method::HEAD, "/v2/demo/a/blobs/sha256:0123456789abcdef", 0, "HEAD  blobs/sha256:0123456"),
        (Method::PUT, "/v2/demo/a/manifests/v1", 500, "PUT   manifests/v1"),
        (Method::GET, "/v2/", 0, "GET   /v2/"),
    ] {
        let set_out = Instant::now();
        let passage = Passage {
            method,
            path: path.to_owned(),
            token: None,
            set_out,
            bytes,
            arrived: Some(set_out),
            status: Some(StatusCode::OK),
            refusal: None,
        };
        assert_eq!(what(&passage), told);
    }
}
