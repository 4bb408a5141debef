//! Finding out that an origin is back.
//!
//! An origin that could not be connected to is the last choice, and a process whose registries are all down is not
//! ready: no request would ever find out that one of them is back. So while an origin is down it is connected to, now
//! and then, and nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::Shared;
use crate::telemetry::metrics::Metrics;
use crate::upstream::origins::Origin;

/// Between two tries, and how long one may take.
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
        for (site, origin) in shared.origins().filter(|(_, origin)| !origin.is_up()) {
            if connects(origin).await && origin.answered(true) {
                metrics.origin_up(site, &origin.name, true);
                tracing::info!(site, origin = %origin.name, "the origin can be reached again");
            }
        }
    }
}

async fn connects(origin: &Origin) -> bool {
    let (Some(host), port) = (origin.url.host(), origin.url.port_u16()) else { return false };
    let port = port.unwrap_or(if origin.url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    matches!(tokio::time::timeout(PAUSE, TcpStream::connect((host, port))).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::origins::Origins;

    #[tokio::test]
    async fn an_origin_is_back_when_it_can_be_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let origins = Origins::new(&[url.parse().unwrap()]);
        let origin = origins.iter().next().unwrap();
        assert!(connects(origin).await);
        drop(listener);
        assert!(!connects(origin).await);
    }
}
