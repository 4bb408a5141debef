//! Settings for tests.

use std::time::Duration;

use super::Settings;
use crate::policy::{OnAuthorityDown, PushSettings};

pub(crate) fn token_settings() -> Settings {
    Settings { cache: 64 << 20, negative_ttl: Duration::from_secs(5), announce_lifetime: true }
}

pub(crate) fn push_settings() -> PushSettings {
    PushSettings {
        max_session: Duration::from_secs(21_600),
        max_unverified: Duration::from_secs(21_600),
        reverify: Duration::from_secs(60),
        exchange_margin: Duration::from_secs(120),
        on_authority_down: OnAuthorityDown::Continue,
    }
}
