//! Pushes that are refused at once, by clients that go on sending: each has to hear the refusal.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::Instant;

use crate::attack::{AT_LEAST, Ended};
use crate::gate::Gate;

/// Pushes at the least.
const TRIES: usize = 12;
/// What each pushes: so many pieces, and read as it is sent. Who took all of it into memory at once would have the kernel hold
/// a core for milliseconds, whatever his rank, on a machine whose host has yet to find that memory.
const PIECES: usize = 320;
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

/// Who pushes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    CurlH1,
    CurlH2,
    /// Python's, which writes everything before it reads anything.
    Python,
}

const PYTHON: &str = "
import http.client, ssl, sys
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection('127.0.0.1', int(sys.argv[1]), context=context, timeout=60)
connection.request('PATCH', sys.argv[2], body=open(sys.argv[3], 'rb'), headers={'Content-Length': sys.argv[4]})
print(connection.getresponse().status, end='')
";

/// Pushes without a token, one after the other.
pub(crate) async fn run(client: Client, gate: &Gate) -> Result<Ended> {
    let mut layer = tempfile::NamedTempFile::new()?;
    for _ in 0..PIECES {
        layer.write_all(&PIECE)?;
    }
    let (path, length) = (layer.path().to_str().context("path")?, (PIECES * PIECE.len()).to_string());
    let upload = "/v2/group/project/blobs/uploads/7d5a4c1e";
    let url = format!("https://{}{upload}", gate.public);
    let (mut tries, mut heard, began) = (0, 0, Instant::now());
    while tries < TRIES || began.elapsed() < AT_LEAST {
        tries += 1;
        let mut command = match client {
            Client::CurlH1 | Client::CurlH2 => {
                let version = if matches!(client, Client::CurlH2) { "--http2" } else { "--http1.1" };
                let mut curl = Command::new("curl");
                curl.args(["-sk", "--max-time", "60", version, "-H", "Expect:", "-X", "PATCH", "-T", path]);
                curl.args(["-o", "/dev/null", "-w", "%{http_code}", &url]);
                curl
            }
            Client::Python => {
                let mut python = Command::new("python3");
                python.args(["-c", PYTHON, &gate.public.port().to_string(), upload, path, &length]);
                python
            }
        };
        let output = command.kill_on_drop(true).output().await?;
        heard += usize::from(output.status.success() && output.stdout == b"401");
    }
    ensure!(heard == tries, "only {heard} of {tries} heard the refusal");
    Ok(Ended { words: format!("{heard} of {tries} heard 401"), times: i64::try_from(tries)? })
}
