//! A report as people read it.

use std::io::{self, Write};

use super::report::{Granted, Report, Said};
use crate::base::clock::Timestamp;
use crate::cli::date::span;

/// Of one value; what is longer is cut, so that a token full of rubbish cannot fill a terminal.
const LONGEST: usize = 300;

/// Writes it, as plain lines.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if let Some(why) = &report.malformed {
        return writeln!(out, "malformed: {}", plain(why));
    }
    if let Some(said) = &report.said {
        header(said, out)?;
        claims(said, report.at, out)?;
        grants(&said.access, out)?;
    }
    checked(report, out)?;
    for verdict in &report.verdicts {
        let answer = if verdict.takes { "takes it" } else { "refuses it" };
        writeln!(out, "  {:<18} {answer}", verdict.by)?;
        for reason in &verdict.because {
            writeln!(out, "  {:<18}   {}", "", plain(reason))?;
        }
    }
    Ok(())
}

fn header(said: &Said, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "header")?;
    line(out, "alg", &said.alg)?;
    line(out, "kid", said.kid.as_deref().unwrap_or("none"))?;
    match said.x5c {
        0 => line(out, "x5c", "none"),
        1 => line(out, "x5c", "1 certificate"),
        more => line(out, "x5c", &format!("{more} certificates")),
    }
}

fn claims(said: &Said, now: i64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "claims")?;
    line(out, "iss", &said.iss)?;
    line(out, "aud", &said.aud.join(", "))?;
    line(out, "sub", said.sub.as_deref().unwrap_or("none"))?;
    for (name, value) in [("auth_type", &said.auth_type), ("jti", &said.jti)] {
        if let Some(value) = value {
            line(out, name, value)?;
        }
    }
    if let Some(info) = &said.user_info {
        line(out, "user", &info.to_string())?;
    }
    for (name, at) in [("iat", said.iat), ("nbf", said.nbf), ("exp", Some(said.exp))] {
        if let Some(at) = at {
            line(out, name, &format!("{}, {}", Timestamp(at), relative(at - now)))?;
        }
    }
    if let Some(identity) = &said.identity {
        line(out, "identity", &format!("{}, known by {}", identity.fingerprint, identity.by))?;
    }
    Ok(())
}

fn relative(seconds: i64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds)),
        _ => format!("{} ago", span(seconds)),
    }
}

fn grants(access: &[Granted], out: &mut dyn Write) -> io::Result<()> {
    if access.is_empty() {
        return writeln!(out, "grants nothing: good for `docker login` and no more");
    }
    writeln!(out, "grants")?;
    for grant in access {
        let class = grant.class.as_ref().map(|class| format!("({class})")).unwrap_or_default();
        writeln!(out, "  {}", plain(&format!("{}{class} {}: {}", grant.kind, grant.name, grant.actions.join(", "))))?;
        if let Some(meta) = &grant.meta {
            writeln!(out, "    meta {}", plain(meta.get()))?;
        }
    }
    Ok(())
}

fn checked(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Some(against) = &report.checked_against else {
        return writeln!(out, "verdicts (the signature was not checked: give --config or --certificate)");
    };
    let unchecked = match report.unchecked.as_slice() {
        [] => String::new(),
        some => format!("; any {} is taken", some.join(" and ")),
    };
    writeln!(out, "verdicts (checked against {}{unchecked})", plain(against))
}

fn line(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<9} {}", plain(value))
}

/// Foreign text for a terminal: no control characters, none that turn the direction of writing, and an end.
fn plain(text: &str) -> String {
    let turns =
        |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::new();
    for letter in text.chars() {
        if plain.len() > LONGEST {
            plain.push('…');
            break;
        }
        if letter.is_control() || turns(letter) { plain.extend(letter.escape_unicode()) } else { plain.push(letter) }
    }
    plain
}
