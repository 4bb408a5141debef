//! HTTP/1 that two parsers could read differently, by the section of RFC 9112 that it breaks: none of it gets to the
//! registry, and a body that breaks off there is never taken for a whole one.

use crate::support::client::Door;
use crate::support::gateway::Setup;
use crate::support::log;
use crate::support::raw::Raw;
use crate::support::stage::{PUSH, Stage};
use crate::support::wire::Ending;

/// Request lines; `{T}` is a target that is served.
const REQUEST_LINES: &[(&str, &str)] = &[
    ("2.3 no version", "GET {T}"),
    ("2.3 another major version", "GET {T} HTTP/2.0"),
    ("2.3 another minor version", "GET {T} HTTP/1.2"),
    ("2.3 two digits", "GET {T} HTTP/1.10"),
    ("2.3 a zero before", "GET {T} HTTP/01.1"),
    ("2.3 lower case", "GET {T} http/1.1"),
    ("2.3 a space within", "GET {T} HTTP /1.1"),
    ("2.3 another protocol", "GET {T} HTTPS/1.1"),
    ("3 a space after", "GET {T} HTTP/1.1 "),
    ("3 words after", "GET {T} HTTP/1.1 x"),
    ("3 two spaces before the target", "GET  {T} HTTP/1.1"),
    ("3 two spaces after the target", "GET {T}  HTTP/1.1"),
    ("3 a tab before the target", "GET\t{T} HTTP/1.1"),
    ("3 a tab after the target", "GET {T}\tHTTP/1.1"),
    ("3 a space before", " GET {T} HTTP/1.1"),
    ("3.1 no method", "{T} HTTP/1.1"),
    ("3.1 a method that is no token", "GE(T {T} HTTP/1.1"),
    ("3.1 a colon in the method", "GET: {T} HTTP/1.1"),
    ("3.1 a method without end", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA {T} HTTP/1.1"),
    ("3.2 a space in the target", "GET {T}&a b HTTP/1.1"),
    ("3.2 NUL in the target", "GET {T}\0 HTTP/1.1"),
    ("3.2 a control character in the target", "GET {T}\x01 HTTP/1.1"),
    ("3.2 DEL in the target", "GET {T}\x7f HTTP/1.1"),
    ("3.2 a letter that is not ASCII", "GET {T}\u{e9} HTTP/1.1"),
    ("3.2 a fragment", "GET {T}#a HTTP/1.1"),
    ("3.2 a quote", "GET {T}\" HTTP/1.1"),
    ("3.2 an angle", "GET {T}<a> HTTP/1.1"),
    ("3.2 a backslash in the path", "GET /v2\\..{T} HTTP/1.1"),
    ("3.2.1 a path without its slash", "GET v2/?{T} HTTP/1.1"),
    ("3.2.2 another host", "GET http://other.test{T} HTTP/1.1"),
    ("3.2.2 another port", "GET http://registry.test:81{T} HTTP/1.1"),
    ("3.2.2 a user", "GET http://registry.test@other.test{T} HTTP/1.1"),
    ("3.2.2 another scheme", "GET ftp://registry.test{T} HTTP/1.1"),
    ("3.2.3 an authority for a GET", "GET registry.test:80 HTTP/1.1"),
    ("3.2.3 CONNECT", "CONNECT registry.test:80 HTTP/1.1"),
    ("3.2.3 CONNECT with a path", "CONNECT {T} HTTP/1.1"),
    ("3.2.4 an asterisk for a GET", "GET * HTTP/1.1"),
    ("3.2.4 an asterisk", "OPTIONS * HTTP/1.1"),
    ("9110 9.3.8 TRACE", "TRACE {T} HTTP/1.1"),
];

/// Field lines of a GET that is otherwise served; `\r\n` is put behind them.
const FIELDS: &[(&str, &str)] = &[
    ("2.2 a bare LF", "A: b\nB: c"),
    ("2.2 a bare CR in a value", "A: b\rB: c"),
    ("2.2 a bare CR in a name", "A\rB: c"),
    ("2.2 two CR", "A: b\r\r\nB: c"),
    ("2.2 a bare LF at the end", "A: b\n\r"),
    ("3.2 two hosts", "Host: other.test"),
    ("3.2 two equal hosts", "Host: registry.test"),
    ("5 no colon", "Abc"),
    ("5.1 a space before the colon", "A : b"),
    ("5.1 a tab before the colon", "A\t: b"),
    ("5.1 a space before the colon of a length", "Content-Length : 5"),
    ("5.1 a space before the colon of a coding", "Transfer-Encoding : chunked"),
    ("5.1 a space in a name", "A b: c"),
    ("5.1 no name", ": b"),
    ("5.1 a bracket in a name", "A(b): c"),
    ("5.1 NUL in a name", "A\0: b"),
    ("5.1 a control character in a name", "A\x0b: b"),
    ("5.1 a letter that is not ASCII in a name", "\u{e9}: b"),
    ("5.1 an underscore", "X_Forwarded_For: 1"),
    ("5.1 an underscore in a length", "Content_Length: 5"),
    ("5.2 a fold", "A: b\r\n c"),
    ("5.2 a fold by a tab", "A: b\r\n\tc"),
    ("5.2 a fold of nothing", "A: b\r\n "),
    ("5.2 a fold before a value", "A:\r\n b"),
    ("5.2 a folded length", "Content-Length:\r\n 5"),
    ("5.2 a folded coding", "Transfer-Encoding:\r\n chunked"),
    ("9110 5.5 NUL in a value", "A: b\0c"),
    ("9110 5.5 a control character in a value", "A: b\x01c"),
    ("9110 5.5 DEL in a value", "A: b\x7fc"),
    ("9110 5.5 a vertical tab in a value", "A: b\x0bc"),
    ("9110 11.6.2 two credentials", "Authorization: Basic YTpi"),
    ("6.1 another coding", "Transfer-Encoding: gzip"),
    ("6.1 no coding", "Transfer-Encoding:"),
    ("6.1 identity", "Transfer-Encoding: identity"),
    ("6.1 two codings", "Transfer-Encoding: gzip, chunked"),
    ("6.1 chunked before another", "Transfer-Encoding: chunked, gzip"),
    ("6.1 chunked twice", "Transfer-Encoding: chunked, chunked"),
    ("6.1 chunked in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("6.1 identity in a second field", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    ("6.1 a list with nothing in it", "Transfer-Encoding: , chunked"),
    ("6.1 a comma after", "Transfer-Encoding: chunked,"),
    ("6.1 a letter before", "Transfer-Encoding: xchunked"),
    ("6.1 a letter after", "Transfer-Encoding: chunkedx"),
    ("6.1 quotes", "Transfer-Encoding: \"chunked\""),
    ("6.1 a parameter", "Transfer-Encoding: chunked;q=1"),
    ("6.1 a vertical tab before", "Transfer-Encoding: \x0bchunked"),
    ("6.1 a coding and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
    ("6.1 a length and a coding", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    ("6.1 a length of nothing and a coding", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ("6.2 no number", "Content-Length:"),
    ("6.2 letters", "Content-Length: five"),
    ("6.2 a plus", "Content-Length: +5"),
    ("6.2 a minus", "Content-Length: -5"),
    ("6.2 hexadecimal", "Content-Length: 0x5"),
    ("6.2 a fraction", "Content-Length: 5.0"),
    ("6.2 two numbers", "Content-Length: 5 5"),
    ("6.2 a vertical tab after", "Content-Length: 5\x0b"),
    ("6.2 a semicolon", "Content-Length: 5;"),
    ("6.2 an underscore", "Content-Length: 1_0"),
    ("6.2 2 to the 64th and 5", "Content-Length: 18446744073709551621"),
    ("6.3 a list of equals", "Content-Length: 5, 5"),
    ("6.3 a list", "Content-Length: 5, 6"),
    ("6.3 a list that ends in nothing", "Content-Length: 5,"),
    ("6.3 two equal lengths", "Content-Length: 5\r\nContent-Length: 5"),
    ("6.3 two lengths", "Content-Length: 5\r\nContent-Length: 6"),
];

/// Whole heads, but for the fields that every request here has: `{H}`.
const HEADS: &[(&str, &str)] = &[
    ("2.2 a bare LF behind the request line", "GET {T} HTTP/1.1\n{H}\r\n"),
    ("2.2 a bare CR behind the request line", "GET {T} HTTP/1.1\r{H}\r\n"),
    ("2.2 a bare LF for the empty line", "GET {T} HTTP/1.1\r\n{H}\n"),
    ("2.2 a bare CR for the empty line", "GET {T} HTTP/1.1\r\n{H}\rX"),
    ("2.2 two empty lines before", "\r\n\r\nGET {T} HTTP/1.1\r\n{H}\r\n"),
    ("2.2 an empty line of LF before", "\nGET {T} HTTP/1.1\r\n{H}\r\n"),
    ("2.2 a line of spaces before the fields", "GET {T} HTTP/1.1\r\n  \r\n{H}\r\n"),
    ("2.2 a space before the first field", "GET {T} HTTP/1.1\r\n {H}\r\n"),
    ("3.2 no host", "GET {T} HTTP/1.1\r\nAccept: */*\r\n\r\n"),
    ("3.2 an empty host", "GET {T} HTTP/1.1\r\nHost:\r\n\r\n"),
    ("3.2 a host with a user", "GET {T} HTTP/1.1\r\nHost: a@registry.test\r\n\r\n"),
    ("3.2 a host with a path", "GET {T} HTTP/1.1\r\nHost: registry.test/a\r\n\r\n"),
    ("3.2 a list of hosts", "GET {T} HTTP/1.1\r\nHost: registry.test, other.test\r\n\r\n"),
    ("6.1 chunks in HTTP/1.0", "GET {T} HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

/// Chunked bodies.
const CHUNKS: &[(&str, &str)] = &[
    ("7.1 no size", "\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a size of letters", "xyz\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a plus", "+3\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a minus", "-3\r\nabc\r\n0\r\n\r\n"),
    ("7.1 an underscore", "0_3\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a space before", " 3\r\nabc\r\n0\r\n\r\n"),
    ("7.1 a space after", "3 \r\nabc\r\n0\r\n\r\n"),
    ("7.1 a tab after", "3\t\r\nabc\r\n0\r\n\r\n"),
    ("7.1 2 to the 64th and 3", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("7.1 2 to the 60th", "1000000000000000\r\nabc\r\n0\r\n\r\n"),
    ("7.1 zeros without end", "00000000000000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("7.1 LF behind the size", "3\nabc\r\n0\r\n\r\n"),
    ("7.1 CR behind the size", "3\rabc\r\n0\r\n\r\n"),
    ("7.1 nothing behind the data", "3\r\nabc0\r\n\r\n"),
    ("7.1 LF behind the data", "3\r\nabc\n0\r\n\r\n"),
    ("7.1 CR behind the data", "3\r\nabc\r0\r\n\r\n"),
    ("7.1 more data than the size", "3\r\nabcd\r\n0\r\n\r\n"),
    ("7.1 less data than the size", "3\r\nab\r\n0\r\n\r\n"),
    ("7.1 LF behind the last size", "3\r\nabc\r\n0\n\r\n"),
    ("7.1 LF for the empty line", "3\r\nabc\r\n0\r\n\n"),
    ("7.1.1 an extension with no name", "3;\r\nabc\r\n0\r\n\r\n"),
    ("7.1.1 an extension with no value", "3;a=\r\nabc\r\n0\r\n\r\n"),
    ("7.1.1 white space around an extension", "3 ; a = b\r\nabc\r\n0\r\n\r\n"),
    ("7.1.1 LF behind an extension", "3;a\nabc\r\n0\r\n\r\n"),
    ("7.1.1 LF in a quoted extension", "3;a=\"\nabc\"\r\n0\r\n\r\n"),
    ("7.1.1 CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("7.1.1 NUL in an extension", "3;a\0\r\nabc\r\n0\r\n\r\n"),
    ("7.1.2 LF behind a trailer", "3\r\nabc\r\n0\r\nA: b\n\r\n"),
    ("7.1.2 a folded trailer", "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ("7.1.2 a trailer without a colon", "3\r\nabc\r\n0\r\nAbc\r\n\r\n"),
    ("7.1.2 a space before a trailer's colon", "3\r\nabc\r\n0\r\nA : b\r\n\r\n"),
    ("7.1.2 NUL in a trailer", "3\r\nabc\r\n0\r\nA: \0\r\n\r\n"),
    ("7.1.2 a length in a trailer", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n"),
    ("7.1.2 a coding in a trailer", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("7.1.2 a host in a trailer", "3\r\nabc\r\n0\r\nHost: other.test\r\n\r\n"),
    ("7.1.2 credentials in a trailer", "3\r\nabc\r\n0\r\nAuthorization: Basic YTpi\r\n\r\n"),
];

/// What a case's target has in it, so that it is known wherever it turns up.
const MARK: &str = "malformed=";

/// Every case whose fault is in its head, with what follows it: a whole body of five bytes, and another request.
fn heads(token: &str) -> Vec<(String, Vec<u8>)> {
    let ours = format!("Host: registry.test\r\nAuthorization: Bearer {token}\r\n");
    let lines = REQUEST_LINES.iter().map(|(name, line)| (*name, format!("{line}\r\n{{H}}\r\n")));
    let fields = FIELDS.iter().map(|(name, field)| (*name, format!("GET {{T}} HTTP/1.1\r\n{{H}}{field}\r\n\r\n")));
    let heads = HEADS.iter().map(|(name, head)| (*name, (*head).to_owned()));
    let all = lines.chain(fields).chain(heads).enumerate().map(|(number, (name, head))| {
        let target = format!("/v2/group/project/tags/list?{MARK}{number}");
        let smuggled = format!("GET {target}s HTTP/1.1\r\n{ours}\r\n");
        let text = head.replace("{T}", &target).replace("{H}", &ours);
        (name.to_owned(), format!("{text}0\r\n\r\n{smuggled}").into_bytes())
    });
    all.collect()
}

async fn stage(door: Door) -> (Stage, String) {
    let stage = Stage::with(Setup { door, ..Setup::default() }).await;
    let token = stage.token("ada", PUSH).await;
    (stage, token)
}

/// What a malformed head is answered: methods that are not served have a status of their own (RFC 9110 §15.5.6).
fn refusal(name: &str) -> u16 {
    if matches!(name, "3.2.3 CONNECT" | "9110 9.3.8 TRACE") { 405 } else { 400 }
}

/// Sends it, and says what is wrong with what came: every head is answered, and none by an end without a word.
async fn refused(client: &mut Raw, name: &str, bytes: &[u8]) -> Option<String> {
    // The refusal may come, and the connection go, before all is written.
    let _cut = client.write(bytes).await;
    let status = client.status().await;
    (status != Some(refusal(name))).then(|| format!("{name}: {status:?}"))
}

#[tokio::test]
async fn a_malformed_head_is_refused_and_nothing_of_it_reaches_the_registry() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = stage(door).await;
        let cases = heads(&token);
        let mut passed = Vec::new();
        for (number, (name, bytes)) in cases.iter().enumerate() {
            passed.extend(refused(&mut stage.gateway.raw().await, name, bytes).await);
            let seen = stage.registry.requests();
            let mark = format!("{MARK}{number}");
            if seen
                .iter()
                .any(|request| request.target.ends_with(&mark) || request.target.ends_with(&format!("{mark}s")))
            {
                passed.push(format!("{name}: reached the registry"));
            }
        }
        println!("{door:?}: {} malformed heads, {} complaints", cases.len(), passed.len());
        assert!(passed.is_empty(), "{door:?}:\n{}", passed.join("\n"));
        assert_eq!(stage.registry.requests().len(), 0, "{door:?}");
        // What follows is served as ever.
        let mut client = stage.gateway.raw().await;
        client.write(format!("GET /v2/group/project/tags/list HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\n\r\n")).await.unwrap();
        assert_eq!(client.status().await, Some(200));
    }
}

#[tokio::test]
async fn a_malformed_body_is_cut_and_never_complete() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = stage(door).await;
        let mut passed = Vec::new();
        // The fault may come with the head, or when the registry has seen the request's beginning.
        let rows = CHUNKS.iter().flat_map(|(name, body)| [(name, body, false), (name, body, true)]);
        for (name, body, late) in rows.clone() {
            let location = stage.open(&token).await;
            let before = stage.registry.requests().len();
            let head = format!(
                "PATCH {location} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let smuggled = format!(
                "GET /v2/group/project/tags/list?{MARK} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            let mut client = stage.gateway.raw().await;
            if late {
                client.write(format!("{head}5\r\nfirst\r\n")).await.unwrap();
                stage.registry.wire.until(|all| all.last().is_some_and(|last| last.body == b"first")).await;
                let _cut = client.write(format!("{body}{smuggled}")).await;
            } else {
                let _cut = client.write(format!("{head}{body}{smuggled}")).await;
            }
            let status = client.status().await;
            if status != Some(400) {
                passed.push(format!("{name}, late: {late}: {status:?}"));
            }
            let ended =
                |all: &[crate::support::wire::Received]| all[before..].iter().all(|one| one.ending != Ending::Open);
            let seen = stage.registry.wire.until(ended).await;
            if seen[before..].iter().any(|one| one.ending == Ending::Complete) {
                passed.push(format!("{name}, late: {late}: complete at the registry"));
            }
            assert!(!late || seen.len() == before + 1, "{name}: the registry did not see it begin");
        }
        println!("{door:?}: {} malformed bodies, {} complaints", rows.count(), passed.len());
        assert!(passed.is_empty(), "{door:?}:\n{}", passed.join("\n"));
        let seen = stage.registry.requests();
        assert!(!seen.iter().any(|one| one.target.contains(MARK)), "what followed a malformed body was served");
    }
}

#[tokio::test]
async fn a_malformed_body_is_answered_with_its_fault() {
    let (stage, token) = stage(Door::Plain).await;
    let location = stage.open(&token).await;
    let patch = format!("PATCH {location}");
    // The registry streams the body, the token endpoint reads it as a whole.
    for line in [patch.as_str(), "POST /jwt/auth"] {
        for (body, words) in [
            ("zz\r\n", "a chunk's size is not a number"),
            ("5\r\nlayerX", "a chunk is not as long as it says"),
            ("1\r\na\r\n0\r\nHost: other.test\r\n\r\n", "a field stands in the trailers that must not"),
        ] {
            let mut client = stage.gateway.raw().await;
            let fields = format!("Host: registry.test\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked");
            client.write(format!("{line} HTTP/1.1\r\n{fields}\r\n\r\n{body}")).await.unwrap();
            let text = client.rest().await;
            assert!(text.starts_with("HTTP/1.1 400 ") && text.contains(words), "{line}, {body:?}: {text}");
            let body = text.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["errors"][0]["message"].is_string());
        }
    }
    let words = "the request's body is malformed: a chunk's size is not a number";
    log::line(|line| line["target"] == "tidegate::access" && line["error"] == words && line["status"] == 400).await;
}

#[tokio::test]
async fn the_refusal_is_a_registrys_error_and_the_connections_last_word() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = stage(door).await;
        let mut client = stage.gateway.raw().await;
        let ours = format!("Host: registry.test\r\nAuthorization: Bearer {token}\r\n");
        let good = format!("GET /v2/group/project/tags/list HTTP/1.1\r\n{ours}\r\n");
        // Two requests that are served, one that is not, and one that is nothing any more, in one write.
        client.write(format!("{good}{good}GET /v2/ HTTP/1.1\r\n{ours}A: b\r\n c\r\n\r\n{good}")).await.unwrap();
        let text = client.rest().await;
        let statuses: Vec<&str> = text.split("HTTP/1.1 ").filter_map(|answer| answer.get(..3)).collect();
        assert_eq!(statuses, ["200", "200", "400"], "{door:?}: {text}");
        let (_, last) = text.rsplit_once("HTTP/1.1 400").unwrap();
        let (head, body) = last.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nconnection: close"), "{head}");
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["errors"][0]["message"], "a field goes on in a second line");
        assert_eq!(stage.registry.requests().len(), 2);
        assert_eq!(stage.gateway.metric("tidegate_malformed_requests_total{fault=\"fold\"}"), 1);
    }
}

#[tokio::test]
async fn a_registrys_request_for_another_protocol_is_refused_and_the_connections_last() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = stage(door).await;
        let ours = format!("Host: registry.test\r\nAuthorization: Bearer {token}\r\n");
        let lines = [
            "GET /v2/ HTTP/1.1",
            "GET /v2/group/project/tags/list HTTP/1.1",
            "GET /v2/group/project/tags/list HTTP/1.0",
            "POST /v2/group/project/blobs/uploads/ HTTP/1.1",
            "GET /gitlab/v1/ HTTP/1.1",
        ];
        let asking = [
            "Connection: upgrade\r\nUpgrade: h2c",
            "Connection: upgrade\r\nUpgrade: websocket",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            "Connection: upgrade\r\nUpgrade: HTTP/2.0, SHTTP/1.3",
            "Connection: upgrade\r\nUpgrade:\r\nUpgrade: h2c",
            "Connection: close\r\nUpgrade: h2c",
            "Upgrade: h2c",
        ];
        // What a hop that has switched, or has not, would send behind it.
        let behind = ["", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n\r\n"];
        for line in lines {
            for fields in asking {
                for more in behind {
                    let mut client = stage.gateway.raw().await;
                    client.write(format!("{line}\r\n{ours}{fields}\r\n\r\n{more}")).await.unwrap();
                    let head = client.head().await;
                    assert_eq!(head.status(), 400, "{door:?}, {line}, {fields}");
                    assert_eq!(head.header("connection"), Some("close"), "{door:?}, {line}, {fields}");
                    let body = client.take(head.header("content-length").unwrap().parse().unwrap()).await;
                    let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let message = error["errors"][0]["message"].as_str().unwrap();
                    assert!(message.starts_with("leave Upgrade out") && message.contains("ALPN"), "{message}");
                    assert_eq!(client.rest().await, "", "{door:?}, {line}, {fields}");
                }
            }
        }
        assert_eq!(stage.registry.wire.connections().await, 0, "{door:?}");
    }
}

#[tokio::test]
async fn a_connection_field_alone_asks_for_no_other_protocol() {
    for door in [Door::Plain, Door::Tls1] {
        let (stage, token) = stage(door).await;
        let mut client = stage.gateway.raw().await;
        for fields in ["Connection: upgrade", "Connection: upgrade\r\nUpgrade:"] {
            let ours = format!("Host: registry.test\r\nAuthorization: Bearer {token}\r\n{fields}\r\n");
            client.write(format!("GET /v2/group/project/tags/list HTTP/1.1\r\n{ours}\r\n")).await.unwrap();
            let head = client.head().await;
            assert_eq!(head.status(), 200, "{door:?}, {fields}");
            client.take(head.header("content-length").unwrap().parse().unwrap()).await;
            let seen = stage.registry.last();
            assert_eq!(seen.header("upgrade"), None);
            assert_eq!(seen.header("connection").filter(|names| names.contains("upgrade")), None);
        }
    }
}
