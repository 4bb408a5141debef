//! The memory of the running program is nobody's but root's: seen from outside, beside a program that does nothing of
//! the kind and shows that the looking works.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::gateway::{Files, PROGRAM, signal, started, within};
use crate::registry::free_port;

/// Lets cores be as large as they are, and becomes the program.
const WITH_CORES: &str = "ulimit -c unlimited && exec \"$0\" \"$@\"";

/// Runs the program, says so, and when asked looks into its memory: from the same user, from its parent, and without
/// a capability that root would have.
const LOOKING: &str = "\"$0\" \"$@\" & read go; if true < /proc/$!/mem; then echo readable; else echo closed; fi; \
                       kill -s KILL $!";

/// A command without the capabilities that let root read whatever it wants; others have none to begin with.
fn powerless(script: &str) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", script]);
    command
}

/// Its arguments, so that it serves on `port`.
fn serve(command: &mut Command, directory: &Path, port: u16) {
    let key = KeyPair::generate().unwrap();
    let trusted = CertificateParams::default().self_signed(&key).unwrap().pem();
    let config = format!(
        "[listeners.public]\naddress = '127.0.0.1:{port}'\n\
         [authorities.gitlab]\nkind = 'gitlab'\nurl = 'http://127.0.0.1:9'\nissuer = 'i'\nservice = 's'\n\
         trusted = ['trusted.crt']\n\
         [sites.'*']\nauthority = 'gitlab'\nrealm = 'http://127.0.0.1:{port}/jwt/auth'\n\
         [sites.'*'.registry]\norigins = ['http://127.0.0.1:9']\n"
    );
    let public = vec![("trusted.crt", trusted), ("tidegate.toml", config)];
    Files { private: Vec::new(), public }.write(directory);
    command.arg(PROGRAM).args(["serve", "--config", "tidegate.toml"]);
}

#[tokio::test]
async fn a_crash_writes_no_core_even_where_cores_are_allowed() {
    // A SIGSEGV from outside is taken by Rust's own handler, which waits for the fault to come again.
    for name in ["ABRT", "QUIT"] {
        let (directory, port) = (TempDir::new().unwrap(), free_port().await);
        let mut other = powerless(WITH_CORES);
        let mut other = other.args(["sleep", "600"]).current_dir(directory.path()).kill_on_drop(true).spawn().unwrap();
        // It is `sleep` when its limits are its own.
        while std::fs::read_to_string(format!("/proc/{}/comm", other.id().unwrap())).unwrap().trim() != "sleep" {
            tokio::task::yield_now().await;
        }
        signal(&other, name);
        let ended = within(other.wait()).await.unwrap();
        assert!(ended.core_dumped(), "cores are off on this machine, which proves nothing: {ended}");

        let mut command = powerless(WITH_CORES);
        serve(&mut command, directory.path(), port);
        let mut gateway = started(command, directory.path(), port).await;
        signal(&gateway, name);
        let ended = within(gateway.wait()).await.unwrap();
        assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended}");
    }
}

/// Whether the same user can open the memory of what `arguments` start.
async fn is_readable(directory: &Path, mut command: Command, port: Option<u16>) -> bool {
    command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = command.kill_on_drop(true).spawn().unwrap();
    while let Some(port) = port
        && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()
    {
        assert!(shell.try_wait().unwrap().is_none(), "it ended");
        tokio::task::yield_now().await;
    }
    shell.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let said = within(lines.next_line()).await.unwrap();
    within(shell.wait()).await.unwrap();
    match said.as_deref() {
        Some("readable") => true,
        Some("closed") => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn its_memory_cannot_be_read_by_another_process_of_the_same_user() {
    let (directory, port) = (TempDir::new().unwrap(), free_port().await);
    let mut other = powerless(LOOKING);
    other.args(["sleep", "600"]);
    assert!(is_readable(directory.path(), other, None).await, "nobody's memory can be read here: nothing is proven");

    let mut command = powerless(LOOKING);
    serve(&mut command, directory.path(), port);
    assert!(!is_readable(directory.path(), command, Some(port)).await);
}
