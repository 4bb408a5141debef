//! How many connections there may be, from one address and in all, and which worker has the fewest.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::labels::Limit;
use crate::telemetry::metrics::Metrics;

/// The bounds of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    per_address: usize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    metrics: Arc<Metrics>,
}

/// A connection's place. It is free again when this is dropped, wherever the connection went.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    load: Arc<AtomicUsize>,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// The address has as many connections as one may have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many connections from one address")]
pub(super) struct TooMany;

impl Slots {
    /// `connections` in all, `per_address` from one client (0: no bound).
    pub(super) fn new(connections: usize, per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, per_address, addresses: Mutex::default(), metrics })
    }

    /// Waits for room: connections past the bound stay in the kernel's backlog, which is kinder to a burst than a
    /// reset. `None` never comes; the semaphore is not closed.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn room(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(permit);
        }
        self.metrics.limit_hit(Limit::Connections);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// A place on the worker whose connections `load` counts.
    pub(super) fn take(self: &Arc<Self>, permit: OwnedSemaphorePermit, load: &Arc<AtomicUsize>) -> Slot {
        load.fetch_add(1, Ordering::Relaxed);
        self.metrics.connection_opened();
        Slot { slots: Arc::clone(self), load: Arc::clone(load), address: None, _permit: permit }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Counts the connection for `address`.
    ///
    /// # Errors
    /// [`TooMany`], and the connection is to be closed.
    pub(super) fn count_for(&mut self, address: IpAddr) -> Result<(), TooMany> {
        if self.slots.per_address == 0 || self.address.is_some() {
            return Ok(());
        }
        let address = one_client(address);
        let mut addresses = self.slots.addresses();
        let count = addresses.entry(address).or_default();
        if *count >= self.slots.per_address {
            self.slots.metrics.limit_hit(Limit::ConnectionsPerAddress);
            return Err(TooMany);
        }
        *count += 1;
        drop(addresses);
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.slots.metrics.connection_closed();
        let Some(address) = self.address else { return };
        let mut addresses = self.slots.addresses();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, which one client commonly has to itself.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
