//! A regular-expression matcher for tests only, so that they can quote the specifications' own expressions and
//! hold our hand-written readers against them. It tracks every position a match could have reached, so it has no
//! opinion on greediness: a text matches or it does not.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// An expression: literals, `\` escapes, `[…]` with ranges, `(…)`, `|`, `*`, `+`, `?`.
#[derive(Debug)]
pub(super) enum Regex {
    Set(Vec<(char, char)>),
    All(Vec<Regex>),
    Any(Vec<Regex>),
    Many(Box<Regex>, usize, usize),
}

impl Regex {
    /// Reads an expression. Panics on what it does not know: a typing mistake in a test.
    pub(super) fn new(expression: &str) -> Self {
        let mut rest = expression.chars().peekable();
        let all = alternatives(&mut rest);
        assert!(rest.next().is_none(), "unbalanced: {expression}");
        all
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.reach(&text, &BTreeSet::from([0])).contains(&text.len())
    }

    fn reach(&self, text: &[char], from: &BTreeSet<usize>) -> BTreeSet<usize> {
        match self {
            Self::Set(ranges) => {
                let takes = |at: &usize| {
                    text.get(*at).is_some_and(|c| ranges.iter().any(|(first, last)| (first..=last).contains(&c)))
                };
                from.iter().copied().filter(takes).map(|at| at + 1).collect()
            }
            Self::All(parts) => parts.iter().fold(from.clone(), |at, part| part.reach(text, &at)),
            Self::Any(parts) => parts.iter().flat_map(|part| part.reach(text, from)).collect(),
            Self::Many(part, least, most) => {
                let mut ends = if *least == 0 { from.clone() } else { BTreeSet::new() };
                let mut at = from.clone();
                for round in 1..=*most {
                    at = part.reach(text, &at);
                    let known = ends.len();
                    if round >= *least {
                        ends.extend(&at);
                    }
                    if at.is_empty() || (round > *least && ends.len() == known) {
                        break;
                    }
                }
                ends
            }
        }
    }
}

fn alternatives(rest: &mut Peekable<Chars<'_>>) -> Regex {
    let mut all = vec![sequence(rest)];
    while rest.next_if_eq(&'|').is_some() {
        all.push(sequence(rest));
    }
    Regex::Any(all)
}

fn sequence(rest: &mut Peekable<Chars<'_>>) -> Regex {
    let mut parts = Vec::new();
    while let Some(c) = rest.next_if(|c| !matches!(c, '|' | ')')) {
        let part = match c {
            '(' => {
                let inner = alternatives(rest);
                assert_eq!(rest.next(), Some(')'));
                inner
            }
            '[' => set(rest),
            '\\' => literal(rest.next().unwrap()),
            other => literal(other),
        };
        parts.push(match rest.next_if(|c| matches!(c, '*' | '+' | '?')) {
            Some('*') => Regex::Many(Box::new(part), 0, usize::MAX),
            Some('+') => Regex::Many(Box::new(part), 1, usize::MAX),
            Some(_) => Regex::Many(Box::new(part), 0, 1),
            None => part,
        });
    }
    Regex::All(parts)
}

/// A `-` between two characters is a range, at either end of the set it is itself.
fn set(rest: &mut Peekable<Chars<'_>>) -> Regex {
    let inside: Vec<char> = rest.by_ref().take_while(|c| *c != ']').collect();
    let mut ranges = Vec::new();
    let mut left = inside.as_slice();
    loop {
        left = match left {
            [first, '-', last, more @ ..] => {
                ranges.push((*first, *last));
                more
            }
            [one, more @ ..] => {
                ranges.push((*one, *one));
                more
            }
            [] => return Regex::Set(ranges),
        };
    }
}

fn literal(c: char) -> Regex {
    Regex::Set(vec![(c, c)])
}

#[test]
fn the_matcher_knows_what_matches_and_what_does_not() {
    let name = Regex::new("[a-c]+((_|__|-*)x?)*");
    for (text, matches) in [("a", true), ("ab__x", true), ("a-----", true), ("", false), ("_a", false), ("d", false)] {
        assert_eq!(name.matches(text), matches, "{text}");
    }
    assert!(Regex::new("[=_-]+\\.").matches("-=."));
    assert!(!Regex::new("[=_-]+\\.").matches("-=x"));
}
