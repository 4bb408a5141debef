//! The crypto that TLS is spoken with, to clients and to registries alike.
//!
//! It is aws-lc's, but for one thing: where a processor has wide AES instructions (VAES) and no AVX-512, aws-lc goes on
//! with the narrow ones, and ring seals the records of TLS 1.3 (AES-GCM, RFC 8446 §5.2) at nearly twice the
//! speed, which is a sixth of what a pull costs. Keys are agreed on, derived and signed with by aws-lc everywhere.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// What a TLS configuration is built with. It is named by whoever builds one: rustls would otherwise take what the
/// process installed, and fail at the first handshake where nothing was.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "only x86-64 has two generations of AES"))]
    let mut provider = aws_lc_rs::default_provider();
    #[cfg(target_arch = "x86_64")]
    if records::faster_by_ring() {
        records::seal_by_ring(&mut provider.cipher_suites);
    }
    Arc::new(provider)
}

pub(crate) mod opening;
#[cfg(target_arch = "x86_64")]
mod records;
#[cfg(test)]
pub(crate) mod testing;
