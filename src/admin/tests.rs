use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// An admin listener whose reasons a test may change.
struct Running {
    address: SocketAddr,
    reasons: Arc<Mutex<Vec<Reason>>>,
    task: tokio::task::JoinHandle<()>,
}

fn start() -> Running {
    let admin = Admin::bind(&Settings { address: SocketAddr::from(([127, 0, 0, 1], 0)) }).unwrap();
    let address = admin.local_addr().unwrap();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let readiness: Readiness = Arc::new({
        let reasons = Arc::clone(&reasons);
        move || reasons.lock().unwrap().clone()
    });
    Running { address, reasons, task: tokio::spawn(admin.serve(Arc::new(Metrics::new()), readiness)) }
}

impl Running {
    /// The status, the head in lower case, and the body.
    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn health_is_the_process_answering() {
    let running = start();
    running.reasons.lock().unwrap().push(Reason { part: "process".into(), state: "draining".into() });
    let (status, head, body) = running.ask("GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    assert!(head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn readiness_names_every_reason_against_it() {
    let running = start();
    assert_eq!(running.ask("GET", "/readyz").await.0, 200);
    assert_eq!(running.ask("GET", "/readyz").await.2, "{\"ready\":true,\"reasons\":[]}\n");
    *running.reasons.lock().unwrap() = vec![
        Reason { part: "process".into(), state: "draining".into() },
        Reason { part: "authority gitlab".into(), state: "down".into() },
    ];
    let (status, head, body) = running.ask("GET", "/readyz").await;
    assert_eq!(status, 503);
    assert!(head.contains("content-type: application/json"));
    assert_eq!(
        body,
        "{\"ready\":false,\"reasons\":[{\"part\":\"process\",\"state\":\"draining\"},\
         {\"part\":\"authority gitlab\",\"state\":\"down\"}]}\n"
    );
}

#[tokio::test]
async fn metrics_come_as_openmetrics() {
    let running = start();
    let (status, head, body) = running.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(body.contains("tidegate_build_info{") && body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn nothing_else_is_there_and_nothing_can_be_changed() {
    let running = start();
    for path in ["/", "/healthz/", "/metrics2", "/v2/", "/debug/pprof"] {
        assert_eq!(running.ask("GET", path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let (status, head, _) = running.ask(method, "/readyz").await;
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"));
    }
    let (status, _, body) = running.ask("HEAD", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_head_longer_than_the_bound_is_refused() {
    let running = start();
    let (status, ..) = running.ask("GET", &format!("/{}", "a".repeat(HEAD))).await;
    assert_eq!(status, 431);
}

#[tokio::test]
async fn the_listener_closes_with_its_future() {
    let running = start();
    assert_eq!(running.ask("GET", "/healthz").await.0, 200);
    running.task.abort();
    let _ = running.task.await;
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[test]
fn a_spare_descriptor_is_not_taken_again_before_it_was_used() {
    let mut spare = Spare::default();
    assert!(!spare.give_up());
    spare.keep();
    assert!(spare.give_up());
    spare.keep();
    assert_eq!(spare.descriptors.len(), SPARE - 1);
    spare.take_back(None);
    spare.keep();
    assert_eq!(spare.descriptors.len(), SPARE);
}

#[tokio::test]
async fn what_is_left_of_a_connection_is_shut_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let left = connection(stream, Arc::new(Metrics::new()), Arc::new(Vec::new)).await;
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert!(left.is_some() && text.ends_with("ok\n"), "{text}");
}
