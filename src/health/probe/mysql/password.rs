//! Proofs of a password, by the names of the plugins.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::health::reason::{Reason, shown};

pub(super) const NATIVE: &[u8] = b"mysql_native_password";
pub(super) const CACHING: &[u8] = b"caching_sha2_password";

/// What `plugin` wants to hear. An empty password is an empty answer.
pub(super) fn proof(plugin: &[u8], password: &[u8], scramble: &[u8]) -> Result<Vec<u8>, Reason> {
    match plugin {
        _ if password.is_empty() => Ok(Vec::new()),
        NATIVE => Ok(native(password, scramble).to_vec()),
        CACHING => Ok(caching(password, scramble).to_vec()),
        b"mysql_clear_password" => {
            Err(Reason::answer("the server wants the password in clear text, which is not sent"))
        }
        _ => Err(Reason::answer(format!(
            "the server wants a login by {}, which is not known here: let the check's user have \
             mysql_native_password or caching_sha2_password",
            shown(plugin)
        ))),
    }
}

/// `SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password)))`.
fn native(password: &[u8], scramble: &[u8]) -> [u8; 20] {
    let once = Sha1::digest(password);
    let with = Sha1::new().chain_update(scramble).chain_update(Sha1::digest(once)).finalize();
    xor(once.into(), with.into())
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble)`.
fn caching(password: &[u8], scramble: &[u8]) -> [u8; 32] {
    let once = Sha256::digest(password);
    let with = Sha256::new().chain_update(Sha256::digest(once)).chain_update(scramble).finalize();
    xor(once.into(), with.into())
}

fn xor<const N: usize>(mut bytes: [u8; N], with: [u8; N]) -> [u8; N] {
    for (byte, with) in bytes.iter_mut().zip(with) {
        *byte ^= with;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAMBLE: &[u8] = b"0123456789abcdefghij";

    /// Computed with Python's hashlib.
    #[test]
    fn proofs_are_those_of_the_plugins() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(proof(NATIVE, b"secret", SCRAMBLE).unwrap()),
            "f5cac3f3b3df2133feb57db682c71e6ed433a988"
        );
        assert_eq!(
            hex(proof(CACHING, b"secret", SCRAMBLE).unwrap()),
            "7e4adda2f2d5ef09b4147518becb0cee2939376203650a8c2bb2815959364bd0"
        );
        for plugin in [NATIVE, CACHING, b"client_ed25519"] {
            assert_eq!(proof(plugin, b"", SCRAMBLE).unwrap(), b"");
        }
    }

    #[test]
    fn plugins_that_are_not_known_are_told() {
        let reason = |plugin: &[u8]| proof(plugin, b"secret", SCRAMBLE).unwrap_err().text().to_string();
        assert!(reason(b"mysql_clear_password").contains("clear text"));
        assert!(reason(b"client_ed25519").contains("client_ed25519"));
    }
}
