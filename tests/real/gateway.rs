//! The program itself, as a service manager starts it: one process for one test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

/// Far longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a small configuration names, each file with the name it is written under.
#[derive(Clone, Debug)]
pub(crate) struct Files<'a> {
    /// Only its owner may read these.
    pub(crate) private: Vec<(&'a str, String)>,
    pub(crate) public: Vec<(&'a str, String)>,
}

impl Files<'_> {
    pub(crate) fn write(&self, directory: &Path) {
        use std::os::unix::fs::PermissionsExt;
        for (name, text) in &self.public {
            std::fs::write(directory.join(name), text).unwrap();
        }
        for (name, text) in &self.private {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Waits for what must happen, and gives up on it loudly.
#[track_caller]
pub(crate) fn within<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let from = std::panic::Location::caller();
    let waiting = tokio::time::timeout(PATIENCE, what);
    async move { waiting.await.unwrap_or_else(|_| panic!("{from}: it did not happen")) }
}

/// Starts a command that listens on `port` and waits until it does; its output goes to `output` in `directory`.
pub(crate) async fn started(mut command: Command, directory: &Path, port: u16) -> Child {
    let output = std::fs::File::create(directory.join("output")).unwrap();
    command.current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let mut child = command.spawn().unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let said = || std::fs::read_to_string(directory.join("output")).unwrap_or_default();
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", said());
        assert!(tokio::time::Instant::now() < end, "it does not listen: {}", said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}
