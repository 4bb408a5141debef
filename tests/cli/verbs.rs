//! Verbs and exit codes.

use anyhow::Result;

use crate::material::Folder;

#[test]
fn version_says_name_and_version_either_way() -> Result<()> {
    let folder = Folder::new()?;
    let expected = concat!("tidegate ", env!("CARGO_PKG_VERSION"));
    for way in ["version", "--version"] {
        let output = folder.tidegate(&[way]).assert().code(0).get_output().clone();
        assert!(String::from_utf8(output.stdout)?.starts_with(expected), "{way}");
    }
    Ok(())
}

#[test]
fn arguments_that_mean_nothing_could_not_run() -> Result<()> {
    let folder = Folder::new()?;
    for arguments in [&[][..], &["nonsense"], &["check", "--nonsense"], &["version", "more"]] {
        let output = folder.tidegate(arguments).assert().code(2).get_output().clone();
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    Ok(())
}

#[test]
fn help_is_an_answer_and_not_an_error() -> Result<()> {
    Folder::new()?.tidegate(&["--help"]).assert().code(0);
    Ok(())
}
