//! The hash of PostgreSQL's `md5` login.

use md5::{Digest, Md5};

/// `md5` and the hash of: the hash of password and user, and the salt. Hashes are in hexadecimal.
pub(super) fn md5(user: &str, password: &[u8], salt: [u8; 4]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let outer = hex(&Md5::new().chain_update(inner).chain_update(salt).finalize());
    format!("md5{outer}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with coreutils: `printf '%s' secretcheck | md5sum`, then that and `\x01\x02\x03\x04`.
    #[test]
    fn the_hash_is_postgresqls() {
        assert_eq!(md5("check", b"secret", [1, 2, 3, 4]), "md502cfab7b194fed7a6164b3e12511bd79");
    }
}
