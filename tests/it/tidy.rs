//! The rules of the house, as tests: what a reviewer would otherwise have to look for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// No file of the library may be longer.
const LINES_MOST: usize = 600;

/// Half of them must be no longer than this.
const LINES_MEDIAN: usize = 180;

/// Set to anything, the rendered files are written instead of compared.
const REGENERATE: &str = "TIDEGATE_REGENERATE";

#[test]
fn modules_import_only_what_stands_above_them_in_lib_rs() -> Result<()> {
    let order = modules_in_order()?;
    let rank = |name: &str| order.iter().position(|module| module == name);
    let mut upward = Vec::new();
    for file in sources()? {
        let relative = file.strip_prefix(root().join("src"))?.to_string_lossy().into_owned();
        let own = relative.split(['/', '.']).next().unwrap_or_default();
        // `lib.rs` and `main.rs` stand above all.
        let Some(own_rank) = rank(own) else { continue };
        for used in imported(&fs::read_to_string(&file)?) {
            if rank(&used).is_none_or(|other| other > own_rank) {
                upward.push(format!("src/{relative}: uses crate::{used}"));
            }
        }
    }
    ensure!(upward.is_empty(), "a module imports only modules above it in src/lib.rs:\n{}", upward.join("\n"));
    Ok(())
}

#[test]
fn the_list_in_lib_rs_is_every_module_of_the_tree() -> Result<()> {
    let mut listed = modules_in_order()?;
    let mut present = Vec::new();
    for entry in fs::read_dir(root().join("src"))? {
        let name = entry?.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        if name != "lib" && name != "main" {
            present.push(name);
        }
    }
    listed.sort();
    present.sort();
    assert_eq!(listed, present);
    Ok(())
}

#[test]
fn files_stay_short() -> Result<()> {
    let mut lengths = Vec::new();
    for file in sources()? {
        lengths.push((fs::read_to_string(&file)?.lines().count(), file));
    }
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LINES_MOST).collect();
    ensure!(long.is_empty(), "over {LINES_MOST} lines: cut at a seam: {long:?}");
    lengths.sort();
    let median = lengths.get(lengths.len() / 2).context("no files")?.0;
    ensure!(median <= LINES_MEDIAN, "half of the files have more than {median} lines");
    Ok(())
}

#[test]
fn every_file_opens_with_what_it_is() -> Result<()> {
    let mut silent = Vec::new();
    for file in sources()?.into_iter().filter(|file| !is_test(file)) {
        if !fs::read_to_string(&file)?.starts_with("//! ") {
            silent.push(file);
        }
    }
    ensure!(silent.is_empty(), "the first line says what the file is (`//! …`): {silent:?}");
    Ok(())
}

#[test]
fn every_module_says_what_it_must_never_do() -> Result<()> {
    let mut lax = Vec::new();
    for module in modules_in_order()? {
        let file = root().join("src").join(module).join("mod.rs");
        let text = fs::read_to_string(&file)?;
        let about: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if !["never", "Only", "only"].iter().any(|word| about.contains(word)) {
            lax.push(file);
        }
    }
    ensure!(lax.is_empty(), "the module's comment says what it must never do: {lax:?}");
    Ok(())
}

#[test]
fn nothing_is_left_unfinished_or_reexported() -> Result<()> {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "XXX", "pub use ", "#[allow("];
    let mut found = Vec::new();
    for file in sources()?.into_iter().filter(|file| !is_test(file)) {
        for (number, line) in fs::read_to_string(&file)?.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    ensure!(found.is_empty(), "unfinished, or a short cut:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn sockets_are_opened_only_where_the_architecture_says() -> Result<()> {
    let doors = ["admin/", "server/", "upstream/", "cli/demo/"];
    let words = ["TcpListener", "TcpStream::connect", "TcpSocket", "HttpConnector", "UdpSocket", "net::Unix"];
    let mut elsewhere = Vec::new();
    for file in sources()?.into_iter().filter(|file| !is_test(file)) {
        let relative = file.strip_prefix(root().join("src"))?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&file)?;
        if !doors.iter().any(|door| relative.starts_with(door)) && words.iter().any(|word| text.contains(word)) {
            elsewhere.push(relative);
        }
    }
    ensure!(elsewhere.is_empty(), "only {doors:?} open sockets: {elsewhere:?}");
    Ok(())
}

#[test]
fn no_tracked_file_holds_a_private_key_or_names_a_place_of_its_writers_machine() -> Result<()> {
    // Put together here, so that this file does not name them either.
    let banned = [["/wo", "rk/"], ["/ro", "ot/"], ["../sha", "red"], [".libr", "ary/"]].map(|it| it.concat());
    let mut found = Vec::new();
    for file in tracked()? {
        // Deleted in the working tree, or no text: nothing to read.
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let key = line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----");
            if key || banned.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    ensure!(
        found.is_empty(),
        "holds a private key, or names a place that a reader does not have:\n{}",
        found.join("\n")
    );
    Ok(())
}

#[test]
fn the_reference_configuration_is_rendered_from_the_code() -> Result<()> {
    rendered("config/tidegate.toml", &tidegate::config::reference::toml())
}

#[test]
fn the_configuration_page_is_rendered_from_the_code() -> Result<()> {
    rendered("docs/configuration.md", &tidegate::config::reference::markdown())
}

#[test]
fn every_test_that_the_security_page_names_is_a_test() -> Result<()> {
    let tests = tests_of_the_tree()?;
    let page = fs::read_to_string(root().join("docs/security.md"))?;
    let mut named = 0;
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        // The table of classes alone has four columns that are neither its head nor the line under it.
        let [class, _, _, names] = cells[..] else { continue };
        if class.trim() == "class" || class.contains("---") {
            continue;
        }
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            wrong.push(format!("{}: no test", class.trim()));
        }
        named += names.len();
        wrong.extend(
            names.iter().filter(|name| !tests.contains(**name)).map(|name| format!("{}: {name}", class.trim())),
        );
    }
    ensure!(named > 50, "the table was not found: {named} names");
    ensure!(wrong.is_empty(), "docs/security.md names what is no test:\n{}", wrong.join("\n"));
    Ok(())
}

/// The names of all functions that are tests, of the library and of `tests/`.
fn tests_of_the_tree() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in sources()?.into_iter().chain(rust_files(&root().join("tests"))?) {
        let text = fs::read_to_string(file)?;
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ")
                && std::mem::take(&mut marked)
            {
                names.insert(leading(rest));
            }
        }
    }
    Ok(names)
}

fn rendered(path: &str, text: &str) -> Result<()> {
    let file = root().join(path);
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(&file, text)?;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    ensure!(found == text, "{path} is not what the code says; run `{REGENERATE}=1 cargo test --test it tidy`");
    Ok(())
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The `pub mod` lines of `src/lib.rs`.
fn modules_in_order() -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join("src/lib.rs"))?;
    let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(names.len() > 2, "no module list in src/lib.rs");
    Ok(names)
}

/// The top-level modules that a file names through `crate::`; links of documentation do not count.
fn imported(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let code = code.join(" ");
    let mut names = Vec::new();
    let mut before = None;
    for piece in code.split("crate::") {
        // `my_crate::x` is another crate.
        if before.is_some_and(|last: char| !last.is_alphanumeric() && last != '_' && last != '$') {
            match piece.strip_prefix('{') {
                Some(group) => names.extend(first_level(group)),
                None => names.push(leading(piece)),
            }
        }
        before = piece.chars().next_back().or(Some(' '));
    }
    names
}

/// `{a, b::{c, d}}`: `a` and `b`.
fn first_level(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut level = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ if depth == 0 => level.push(c),
            _ => {}
        }
    }
    level.split(',').map(|part| leading(part.trim())).filter(|name| !name.is_empty()).collect()
}

fn leading(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Every Rust file of the library, tests beside it included.
fn sources() -> Result<Vec<PathBuf>> {
    let files = rust_files(&root().join("src"))?;
    ensure!(files.len() > 20, "the sources were not found");
    Ok(files)
}

/// Every Rust file below a folder.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "tests" | "testing.rs")))
}

/// What git tracks; in a tree without git, nothing can be said.
fn tracked() -> Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Ok(listed) = listed else { return Ok(Vec::new()) };
    let names = String::from_utf8(listed.stdout)?;
    Ok(names.split('\0').filter(|name| !name.is_empty() && *name != "Cargo.lock").map(str::to_owned).collect())
}

#[test]
fn the_import_reader_sees_what_rust_sees() {
    assert_eq!(imported("use crate::base::clock::Clock;"), ["base"]);
    assert_eq!(imported("use crate::{admin, issuance::{self, cache}, policy};"), ["admin", "issuance", "policy"]);
    assert_eq!(imported("use crate::{\n    app::{\n        dispatch,\n    },\n    cli,\n};"), ["app", "cli"]);
    assert_eq!(imported("    let a = crate::cli::load(crate::oci::x);"), ["cli", "oci"]);
    assert!(imported("/// See [`crate::cli`].").is_empty());
    assert!(imported("use hyper_crate::cli;").is_empty());
    assert_eq!(imported("    let a = 1;\n    crate::app::run();"), ["app"]);
}
