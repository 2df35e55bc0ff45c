//! [`Store`]: a store in a process of its own, with a directory that is taken away at the end.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::counters::{self, Client, Said};
use super::node::Node;
use super::plan::BACKENDS;
use crate::error::{Error, Result};

pub(super) struct Store {
    node: Node,
    address: SocketAddr,
    /// Bound to the address and never listening, so that the port is nobody else's while the store is down.
    _held: Socket,
    text: String,
    /// With the configuration and what it writes; it goes last.
    _directory: TempDir,
}

impl Store {
    /// Starts one on a port that the system chooses.
    pub(super) fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("trimtab-demo-").tempdir();
        let directory = directory.map_err(|error| Error::io("make a directory for the store", &error))?;
        let (address, held) = hold_port().map_err(|error| Error::io("find a port for the store", &error))?;
        let text = text(address);
        let node = Node::start(directory.path(), &text)?;
        Ok(Self { node, address, _held: held, text, _directory: directory })
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.node.kill()
    }

    /// Starts it where it was killed before; returns when it takes clients.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.node.start_again()
    }

    /// What it has counted, for each backend.
    pub(super) fn counters(&self) -> Result<Vec<u64>> {
        let failed = |error| Error::io("read the counters in the store", &error);
        let mut client = Client::connect(self.address).map_err(failed)?;
        let read = |name: &&str| match client.ask(&["GET", &counters::key(name)]).map_err(failed)? {
            Said::Nothing => Ok(0),
            Said::Text(text) if let Ok(number) = text.parse() => Ok(number),
            other => {
                let detail = format!("has {other:?} where a counter should be").into();
                Err(Error::State { what: "store", detail })
            }
        };
        BACKENDS.iter().map(read).collect()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configuration that it runs.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn hold_port() -> std::io::Result<(SocketAddr, Socket)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().expect("it was bound to an IP address");
    Ok((address, socket))
}

fn text(address: SocketAddr) -> String {
    format!(
        "\
[store]
dir = \"data\"               # below where it is started
resp = \"{address}\"   # any Redis client
durability = \"local\"       # what it acknowledges is on this disk
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Config;

    #[test]
    fn the_configuration_is_good() {
        Config::parse(&text(SocketAddr::from(([127, 0, 0, 1], 6379))), "store.toml").unwrap();
    }
}
