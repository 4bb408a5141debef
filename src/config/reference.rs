//! The reference, rendered from the sections' own declarations: `config/tidegate.toml` and `docs/configuration.md`.
//!
//! In the file, prose starts with `# ` and a key that may be left out with `#` alone: taking away that one character
//! turns it on.

use std::fmt::Write;

use super::file::File;
use super::section::{Key, Section, Shape};

/// Columns of prose in the file.
const WIDTH: usize = 100;

/// `config/tidegate.toml`: every key with its comment, its default or an example.
#[must_use]
pub fn toml() -> String {
    let mut out = String::new();
    comment(&mut out, &File::about());
    comment(
        &mut out,
        "Every key is here, with its default where it has one, else with an example. A key behind a `#` may be left out. \
         `tidegate check --config FILE` tells every mistake.",
    );
    for key in File::keys() {
        section(&mut out, "", &key);
    }
    out
}

/// `docs/configuration.md`: a table of keys for each section.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         One TOML file, named by `--config FILE` or `TIDEGATE_CONFIG`. Paths in it are relative to its folder. A whole file with\n\
         every key is [`config/tidegate.toml`](../config/tidegate.toml); both are rendered from the code that reads the file.\n\n\
         `tidegate check --config FILE` says every mistake at once, each with its line, its key and what to write instead. It ends\n\
         with 0 when the file can be used (warnings or none), 1 when it cannot, 2 when it could not be read.\n\n\
         Durations are a whole number and a unit (`500ms`, `60s`, `10m`, `6h`, `1d`), sizes likewise (`512B`, `64KiB`, `16MiB`,\n\
         `1GiB`). Files of private keys must be readable by their owner alone (`chmod 600`); root may share one with a\n\
         group (mode 0640 or 0440), as Kubernetes does.\n",
    );
    for key in File::keys() {
        table(&mut out, "", &key);
    }
    out
}

fn section(out: &mut String, parent: &str, key: &Key) {
    let Some(Header { path, about, own, inner }) = header(parent, key) else { return };
    if !own.is_empty() {
        out.push('\n');
        comment(out, about);
        line(out, &format!("[{path}]"));
        for key in own {
            entry(out, key);
        }
    }
    for key in inner {
        section(out, &path, key);
    }
}

fn entry(out: &mut String, key: &Key) {
    let name = key.name;
    match &key.shape {
        Shape::Required { example, .. } => {
            comment(out, &key.about);
            line(out, &format!("{name} = {example}"));
        }
        Shape::Optional { example, shown, .. } => {
            comment(out, &key.about);
            line(out, &format!("{}{name} = {example}", if *shown { "" } else { "#" }));
        }
        Shape::Default { value, .. } => {
            comment(out, &key.about);
            line(out, &format!("{name} = {value}"));
        }
        Shape::Section { .. } | Shape::Named { .. } => {}
    }
}

fn table(out: &mut String, parent: &str, key: &Key) {
    let Some(Header { path, about, own, inner }) = header(parent, key) else { return };
    if !own.is_empty() {
        line(out, &format!("\n## `[{path}]`\n\n{}\n", about));
        line(out, "| key | default or example | meaning |\n| --- | --- | --- |");
        for key in own {
            row(out, "", key);
        }
    }
    for key in inner {
        table(out, &path, key);
    }
}

fn row(out: &mut String, parent: &str, key: &Key) {
    let (absent, bounds, inside) = match &key.shape {
        Shape::Required { example, inside } => (format!("required, as in `{example}`"), None, inside.as_slice()),
        Shape::Optional { example, inside, .. } => (format!("none, as in `{example}`"), None, inside.as_slice()),
        Shape::Default { value, bounds } => (format!("`{value}`"), bounds.as_ref(), [].as_slice()),
        Shape::Section { .. } | Shape::Named { .. } => return,
    };
    let name = join(parent, key.name);
    let bounds = bounds.map_or_else(String::new, |bounds| format!(" {bounds}."));
    line(out, &cells(&[&format!("`{name}`"), &absent, &format!("{}{bounds}", key.about)]));
    for key in inside {
        row(out, &name, key);
    }
}

/// A section as both pages show it.
struct Header<'k> {
    /// What stands between the brackets.
    path: String,
    about: &'k str,
    /// Its keys that are no sections; they come first, as TOML wants it.
    own: Vec<&'k Key>,
    inner: Vec<&'k Key>,
}

fn header<'k>(parent: &str, key: &'k Key) -> Option<Header<'k>> {
    let path = join(parent, key.name);
    let (path, about, keys) = match &key.shape {
        Shape::Section { about, keys } => (path, about, keys),
        Shape::Named { example, about, keys } => (join(&path, example), about, keys),
        _ => return None,
    };
    let section = |key: &&Key| matches!(key.shape, Shape::Section { .. } | Shape::Named { .. });
    let (inner, own) = keys.iter().partition(section);
    Some(Header { path, about, own, inner })
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

fn cells(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |", cells.join(" | "))
}

fn comment(out: &mut String, text: &str) {
    let mut row = String::from("#");
    for word in text.split_whitespace() {
        if row.chars().count() + 1 + word.chars().count() > WIDTH {
            line(out, &row);
            row = String::from("#");
        }
        let _infallible = write!(row, " {word}");
    }
    line(out, &row);
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
