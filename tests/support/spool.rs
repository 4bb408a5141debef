//! The hop that breaks pushes: nginx as most sites run it, which takes a whole request body in before it sends the first
//! byte of the request on. Everything else about it is right (Host kept, no size limit, long timeouts), so that what
//! fails behind it fails because of the spooling and nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::process::{Daemon, command_in};

/// A running nginx; ends when dropped.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Ends with this.
    _daemon: Daemon,
    access_log: std::path::PathBuf,
}

impl Spool {
    /// Starts it on `listen` in front of `target`, with all its files under `dir`.
    pub(crate) async fn start(
        dir: &Path,
        namespace: Option<&str>,
        listen: SocketAddr,
        target: SocketAddr,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let config = dir.join("nginx.conf");
        std::fs::write(&config, configuration(dir, listen, target))?;
        let mut command = command_in(namespace, "nginx");
        command.arg("-p").arg(dir).arg("-e").arg("stderr").arg("-c").arg(&config);
        let mut daemon = Daemon::spawn("nginx", &mut command, &dir.join("nginx.log"))?;
        daemon.wait_ready(Duration::from_secs(15), async |log| log.contains("start worker process ")).await?;
        Ok(Self { _daemon: daemon, access_log: dir.join("access.log") })
    }

    /// The addresses of all that ever asked it something.
    pub(crate) fn peers(&self) -> Result<Vec<Ipv4Addr>> {
        super::registry::peers_of(&std::fs::read_to_string(&self.access_log)?)
    }
}

/// `user root`: run by root, nginx would hand its workers to a user who cannot write spooled bodies here.
fn configuration(dir: &Path, listen: SocketAddr, target: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
  access_log {dir}/access.log combined;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  server {{
    listen {listen};
    client_max_body_size 0;
    location / {{
      proxy_pass http://{target};
      proxy_request_buffering on;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_read_timeout 900s;
      proxy_send_timeout 900s;
    }}
  }}
}}
"
    )
}
