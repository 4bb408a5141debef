use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::server::activity::Activity;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const WAIT: Duration = Duration::from_secs(60);
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn heard() -> Arc<Heard> {
    Arc::new(Heard::new(Activity::new(WAIT, WAIT)))
}

#[tokio::test]
async fn bytes_pass_unchanged_until_the_frame_too_many_which_is_answered_with_goaway() {
    let metrics = Arc::new(Metrics::new());
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut server = Frames::new(server, Arc::clone(&metrics), heard());
    let sent = [PREFACE, &PING.repeat(100)].concat();
    client.write_all(&sent).await.unwrap();
    let mut got = vec![0; sent.len()];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, sent);
    client.write_all(&PING.repeat(1000)).await.unwrap();
    let mut rest = Vec::new();
    let error = server.read_to_end(&mut rest).await.unwrap_err();
    assert!(error.get_ref().is_some_and(|error| error.is::<Flood>()), "{error}");
    let mut goaway = [0; 17];
    client.read_exact(&mut goaway).await.unwrap();
    assert_eq!(goaway, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]);
    assert!(metrics.encode().contains("tidegate_limit_hits_total{limit=\"h2_frames\"} 1\n"));
}

#[tokio::test]
async fn nothing_is_said_in_the_middle_of_another_frame() {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut server = Frames::new(server, Arc::new(Metrics::new()), heard());
    server.write_all(&PING[..12]).await.unwrap();
    client.write_all(&[PREFACE, &PING.repeat(1000)].concat()).await.unwrap();
    assert!(server.read_to_end(&mut Vec::new()).await.is_err());
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, &PING[..12]);
}

#[tokio::test]
async fn refused_streams_and_the_crates_own_limits_are_counted() {
    let metrics = Arc::new(Metrics::new());
    let (_client, server) = tokio::io::duplex(1 << 20);
    let mut server = Frames::new(server, Arc::clone(&metrics), heard());
    let refused = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    let calm = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11];
    server.write_all(&refused).await.unwrap();
    let written = server.write_vectored(&[io::IoSlice::new(&calm[..5]), io::IoSlice::new(&calm[5..])]).await.unwrap();
    assert_eq!(written, calm.len());
    let said = metrics.encode();
    assert!(said.contains("tidegate_limit_hits_total{limit=\"h2_streams\"} 1\n"), "{said}");
    assert!(said.contains("tidegate_limit_hits_total{limit=\"h2_frames\"} 1\n"), "{said}");
}
