//! What real registries say: they run here, on free ports of this machine, and are gone when their test is.

#[cfg(test)]
mod canaries;
#[cfg(test)]
#[path = "../support/canary.rs"]
mod canary;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod dumps;
#[cfg(test)]
mod gateway;
#[cfg(test)]
#[path = "../support/h2.rs"]
#[expect(dead_code, reason = "not every kind of frame is needed by every program that writes some")]
mod h2;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod minted;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod secrets;
