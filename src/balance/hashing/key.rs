//! The hashes of keys and names.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// XXH3, 64 bits, of `key`. Seeds give unrelated hashes.
#[inline]
pub(crate) fn hash64(key: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(key, seed)
}

/// CRC-32 (IEEE 802.3, as in zlib) of `key`: what nginx places keys on its ring by.
#[inline]
pub(crate) fn hash32(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values that are published with the two algorithms.
    #[test]
    fn follow_their_references() {
        assert_eq!(hash32(b"123456789"), 0xcbf4_3926);
        assert_eq!(hash64(b"", 0), 0x2d06_8005_38d3_94c2);
    }

    #[test]
    fn the_seed_matters() {
        assert_ne!(hash64(b"key", 0), hash64(b"key", 1));
    }
}
