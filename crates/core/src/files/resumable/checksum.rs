//! The sum that a client declares for the bytes of one request.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A checksum of the bytes that a request appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// Compares bytes with a checksum, if there is one.
pub(super) enum ChecksumCheck {
    None,
    Sha1(Sha1, [u8; 20]),
    Sha256(Sha256, [u8; 32]),
}

impl ChecksumCheck {
    pub(super) fn new(checksum: Option<Checksum>) -> ChecksumCheck {
        match checksum {
            None => ChecksumCheck::None,
            Some(Checksum::Sha1(sum)) => ChecksumCheck::Sha1(Sha1::new(), sum),
            Some(Checksum::Sha256(sum)) => ChecksumCheck::Sha256(Sha256::new(), sum),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            ChecksumCheck::None => {}
            ChecksumCheck::Sha1(hash, _) => hash.update(bytes),
            ChecksumCheck::Sha256(hash, _) => hash.update(bytes),
        }
    }

    /// Whether the bytes are those that were declared. True without a declaration.
    pub(super) fn matches(self) -> bool {
        match self {
            ChecksumCheck::None => true,
            ChecksumCheck::Sha1(hash, sum) => hash.finalize()[..] == sum,
            ChecksumCheck::Sha256(hash, sum) => hash.finalize()[..] == sum,
        }
    }
}
