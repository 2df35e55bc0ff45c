//! [`Client`]: one request on one connection, within a time.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::cli::Failure;
use crate::cli::ctl::answer::{self, Body, Head};
use crate::cli::ctl::stream::Lines;
use crate::server::config::Bind;

/// Who speaks with a server.
pub(in crate::cli) struct Client {
    address: Bind,
    /// For connecting, and for each answer.
    timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::cli) enum Trouble {
    /// The system refused.
    Io(io::Error),
    /// It took too long.
    TimedOut,
    /// The connection ended before the answer did.
    Gone,
    /// What answers calls itself this, and is none of ours.
    Stranger(String),
    /// The answer is longer than anything.
    TooLong,
}

/// A connection with what was read ahead.
pub(super) struct Connection {
    socket: Socket,
    pub(super) read: Vec<u8>,
}

/// The longest answer that is taken, in bytes: a server with hundreds of thousands of backends.
const ANSWER_MAX: u64 = 256 << 20;

impl Client {
    pub(in crate::cli) fn new(address: Bind, timeout: Duration) -> Self {
        Self { address, timeout }
    }

    /// Asks, and gives the answer's body when the server did as it was asked.
    pub(in crate::cli) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Failure> {
        let connection = self.connect()?;
        let (status, body) = self.exchange(connection, method, path, body).map_err(|it| self.tell(it))?;
        if (200..300).contains(&status) { Ok(body) } else { Err(refusal(status, &body)) }
    }

    /// Asks for lines that come one by one.
    pub(in crate::cli) fn follow(&self, path: &str) -> Result<Lines, Failure> {
        let mut connection = self.connect()?;
        let told = |trouble| self.tell(trouble);
        let deadline = Deadline::after(self.timeout);
        connection.write(&self.request("GET", path, None), deadline).map_err(told)?;
        let head = connection.read_head(deadline).map_err(told)?;
        if head.status == 200 && head.body == Body::Chunks {
            return Ok(Lines::new(connection));
        }
        let body = connection.read_body(head.body, deadline).map_err(told)?;
        Err(refusal(head.status, &body))
    }

    /// What to say of trouble with this server.
    pub(in crate::cli) fn tell(&self, trouble: Trouble) -> Failure {
        let (address, timeout) = (&self.address, self.timeout.as_secs_f64());
        Failure::Failed(match trouble {
            Trouble::Io(error) => format!("cannot speak with the server at {address}: {error}"),
            Trouble::TimedOut => {
                format!(
                    "the server at {address} did not answer within {timeout} s; --timeout gives it longer"
                )
            }
            Trouble::Gone => format!(
                "the server at {address} was gone before its answer had ended; what it was asked may be done or not"
            ),
            Trouble::Stranger(name) => {
                let name = if name.is_empty() { String::new() } else { format!(" but {name:?}") };
                format!(
                    "what answers at {address} is no trimtab{name}; --admin wants the bind of a server's [admin]"
                )
            }
            Trouble::TooLong => {
                format!("the answer of the server at {address} is longer than {ANSWER_MAX} bytes")
            }
        })
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let connected = match &self.address {
            Bind::Inet(address) => Socket::new(Domain::for_address(*address), Type::STREAM, None)
                .and_then(|socket| socket.connect_timeout(&(*address).into(), self.timeout).map(|()| socket)),
            Bind::Unix(path) => connect_unix(path, self.timeout),
        };
        let socket = connected.map_err(|error| self.no_connection(&error))?;
        Ok(Connection { socket, read: Vec::new() })
    }

    fn no_connection(&self, error: &io::Error) -> Failure {
        let address = &self.address;
        Failure::Failed(match error.kind() {
            ErrorKind::NotFound => format!(
                "there is no socket at {address}; is the server running, and is this where its [admin] binds?"
            ),
            ErrorKind::ConnectionRefused => format!(
                "nobody listens at {address}; is the server running, and is this where its [admin] binds?"
            ),
            ErrorKind::PermissionDenied => format!(
                "you may not connect to {address}; do it as the server's user, or let your group in with mode in \
                 its [admin]"
            ),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                format!("{address} takes no connection within {} s", self.timeout.as_secs_f64())
            }
            _ => format!("cannot connect to {address}: {error}"),
        })
    }

    fn exchange(
        &self,
        mut connection: Connection,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), Trouble> {
        let deadline = Deadline::after(self.timeout);
        connection.write(&self.request(method, path, body), deadline)?;
        let head = connection.read_head(deadline)?;
        Ok((head.status, connection.read_body(head.body, deadline)?))
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
        // On a loopback address the server wants its name.
        let host = match &self.address {
            Bind::Inet(address) => address.to_string(),
            Bind::Unix(_) => "localhost".to_string(),
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let body = body.map(Value::to_string).unwrap_or_default();
        if method != "GET" {
            head.push_str("Content-Type: application/json\r\n");
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

fn connect_unix(path: &str, timeout: Duration) -> io::Result<Socket> {
    let address = match path.strip_prefix('@') {
        Some(name) => SockAddr::unix(format!("\0{name}"))?,
        None => SockAddr::unix(path)?,
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog makes who connects wait, for as long as a write may.
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(&address)?;
    Ok(socket)
}

/// What a server that refused says of it.
fn refusal(status: u16, body: &[u8]) -> Failure {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let why = match told["error"].as_str() {
        Some(why) => why.to_string(),
        None => format!("the server refused with status {status} and said nothing of why"),
    };
    // What can never be is the caller's to mend.
    if status == 400 { Failure::Misused(why) } else { Failure::Failed(why) }
}

/// When something must be done.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// What is left; `None` for ever.
    fn left(self) -> Result<Option<Duration>, Trouble> {
        let Some(at) = self.0 else { return Ok(None) };
        match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Trouble::TimedOut),
            left => Ok(Some(left)),
        }
    }
}

impl Connection {
    fn write(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), Trouble> {
        self.socket.set_write_timeout(deadline.left()?).map_err(Trouble::Io)?;
        match (&self.socket).write_all(bytes) {
            Ok(()) => Ok(()),
            // It may have been answered already, why.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Ok(())
            }
            Err(error) => Err(trouble(error)),
        }
    }

    /// Reads on. `false`: the other side has ended.
    pub(super) fn read_more(&mut self, deadline: Deadline) -> Result<bool, Trouble> {
        let mut buffer = [0; 16 * 1024];
        self.socket.set_read_timeout(deadline.left()?).map_err(Trouble::Io)?;
        loop {
            match (&self.socket).read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    self.read.extend_from_slice(&buffer[..bytes]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(trouble(error)),
            }
        }
    }

    fn read_head(&mut self, deadline: Deadline) -> Result<Head, Trouble> {
        loop {
            if let Some((head, length)) = answer::parse(&self.read)? {
                self.read.drain(..length);
                return Ok(head);
            }
            if !self.read_more(deadline)? {
                return Err(Trouble::Gone);
            }
        }
    }

    fn read_body(&mut self, body: Body, deadline: Deadline) -> Result<Vec<u8>, Trouble> {
        let length = match body {
            Body::Length(length) => length,
            // What is told in one answer has a length.
            Body::Chunks | Body::Rest => return Err(Trouble::Stranger(String::new())),
        };
        if length > ANSWER_MAX {
            return Err(Trouble::TooLong);
        }
        while (self.read.len() as u64) < length {
            if !self.read_more(deadline)? {
                return Err(Trouble::Gone);
            }
        }
        self.read.truncate(length as usize);
        Ok(std::mem::take(&mut self.read))
    }
}

fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Trouble::TimedOut,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Trouble::Gone,
        _ => Trouble::Io(error),
    }
}
