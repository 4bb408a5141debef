//! A registry that lies about where its answer ends, and where to go next: what it says wrong never reaches a client as a
//! whole success, the connection it said it on is not used again, and nobody it names hears of a credential.

use std::sync::Arc;

use http::StatusCode;

use crate::support::client::{Ask, Connection, Door};
use crate::support::gateway::Setup;
use crate::support::stage::{PUSH, REPOSITORY, Stage, uploads};
use crate::support::wire::{Answer, Received, Script, Wire, reply};

const BLOB: &str = "/v2/group/project/blobs/sha256:b";
const MANIFEST: &str = "/v2/group/project/manifests/latest";
/// In what a registry says beyond the end of its answer.
const BEYOND: &str = "beyond";

/// What the client has to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// 502: nothing of the answer.
    Refusal,
    /// The answer's head, and a body that breaks off.
    Part,
    /// The answer, as far as its head says it goes: four bytes.
    Whole,
    /// This status, and no body.
    Empty(u16),
}

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// And then the next request is waited for.
    Once,
    /// And then the connection is closed.
    Last,
    /// What stands behind `{AGAIN}` is said again and again.
    ForEver,
}

use Gets::{Empty, Part, Refusal, Whole};
use Says::{ForEver, Last, Once};

/// By section of RFC 9112; `{OK}` is the head of a success without its length and its end.
const LIES: &[(&str, &str, Says, Gets)] = &[
    ("2.1 no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Once, Refusal),
    ("2.1 HTTP/0.9", "blob\r\n\r\n", Once, Refusal),
    ("2.2 lines that end with LF", "HTTP/1.1 200 OK\nContent-Length: 4\n\nblob", Last, Refusal),
    ("2.3 another version", "HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("4 a status of two digits", "HTTP/1.1 99 No\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("4 a status below 100", "HTTP/1.1 099 No\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("4 a status of four digits", "HTTP/1.1 1000 No\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("4 a status that is no number", "HTTP/1.1 2OO OK\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("5 no colon", "{OK}Abc\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("5.1 a space before the colon", "{OK}Content-Length : 4\r\n\r\nblob", Once, Refusal),
    ("5.1 NUL in a name", "{OK}A\0: b\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("5.2 a fold", "{OK}A: b\r\n c\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("5 a head that does not end", "{OK}{AGAIN}A: b\r\n", ForEver, Refusal),
    ("5 a line that does not end", "{OK}A: {AGAIN}bbbbbbbbbbbbbbbb", ForEver, Refusal),
    ("9110 5.5 NUL in a value", "{OK}A: b\0c\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    (
        "6.1 a coding and a shorter length",
        "{OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n\r\n",
        Once,
        Refusal,
    ),
    (
        "6.1 a coding and the same length",
        "{OK}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\nblob\r\n0\r\n\r\n",
        Once,
        Refusal,
    ),
    ("6.1 another coding", "{OK}Transfer-Encoding: gzip\r\n\r\nblob", Last, Refusal),
    ("6.1 two codings", "{OK}Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nblob\r\n0\r\n\r\n", Once, Refusal),
    (
        "6.1 chunks in HTTP/1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n\r\n",
        Once,
        Refusal,
    ),
    ("6.3 two lengths", "{OK}Content-Length: 4\r\nContent-Length: 9\r\n\r\nblob", Once, Refusal),
    ("6.3 two equal lengths", "{OK}Content-Length: 4\r\nContent-Length: 4\r\n\r\nblob", Once, Refusal),
    ("6.3 a list of equals", "{OK}Content-Length: 4, 4\r\n\r\nblob", Once, Refusal),
    ("6.3 a list", "{OK}Content-Length: 4, 9\r\n\r\nblob", Once, Refusal),
    ("6.3 a length that is no number", "{OK}Content-Length: 4x\r\n\r\nblob", Once, Refusal),
    ("6.3 a length below nothing", "{OK}Content-Length: -4\r\n\r\nblob", Once, Refusal),
    ("6.3 less than its length", "{OK}Content-Length: 9\r\n\r\nblob", Last, Part),
    ("6.3 more than its length", "{OK}Content-Length: 4\r\n\r\nblobbeyond", Once, Whole),
    (
        "6.3 two answers",
        "{OK}Content-Length: 4\r\n\r\nblobHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeyond",
        Once,
        Whole,
    ),
    ("6.3 a body of no content", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nbeyond", Once, Empty(204)),
    (
        "6.3 a body of what was not modified",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nbeyond",
        Once,
        Empty(304),
    ),
    ("7.1 no last chunk", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n", Last, Part),
    ("7.1 no end of the last chunk", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n", Last, Part),
    ("7.1 a size that is none", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\nzz\r\n", Once, Part),
    ("7.1 a size below nothing", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n-1\r\n", Once, Part),
    ("7.1 a size of 65 bits", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n10000000000000004\r\n", Once, Part),
    ("7.1 more than its size", "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblobs\r\n0\r\n\r\n", Once, Part),
    (
        "7.1 an answer behind the last chunk",
        "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeyond",
        Once,
        Whole,
    ),
    (
        "7.1.1 an extension that does not end",
        "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n4;{AGAIN}bbbbbbbbbbbbbbbb",
        ForEver,
        Part,
    ),
    (
        "7.1.2 trailers that do not end",
        "{OK}Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n{AGAIN}A: b\r\n",
        ForEver,
        Part,
    ),
    (
        "9110 15.2.2 another protocol",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Once,
        Refusal,
    ),
];

async fn stage(door: Door) -> (Stage, String) {
    within(door, "").await
}

async fn within(door: Door, timeouts: &str) -> (Stage, String) {
    let stage = Stage::with(Setup { door, timeouts: timeouts.to_owned(), ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

/// What the registry does.
fn said(lie: &str, says: Says, ok: &str) -> Answer {
    if let Some((first, again)) = lie.split_once("{AGAIN}") {
        return Answer::Endless(first.replace("{OK}", ok).into_bytes(), again.repeat(64).into_bytes());
    }
    let bytes = lie.replace("{OK}", ok).into_bytes();
    if says == Last { Answer::Last(bytes) } else { Answer::Reply(bytes) }
}

/// Asks, and says what is wrong with what came.
async fn told(client: &mut Connection, ask: Ask, gets: Gets) -> Option<String> {
    let answer = client.send(ask).await;
    let (status, whole) = (answer.status, !answer.broken);
    let right = match gets {
        Refusal => status == StatusCode::BAD_GATEWAY && whole && answer.json()["errors"][0]["code"] == "UNAVAILABLE",
        Part => !whole,
        Whole => status.is_success() && whole && answer.body == "blob",
        Empty(expected) => status == expected && whole && answer.body.is_empty(),
    };
    let beyond = format!("{answer:?}").contains(BEYOND);
    (!right || beyond).then(|| format!("not {gets:?}: {answer:?}"))
}

#[tokio::test]
async fn a_lie_about_an_answers_end_is_no_success_and_ends_the_connection() {
    for door in Door::ALL {
        let (stage, token) = stage(door).await;
        let location = stage.open(&token).await;
        let path = location.split('?').next().unwrap();
        let mut wrong = Vec::new();
        for (name, lie, says, gets) in LIES {
            for method in ["GET", "PATCH"] {
                let ok = match method {
                    "GET" => "HTTP/1.1 200 OK\r\n".to_owned(),
                    _ => format!("HTTP/1.1 202 Accepted\r\nLocation: {path}?_state=x\r\n"),
                };
                let ask = match method {
                    "GET" => Ask::new("GET", BLOB),
                    _ => Ask::new("PATCH", &location).body("layer"),
                };
                stage.registry.says(method, said(lie, *says, &ok));
                let mut client = stage.gateway.connect().await;
                wrong.extend(
                    told(&mut client, ask.token(&token), *gets).await.map(|why| format!("{name}, {method}: {why}")),
                );
                let lied = stage.registry.last();
                stage.registry.wire.closed(lied.connection).await;
            }
            // Whoever asks next hears the truth.
            stage.registry.says("GET", Answer::Reply(reply("200 OK", &[], b"blob")));
            let next = told(&mut stage.gateway.connect().await, Ask::new("GET", BLOB).token(&token), Whole).await;
            wrong.extend(next.map(|why| format!("after {name}: {why}")));
        }
        println!("{door:?}: {} lies, {} complaints", 2 * LIES.len(), wrong.len());
        assert!(wrong.is_empty(), "{door:?}:\n{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn a_connection_whose_answer_was_true_is_used_again() {
    // Without this, that lies end a connection would be no news.
    let (stage, token) = stage(Door::Plain).await;
    let mut client = stage.gateway.connect().await;
    for _ in 0..2 {
        assert_eq!(client.send(Ask::new("GET", MANIFEST).token(&token)).await.status, StatusCode::OK);
    }
    let seen: Vec<usize> = stage.registry.requests().iter().map(|request| request.connection).collect();
    assert_eq!(seen, [0, 0]);
}

#[tokio::test]
async fn an_answer_to_a_head_has_no_body_whatever_is_said() {
    for door in Door::ALL {
        let (stage, token) = stage(door).await;
        let lie = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeyond";
        stage.registry.says("HEAD", Answer::Reply(lie.into()));
        let mut client = stage.gateway.connect().await;
        assert_eq!(told(&mut client, Ask::new("HEAD", BLOB).token(&token), Empty(200)).await, None, "{door:?}");
        stage.registry.wire.closed(stage.registry.last().connection).await;
    }
}

#[tokio::test]
async fn interim_answers_without_an_end_are_no_answer() {
    for door in Door::ALL {
        let (stage, token) = stage(door).await;
        let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(32);
        stage.registry.says("GET", Answer::Endless(Vec::new(), interim));
        let answer = stage.send(Ask::new("GET", BLOB).token(&token)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{door:?}");
        stage.registry.wire.closed(stage.registry.last().connection).await;
    }
}

/// Somebody a registry may name, who must not hear of it.
struct Stranger;

impl Script for Stranger {
    fn at_end(&self, _: &Received) -> Answer {
        Answer::Reply(reply("200 OK", &[], b"{\"token\":\"stolen\"}"))
    }
}

#[tokio::test]
async fn nobody_that_a_registry_names_hears_anything_and_no_client_is_sent_there() {
    let stranger = Wire::start(Arc::new(Stranger)).await;
    let host = stranger.address;
    for door in Door::ALL {
        let (stage, token) = stage(door).await;
        let opened = stage.open(&token).await;
        let upload = opened.split('?').next().unwrap();
        let blob = format!("http://{host}{BLOB}");
        let evil = [
            blob.clone(),
            format!("//{host}{BLOB}"),
            format!("http://registry.test:secret@{host}{BLOB}"),
            format!("http://{host}/elsewhere"),
            format!("\\\\{host}{BLOB}"),
            format!("/\\{host}{BLOB}"),
        ];
        for location in &evil {
            // A redirect of a manifest goes nowhere else.
            for status in
                ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
            {
                stage.registry.says("GET", Answer::Reply(reply(status, &[("Location", location)], b"")));
                let answer = stage.send(Ask::new("GET", MANIFEST).token(&token)).await;
                assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{door:?}, {status}, {location}");
                assert!(!answer.headers.contains_key("location"));
            }
            // What was made is here, or nowhere.
            stage.registry.says("PUT", Answer::Reply(reply("201 Created", &[("Location", location)], b"")));
            stage.registry.says("POST", Answer::Reply(reply("201 Created", &[("Location", location)], b"")));
            for ask in [Ask::new("PUT", MANIFEST), Ask::new("POST", &format!("{}?mount=sha256:b", uploads(REPOSITORY)))]
            {
                let answer = stage.send(ask.token(&token)).await;
                assert_eq!(answer.status, StatusCode::CREATED, "{location}");
                let is_url = location.starts_with("http://") && location.ends_with(BLOB);
                let here = answer.headers.get("location").map(|value| value.to_str().unwrap());
                assert_eq!(here, is_url.then_some(BLOB), "{location}");
            }
        }
        for location in [format!("http://{host}{upload}?_state=x"), format!("http://a:secret@{host}{upload}?_state=x")]
        {
            stage.registry.says("PATCH", Answer::Reply(reply("202 Accepted", &[("Location", &location)], b"")));
            let answer = stage.patch(&opened, &token).await;
            assert!(answer.header("location").starts_with(&format!("{upload}?_state=x&")), "{location}");
        }
        let realm = format!("Bearer realm=\"http://{host}/token\",service=\"x\"");
        let both = [("WWW-Authenticate", realm.as_str()), ("WWW-Authenticate", "Basic realm=\"stranger\"")];
        for status in
            ["200 OK", "401 Unauthorized", "403 Forbidden", "404 Not Found", "407 Proxy Authentication Required"]
        {
            stage.registry.says("GET", Answer::Reply(reply(status, &both, b"{}")));
            let answer = stage.send(Ask::new("GET", MANIFEST).token(&token)).await;
            let text = format!("{:?}", answer.headers);
            assert!(!text.contains(&host.to_string()) && !text.contains("stranger"), "{door:?}, {status}: {text}");
            let ours = answer.headers.get_all("www-authenticate").iter().count();
            assert_eq!(ours, usize::from(answer.status == StatusCode::UNAUTHORIZED), "{status}: {text}");
        }
    }
    assert_eq!(stranger.connections().await, 0, "{:?}", stranger.requests());
}
