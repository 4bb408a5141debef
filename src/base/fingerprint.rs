//! What caches know a secret by, so that none of them holds it.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use aws_lc_rs::digest;

/// The SHA-256 (FIPS 180-4) of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(fingerprint)
    }
}

/// Its first bytes: they are as evenly spread as any hash of them would be.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
}

/// Hashes a map's fingerprints. Who wants many that meet in one place has to search for them, and to have each let in.
pub type FingerprintHasher = BuildHasherDefault<AsIs>;

/// The number that was written, as the hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests;
