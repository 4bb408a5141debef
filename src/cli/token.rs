//! `tidegate token inspect`: what a token says, how long it lives, and why a registry would refuse it.
//!
//! ```text
//! standard input ─▶ bytes ─▶ report (what it says, what Tidegate and each registry make of it) ─▶ text | JSON
//! ```
//!
//! It must never print the token or a signature, its own or that of the token within it: what is printed lands in
//! tickets and chats.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Exit, date, load};
use crate::authority::gitlab;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::token::claims::Claims;
use crate::token::compact::Compact;
use crate::token::keys::VerifyingKeys;
use crate::token::verifier::Verifier;

mod malformed;
mod report;
mod text;
mod verdict;

use report::{Against, Report};

/// Of standard input: more than any token or token answer.
const MOST: u64 = 256 * 1024;

/// What to do with tokens.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a token grants, how long it lives, and why a registry would refuse it
    Inspect(InspectArgs),
}

/// What to look at, and against what to check it.
#[derive(Args)]
struct InspectArgs {
    /// The token; better give it on standard input, where others on this machine do not see it. A token endpoint's whole answer does as well
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Check it against the authorities of this configuration; --certificate goes before it
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Which authority; left out, the one whose issuer the token names
    #[arg(long, value_name = "NAME", requires = "config")]
    authority: Option<String>,
    /// Check it against these keys: PEM certificates or a JWKS file; may be repeated
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// The issuer to expect, with --certificate; left out, any
    #[arg(long, value_name = "NAME", requires = "certificates")]
    issuer: Option<String>,
    /// The audience to expect, with --certificate; left out, any
    #[arg(long, value_name = "NAME", requires = "certificates")]
    service: Option<String>,
    /// Look at it as of this moment: seconds since 1970, or such as 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = date::parse)]
    at: Option<Timestamp>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl std::fmt::Debug for InspectArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InspectArgs")
            .field("config", &self.config)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// Where the verb reads and writes.
pub(super) struct Streams<'a> {
    input: Box<dyn Read + 'a>,
    out: Box<dyn Write + 'a>,
    errors: Box<dyn Write + 'a>,
    /// Somebody sits at the input, who would have to type a token.
    typed: bool,
}

impl Streams<'_> {
    /// Those of the process.
    pub(super) fn standard() -> Self {
        let (input, out, errors) = (io::stdin(), io::stdout(), io::stderr());
        let typed = input.is_terminal();
        Self { input: Box::new(input), out: Box::new(out), errors: Box::new(errors), typed }
    }
}

/// Looks at a token. Wrong is a token that Tidegate refuses, or would only honour for its own upload.
///
/// # Errors
/// When there is no token, or what to check it against cannot be read.
pub(super) fn run(arguments: &TokenArgs, now: Timestamp, streams: &mut Streams<'_>) -> anyhow::Result<Exit> {
    let Command::Inspect(arguments) = &arguments.command;
    let token = match &arguments.token {
        Some(token) => {
            writeln!(
                streams.errors,
                "warning: others on this machine can see the command line; give the token on standard input"
            )?;
            taken(token.as_bytes())?
        }
        None if streams.typed => bail!("give the token on standard input: tidegate token inspect < FILE"),
        None => read(&mut streams.input)?,
    };
    let against = match against(arguments, &token)? {
        Ok(against) => against,
        Err(exit) => return Ok(exit),
    };
    let report = Report::new(token.expose(), against.as_ref(), arguments.at.unwrap_or(now));
    if arguments.json {
        serde_json::to_writer_pretty(&mut *streams.out, &report)?;
        writeln!(streams.out)?;
    } else {
        text::write(&report, &mut streams.out)?;
    }
    Ok(if report.is_fine() { Exit::Fine } else { Exit::Wrong })
}

fn read(input: &mut dyn Read) -> anyhow::Result<Secret> {
    let mut content = Zeroizing::new(Vec::new());
    input.take(MOST + 1).read_to_end(&mut content).context("standard input cannot be read")?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > MOST {
        bail!("standard input is no token: it is larger than {} KiB", MOST / 1024);
    }
    taken(&content)
}

/// The token out of what people have at hand: itself, an `Authorization` header's value, or a token endpoint's answer.
fn taken(content: &[u8]) -> anyhow::Result<Secret> {
    let content = content.trim_ascii();
    if content.is_empty() {
        bail!("there is no token; give one on standard input");
    }
    if content.starts_with(b"{") {
        let answer: Value = serde_json::from_slice(content).ok().context("neither a token nor a token answer")?;
        let token = ["token", "access_token"].iter().find_map(|name| answer.get(name)?.as_str());
        return Ok(Secret::new(token.context("the answer has no `token`")?.as_bytes().to_vec()));
    }
    let bare = content.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
    Ok(Secret::new(bare.map_or(content, |(_, token)| token.trim_ascii()).to_vec()))
}

/// What the arguments say to check against; an exit where that is a configuration that cannot be used.
fn against(arguments: &InspectArgs, token: &Secret) -> anyhow::Result<Result<Option<Against>, Exit>> {
    let claims = Compact::parse(token.expose()).ok().and_then(|compact| Claims::parse(compact.payload()).ok());
    if let Some(path) = arguments.config.as_ref().filter(|_| arguments.certificates.is_empty()) {
        let settings = match load(path) {
            Ok(settings) => settings,
            Err(exit) => return Ok(Err(exit)),
        };
        let authority = chosen(&settings.authorities, arguments.authority.as_deref(), claims.as_ref(), path)?;
        return Ok(Ok(Some(Against {
            name: format!("authority {} of {}", authority.name, path.display()),
            verifier: authority.verifier.clone(),
            unchecked: Vec::new(),
        })));
    }
    if arguments.certificates.is_empty() {
        return Ok(Ok(None));
    }
    let mut keys = VerifyingKeys::default();
    for path in &arguments.certificates {
        let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        keys.add(&content).with_context(|| path.display().to_string())?;
    }
    let mut unchecked = Vec::new();
    let mut or_any = |given: &Option<String>, own: Option<String>, claim| {
        given.clone().unwrap_or_else(|| {
            unchecked.push(claim);
            own.unwrap_or_default()
        })
    };
    let issuer = or_any(&arguments.issuer, claims.as_ref().map(|claims| claims.issuer.clone()), "iss");
    let service = or_any(&arguments.service, claims.and_then(|claims| claims.audience.into_iter().next()), "aud");
    let files: Vec<_> = arguments.certificates.iter().map(|path| path.display().to_string()).collect();
    let verifier = Verifier { keys, issuer, service, leeway: Duration::from_secs(60) };
    Ok(Ok(Some(Against { name: files.join(" and "), verifier, unchecked })))
}

/// The authority named, or else the one whose issuer the token names, or else the only one.
fn chosen<'a>(
    authorities: &'a BTreeMap<String, gitlab::Settings>,
    name: Option<&str>,
    claims: Option<&Claims>,
    path: &Path,
) -> anyhow::Result<&'a gitlab::Settings> {
    let names = || authorities.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        return authorities
            .get(name)
            .with_context(|| format!("{} has no authority {name}; it has {}", path.display(), names()));
    }
    let fits = |authority: &&gitlab::Settings| {
        claims.is_some_and(|claims| {
            authority.verifier.issuer == claims.issuer && claims.audience.contains(&authority.verifier.service)
        })
    };
    let only = || authorities.values().next().filter(|_| authorities.len() == 1);
    authorities.values().find(fits).or_else(only).with_context(|| {
        format!("no authority fits the token's issuer and audience; name one with --authority: {}", names())
    })
}

#[cfg(test)]
mod tests;
