//! What control frames cost, and what earns them.
//!
//! SETTINGS, PING, WINDOW_UPDATE, PRIORITY, RST_STREAM and DATA without data are part of every conversation, and RFC
//! 9113 bounds none of them (§10.5). A client that works needs them in proportion to its work: about two WINDOW_UPDATE
//! for each piece of an answer it read, some with each request. So work earns frames, time earns a few, and who has
//! none left is only talking.

use std::time::Duration;

use tokio::time::Instant;

use super::reader::{CONTINUATION, DATA, END_STREAM, Frame, HEADERS, RST_STREAM};

/// Frames a new connection has, and the most that time alone gives.
const BURST: u32 = 500;
/// Frames a second earns.
const PER_SECOND: u64 = 100;
/// Frames that work may lay by: what a client acknowledges all at once after a pause, 32 MiB on their way to it.
const SAVED: u32 = 64 * 1024;
/// Bytes of bodies, either way, that earn a frame. Go's client answers each 4 KiB with two.
const BYTES: u64 = 512;
/// Frames a request earns.
const REQUEST: u32 = 2;
/// What taking a stream back costs, opening it not counted: a hundred at once, then twenty a second, reach a registry for nothing.
const RESET: u32 = 7;

/// One connection's account.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Since when time has not been counted.
    since: Instant,
    /// Bytes that did not come to a frame yet.
    bytes: u64,
}

/// There is nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent;

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, bytes: 0 }
    }

    /// The client sent a frame. The clock is asked only when nothing is left.
    ///
    /// # Errors
    /// [`Spent`]: the connection is to end.
    pub(super) fn came(&mut self, frame: Frame, now: impl FnOnce() -> Instant) -> Result<(), Spent> {
        match frame.kind {
            DATA if frame.length > 0 => self.carried(u64::from(frame.length)),
            DATA if frame.flags & END_STREAM != 0 => {}
            HEADERS => self.earn(REQUEST),
            // Part of a head, which has bounds of its own.
            CONTINUATION if frame.length > 0 => {}
            RST_STREAM => return self.spend(RESET, now),
            _ => return self.spend(1, now),
        }
        Ok(())
    }

    /// So many bytes of bodies went by.
    pub(super) fn carried(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.earn(u32::try_from(self.bytes / BYTES).unwrap_or(SAVED));
        self.bytes %= BYTES;
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(SAVED);
    }

    fn spend(&mut self, frames: u32, now: impl FnOnce() -> Instant) -> Result<(), Spent> {
        if self.left < frames {
            let now = now();
            let earned = earned(now.saturating_duration_since(self.since));
            if earned > 0 {
                self.left = self.left.saturating_add(earned).min(BURST);
                self.since = now;
            }
        }
        self.left = self.left.checked_sub(frames).ok_or(Spent)?;
        Ok(())
    }
}

fn earned(time: Duration) -> u32 {
    u32::try_from(time.as_millis() * u128::from(PER_SECOND) / 1000).unwrap_or(BURST)
}

#[cfg(test)]
mod tests;
