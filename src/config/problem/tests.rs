use super::*;

fn place(key: &str, span: Range<usize>) -> Place {
    Place { key: key.to_owned(), span }
}

fn found(text: &str, with: impl FnOnce(&mut Reporter<'_>)) -> Problems {
    let mut reporter = Reporter::new(Path::new("t.toml"), text);
    with(&mut reporter);
    reporter.finish()
}

#[test]
fn a_problem_says_file_line_column_key_what_and_what_to_write() {
    let problems = found("a = 1\nä = 22\n", |reporter| {
        reporter.error(&place("ä", 11..13), "this is wrong", "write that");
        reporter.warn(&place("a", 4..5), "this is odd", "think again");
    });
    let expected =
        "t.toml:1:5: warning: a: this is odd — think again\nt.toml:2:5: error: ä: this is wrong — write that";
    assert_eq!(problems.to_string(), expected);
    assert_eq!(problems.summary(), "1 error, 1 warning");
}

#[test]
fn a_place_beyond_the_text_is_its_end_and_no_panic() {
    let problems = found("é", |reporter| {
        reporter.error(&place("a", 100..200), "x", "y");
        // In the middle of a character.
        reporter.error(&place("b", 1..2), "x", "y");
    });
    assert_eq!(problems.list.len(), 2);
}

#[test]
fn keys_are_quoted_where_toml_wants_it() {
    let sites = Place::default().child("sites", 0..0);
    assert_eq!(
        sites.child("registry.example.com", 0..0).child("realm", 0..0).key,
        "sites.\"registry.example.com\".realm"
    );
    assert_eq!(sites.child("", 0..0).key, "sites.\"\"");
}

#[test]
fn a_line_that_is_no_toml_is_complained_of_once() {
    let problems = found("a\nb\n", |reporter| {
        reporter.error(&place("a", 0..1), "wrong type", "y");
        reporter.error(&place("", 0..0), "no TOML", "y");
        reporter.error(&place("b", 2..3), "wrong type", "y");
    });
    let keys: Vec<&str> = problems.list.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["", "b"]);
}

#[test]
fn nothing_is_missing_from_a_file_that_could_not_be_read() {
    let missing = |reporter: &mut Reporter<'_>| reporter.missing(&place("listeners", 0..0), "write it");
    assert_eq!(found("", missing).list.len(), 1);
    let broken = found("", |reporter| {
        reporter.error(&place("", 0..0), "no TOML", "y");
        missing(reporter);
    });
    assert_eq!(broken.list.len(), 1);
}

#[test]
fn a_key_is_spoken_of_when_an_error_names_it_or_one_within_it() {
    let mut reporter = Reporter::new(Path::new("t.toml"), "");
    reporter.error(&place("sites.a.registry.origins[0]", 0..0), "x", "y");
    reporter.warn(&place("push.renew", 0..0), "x", "y");
    assert!(reporter.spoke_of("sites.a.registry") && reporter.spoke_of("sites.a.registry.origins"));
    assert!(!reporter.spoke_of("sites.a.reg") && !reporter.spoke_of("sites.b") && !reporter.spoke_of("push.renew"));
}
