//! [`Backend`]: a small web server on a loop and a thread of its own, that can be stopped as a crash would
//! stop it and brought back on the same address.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use socket2::{Domain, SockRef, Socket, Type};

use super::http::{Answer, Parsed, REFUSAL, Request};
use super::orders::Orders;
use super::plan::WORK;
use crate::error::{Error, Result};
use crate::sys;
use crate::time::{Clock, Instant};

/// One web server.
pub(super) struct Backend {
    name: Arc<str>,
    address: SocketAddr,
    /// Bound to the address and never listening: while the server is down the system gives the port to
    /// nobody else, not even to a connection that goes out, and refuses who comes.
    held: Socket,
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<usize>,
    waker: Waker,
    orders: Arc<Orders>,
}

impl Backend {
    /// Starts one on a port that the system chooses.
    pub(super) fn start(name: &str) -> Result<Self> {
        let held = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let held = held.and_then(|held| Ok((held.local_addr()?, held)));
        let (address, held) = held.map_err(|error| Error::io(format!("find a port for {name}"), &error))?;
        let address = address.as_socket().expect("it was bound to an IP address");
        let mut backend = Self { name: name.into(), address, held, running: None };
        backend.start_again()?;
        Ok(backend)
    }

    /// Starts it on its address, where it was stopped before.
    pub(super) fn start_again(&mut self) -> Result<()> {
        assert!(self.running.is_none(), "a backend is stopped before it is started");
        self.running = Some(self.run().map_err(|error| {
            let Self { name, address, .. } = self;
            Error::io(format!("start {name} on {address}"), &error)
        })?);
        Ok(())
    }

    /// Stops it as a crash would: when this returns nobody listens and every connection is reset, those it
    /// had not accepted yet too. Answers how many it had accepted.
    pub(super) fn stop(&mut self) -> usize {
        let Some(running) = self.running.take() else { return 0 };
        running.orders.end(&running.waker);
        running.thread.join().unwrap_or(0)
    }

    /// Freezes it as SIGSTOP would: when this returns it does nothing any more, while the system goes on to take
    /// connections for it.
    pub(super) fn freeze(&self) {
        let Some(running) = &self.running else { return };
        running.orders.freeze(&running.waker, || running.thread.is_finished());
    }

    /// Has it go on where it stood.
    pub(super) fn thaw(&self) {
        let Some(running) = &self.running else { return };
        running.orders.thaw();
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn run(&self) -> io::Result<Running> {
        let socket = bound(self.held.local_addr()?.as_socket().expect("an IP address"))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let orders = Arc::new(Orders::default());
        let web = Web {
            name: Arc::clone(&self.name),
            poll,
            listener,
            connections: Slab::new(),
            due: VecDeque::new(),
            accepts_late: false,
        };
        let mask = sys::signal::mask_all();
        let thread = {
            let orders = Arc::clone(&orders);
            let thread = std::thread::Builder::new().name(self.name.to_string());
            thread.spawn(move || web.run(&orders))?
        };
        drop(mask);
        Ok(Running { thread, waker, orders })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Sockets of one address, of which one listens at most.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

const LISTENER: Token = Token(usize::MAX - 2);
const WAKER: Token = Token(usize::MAX - 3);
const BACKLOG: i32 = 1024;
/// Requests of one connection that it works on at once; then it reads no more.
const PIPELINED_MAX: usize = 16;
/// How long until it tries again to accept, when the system had no descriptor.
const STARVED_PAUSE: Duration = Duration::from_millis(50);

/// The loop of a running backend.
struct Web {
    name: Arc<str>,
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    /// Connections that have an answer to give, and when. All answers take the same time, so the first one
    /// is due first.
    due: VecDeque<(Instant, usize)>,
    /// Connections may wait that no event will tell of.
    accepts_late: bool,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Answers it works on, and when they are to be given.
    answers: VecDeque<(Instant, Vec<u8>)>,
    /// What of them the socket has not taken yet.
    unsent: Vec<u8>,
    /// Nothing more is taken in.
    is_closing: bool,
}

impl Web {
    /// Serves until it is over, and answers how many connections it cut then.
    fn run(mut self, orders: &Orders) -> usize {
        let mut events = Events::with_capacity(64);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Then it is gone, and whoever counts answers will say so.
                Err(_) => return self.cut(),
            }
            if orders.obey() {
                return self.cut();
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accepts_late = true,
                    WAKER => {}
                    Token(key) => self.serve(key),
                }
            }
            let now = Clock.now();
            while let Some((_, key)) = self.due.pop_front_if(|(at, _)| *at <= now) {
                self.serve(key);
            }
            if self.accepts_late {
                self.accept();
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let work = self.due.front().map(|(at, _)| at.duration_since(Clock.now()));
        let pause = self.accepts_late.then_some(STARVED_PAUSE);
        work.into_iter().chain(pause).min()
    }

    /// Does for a connection what there is to do. One that is gone, or another in its place, is no harm.
    fn serve(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let now = Clock.now();
        let goes_on =
            connection.serve(&self.name, now, || self.due.push_back((now.saturating_add(WORK), key)));
        if !goes_on {
            self.connections.remove(key);
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let entry = self.connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut stream, Token(entry.key()), interest).is_ok() {
                        // An answer is one write: without a delay it is one segment, too.
                        let _ = stream.set_nodelay(true);
                        entry.insert(Connection {
                            stream,
                            received: Vec::new(),
                            answers: VecDeque::new(),
                            unsent: Vec::new(),
                            is_closing: false,
                        });
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    io::ErrorKind::WouldBlock => {
                        self.accepts_late = false;
                        return;
                    }
                    // No descriptor: those who came wait, and are no event any more.
                    _ => return,
                },
            }
        }
    }

    fn cut(self) -> usize {
        // Nobody is let in while the others go.
        drop(self.listener);
        let count = self.connections.len();
        for (_, connection) in self.connections {
            // Closing it is then a reset.
            let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        }
        count
    }
}

impl Connection {
    /// Writes, reads and begins to work as far as it goes; `false` when it is over. Calls `begins` for each
    /// answer that it begins to work on.
    fn serve(&mut self, name: &str, now: Instant, mut begins: impl FnMut()) -> bool {
        loop {
            while let Some((_, answer)) = self.answers.pop_front_if(|(at, _)| *at <= now) {
                self.unsent.extend(answer);
            }
            while !self.unsent.is_empty() {
                match self.stream.write(&self.unsent) {
                    Ok(written) => drop(self.unsent.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
            self.take_requests(name, now, &mut begins);
            if self.is_closing || self.answers.len() >= PIPELINED_MAX {
                return !self.answers.is_empty();
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_closing = true,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Begins to work on the requests that came whole.
    fn take_requests(&mut self, name: &str, now: Instant, begins: &mut impl FnMut()) {
        while !self.is_closing && self.answers.len() < PIPELINED_MAX {
            let answer = match Request::parse(&self.received) {
                Parsed::Partial => return,
                Parsed::Whole(Request { target, keep_alive }, length) => {
                    self.received.drain(..length);
                    self.is_closing = !keep_alive;
                    Answer { backend: name.to_string(), target, keep_alive }.to_bytes()
                }
                Parsed::Wrong(_) => {
                    self.is_closing = true;
                    REFUSAL.to_vec()
                }
            };
            self.answers.push_back((now.saturating_add(WORK), answer));
            begins();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    fn connect(backend: &Backend) -> TcpStream {
        let stream = TcpStream::connect(backend.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn ask(stream: &mut TcpStream, keep_alive: bool) -> Answer {
        stream.write_all(&Request { target: "/1".into(), keep_alive }.to_bytes()).unwrap();
        let mut received = Vec::new();
        loop {
            match Answer::parse(&received) {
                Parsed::Whole(answer, length) => {
                    assert_eq!(length, received.len());
                    return answer;
                }
                Parsed::Wrong(why) => panic!("{why}"),
                Parsed::Partial => {
                    let mut buffer = [0; 4096];
                    let count = stream.read(&mut buffer).unwrap();
                    assert!(count > 0, "the end instead of an answer");
                    received.extend_from_slice(&buffer[..count]);
                }
            }
        }
    }

    #[test]
    fn keep_alive_and_close_are_honoured() {
        let backend = Backend::start("web-01").unwrap();
        let mut stream = connect(&backend);
        for _ in 0..3 {
            let answer = ask(&mut stream, true);
            assert_eq!((&*answer.backend, &*answer.target, answer.keep_alive), ("web-01", "/1", true));
        }
        assert!(!ask(&mut stream, false).keep_alive);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);

        let mut stream = connect(&backend);
        stream.write_all(b"nonsense\r\n\r\n").unwrap();
        let mut refusal = Vec::new();
        stream.read_to_end(&mut refusal).unwrap();
        assert_eq!(refusal, REFUSAL);
    }

    #[test]
    fn more_than_it_works_on_at_once_is_answered_too() {
        let backend = Backend::start("web-01").unwrap();
        let mut stream = connect(&backend);
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for number in 0..5 * PIPELINED_MAX {
            let (target, keep_alive) = (format!("/{number}"), number + 1 < 5 * PIPELINED_MAX);
            requests.extend(Request { target: target.clone(), keep_alive }.to_bytes());
            expected.extend(Answer { backend: "web-01".into(), target, keep_alive }.to_bytes());
        }
        stream.write_all(&requests).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == expected, "{}", received.escape_ascii());
    }

    #[test]
    fn a_client_that_has_ended_its_half_is_answered() {
        let backend = Backend::start("web-01").unwrap();
        let mut stream = connect(&backend);
        stream.write_all(&Request { target: "/1".into(), keep_alive: true }.to_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(matches!(Answer::parse(&received), Parsed::Whole(..)), "{}", received.escape_ascii());
    }

    #[test]
    fn a_stop_cuts_everything_and_the_address_comes_back() {
        let mut backend = Backend::start("web-01").unwrap();
        for _ in 0..3 {
            let mut stream = connect(&backend);
            ask(&mut stream, true);
            assert_eq!(backend.stop(), 1);
            assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            let refused = TcpStream::connect(backend.address()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(backend.stop(), 0);
            backend.start_again().unwrap();
            assert_eq!(ask(&mut connect(&backend), true).backend, "web-01");
        }
    }

    #[test]
    fn frozen_it_takes_connections_and_answers_when_it_goes_on() {
        let mut backend = Backend::start("web-01").unwrap();
        backend.thaw();
        for _ in 0..3 {
            let mut before = connect(&backend);
            ask(&mut before, true);
            backend.freeze();
            backend.freeze();
            let mut meanwhile = connect(&backend);
            let request = Request { target: "/1".into(), keep_alive: false }.to_bytes();
            before.write_all(&request).unwrap();
            meanwhile.write_all(&request).unwrap();
            meanwhile.set_nonblocking(true).unwrap();
            assert_eq!(meanwhile.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
            meanwhile.set_nonblocking(false).unwrap();
            backend.thaw();
            for mut stream in [before, meanwhile] {
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(matches!(Answer::parse(&received), Parsed::Whole(..)), "{}", received.escape_ascii());
            }
        }
        // It can be stopped in the midst of it.
        let mut stream = connect(&backend);
        ask(&mut stream, true);
        backend.freeze();
        assert_eq!(backend.stop(), 1);
        backend.freeze();
    }

    #[test]
    fn while_it_is_down_nobody_gets_its_port() {
        let mut backend = Backend::start("web-01").unwrap();
        backend.stop();
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let taken = other.bind(&backend.address().into()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    }
}
