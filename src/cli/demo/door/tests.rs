use std::net::SocketAddr;
use std::time::Duration;

use super::{CONFIGURATION, Metrics, Orders, configuration};
use crate::base::clock::Clock;
use crate::cli::demo::keys;
use crate::cli::demo::scratch::Scratch;
use crate::config;
use crate::policy::Renew;

#[test]
fn the_configuration_is_one_that_tidegate_takes() {
    let scratch = Scratch::new().unwrap();
    keys::make(scratch.path(), Duration::from_secs(10)).unwrap();
    let port = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    for renew in [Renew::Resign, Renew::Exchange] {
        let realm = "http://127.0.0.1:5/jwt/auth";
        let orders = Orders { dir: scratch.path(), authority: port(1), registry: port(2), realm, renew };
        let file = scratch.path().join(CONFIGURATION);
        std::fs::write(&file, configuration(&orders, port(3), port(4))).unwrap();
        let settings = config::load(&file, Clock::System.now()).unwrap();
        assert_eq!(settings.sites[0].renew, renew);
        assert_eq!(settings.signing.is_some(), renew == Renew::Resign);
    }
}

#[test]
fn a_counter_is_summed_over_the_label_sets_that_are_asked_for() {
    let metrics = Metrics(
        "# TYPE tidegate_rescues counter\n\
         tidegate_rescues_total{renew=\"resign\"} 2\n\
         tidegate_rescues_total{renew=\"exchange\"} 3\n\
         tidegate_rescues_total_of_another 9\n\
         tidegate_plain_total 4\n# EOF\n"
            .to_owned(),
    );
    assert_eq!(metrics.counter("tidegate_rescues_total", ""), 5);
    assert_eq!(metrics.counter("tidegate_rescues_total", "\"resign\""), 2);
    assert_eq!(metrics.counter("tidegate_plain_total", ""), 4);
    assert_eq!(metrics.counter("tidegate_absent_total", ""), 0);
}
