//! The memory of the running program is nobody's but root's: seen from outside, beside a program that does nothing of
//! the kind and shows that the looking works.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::gateway::{Files, PROGRAM, signal, started, within};
use crate::registry::free_port;

/// Lets cores be as large as they are, and becomes the program. Whoever is started in the background may have been told to
/// ignore QUIT (POSIX, sh, «Signals and Error Handling»).
const WITH_CORES: &str = "ulimit -c unlimited && exec env --default-signal=ABRT,QUIT \"$0\" \"$@\"";

/// Runs the program, says so, and when asked looks into its memory: from the same user, from its parent, and without
/// a capability that root would have.
const LOOKING: &str = "\"$0\" \"$@\" & read go; if true < /proc/$!/mem; then echo readable; else echo closed; fi; \
                       kill -s KILL $!";

/// A command without the capabilities that let root read whatever it wants; others have none to begin with.
fn powerless(script: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", script]);
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
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

/// All that a process may write to, as root sees it.
fn memory(process: u32) -> Vec<u8> {
    let mut all = Vec::new();
    let memory = std::fs::File::open(format!("/proc/{process}/mem")).unwrap();
    for line in std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        // Some of it is the kernel's own and cannot be read.
        if rest.starts_with("rw") && memory.read_exact_at(&mut part, from).is_ok() {
            all.append(&mut part);
        }
    }
    all
}

/// The keys themselves are in use and have to be there, in the form that the arithmetic wants. What they were read from
/// is wiped.
#[tokio::test]
async fn nothing_is_left_in_memory_of_the_files_that_keys_were_read_from() {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "only root can look: run it as root");
        return;
    }
    let (directory, port) = (TempDir::new().unwrap(), free_port().await);
    let mut command = Command::new("env");
    serve(&mut command, directory.path(), port);
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::default().self_signed(&pair).unwrap().pem();
    let (mut ticket, der) = ([0; 32], pair.serialize_der());
    aws_lc_rs::rand::fill(&mut ticket).unwrap();
    let config = std::fs::read_to_string(directory.path().join("tidegate.toml")).unwrap();
    let config = config
        .replace("[authorities.gitlab]", "tls = { certificate = 'own.crt', key = 'own.key' }\n[authorities.gitlab]")
        + "[signing]\nkey = 'own.key'\ncertificate = 'own.crt'\n[tickets]\nkeys = ['tickets.key']\n";
    let ticket_text = BASE64_STANDARD.encode(ticket);
    Files {
        private: vec![("own.key", pair.serialize_pem()), ("tickets.key", ticket_text.clone())],
        public: vec![("own.crt", certificate), ("tidegate.toml", config)],
    }
    .write(directory.path());
    let gateway = started(command, directory.path(), port).await;

    let memory = memory(gateway.id().unwrap());
    let holds = |what: &[u8]| memory.windows(what.len()).any(|window| window == what);
    assert!(holds(b"/jwt/auth") && holds(&ticket), "the search finds nothing at all");
    assert!(!holds(ticket_text.as_bytes()), "the text of a ticket key");
    // The number of the key, behind the 36 bytes that all such files share: as the file holds it.
    assert!(!holds(&der[36..68]), "the number of a private key, as it stood in its file");
}
