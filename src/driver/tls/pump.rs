//! [`Pump`]: one TLS connection over bytes that somebody else carries.

use std::io::{self, Read as _, Write as _};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, Connection, ServerConnection};

use crate::driver::tls::config::{self, Client, Server};
use crate::driver::tls::fault::Fault;
use crate::error::{Error, Result};

/// One end of a TLS connection. Encrypted bytes go in with [`handle_bytes`](Self::handle_bytes) and come out with
/// [`poll_transmit`](Self::poll_transmit); plain ones go in with [`write`](Self::write) and come out with
/// [`read`](Self::read). Nothing blocks, and it knows no socket.
///
/// It holds one record or handshake message that is not whole (64 KiB at most), 16 KiB and a record of plain bytes that
/// were not read, and 64 KiB that were written and not sent; beyond that it takes no more.
#[derive(Debug)]
pub struct Pump {
    connection: Connection,
    fault: Option<Fault>,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// None now.
    Nothing,
    /// The other side ended its half, within TLS, so nothing was cut off.
    Closed,
}

/// The certificate that the other side showed, and proved to have the key of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(CertificateDer<'static>);

impl Pump {
    /// The end that connects, to a server that must have a certificate for `name`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a name that none can have.
    pub fn client(config: &Client, name: &str) -> Result<Self> {
        let name = config::server_name(name)?;
        let connection = ClientConnection::new(config.0.clone(), name)
            .map_err(|error| Error::invalid("tls", error.to_string()))?;
        Ok(Self { connection: connection.into(), fault: None })
    }

    /// The end that was connected to.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where what it is made with cannot be.
    pub fn server(config: &Server) -> Result<Self> {
        let connection = ServerConnection::new(config.0.clone())
            .map_err(|error| Error::invalid("tls", error.to_string()))?;
        Ok(Self { connection: connection.into(), fault: None })
    }

    /// Takes encrypted bytes, and shortens `bytes` by what was taken: not all while plain ones wait to be read.
    ///
    /// # Errors
    ///
    /// The connection has failed, then and for good; an alert may be left to [send](Self::poll_transmit).
    pub fn handle_bytes(&mut self, bytes: &mut &[u8]) -> std::result::Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        while !bytes.is_empty() && self.has_room() {
            match self.connection.read_tls(bytes) {
                // It was closed within TLS: what is behind that is nothing.
                Ok(0) => *bytes = &[],
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Other => break,
                Err(error) => return Err(self.fail(Fault::Broken(error.to_string()))),
            }
            if let Err(error) = self.connection.process_new_packets() {
                return Err(self.fail(Fault::from_rustls(&error)));
            }
        }
        Ok(())
    }

    /// Takes plain bytes, as many as there is room for: how many.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        // Writing to memory: it takes what fits.
        self.connection.writer().write(bytes).unwrap_or(0)
    }

    /// Gives plain bytes.
    pub fn read(&mut self, to: &mut [u8]) -> Read {
        match self.connection.reader().read(to) {
            Ok(0) if !to.is_empty() => Read::Closed,
            Ok(bytes) => Read::Bytes(bytes),
            Err(_) => Read::Nothing,
        }
    }

    /// Appends the encrypted bytes that are to go; whether there were any.
    pub fn poll_transmit(&mut self, to: &mut Vec<u8>) -> bool {
        let before = to.len();
        while self.connection.wants_write() {
            // Writing to memory does not fail.
            if self.connection.write_tls(to).unwrap_or(0) == 0 {
                break;
            }
        }
        to.len() > before
    }

    /// Ends this half, within TLS.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// The connection below has ended: a fault, unless it was ended within TLS before.
    pub fn handle_end(&mut self) -> std::result::Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let state = self.connection.process_new_packets();
        if state.is_ok_and(|state| state.peer_has_closed()) {
            Ok(())
        } else {
            Err(self.fail(Fault::Truncated))
        }
    }

    /// Whether the two have not agreed yet. While so, what is written waits.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The protocol that both named by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The certificate of the other side, once the handshake is done and if it showed one.
    pub fn peer(&self) -> Option<PeerCertificate> {
        if self.is_handshaking() {
            return None;
        }
        self.connection
            .peer_certificates()?
            .first()
            .map(|certificate| PeerCertificate(certificate.clone().into_owned()))
    }

    /// Whether it takes encrypted bytes.
    fn has_room(&mut self) -> bool {
        self.connection.wants_read() || self.connection.is_handshaking()
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.fault = Some(fault.clone());
        fault
    }
}

impl PeerCertificate {
    /// Whether it is for `name`.
    ///
    /// # Errors
    ///
    /// The names it is for, as far as they can be told.
    pub fn is_for(&self, name: &str) -> std::result::Result<(), Vec<String>> {
        config::is_for(&self.0, name)
    }
}
