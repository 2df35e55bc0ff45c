//! [`Connection`]: one connection with its socket, its TLS and its link.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::Socket;

use crate::driver::net;
use crate::driver::peer::secured::Secured;
use crate::error::Result;
use crate::peer::{End, Event, Link, NodeName, Refusal};
use crate::sys::fork::Moment;
use crate::time::Instant;

#[cfg(feature = "tls")]
use crate::driver::peer::secured::ALPN;
#[cfg(feature = "tls")]
use crate::peer::{PREAMBLE, Reason};
#[cfg(feature = "tls")]
use crate::tls::{self, Pump};

/// One connection. It is read and written in bounded steps; what its link says is for the owner to take.
pub(super) struct Connection {
    socket: Socket,
    since: Moment,
    /// The owner's number for it, used once.
    pub(super) id: u64,
    /// Whom it was dialled for, and where; none for one that was accepted.
    pub(super) dialled: Option<(NodeName, SocketAddr)>,
    /// From where it came.
    pub(super) from: Option<SocketAddr>,
    /// Who is at the other end, once that was taken.
    pub(super) peer: Option<NodeName>,
    pub(super) link: Link,
    pub(super) up_since: Option<Instant>,
    carrier: Carrier,
    stage: Stage,
    /// What is to go next, and how much of it has gone.
    out: Vec<u8>,
    sent: usize,
    can_read: bool,
    can_write: bool,
    /// The other side ended its half: a short read is not the last.
    is_half_closed: bool,
}

/// What is between the socket and the link.
enum Carrier {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Box<Secret>),
}

#[cfg(feature = "tls")]
struct Secret {
    pump: Pump,
    /// What the link said and the pump did not take yet.
    plain: Vec<u8>,
    /// Nothing came yet by which the other side could be told.
    is_first: bool,
    /// Its half was ended within TLS.
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
    /// All is said but for what is in `out`; then the other side's end is awaited, until then.
    Closing(Instant),
}

/// How a connection is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for its socket.
    Waits,
    /// Its share of the turn is used up.
    More,
    /// It is done with.
    Done,
}

/// What is gathered before it is written: what an urgent message waits for at most, beside what the system has.
const BATCH_BYTES: usize = 32 << 10;
/// How much the system takes before it has sent what it has.
const NOTSENT_BYTES: u32 = 64 << 10;
/// How much of one connection is read and written before others have their turn.
const STEPS_PER_TURN: usize = 8;
/// How long the other side has to leave after the last word.
const LINGER_MAX: Duration = Duration::from_secs(1);

impl Connection {
    /// One that is being dialled.
    pub(super) fn dialler(
        socket: Socket,
        id: u64,
        to: (NodeName, SocketAddr),
        link: Link,
        secured: &Secured,
        since: Moment,
    ) -> Result<Self> {
        let carrier = match secured {
            Secured::Plain => Carrier::Plain,
            #[cfg(feature = "tls")]
            Secured::Tls { client, .. } => Carrier::secret(Pump::client(client, to.0.as_str())?),
        };
        Ok(Self::new(socket, id, Some(to), link, carrier, Stage::Connecting, since))
    }

    /// One that was accepted.
    pub(super) fn acceptor(
        socket: Socket,
        id: u64,
        from: Option<SocketAddr>,
        link: Link,
        secured: &Secured,
        since: Moment,
    ) -> Result<Self> {
        let carrier = match secured {
            Secured::Plain => Carrier::Plain,
            #[cfg(feature = "tls")]
            Secured::Tls { server, .. } => Carrier::secret(Pump::server(server)?),
        };
        let mut connection = Self::new(socket, id, None, link, carrier, Stage::Open, since);
        connection.from = from;
        Ok(connection)
    }

    fn new(
        socket: Socket,
        id: u64,
        dialled: Option<(NodeName, SocketAddr)>,
        link: Link,
        carrier: Carrier,
        stage: Stage,
        since: Moment,
    ) -> Self {
        Self {
            socket,
            since,
            id,
            dialled,
            from: None,
            peer: None,
            link,
            up_since: None,
            carrier,
            stage,
            out: Vec::new(),
            sent: 0,
            // The first event tells otherwise; to try costs a call in vain.
            can_read: true,
            can_write: true,
            is_half_closed: false,
        }
    }

    /// Has the system send what is small at once, keep little, and give up on a peer that acknowledges nothing.
    pub(super) fn tune(socket: &Socket, silence_max: Duration) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOTSENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(silence_max))
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket can be read or written again.
    pub(super) fn handle_ready(&mut self, can_read: bool, can_write: bool, is_half_closed: bool) {
        self.can_read |= can_read;
        self.can_write |= can_write;
        self.is_half_closed |= is_half_closed;
    }

    /// Reads a share of what there is, for the link. What that says then is to be taken before
    /// [`write`](Self::write).
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) -> After {
        if self.stage == Stage::Connecting && !self.has_connected() {
            return After::Waits;
        }
        for _ in 0..STEPS_PER_TURN {
            if !self.can_read {
                return After::Waits;
            }
            match net::read(&self.socket, buffer) {
                Ok(None) => self.can_read = false,
                Ok(Some(0)) => {
                    self.can_read = false;
                    self.link.handle_end();
                    return After::Done;
                }
                Ok(Some(bytes)) => {
                    self.can_read = bytes == buffer.len() || self.is_half_closed;
                    if let Stage::Closing(_) = self.stage {
                        continue;
                    }
                    self.take(&buffer[..bytes], now);
                    // The owner judges before more is taken.
                    if self.link.is_over() {
                        return After::Waits;
                    }
                }
                Err(error) => {
                    self.can_read = false;
                    self.link.close(ended(&error));
                    return After::Done;
                }
            }
        }
        if self.can_read { After::More } else { After::Waits }
    }

    /// Writes a share of what there is.
    pub(super) fn write(&mut self, now: Instant) -> After {
        if self.stage == Stage::Connecting {
            return After::Waits;
        }
        for _ in 0..STEPS_PER_TURN {
            if self.sent == self.out.len() {
                self.out.clear();
                self.sent = 0;
                self.fill(now);
                if self.out.is_empty() {
                    return self.handle_drained();
                }
            }
            if !self.can_write {
                return After::Waits;
            }
            match net::write(&self.socket, &self.out[self.sent..]) {
                Ok(0) => self.can_write = false,
                Ok(sent) => self.sent += sent,
                Err(error) => {
                    self.link.close(ended(&error));
                    return After::Done;
                }
            }
        }
        if self.can_write { After::More } else { After::Waits }
    }

    /// The link is over: says the last words, then ends.
    pub(super) fn begin_closing(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Closing(_)) {
            self.stage = Stage::Closing(now.saturating_add(LINGER_MAX));
        }
    }

    /// Whether its time after the last words is over.
    pub(super) fn has_lingered(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Closing(until) if now >= until)
    }

    /// When something is due.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        match self.stage {
            Stage::Closing(until) => Some(until),
            _ => self.link.next_deadline(now),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(_))
    }

    /// Whether the other side may call itself so.
    #[cfg_attr(not(feature = "tls"), allow(unused_variables, reason = "plaintext proves nothing"))]
    pub(super) fn certify(&self, name: &NodeName) -> std::result::Result<(), Refusal> {
        match &self.carrier {
            Carrier::Plain => Ok(()),
            #[cfg(feature = "tls")]
            Carrier::Tls(secret) => {
                let names = match secret.pump.peer().map(|peer| peer.is_for(name.as_str())) {
                    Some(Ok(())) => return Ok(()),
                    Some(Err(names)) => names.join(", "),
                    None => "nobody".to_string(),
                };
                let detail =
                    format!("{name} has a certificate for {names:.100}; have one made with DNS:{name}");
                Err(Refusal::new(Reason::CertificateName, detail))
            }
        }
    }

    pub(super) fn close(self) {
        net::close(self.socket, self.since);
    }

    /// Whether the connection stands; a failure ends the link.
    fn has_connected(&mut self) -> bool {
        if !self.can_write {
            return false;
        }
        match self.socket.take_error() {
            Ok(None) => match self.socket.peer_addr() {
                Ok(_) => {
                    self.stage = Stage::Open;
                    return true;
                }
                // Under way.
                Err(_) => self.can_write = false,
            },
            Ok(Some(error)) | Err(error) => self.link.close(ended(&error)),
        }
        false
    }

    /// Takes what came from the socket.
    fn take(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.carrier {
            Carrier::Plain => self.link.handle_bytes(bytes, now),
            #[cfg(feature = "tls")]
            Carrier::Tls(secret) => {
                if secret.is_first {
                    secret.is_first = false;
                    if bytes[0] == PREAMBLE[0] {
                        return self.take_plaintext();
                    }
                }
                if let Err(end) = secret.take(bytes, &mut self.link, now) {
                    self.link.close(end);
                }
            }
        }
    }

    /// The other side speaks plaintext where TLS is demanded: nothing it says is believed.
    #[cfg(feature = "tls")]
    fn take_plaintext(&mut self) {
        if self.dialled.is_some() {
            self.link.close(End::Security(
                "it speaks plaintext, and TLS is demanded here; set peer_tls alike on both",
            ));
        } else {
            self.carrier = Carrier::Plain;
            let detail = "this node demands TLS of its peers, and was spoken to in plaintext; set peer_tls alike on both";
            self.link.refuse(Refusal::new(Reason::TlsDemanded, detail));
        }
    }

    /// Gathers what is to go next.
    fn fill(&mut self, now: Instant) {
        match &mut self.carrier {
            Carrier::Plain => {
                self.link.poll_transmit(&mut self.out, BATCH_BYTES, now);
            }
            #[cfg(feature = "tls")]
            Carrier::Tls(secret) => secret.fill(&mut self.link, &mut self.out, now),
        }
    }

    /// All that was to be said has gone to the system.
    fn handle_drained(&mut self) -> After {
        if !self.is_closing() {
            return After::Waits;
        }
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return After::Done;
        }
        After::Waits
    }

    /// What its link has to say to the owner.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.link.poll_event()
    }
}

impl Carrier {
    #[cfg(feature = "tls")]
    fn secret(pump: Pump) -> Self {
        Carrier::Tls(Box::new(Secret { pump, plain: Vec::new(), is_first: true, is_closed: false }))
    }
}

#[cfg(feature = "tls")]
impl Secret {
    fn take(&mut self, mut bytes: &[u8], link: &mut Link, now: Instant) -> std::result::Result<(), End> {
        let mut plain = [0; 16 << 10];
        loop {
            let was_handshaking = self.pump.is_handshaking();
            let taken = self.pump.handle_bytes(&mut bytes);
            if was_handshaking && !self.pump.is_handshaking() && self.pump.alpn() != Some(ALPN) {
                return Err(End::Tls(
                    "the other side speaks TLS and is no node of trimtab; check the address".into(),
                ));
            }
            loop {
                match self.pump.read(&mut plain) {
                    tls::Read::Bytes(bytes) => link.handle_bytes(&plain[..bytes], now),
                    tls::Read::Nothing => break,
                    tls::Read::Closed => {
                        link.handle_end();
                        break;
                    }
                }
            }
            taken.map_err(|fault| End::Tls(fault.to_string()))?;
            if bytes.is_empty() || link.is_over() {
                return Ok(());
            }
        }
    }

    fn fill(&mut self, link: &mut Link, out: &mut Vec<u8>, now: Instant) {
        if self.plain.is_empty() {
            link.poll_transmit(&mut self.plain, BATCH_BYTES, now);
        }
        if !self.plain.is_empty() {
            let taken = self.pump.write(&self.plain);
            self.plain.drain(..taken);
        }
        if self.plain.is_empty() && link.is_over() && !self.is_closed {
            self.is_closed = true;
            self.pump.close();
        }
        self.pump.poll_transmit(out);
    }
}

/// What an error of the socket means.
fn ended(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => End::Gone,
        // The system's own finding that nothing was acknowledged for too long.
        io::ErrorKind::TimedOut => End::Silent,
        _ => End::Io { code: error.raw_os_error().unwrap_or(0), detail: error.to_string() },
    }
}
