//! What real registries say: they run here, on free ports of this machine, and are gone when their test is.

#[cfg(test)]
mod compose;
#[cfg(test)]
mod dumps;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod minted;
#[cfg(test)]
mod registry;
