//! Suites of TLS 1.3 whose records ring seals; all else in them is aws-lc's.

use std::arch::is_x86_feature_detected;
use std::sync::LazyLock;

use rustls::crypto::{aws_lc_rs, ring};
use rustls::{CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};

/// The suites it is about: those whose speed depends on AES instructions.
const AES_GCM: [CipherSuite; 2] = [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384];

static BY_RING: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let (ours, rings) = (aws_lc_rs::default_provider().cipher_suites, ring::default_provider().cipher_suites);
    let by_ring = |name: CipherSuite| {
        let suite = ours.iter().find(|suite| suite.suite() == name)?.tls13()?;
        let sealing = rings.iter().find(|suite| suite.suite() == name)?.tls13()?;
        Some(Tls13CipherSuite {
            common: CipherSuiteCommon {
                suite: name,
                hash_provider: suite.common.hash_provider,
                confidentiality_limit: suite.common.confidentiality_limit.min(sealing.common.confidentiality_limit),
            },
            hkdf_provider: suite.hkdf_provider,
            aead_alg: sealing.aead_alg,
            quic: None,
        })
    };
    AES_GCM.into_iter().filter_map(by_ring).collect()
});

/// Whether this processor has wide AES, and not the AVX-512 that aws-lc wants beside it.
pub(super) fn faster_by_ring() -> bool {
    is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("avx2")
        && !is_x86_feature_detected!("avx512bw")
}

/// Whether ring seals the records of this suite.
pub(super) fn are_by_ring(suite: &'static Tls13CipherSuite) -> bool {
    BY_RING.iter().any(|by_ring| std::ptr::eq(by_ring, suite))
}

/// Lets ring seal the records of the suites it has, and leaves the others and their order alone.
pub(super) fn seal_by_ring(suites: &mut [SupportedCipherSuite]) {
    for suite in suites {
        if let Some(by_ring) = BY_RING.iter().find(|by_ring| by_ring.common.suite == suite.suite()) {
            *suite = SupportedCipherSuite::Tls13(by_ring);
        }
    }
}

#[cfg(test)]
mod tests;
