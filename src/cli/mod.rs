//! The verbs: what is typed, and what is answered.
//!
//! ```text
//! arguments ─ clap ─▶ Verb ─▶ a file each ─▶ Exit: 0 fine, 1 found wrong, 2 could not run
//! ```
//!
//! Results go to standard output, everything else to standard error as `error: …`. It must never do the work itself:
//! a verb reads its arguments, calls the layers below, and says what came of it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::base::clock::Clock;
use crate::config::{self, Settings};

mod check;
mod date;
mod demo;
mod keys;
mod serve;
mod token;
mod version;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked, and found nothing wrong.
    Fine,
    /// It did what was asked, and found something wrong.
    Wrong,
    /// It could not do what was asked.
    CouldNotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Wrong => 1,
            Exit::CouldNotRun => 2,
        })
    }
}

/// The front door of a container registry: a push that was allowed to start is allowed to finish.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version = version::VERSION, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until SIGTERM
    Serve(ConfigArgs),
    /// Read a configuration and all files it names, and tell every mistake
    Check(ConfigArgs),
    /// Make keys and certificates
    Keys(keys::KeysArgs),
    /// Look at a token
    Token(token::TokenArgs),
    /// Show a push fail without Tidegate and pass with it, on this machine; under three minutes
    Demo(demo::DemoArgs),
    /// Print name, version and, where it is known, the commit
    Version,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    pub(crate) config: PathBuf,
}

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

/// Runs the program with these arguments, the program's name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            let _unheard = error.print();
            return if error.use_stderr() { Exit::CouldNotRun } else { Exit::Fine };
        }
    };
    let ended = match arguments.verb {
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments.config),
        Verb::Keys(arguments) => keys::run(&arguments, Clock::System.now(), &mut io::stdout().lock()),
        Verb::Token(arguments) => token::run(&arguments, Clock::System.now(), &mut token::Streams::standard()),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Version => version::run(),
    };
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            complain(&format!("{error:#}"));
            Exit::CouldNotRun
        }
    }
}

/// Loads a configuration for a verb that needs one; when it cannot be used, says why, and gives the exit to end with.
///
/// # Errors
/// [`Exit::Wrong`] for a file that is wrong, [`Exit::CouldNotRun`] for one that cannot be read.
pub(crate) fn load(path: &Path) -> Result<Settings, Exit> {
    config::load(path, Clock::System.now()).map_err(|error| match error {
        config::Error::Wrong(problems) => {
            let _unheard = writeln!(io::stderr().lock(), "{problems}");
            complain(&format!("{} cannot be used: {}", path.display(), problems.summary()));
            Exit::Wrong
        }
        config::Error::Unreadable { .. } => {
            complain(&format!("{:#}", anyhow::Error::from(error)));
            Exit::CouldNotRun
        }
    })
}

/// `error: …` on standard error.
pub(crate) fn complain(what: &str) {
    let _unheard = writeln!(io::stderr().lock(), "error: {what}");
}
