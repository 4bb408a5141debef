use super::last_words;

#[test]
fn last_words_are_those_about_the_failure_without_queries() {
    let words =
        "Getting image source signatures\nCopying blob\nError: Patch \"http://a/b?_state=x%3D\": closed\ndone\n";
    assert_eq!(last_words(words), "Error: Patch \"http://a/b?…\": closed");
    assert_eq!(last_words("one\ntwo\n\nthree?x\n"), "two\nthree?…");
    assert_eq!(last_words(""), "");
}
