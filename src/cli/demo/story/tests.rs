use super::Story;

#[test]
fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_tail() {
    let mut out = Vec::new();
    let rows = [["a", "b", ""], ["long", "x", "end"]].map(|row| row.map(str::to_owned).to_vec());
    Story::new(&mut out).table(&rows).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "   a     b\n   long  x  end\n");
}
