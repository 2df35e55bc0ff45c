//! [`Security`]: how links are secured.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// How links are secured. There is no default: plaintext must be asked for by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Mutual TLS 1.3: both ends show a certificate for their names that an authority of `ca` signed.
    Tls {
        /// Files with this node's certificate and what leads from it to the authority, read one behind the other.
        certificates: Vec<PathBuf>,
        /// The file with its key; the first of `certificates` where it is not given.
        key: Option<PathBuf>,
        /// The file with the authorities.
        ca: PathBuf,
    },
    /// Nothing: whoever reaches the port can be any node, and whoever listens reads all. On loopback addresses alone.
    InsecurePlaintext,
    /// The same on any address, for networks that are secured otherwise.
    InsecurePlaintextAnywhere,
}

impl Security {
    /// Whether an address may be used; `what` is the option that has it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for one beyond this machine where plaintext was asked for on loopback.
    pub fn check(&self, what: &'static str, address: &SocketAddr) -> Result<()> {
        if *self != Security::InsecurePlaintext || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let why = format!(
            "{address} is not of this machine, and peer_tls = \"insecure-plaintext\" is for 127.0.0.0/8 and ::1; set up \
             peer_tls, or write \"insecure-plaintext-anywhere\" where the network is secured otherwise"
        );
        Err(Error::invalid(what, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_keeps_to_this_machine_unless_told_otherwise() {
        for (address, is_near) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("[fe80::1]:1", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(Security::InsecurePlaintext.check("listen", &address).is_ok(), is_near, "{address}");
            assert!(Security::InsecurePlaintextAnywhere.check("listen", &address).is_ok());
        }
        let told = Security::InsecurePlaintext.check("listen", &"10.0.0.1:1".parse().unwrap()).unwrap_err();
        assert!(told.to_string().contains("insecure-plaintext-anywhere"), "{told}");
    }
}
