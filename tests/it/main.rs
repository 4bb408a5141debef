//! The whole gateway in one process, and the rules of the house.

#[cfg(test)]
mod support;

mod tidy;

#[cfg(test)]
mod lapsed;
