use super::*;
use crate::oci::access::Action;

#[test]
fn a_401_lists_one_element_for_each_action() {
    let detail = [
        ResourceActions::repository("g/p", &[Action::Push, Action::Pull]),
        ResourceActions { class: "plugin".to_owned(), ..ResourceActions::repository("x", &[Action::Delete]) },
    ];
    assert_eq!(
        body(ErrorCode::Unauthorized, "authentication required", &detail),
        concat!(
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":["#,
            r#"{"Type":"repository","Class":"","Name":"g/p","Action":"pull"},"#,
            r#"{"Type":"repository","Class":"","Name":"g/p","Action":"push"},"#,
            r#"{"Type":"repository","Class":"plugin","Name":"x","Action":"delete"}]}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_message_cannot_break_out_of_its_string() {
    let bytes = body(ErrorCode::Unknown, "a\"}\n\u{1}", &[]);
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["errors"][0]["message"], "a\"}\n\u{1}");
    assert!(json["errors"][0]["detail"].is_null());
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
}
