use super::*;

fn origins(names: &[&str]) -> Origins {
    Origins::new(&names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>())
}

#[test]
fn the_less_busy_of_two_is_picked() {
    let origins = origins(&["http://a:5000", "http://b:5000"]);
    let first = Arc::clone(origins.pick(&[]).unwrap());
    let _running = first.start();
    for _ in 0..4 {
        assert_ne!(origins.pick(&[]).unwrap().id, first.id);
    }
}

#[test]
fn an_origin_that_did_not_answer_is_the_last_choice() {
    let origins = origins(&["http://a:5000", "http://b:5000"]);
    let down = Arc::clone(origins.iter().next().unwrap());
    assert!(down.answered(false));
    assert!(!down.answered(false), "known already");
    for _ in 0..4 {
        assert_ne!(origins.pick(&[]).unwrap().id, down.id);
    }
    let other = origins.pick(&[]).unwrap().id;
    assert_eq!(origins.pick(&[other]).unwrap().id, down.id);
    assert!(origins.pick(&[other, down.id]).is_none());
    assert!(down.answered(true));
}

#[test]
fn a_ticket_finds_its_origin_by_url_whatever_the_order() {
    let one = origins(&["http://a:5000", "https://b"]);
    let other = origins(&["https://b/", "http://a:5000/"]);
    for origin in one.iter() {
        assert_eq!(other.find(origin.id).unwrap().name, origin.name);
    }
    assert!(one.find(OriginId::of("http://b")).is_none());
}
