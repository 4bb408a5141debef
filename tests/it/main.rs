//! The whole gateway in one process, and the rules of the house.

#[cfg(test)]
#[path = "../support/canary.rs"]
mod canary;
#[cfg(test)]
#[path = "../support/h2.rs"]
#[expect(dead_code, reason = "not every kind of frame is needed by every program that writes some")]
mod h2;
#[cfg(test)]
mod support;

mod tidy;

#[cfg(test)]
#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "to the fuzz targets it is a library")]
mod checks;
#[cfg(test)]
mod invariants;

#[cfg(test)]
mod authorization;
#[cfg(test)]
mod challenges;
#[cfg(test)]
mod early;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod forwarded;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod hangups;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod lapsed;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod lying;
#[cfg(test)]
mod locations;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod malformed_h2;
#[cfg(test)]
mod minted;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod sites;
#[cfg(test)]
mod subset;
#[cfg(test)]
mod tickets;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod token_endpoint;
