//! What is told of a panic. A hook and a log are the whole process's, so these panics have one of their own.

use std::ops::Index;

use http::header::AUTHORIZATION;

use super::*;
use crate::telemetry::log;

/// Set in the process that panics.
const PANICS: &str = "TIDEGATE_TEST_PANICS";
/// What requests bring.
const SECRET: &str = "CANARY-of-a-panic";
/// How they end.
const KINDS: [&str; 6] = ["/message", "/slice", "/unwrap", "/any", "/later", "/task"];

#[tokio::test]
async fn a_panic_says_where_it_was_and_nothing_that_a_request_brought() {
    if std::env::var_os(PANICS).is_some() {
        return panics().await;
    }
    let name = "server::tests::panics::a_panic_says_where_it_was_and_nothing_that_a_request_brought";
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(PANICS, "").kill_on_drop(true);
    let output = tokio::time::timeout(3 * SOON, command.output()).await.expect("it did not end").unwrap();
    let [out, log] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    assert!(output.status.success() && out.contains("1 passed"), "{out}{log}");
    assert!(!out.contains(SECRET) && !log.contains(SECRET), "a panic's words were written:\n{out}{log}");
    // All that was written to standard error is a log.
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let told: Vec<_> =
        lines.iter().filter(|line| line["message"] == "a panic, whose words are not written down").collect();
    assert_eq!(told.len(), KINDS.len(), "{log}");
    for line in &told {
        let location = line["location"].as_str().unwrap();
        let mut parts = location.rsplitn(3, ':');
        let (column, number, file) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        assert!(column.parse::<u32>().is_ok() && number.parse::<u32>().is_ok(), "{location}");
        assert!(file.ends_with(".rs"), "{location}");
        assert_eq!((&line["level"], line["thread"].is_string()), (&"ERROR".into(), true), "{line}");
    }
    let ours = told.iter().filter(|line| line["location"].as_str().is_some_and(|at| at.starts_with(file!()))).count();
    assert!(ours >= KINDS.len() - 1, "all but the slice's are in this file: {log}");
    let ended = |line: &&serde_json::Value| line["error"] == "the request's handling panicked" && line["status"] == 500;
    assert_eq!(lines.iter().filter(ended).count(), KINDS.len() - 1, "all but the task's were requests: {log}");
}

/// The process that panics: with the log that `serve` has, at its most talkative.
async fn panics() {
    let settings = log::Settings { format: log::Format::Json, level: "trace".to_owned() };
    let closing = log::start(&settings, Arc::new(Metrics::new())).unwrap();
    let running = start(self::settings(), |request: Request<Body>| async move {
        let brought = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
        match request.uri().path() {
            "/message" => panic!("{brought}"),
            "/slice" => assert!(format!("\u{e9}{brought}").as_str().index(1..).is_empty()),
            "/unwrap" => assert_eq!(brought.parse::<u16>().map_err(|_| brought).unwrap(), 0),
            "/any" => std::panic::panic_any(brought),
            "/later" => {
                tokio::task::yield_now().await;
                panic!("{brought}");
            }
            _ => {
                let task = tokio::spawn(async move { panic!("{brought}") });
                assert!(task.await.is_err());
            }
        }
        Response::new(Body::empty())
    });
    for path in KINDS {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {SECRET}\r\nConnection: close\r\n\r\n");
        let answer = exchange(running.connect().await, head.as_bytes()).await;
        assert!(answer.starts_with(if path == "/task" { "HTTP/1.1 200 " } else { "HTTP/1.1 500 " }), "{answer}");
    }
    running.says(&format!("tidegate_panics_total {}\n", KINDS.len() - 1)).await;
    drop(running);
    drop(closing);
}
