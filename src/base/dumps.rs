//! No picture of this process's memory for anybody but root: no core dumps, no debugger, no `/proc/PID/mem`.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Takes this process's memory out of core dumps and out of the reach of others that run as the same user; for good.
///
/// The attribute decides (`prctl(2)`, `PR_SET_DUMPABLE`): it also keeps a core from a program that the kernel pipes
/// cores to, where the limit does not count (`core(5)`). The limit is for kernels that refuse the attribute.
///
/// # Errors
/// The system's own, when either was refused; the other is in force then.
pub fn forbid() -> io::Result<()> {
    let attribute = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    attribute.and(limit)?;
    Ok(())
}
