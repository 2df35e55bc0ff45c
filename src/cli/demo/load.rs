//! [`Load`]: clients on threads of their own that ask through the listener, each at a rate of its own, and
//! write down what became of it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use super::counters::Counters;
use super::desk::Desk;
use super::http::{Answer, Parsed, Request};
use super::plan::{CLIENTS, FRESH_EVERY, KEPT_CLIENTS, KEPT_EVERY, KEPT_REQUESTS, PATIENCE};
use crate::error::{Error, Result};
use crate::sys;
use crate::time::{Clock, Instant, nanos};

/// Clients that ask until they are told to end.
pub(super) struct Load {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Has clients ask at `address` for what the backends called `names` say, and count the answers in `store`.
    pub(super) fn start(
        address: SocketAddr,
        store: &[SocketAddr],
        names: &[String],
        desk: &Arc<Desk>,
    ) -> Result<Self> {
        let mut load = Self { desk: Arc::clone(desk), threads: Vec::with_capacity(CLIENTS) };
        let counters = |client| Counters::new(store, client, names, desk);
        let names: Arc<[String]> = names.into();
        let start = Clock.now();
        let _mask = sys::signal::mask_all();
        for index in 0..CLIENTS {
            let is_kept = index < KEPT_CLIENTS;
            let client = Client {
                index,
                address,
                names: Arc::clone(&names),
                desk: Arc::clone(desk),
                every: if is_kept { KEPT_EVERY } else { FRESH_EVERY },
                requests_max: if is_kept { KEPT_REQUESTS } else { 1 },
                connection: None,
                counters: counters(index),
                asked: 0,
            };
            // Not all at the same moment.
            let first = start.saturating_add(client.every * index as u32 / CLIENTS as u32);
            let thread = std::thread::Builder::new().name(format!("client/{index}"));
            let thread = thread.spawn(move || client.run(first));
            load.threads.push(thread.map_err(|error| Error::io("make a thread for a client", &error))?);
        }
        Ok(load)
    }

    /// Has every client end what it does and close its connection, and waits for that.
    pub(super) fn end(&mut self) {
        self.desk.end();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.desk.write(|ledger| ledger.fail("a client panicked".into()));
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

struct Client {
    index: usize,
    address: SocketAddr,
    names: Arc<[String]>,
    desk: Arc<Desk>,
    every: Duration,
    /// How many requests a connection is for; 1 asks the backend to close it.
    requests_max: u32,
    connection: Option<Connection>,
    counters: Counters,
    asked: u64,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    requests: u32,
}

impl Client {
    fn run(mut self, first: Instant) {
        let mut due = first;
        while self.desk.wait_for_turn(due) {
            self.take_turn();
            due = next_turn(due, self.every, Clock.now());
        }
        self.close();
        self.counters.end();
    }

    /// One request, over the connection there is or over a new one.
    fn take_turn(&mut self) {
        if let Some(connection) = &self.connection
            && let Some(why) = connection.is_over()
        {
            self.connection = None;
            let why = format!("an idle connection {why}");
            self.desk.write(|ledger| ledger.ended_idle(self.index, why));
        }
        let (index, is_new) = (self.index, self.connection.is_none());
        // Written down before the first packet: see the ledger's marks.
        self.desk.write(|ledger| {
            if is_new {
                ledger.open(index);
            }
            ledger.begin(index);
        });
        let begun = Clock.now();
        match self.ask() {
            Ok(backend) => {
                let took = Clock.now().nanos_since(begun);
                self.desk.write(|ledger| ledger.answered(index, backend, took));
                if self.connection.as_ref().is_none_or(|one| one.requests >= self.requests_max) {
                    self.close();
                }
                self.counters.count(backend);
            }
            Err(why) => {
                self.connection = None;
                self.desk.write(|ledger| ledger.broken(index, why));
            }
        }
    }

    /// Asks once, and answers which backend answered.
    fn ask(&mut self) -> std::result::Result<usize, String> {
        if self.connection.is_none() {
            let failed = |error: io::Error| format!("connect: {error}");
            self.connection = Some(Connection::open(self.address).map_err(failed)?);
        }
        let connection = self.connection.as_mut().expect("opened just before");
        self.asked += 1;
        connection.requests += 1;
        let keep_alive = connection.requests < self.requests_max;
        let target = format!("/{}/{}", self.index, self.asked);
        let request = Request { target, keep_alive };
        let answer = connection.ask(&request)?;
        if answer.target != request.target || answer.keep_alive != keep_alive {
            return Err(format!("{} was asked for and {} answered", request.target, answer.target));
        }
        let backend = self.names.iter().position(|name| *name == answer.backend);
        backend.ok_or_else(|| format!("an unknown backend answered, {:?}", answer.backend))
    }

    fn close(&mut self) {
        if self.connection.take().is_some() {
            self.desk.write(|ledger| ledger.closed(self.index));
        }
    }
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), requests: 0 })
    }

    fn ask(&mut self, request: &Request) -> std::result::Result<Answer, String> {
        self.stream.write_all(&request.to_bytes()).map_err(|error| format!("ask: {error}"))?;
        let mut buffer = [0; 4096];
        loop {
            match Answer::parse(&self.received) {
                Parsed::Whole(answer, length) if length == self.received.len() => {
                    self.received.clear();
                    return Ok(answer);
                }
                Parsed::Whole(..) => return Err("more than one answer to one request".into()),
                Parsed::Wrong(why) => return Err(why.into()),
                Parsed::Partial => {}
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the connection ended before the answer".into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                // A process that was suspended is not late.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(format!("no answer in {} s", PATIENCE.as_secs()));
                }
                Err(error) => return Err(format!("wait for the answer: {error}")),
            }
        }
    }

    /// Why nothing can be asked any more, when there is a reason. Nothing has been asked.
    fn is_over(&self) -> Option<String> {
        let socket = SockRef::from(&self.stream);
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(0) => Some("was ended".into()),
            Ok(_) => Some("got an answer nobody asked for".into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => Some(format!("broke: {error}")),
        }
    }
}

/// When to ask next: on the beat, and when beats were missed on the next one to come, so that a client that
/// was held up does not ask in a burst.
fn next_turn(due: Instant, every: Duration, now: Instant) -> Instant {
    let missed = now.nanos_since(due) / nanos(every);
    due.saturating_add(every.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_the_beat_and_are_not_made_up_for() {
        let every = Duration::from_millis(10);
        for (now, next) in [(0, 110), (100, 110), (109, 110), (110, 120), (115, 120), (999, 1000)] {
            let turn = next_turn(Instant::from_millis(100), every, Instant::from_millis(now));
            assert_eq!(turn, Instant::from_millis(next), "{now}");
        }
    }
}
