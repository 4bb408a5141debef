//! `tidegate check`: every mistake at once, each with its line and what to write instead.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, Result};

use crate::material::{Folder, fixtures};

/// Runs `check` on a fixture and compares what it says with the text beside the fixture.
#[track_caller]
fn check(kind: &str, name: &str, exit: i32) -> Result<()> {
    let said = said(kind, name, exit)?;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(fixtures(kind));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, said));
    Ok(())
}

fn said(kind: &str, name: &str, exit: i32) -> Result<String> {
    let folder = Folder::new()?;
    folder.fixture(kind, name)?;
    let output = folder.tidegate(&["check", "--config", "tidegate.toml"]).assert().code(exit).get_output().clone();
    assert_eq!(String::from_utf8(output.stderr)?, "");
    // Whether descriptors are short is the machine's matter.
    let said = String::from_utf8(output.stdout)?;
    Ok(said.split_inclusive('\n').filter(|line| !line.starts_with("  note    limits.connections")).collect())
}

#[test]
fn more_connections_than_descriptors_are_told() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.fixture("valid", "plain")?;
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 1000; exec \"$0\" check --config \"$1\"", env!("CARGO_BIN_EXE_tidegate")])
        .arg(file)
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{said}");
    let note = "limits.connections = 10000 needs 20064 file descriptors and may have 1000 here: 468 connections";
    assert!(said.contains(note), "{said}");
    Ok(())
}

#[test]
fn an_empty_file_is_told_what_must_be_there() -> Result<()> {
    check("invalid", "empty", 1)
}

#[test]
fn unknown_keys_are_told_what_was_meant() -> Result<()> {
    check("invalid", "unknown_keys", 1)
}

#[test]
fn wrong_types_are_told_what_to_write() -> Result<()> {
    check("invalid", "wrong_types", 1)
}

#[test]
fn what_is_no_toml_is_told_with_the_rest() -> Result<()> {
    check("invalid", "not_toml", 1)
}

#[test]
fn files_that_are_missing_open_empty_or_something_else_are_told() -> Result<()> {
    check("invalid", "files", 1)
}

#[test]
fn certificates_of_another_key_are_told() -> Result<()> {
    check("invalid", "pairs", 1)
}

#[test]
fn an_expired_signing_certificate_is_an_error_because_registries_check_it() -> Result<()> {
    check("invalid", "expired_signing", 1)
}

#[test]
fn realms_and_urls_that_cannot_be_are_told() -> Result<()> {
    check("invalid", "realms", 1)
}

#[test]
fn sites_that_lead_nowhere_are_told() -> Result<()> {
    check("invalid", "sites", 1)
}

#[test]
fn resign_without_a_key_is_told() -> Result<()> {
    check("invalid", "resign_without_key", 1)
}

#[test]
fn what_this_version_does_not_have_is_told_apart_from_what_no_version_has() -> Result<()> {
    check("invalid", "not_supported_yet", 1)
}

#[test]
fn values_out_of_bounds_are_told_the_bounds() -> Result<()> {
    check("invalid", "bounds", 1)
}

#[test]
fn listeners_that_cannot_be_are_told() -> Result<()> {
    check("invalid", "listeners", 1)
}

#[test]
fn what_is_seldom_meant_is_warned_of_and_passes() -> Result<()> {
    check("valid", "warnings", 0)
}

#[test]
fn a_small_file_is_fine() -> Result<()> {
    check("valid", "plain", 0)
}

#[test]
fn a_file_with_several_sites_is_fine_and_summed_up() -> Result<()> {
    check("valid", "several", 0)
}

#[test]
fn a_file_that_is_not_there_could_not_be_checked() -> Result<()> {
    let folder = Folder::new()?;
    let output = folder.tidegate(&["check", "--config", "nowhere.toml"]).assert().code(2).get_output().clone();
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(said, "error: nowhere.toml cannot be read: No such file or directory (os error 2)\n");
    Ok(())
}

#[test]
fn the_file_can_be_named_by_the_environment() -> Result<()> {
    let folder = Folder::new()?;
    let config = folder.fixture("valid", "plain")?;
    folder.tidegate(&["check"]).env("TIDEGATE_CONFIG", config).assert().code(0);
    folder.tidegate(&["check"]).assert().code(2);
    Ok(())
}

#[test]
fn paths_are_relative_to_the_file_and_not_to_where_tidegate_was_started() -> Result<()> {
    let folder = Folder::new()?;
    let config = folder.fixture("valid", "several")?;
    let config = config.to_str().context("the path is text")?;
    folder.tidegate(&["check", "--config", config]).current_dir("/").assert().code(0);
    Ok(())
}

#[test]
fn a_key_that_others_can_read_is_refused_but_root_may_share_one_with_a_group() -> Result<()> {
    for mode in [0o600, 0o400, 0o640, 0o440, 0o604, 0o610, 0o660] {
        let folder = Folder::new()?;
        folder.fixture("valid", "several")?;
        let of_root = fs::metadata(folder.path("signing.key"))?.uid() == 0;
        let exit = match mode {
            0o600 | 0o400 => 0,
            0o640 | 0o440 if of_root => 0,
            _ => 1,
        };
        fs::set_permissions(folder.path("signing.key"), Permissions::from_mode(mode))?;
        folder.tidegate(&["check", "--config", "tidegate.toml"]).assert().code(exit);
    }
    Ok(())
}

/// TLS of the listener, the client certificate of a registry, the signature of tokens, tickets.
#[test]
fn no_key_of_any_kind_may_be_read_by_others() -> Result<()> {
    let folder = Folder::new()?;
    folder.fixture("valid", "several")?;
    for key in ["tls.key", "client.key", "signing.key", "tickets.key"] {
        for mode in [0o644, 0o664, 0o666, 0o604, 0o602] {
            fs::set_permissions(folder.path(key), Permissions::from_mode(mode))?;
            for verb in ["check", "serve"] {
                let output =
                    folder.tidegate(&[verb, "--config", "tidegate.toml"]).assert().code(1).get_output().clone();
                let said = format!("{}{}", String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
                let complaint = format!("{key} can be read by others (mode {mode:04o})");
                assert!(said.contains(&complaint), "{verb}, {key}, {mode:o}: {said}");
            }
        }
        fs::set_permissions(folder.path(key), Permissions::from_mode(0o600))?;
    }
    folder.tidegate(&["check", "--config", "tidegate.toml"]).assert().code(0);
    Ok(())
}

#[test]
fn the_content_of_a_key_file_is_never_repeated() -> Result<()> {
    let folder = Folder::new()?;
    let canary = "CANARY-5f1c";
    for name in ["tls.key", "client.key", "signing.key", "tickets.key"] {
        folder.private(name, canary)?;
    }
    folder.fixture("valid", "several")?;
    let output = folder.tidegate(&["check", "--config", "tidegate.toml"]).assert().code(1).get_output().clone();
    let said = format!("{}{}", String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(!said.contains(canary), "{said}");
    Ok(())
}
