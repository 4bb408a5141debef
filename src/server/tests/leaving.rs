//! Leaving: what runs may finish, and what was cut is said.

use tokio::sync::Notify;

use super::*;
use crate::oci::name::RepositoryName;
use crate::oci::route::RouteKind;
use crate::server::drain::Stage;
use crate::telemetry::outcome::Record;

/// Answers once it is let go; an upload to repository `team/app`.
fn held(let_go: &Arc<Notify>) -> impl Fn(Request<Body>) -> Answer + Clone + Send + Sync + 'static {
    let let_go = Arc::clone(let_go);
    move |request| {
        let let_go = Arc::clone(&let_go);
        Box::pin(async move {
            request.extensions().get::<Record>().unwrap().with(|outcome| {
                outcome.route = RouteKind::Upload;
                outcome.repository = RepositoryName::parse("team/app").ok();
            });
            if request.method() == "PUT" {
                let_go.notified().await;
            }
            Response::new(Body::full("finished"))
        })
    }
}

async fn reaches(drain: &Drain, stage: Stage) {
    let waiting = async {
        while drain.stage() < stage {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("the stage was never reached");
}

#[tokio::test]
async fn a_running_upload_finishes_and_nothing_is_reported() {
    let let_go = Arc::new(Notify::new());
    let running = start(settings(), held(&let_go));
    let mut upload = running.connect().await;
    upload.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    running.says("http_requests_in_flight 1\n").await;
    let (drain, address) = (running.drain.clone(), running.address);
    let leaving = tokio::spawn(running.serving.leave());
    reaches(&drain, Stage::Draining).await;
    assert!(drain.is_draining() && !drain.is_ready());

    // New connections are served: a client needs them for the rest of what it pushes.
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut other).await.ends_with("finished"));

    let_go.notify_one();
    assert!(read_answer(&mut upload).await.ends_with("finished"));
    let report = tokio::time::timeout(SOON, leaving).await.unwrap().unwrap();
    assert_eq!(report, Default::default());
    assert!(TcpStream::connect(address).await.is_err(), "it still accepts");
}

#[tokio::test]
async fn what_outlives_the_timeout_is_cut_and_named() {
    let let_go = Arc::new(Notify::new());
    let running = start(Settings { drain_timeout: Duration::from_millis(200), ..settings() }, held(&let_go));
    let mut upload = running.connect().await;
    upload.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    running.says("http_requests_in_flight 1\n").await;
    let report = tokio::time::timeout(SOON, running.serving.leave()).await.unwrap();
    assert_eq!((report.requests, report.uploads, report.hurried), (1, 1, true));
    assert_eq!(report.repositories.into_iter().collect::<Vec<_>>(), ["team/app"]);
    assert_eq!(read_to_end(upload).await, "");
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let let_go = Arc::new(Notify::new());
    let running = start(Settings { drain_delay: Duration::from_secs(3600), ..settings() }, held(&let_go));
    let mut upload = running.connect().await;
    upload.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    running.says("http_requests_in_flight 1\n").await;
    let drain = running.drain.clone();
    let leaving = tokio::spawn(running.serving.leave());
    reaches(&drain, Stage::Unready).await;
    assert!(!drain.is_ready() && !drain.is_draining(), "unwilling before balancers could notice");
    drain.hurry();
    let report = tokio::time::timeout(SOON, leaving).await.unwrap().unwrap();
    assert_eq!((report.requests, report.hurried), (1, true));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_process() {
    let let_go = Arc::new(Notify::new());
    let running = start(over_tls(), held(&let_go));
    let mut io = running.connect_tls(&[b"h2"]).await;
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    running.says("tidegate_connections 1\n").await;
    let report = tokio::time::timeout(SOON, running.serving.leave()).await.unwrap();
    assert_eq!(report, Default::default());
}

#[tokio::test]
async fn an_answer_under_way_at_the_end_says_that_its_connection_closes() {
    let let_go = Arc::new(Notify::new());
    let running = start(settings(), held(&let_go));
    let mut upload = running.connect().await;
    upload.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    running.says("http_requests_in_flight 1\n").await;
    let drain = running.drain.clone();
    let leaving = tokio::spawn(running.serving.leave());
    reaches(&drain, Stage::Draining).await;
    drain.hurry();
    reaches(&drain, Stage::Closed).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let_go.notify_one();
    let answer = read_to_end(upload).await;
    assert!(answer.ends_with("finished") && answer.contains("connection: close"), "{answer}");
    assert_eq!(leaving.await.unwrap().requests, 0);
}
