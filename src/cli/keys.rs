//! `tidegate keys`: the keys and certificates that one installation needs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::Exit;
use crate::base::clock::Timestamp;

mod certificates;
mod files;
mod init;

/// What to do with keys.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make what is missing of the keys and certificates in a directory; what is there is left alone
    Init(InitArgs),
    /// Print a new ticket key
    Ticket,
}

/// What to make.
#[derive(Debug, Args)]
struct InitArgs {
    /// Where they are to stand; made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A name or address that clients call Tidegate by; may be repeated
    #[arg(long = "host", value_name = "NAME", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])]
    hosts: Vec<String>,
    /// Whose the CAs are, as their certificates say
    #[arg(long, value_name = "NAME", default_value = "Tidegate")]
    issuer: String,
}

/// Does it, and says what was made and what was there.
///
/// # Errors
/// When a file cannot be read or written.
pub(super) fn run(arguments: &KeysArgs, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Init(arguments) => init::run(arguments, now, out),
        Command::Ticket => {
            writeln!(out, "{}", ticket()?.as_str())?;
            Ok(Exit::Fine)
        }
    }
}

/// 32 random bytes in base64.
fn ticket() -> anyhow::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).ok().context("the system gives no randomness")?;
    Ok(Zeroizing::new(STANDARD.encode(key.as_slice())))
}

#[cfg(test)]
mod tests;
