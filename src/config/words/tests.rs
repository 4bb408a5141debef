use super::*;

#[test]
fn a_slip_of_the_hand_finds_the_word_that_was_meant() {
    let known = ["max_session", "max_unverified", "reverify", "renew"];
    for (typed, meant) in
        [("max_sesion", "max_session"), ("maxsession", "max_session"), ("reverfiy", "reverify"), ("Renew", "renew")]
    {
        assert_eq!(nearest(typed, &known), Some(meant), "{typed}");
    }
}

#[test]
fn another_word_is_not_taken_for_a_slip() {
    assert_eq!(nearest("store", &["signing", "tokens", "tickets"]), None);
    // Two of five letters are more than a third.
    assert_eq!(nearest("remex", &["renew"]), None);
    assert_eq!(nearest("anything", &[]), None);
    assert_eq!(nearest(&"x".repeat(100_000), &["push"]), None);
}

#[test]
fn distances_are_those_of_levenshtein() {
    for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ä", "a", 1)]
    {
        assert_eq!(distance(a, b), expected, "{a} {b}");
        assert_eq!(distance(b, a), expected, "{b} {a}");
    }
}

#[test]
fn documentation_lines_become_one_paragraph() {
    assert_eq!(paragraph(&[" One line.", " And another."]), "One line. And another.");
}
