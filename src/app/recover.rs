//! Finding out that an origin is back.
//!
//! An origin that could not be connected to is the last choice, and a process whose registries are all down is not
//! ready: no request would ever find out that one of them is back. So while an origin is down it is connected to, now
//! and then, as a request would be, and nothing is sent: one that is there and cannot be trusted is not back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Shared;
use crate::telemetry::metrics::Metrics;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// Tries for ever.
///
/// # Cancel safety
/// May be dropped.
pub async fn recover(shared: Arc<Shared>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (site, connector, origin) in shared.origins().filter(|(_, _, origin)| !origin.is_up()) {
            let connecting = tokio::time::timeout(PAUSE, connector.connect(origin.url.clone()));
            if matches!(connecting.await, Ok(Ok(_))) && origin.answered(true) {
                metrics.origin_up(site, &origin.name, true);
                tracing::info!(site, origin = %origin.name, "the origin can be reached again");
            }
        }
    }
}
