//! What real-life tests stand on: real registries, real clients, a double of GitLab's token endpoint, a slow line and a
//! hop that spools, each in a process or namespace of its own and gone when the run is.

pub(crate) mod authority;
pub(crate) mod canaries;
pub(crate) mod clients;
pub(crate) mod door;
pub(crate) mod h2;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod run;
pub(crate) mod spool;
pub(crate) mod yard;
