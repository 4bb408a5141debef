use super::*;

fn wanted(upgrade: &'static str) -> Option<HeaderValue> {
    let request = Request::builder().header("connection", "keep-alive, Upgrade").header("upgrade", upgrade);
    wanted_upgrade(&request.body(Body::empty()).unwrap())
}

#[test]
fn no_other_version_of_http_is_switched_to_wherever_it_stands_in_the_list() {
    for upgrade in ["websocket", "SPDY/3.1", "websocket, SPDY/3.1", "httpish", ""] {
        assert_eq!(wanted(upgrade).unwrap(), upgrade);
    }
    let lists =
        ["h2c", "H2C", "h2", "websocket, h2c", ", h2c", "h2c-14, websocket,h2c ", "websocket,\th2c", "HTTP/2.0", "h2"];
    for upgrade in lists {
        assert_eq!(wanted(upgrade), None, "{upgrade}");
    }
}
