//! What [`Security`] comes to, read from files.

use crate::error::Result;
use crate::peer::{NodeName, Security};

#[cfg(feature = "tls")]
use crate::tls::{Client, Identity, Roots, Server, Versions, WallTime};

/// What connections are made with.
#[derive(Clone, Debug)]
pub(in crate::driver) enum Secured {
    Plain,
    #[cfg(feature = "tls")]
    Tls {
        client: Client,
        server: Server,
    },
}

/// Reads the files, and sees that the other nodes will take this one's certificate, for nothing else. Blocks meanwhile.
pub(crate) fn check_security(security: &Security, name: &NodeName) -> Result<()> {
    Secured::load(security, name).map(drop)
}

/// The protocol that both ends name, so that no other TLS server or client is mistaken for a node.
#[cfg(feature = "tls")]
pub(super) const ALPN: &[u8] = b"trimtab-peer/1";

impl Secured {
    /// Reads the files, and sees that the other nodes will take this one's certificate. Blocks while files are read.
    #[cfg(feature = "tls")]
    pub(in crate::driver) fn load(security: &Security, name: &NodeName) -> Result<Self> {
        let Security::Tls { certificates, key, ca } = security else { return Ok(Self::Plain) };
        let time = WallTime::System;
        let roots = Roots::load(ca)?;
        let identity = Identity::load(certificates, key.as_deref())?;
        identity.check(&roots, name.as_str(), time)?;
        let client = Client::new(&roots, Some(&identity), &[ALPN], Versions::Newest, time)?;
        let server = Server::new(&identity, Some(&roots), &[ALPN], Versions::Newest, time)?;
        Ok(Self::Tls { client, server })
    }

    #[cfg(not(feature = "tls"))]
    pub(in crate::driver) fn load(security: &Security, _name: &NodeName) -> Result<Self> {
        match security {
            Security::Tls { .. } => Err(crate::error::Error::Unsupported {
                what: "peer_tls",
                detail: "this build has no TLS; build it with the feature tls".into(),
            }),
            _ => Ok(Self::Plain),
        }
    }
}
