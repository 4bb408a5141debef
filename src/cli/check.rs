//! `tidegate check`: whether a configuration can be used, and what is wrong with it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use super::Exit;
use crate::base::clock::Clock;
use crate::config::problem::Problems;
use crate::config::{self, Error, Settings};
use crate::gateway::SiteSettings;
use crate::policy::Renew;
use crate::server::descriptors;

/// Says every problem, then how many; or that the file is fine, and what it sets up.
///
/// # Errors
/// When the file cannot be read, or nobody reads the answer.
pub(super) fn run(path: &Path) -> anyhow::Result<Exit> {
    let (text, exit) = match config::load(path, Clock::System.now()) {
        Ok(settings) => (fine(path, &settings), Exit::Fine),
        Err(Error::Wrong(problems)) => (format!("{}{}\n", lines(&problems), problems.summary()), Exit::Wrong),
        Err(error @ Error::Unreadable { .. }) => return Err(error.into()),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(exit)
}

fn lines(problems: &Problems) -> String {
    if problems.list.is_empty() { String::new() } else { format!("{problems}\n") }
}

fn fine(path: &Path, settings: &Settings) -> String {
    let mut text = lines(&settings.warnings);
    let warnings = settings.warnings.summary();
    let but = if warnings.is_empty() { String::new() } else { format!(", {warnings}") };
    let tls = settings.server.tls.as_ref().map_or_else(|| "plain HTTP".to_owned(), |all| certificates(all.len()));
    let admin = settings.admin.as_ref().map_or_else(|| "none".to_owned(), |admin| admin.address.to_string());
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{}: ok{but}", path.display());
    let _infallible = writeln!(text, "  public  {}, {tls}", settings.server.address);
    let _infallible = writeln!(text, "  admin   {admin}");
    for site in &settings.sites {
        let _infallible = writeln!(text, "  site    {}", described(site));
    }
    let (connections, most) = (settings.server.connections, descriptors::most());
    if connections > descriptors::connections(most) {
        let needed = descriptors::needed(connections);
        let _infallible = writeln!(
            text,
            "  note    limits.connections = {connections} needs {needed} file descriptors and may have {most} here: {} \
             connections will be served; raise LimitNOFILE or ulimit -Hn, or lower the key",
            descriptors::connections(most)
        );
    }
    text
}

fn certificates(count: usize) -> String {
    if count == 1 { "TLS".to_owned() } else { format!("TLS with {count} certificates") }
}

fn described(site: &SiteSettings) -> String {
    let mut parts = Vec::new();
    if let Some(registry) = &site.registry {
        let renew = match site.renew {
            Renew::Resign => "resign",
            Renew::Exchange => "exchange",
            Renew::Off => "off",
        };
        parts.push(format!("registry {}, renew = {renew}", origins(&registry.upstream)));
    }
    if let Some(proxy) = &site.proxy {
        parts.push(format!("proxy {}", origins(proxy)));
    }
    format!("{}: {}, tokens from {}", site.host, parts.join(", "), site.authority)
}

fn origins(upstream: &crate::upstream::Settings) -> String {
    let all: Vec<String> =
        upstream.origins.iter().map(|uri| uri.to_string().trim_end_matches('/').to_owned()).collect();
    all.join(" and ")
}
