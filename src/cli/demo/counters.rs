//! [`Counters`]: how a client counts the answers it got in the store, over RESP, and [`Client`]: what it says.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use super::desk::Desk;
use super::plan::PATIENCE;

/// One client's. What it could not send, because the store was not there, it owes and sends later.
pub(super) struct Counters {
    /// The nodes of the store; any of them takes counts.
    store: Arc<[SocketAddr]>,
    /// The one that is asked.
    node: usize,
    keys: Arc<[String]>,
    desk: Arc<Desk>,
    client: Option<Client>,
    /// For each backend.
    owed: Vec<u64>,
}

/// The key under which a backend's answers are counted.
pub(super) fn key(backend: &str) -> String {
    format!("answers:{backend}")
}

impl Counters {
    /// `node`: the one that is asked first.
    pub(super) fn new(store: &[SocketAddr], node: usize, backends: &[String], desk: &Arc<Desk>) -> Self {
        let keys: Arc<[String]> = backends.iter().map(|name| key(name)).collect();
        let owed = vec![0; keys.len()];
        Self {
            store: store.into(),
            node: node % store.len(),
            keys,
            desk: Arc::clone(desk),
            client: None,
            owed,
        }
    }

    /// Counts an answer of `backend`, and all that was owed; what does not come through now is owed.
    pub(super) fn count(&mut self, backend: usize) {
        self.owed[backend] += 1;
        self.pay();
    }

    /// Counts what is still owed. The store is there, or something is wrong.
    pub(super) fn end(&mut self) {
        self.pay();
        if self.owed.iter().any(|owed| *owed > 0) {
            self.desk.write(|ledger| ledger.fail("the store took no more counts".into()));
        }
    }

    fn pay(&mut self) {
        for backend in 0..self.owed.len() {
            if self.owed[backend] == 0 {
                continue;
            }
            let client = match &mut self.client {
                Some(client) => client,
                None => match connect_to_one(&self.store, &mut self.node) {
                    Some(client) => self.client.insert(client),
                    // They are down, and will be there again.
                    None => return,
                },
            };
            let count = std::mem::take(&mut self.owed[backend]);
            self.desk.write(|ledger| ledger.tally.send(backend, count));
            match client.ask(&["INCRBY", &self.keys[backend], &count.to_string()]) {
                Ok(Said::Number(_)) => self.desk.write(|ledger| ledger.tally.acknowledge(backend, count)),
                // Whether it is counted nobody knows: it is not sent again.
                Err(_) | Ok(Said::Error(_)) => {
                    self.client = None;
                    self.node = (self.node + 1) % self.store.len();
                    self.desk.write(|ledger| ledger.tally.give_up());
                    return;
                }
                Ok(other) => self.desk.write(|ledger| {
                    ledger.tally.give_up();
                    ledger.fail(format!("the store answered a count with {other:?}"));
                }),
            }
        }
    }
}

/// The first that takes a connection, from `node` on.
pub(super) fn connect_to_one(store: &[SocketAddr], node: &mut usize) -> Option<Client> {
    for _ in 0..store.len() {
        match Client::connect(store[*node]) {
            Ok(client) => return Some(client),
            Err(_) => *node = (*node + 1) % store.len(),
        }
    }
    None
}

/// What a Redis server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Number(i64),
    Text(String),
    Nothing,
    Error(String),
    Many(Vec<Said>),
}

/// A Redis client, as far as the demo needs one.
pub(super) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(super) fn connect(store: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&store, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// One command, and its answer.
    pub(super) fn ask(&mut self, command: &[&str]) -> io::Result<Said> {
        let mut request = format!("*{}\r\n", command.len());
        for part in command {
            request += &format!("${}\r\n{part}\r\n", part.len());
        }
        self.stream.write_all(request.as_bytes())?;
        let mut buffer = [0; 4096];
        loop {
            if let Some((said, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return Ok(said);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An answer and its length, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(Said, usize)>> {
    let foreign = || io::Error::new(ErrorKind::InvalidData, "that is no answer of a store");
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| foreign())?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| foreign());
    let (said, rest) = match line.split_at_checked(1) {
        Some(("+", text)) => (Said::Text(text.into()), 0),
        Some(("-", text)) => (Said::Error(text.into()), 0),
        Some((":", text)) => (Said::Number(number(text)?), 0),
        Some(("$" | "*", "-1")) => (Said::Nothing, 0),
        Some(("*", text)) => {
            let count = usize::try_from(number(text)?).map_err(|_| foreign())?;
            let (mut parts, mut length) = (Vec::new(), 0);
            for _ in 0..count {
                let Some((part, more)) = parse(&bytes[end + 2 + length..])? else { return Ok(None) };
                parts.push(part);
                length += more;
            }
            (Said::Many(parts), length)
        }
        Some(("$", text)) => {
            let length = usize::try_from(number(text)?).map_err(|_| foreign())?;
            let Some(text) = bytes.get(end + 2..).filter(|rest| rest.len() >= length + 2) else {
                return Ok(None);
            };
            let text = std::str::from_utf8(&text[..length]).map_err(|_| foreign())?;
            (Said::Text(text.into()), length + 2)
        }
        _ => return Err(foreign()),
    };
    Ok(Some((said, end + 2 + rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_once_they_are_whole() {
        for (bytes, said) in [
            (":42\r\n", Said::Number(42)),
            ("+OK\r\n", Said::Text("OK".into())),
            ("-ERR no\r\n", Said::Error("ERR no".into())),
            ("$3\r\n117\r\n", Said::Text("117".into())),
            ("$-1\r\n", Said::Nothing),
            ("*0\r\n", Said::Many(Vec::new())),
            ("*2\r\n$1\r\na\r\n*1\r\n:1\r\n", {
                Said::Many(vec![Said::Text("a".into()), Said::Many(vec![Said::Number(1)])])
            }),
        ] {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes.as_bytes()[..length]).unwrap(), None, "{bytes:?} up to {length}");
            }
            let more = [bytes.as_bytes(), b":7\r\n"].concat();
            assert_eq!(parse(&more).unwrap(), Some((said, bytes.len())), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for bytes in ["HTTP/1.1 400\r\n", ":x\r\n", "$-2\r\n", "*-2\r\n", "\r\n", "\u{e9}\r\n"] {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
