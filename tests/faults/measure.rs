//! What a process holds, by the kernel's own account and by its metrics.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use crate::network::{Place, outgoing};
use crate::support::door::{Door, counter};

/// How long things may take to come back.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(30);
/// What an allocator may keep besides a tenth of what there was: one arena's worth.
const ARENA: u64 = 4 << 10;
const POLL: Duration = Duration::from_millis(200);

/// What one Tidegate holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Open descriptors, without the pooled ones.
    pub(crate) descriptors: usize,
    /// Established connections it opened itself: to registries and authorities, in use or kept for the next request.
    pub(crate) pooled: usize,
    /// Threads, without the allocator's own, of which it begins another when it first has something to tidy up.
    pub(crate) threads: usize,
    /// Memory of its own, KiB.
    pub(crate) memory: u64,
    /// `tidegate_http_requests_in_flight`
    pub(crate) in_flight: u64,
    /// `tidegate_connections`
    pub(crate) connections: u64,
}

impl Measure {
    /// Looks at a door in `place` that listens on these ports.
    pub(crate) async fn of(door: &Door, place: Place<'_>, ports: [u16; 2]) -> Result<Self> {
        let metrics = door.metrics().await?;
        let pid = door.pid()?;
        let pooled = outgoing(place, pid, ports)?;
        Ok(Self {
            descriptors: entries(pid, "fd")?.saturating_sub(pooled),
            pooled,
            threads: threads(pid)?,
            memory: memory(pid)?,
            in_flight: counter(&metrics, "tidegate_http_requests_in_flight"),
            connections: counter(&metrics, "tidegate_connections"),
        })
    }

    /// Waits until everything is as in `self` again: the last look, what had not come back, and how long it took.
    pub(crate) async fn again(self, door: &Door, place: Place<'_>, ports: [u16; 2]) -> Result<Back> {
        let begun = Instant::now();
        loop {
            let now = Self::of(door, place, ports).await?;
            let left = self.left_in(now);
            if left.is_empty() || begun.elapsed() > BACK_WITHIN {
                return Ok(Back { before: self, now, left, took: begun.elapsed() });
            }
            // Nothing tells when a kernel has closed a socket; it is looked at until the deadline.
            sleep(POLL).await;
        }
    }

    /// The same, with the memory that the process has once a first crowd is gone: an allocator keeps what it had, and a
    /// second crowd has to make do with that.
    pub(crate) async fn after_crowd(self, door: &Door, place: Place<'_>, ports: [u16; 2]) -> Result<Self> {
        let begun = Instant::now();
        loop {
            let now = Self::of(door, place, ports).await?;
            let rebased = Self { memory: now.memory, ..self };
            if rebased.left_in(now).is_empty() || begun.elapsed() > BACK_WITHIN {
                return Ok(rebased);
            }
            sleep(POLL).await;
        }
    }

    fn left_in(self, now: Self) -> Vec<String> {
        let mut left = Vec::new();
        if now.descriptors > self.descriptors {
            left.push(format!("{} descriptors, {} before", now.descriptors, self.descriptors));
        }
        if now.threads > self.threads {
            left.push(format!("{} threads, {} before", now.threads, self.threads));
        }
        if now.memory > self.memory + self.memory / 10 + ARENA {
            left.push(format!("{} KiB of memory, {} before", now.memory, self.memory));
        }
        if now.in_flight > 0 || now.connections > 0 {
            left.push(format!("{} requests in flight on {} connections", now.in_flight, now.connections));
        }
        left
    }
}

/// How far it came back.
#[derive(Debug)]
pub(crate) struct Back {
    before: Measure,
    now: Measure,
    pub(crate) left: Vec<String>,
    took: Duration,
}

impl Back {
    /// In a table's few words.
    pub(crate) fn words(&self) -> String {
        let Self { before, now, took, .. } = self;
        format!(
            "descriptors {}→{}, threads {}→{}, memory {:.1}→{:.1} MiB, {:.0} s",
            before.descriptors,
            now.descriptors,
            before.threads,
            now.threads,
            mib(before.memory),
            mib(now.memory),
            took.as_secs_f64()
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, in MiB")]
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Memory of a process that no file stands behind, in KiB. Its share of the program's own pages is left out: that changes
/// with how many others run the same program.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).context("no Pss_Anon in smaps_rollup")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Clock ticks of CPU that a process has used, of which a second has a hundred.
pub(crate) fn ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, so counting begins after it.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).context("stat is short");
    Ok(field(11)? + field(12)?)
}

/// Those that are called as the allocator calls its own (`background_thread`) do not count. One that ended meanwhile is none.
fn threads(pid: u32) -> Result<usize> {
    let mut count = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = std::fs::read_to_string(task?.path().join("comm"));
        count += usize::from(name.is_ok_and(|name| name.trim() != "jemalloc_bg_thd"));
    }
    Ok(count)
}

fn entries(pid: u32, what: &str) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/{what}"))?.count())
}
