//! The whole gateway in one process, and the rules of the house.

#[cfg(test)]
mod support;

mod tidy;

#[cfg(test)]
mod exchange;
#[cfg(test)]
mod lapsed;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod tickets;
