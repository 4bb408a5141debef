use std::time::Duration;

use clap::Parser;

use super::{DemoArgs, plan, rate, size};
use crate::base::units::ByteSize;

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    arguments: DemoArgs,
}

fn typed(arguments: &[&str]) -> Result<DemoArgs, clap::Error> {
    Typed::try_parse_from([&["demo"], arguments].concat()).map(|typed| typed.arguments)
}

#[test]
fn a_bare_number_has_the_unit_that_is_meant() {
    assert_eq!(size("24"), Ok(ByteSize(24 << 20)));
    assert_eq!(size("512KiB"), Ok(ByteSize(512 << 10)));
    assert_eq!(rate("2"), Ok(ByteSize(2 << 20)));
    assert_eq!(rate("700KiB/s"), Ok(ByteSize(700 << 10)));
    assert!(size("").is_err() && size("-1").is_err() && size("1.5MiB").is_err());
    assert_eq!(typed(&["--token-life", "12"]).unwrap().token_life.0, Duration::from_secs(12));
}

#[test]
fn left_alone_both_pushes_together_last_less_than_a_minute() {
    let arguments = typed(&[]).unwrap();
    assert!(arguments.size.0 / arguments.rate.0 * 2 < 60);
}

#[tokio::test]
async fn what_would_show_nothing_is_refused() {
    for arguments in [
        &["--token-life", "7s"][..],
        &["--token-life", "61s"],
        &["--size", "13MiB", "--token-life", "10s"],
        &["--size", "1GiB", "--rate", "1GiB"],
        &["--rate", "0"],
    ] {
        assert!(plan(&typed(arguments).unwrap()).await.is_err(), "{arguments:?}");
    }
}
