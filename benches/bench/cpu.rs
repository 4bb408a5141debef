//! What a process and its children have used, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's `USER_HZ`, the unit of `/proc/PID/stat`; 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time that each thread of a process and its children has had.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used(BTreeMap<u32, Duration>);

impl Used {
    /// Until now.
    pub(crate) fn read(pid: u32) -> Result<Self> {
        let mut used = BTreeMap::new();
        for process in family(pid)? {
            for entry in fs::read_dir(format!("/proc/{process}/task"))? {
                let Ok(thread) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
                // A thread may end between the listing and the reading.
                if let Some(time) = of_thread(process, thread) {
                    used.insert(thread, time);
                }
            }
        }
        Ok(Self(used))
    }

    /// Between two readings. What a thread used that ended in between is lost; proxies keep theirs.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let of = |thread: &u32| earlier.0.get(thread).copied().unwrap_or_default();
        self.0.iter().map(|(thread, time)| time.saturating_sub(of(thread))).sum()
    }
}

/// The CPU time of a process and its children while some work is done, and what the work gives.
pub(crate) async fn spent<T>(pid: u32, work: impl Future<Output = Result<T>>) -> Result<(Duration, T)> {
    let before = Used::read(pid)?;
    let done = work.await?;
    Ok((Used::read(pid)?.since(&before), done))
}

/// The proportional share of memory of a process and its children, in bytes. Tidegate keeps its maps from its neighbours:
/// without root it is what is resident, which is the same for a process that shares nothing.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for process in family(pid)? {
        let (text, name) = match fs::read_to_string(format!("/proc/{process}/smaps_rollup")) {
            Ok(text) => (text, "Pss:"),
            Err(_) => (fs::read_to_string(format!("/proc/{process}/status"))?, "VmRSS:"),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        sum += line.trim().trim_end_matches(" kB").parse::<u64>()? << 10;
    }
    Ok(sum)
}

/// A process and all that descend from it.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(child) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        if let Some(parent) = field(&format!("/proc/{child}/stat"), 1).and_then(|it| u32::try_from(it).ok()) {
            parents.push((child, parent));
        }
    }
    let mut family = vec![pid];
    loop {
        let known = |pid: &u32| family.contains(pid);
        let more: Vec<u32> =
            parents.iter().filter(|(child, parent)| known(parent) && !known(child)).map(|(child, _)| *child).collect();
        if more.is_empty() {
            return Ok(family);
        }
        family.extend(more);
    }
}

/// To the microsecond where the kernel tells it (`CONFIG_SCHED_DEBUG`), else to the tick.
fn of_thread(process: u32, thread: u32) -> Option<Duration> {
    let directory = format!("/proc/{process}/task/{thread}");
    if let Ok(text) = fs::read_to_string(format!("{directory}/sched")) {
        let line = text.lines().find(|line| line.starts_with("se.sum_exec_runtime"))?;
        let milliseconds: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
        return Some(Duration::from_secs_f64(milliseconds / 1e3));
    }
    let stat = format!("{directory}/stat");
    let ticks = field(&stat, 11)? + field(&stat, 12)?;
    Some(TICK * u32::try_from(ticks).ok()?)
}

/// The numbered field after the name, which stands in parentheses and may hold anything (proc(5)); 0 is the state.
fn field(path: &str, number: usize) -> Option<u64> {
    fs::read_to_string(path).ok()?.rsplit_once(") ")?.1.split(' ').nth(number)?.parse().ok()
}
