//! Servers, clients and backends for the tests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use trimtab::balance::{BackendStatistics, Pool};
use trimtab::server::config::Bind;
use trimtab::server::{Config, Event, EventKind, ListenerStatistics, Server, State};

pub(crate) use crate::folder::Folder;
use crate::system;

/// After this long nothing will come any more, and the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `len` bytes that look random and are the same for the same `seed`.
pub(crate) fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Unix,
    Abstract,
}

impl Family {
    pub(crate) const ALL: [Family; 4] = [Family::V4, Family::V6, Family::Unix, Family::Abstract];

    /// An address of this kind that nobody uses, as a configuration has it; a path is in `folder`.
    pub(crate) fn free(self, folder: &Folder, name: &str) -> String {
        match self {
            Family::V4 => "127.0.0.1:0".into(),
            Family::V6 => "[::1]:0".into(),
            Family::Unix => format!("unix:{}", folder.file(name)),
            // As unique as the folder.
            Family::Abstract => format!("unix:@{}", folder.file(name)),
        }
    }
}

/// A backend's listening socket, to accept from by hand.
pub(crate) struct Listen {
    pub(crate) socket: Socket,
    /// As a configuration has it.
    pub(crate) address: String,
    _folder: Folder,
}

impl Listen {
    pub(crate) fn new(family: Family) -> Self {
        Self::with_backlog(family, 1024)
    }

    pub(crate) fn with_backlog(family: Family, backlog: i32) -> Self {
        let folder = Folder::new();
        let free = family.free(&folder, "backend");
        let (domain, bind): (_, SockAddr) = match family {
            Family::V4 => (Domain::IPV4, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()),
            Family::V6 => (Domain::IPV6, SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into()),
            Family::Unix | Family::Abstract => (Domain::UNIX, unix(&free["unix:".len()..])),
        };
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.bind(&bind).unwrap();
        socket.listen(backlog).unwrap();
        let inet = socket.local_addr().unwrap().as_socket();
        let address = inet.map_or(free, |inet| inet.to_string());
        Self { socket, address, _folder: folder }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Socket {
        assert!(system::is_readable(&self.socket, DEADLINE), "nobody came to {}", self.address);
        prepared(self.socket.accept().unwrap().0)
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_somebody(&self) -> bool {
        system::is_readable(&self.socket, Duration::ZERO)
    }

    /// Serves every connection on a thread of its own, until the answer is dropped.
    pub(crate) fn serve(self, serve: impl Fn(Socket) + Send + Sync + 'static) -> Backend {
        let socket = self.socket.try_clone().unwrap();
        let accepting = socket.try_clone().unwrap();
        let serve = Arc::new(serve);
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while let Ok((connection, _)) = accepting.accept() {
                let serve = Arc::clone(&serve);
                threads.push(std::thread::spawn(move || serve(prepared(connection))));
            }
            for thread in threads {
                thread.join().expect("a backend's connection");
            }
        });
        Backend { listen: self, socket, thread: Some(thread) }
    }
}

/// An address without a listener: connections are refused.
pub(crate) fn refused(family: Family) -> (String, Option<Socket>) {
    match family {
        Family::V4 | Family::V6 => {
            // Bound, so that nobody else gets it meanwhile; not listening, so that it refuses.
            let ip =
                if family == Family::V4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            let address = SocketAddr::new(ip, 0);
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            socket.bind(&address.into()).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            (address.to_string(), Some(socket))
        }
        Family::Unix | Family::Abstract => {
            let folder = Folder::new();
            (family.free(&folder, "missing"), None)
        }
    }
}

/// A backend that serves by itself.
pub(crate) struct Backend {
    listen: Listen,
    socket: Socket,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn address(&self) -> &str {
        &self.listen.address
    }

    /// Sends back what comes, until it ends.
    pub(crate) fn echo(family: Family) -> Self {
        Listen::new(family).serve(|socket| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(bytes @ 1..) = (&socket).read(&mut buffer) {
                if (&socket).write_all(&buffer[..bytes]).is_err() {
                    return;
                }
            }
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Gets the thread out of `accept`.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let thread = self.thread.take().expect("it is taken here alone");
        let ended = thread.join();
        if !std::thread::panicking() {
            ended.expect("a backend");
        }
    }
}

fn unix(path: &str) -> SockAddr {
    SockAddr::unix(path.strip_prefix('@').map_or(path.to_string(), |name| format!("\0{name}"))).unwrap()
}

fn prepared(socket: Socket) -> Socket {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Connects to where a server listens.
pub(crate) fn connect_to(bind: &Bind) -> std::io::Result<Socket> {
    connect_with(bind, |_| {})
}

/// Connects with a socket that `prepare` has set up.
pub(crate) fn connect_with(bind: &Bind, prepare: impl FnOnce(&Socket)) -> std::io::Result<Socket> {
    let (domain, address) = match bind {
        Bind::Inet(address) => (Domain::for_address(*address), (*address).into()),
        Bind::Unix(path) => (Domain::UNIX, unix(path)),
    };
    let socket = prepared(Socket::new(domain, Type::STREAM, None)?);
    prepare(&socket);
    socket.connect(&address)?;
    Ok(socket)
}

/// What the ends of a connection do in the tests.
pub(crate) trait Stream {
    /// Sends all of it.
    fn put(&self, bytes: &[u8]);
    /// Receives exactly so many bytes.
    fn receive(&self, len: usize) -> Vec<u8>;
    /// Receives exactly this.
    fn expect(&self, bytes: &[u8]);
    /// Receives everything up to the end.
    fn rest(&self) -> Vec<u8>;
    /// Receives the end and nothing before it.
    fn expect_end(&self);
    /// Finds the connection reset, with nothing before it.
    fn expect_reset(&self);
    /// Finds the connection over, by an end or by a reset, with nothing before it.
    fn expect_over(&self);
    /// Ends its own half.
    fn end(&self);
    /// Closes it by a reset.
    fn reset(self);
    /// Whether nothing has come yet.
    fn is_silent(&self) -> bool;
}

impl Stream for Socket {
    #[track_caller]
    fn put(&self, bytes: &[u8]) {
        let mut socket = self;
        socket.write_all(bytes).unwrap();
    }

    #[track_caller]
    fn receive(&self, len: usize) -> Vec<u8> {
        let mut socket = self;
        let mut bytes = vec![0; len];
        socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    fn expect(&self, bytes: &[u8]) {
        let got = self.receive(bytes.len());
        assert!(got == bytes, "{} came, not {}", got.escape_ascii(), bytes.escape_ascii());
    }

    #[track_caller]
    fn rest(&self) -> Vec<u8> {
        let mut socket = self;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    fn expect_end(&self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{} came", rest.escape_ascii());
    }

    #[track_caller]
    fn expect_reset(&self) {
        let mut socket = self;
        let read = socket.read(&mut [0; 64]).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::ConnectionReset));
    }

    #[track_caller]
    fn expect_over(&self) {
        let mut socket = self;
        let read = socket.read(&mut [0; 64]).map_err(|error| error.kind());
        assert!(matches!(read, Ok(0) | Err(ErrorKind::ConnectionReset)), "{read:?}");
    }

    #[track_caller]
    fn end(&self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }

    #[track_caller]
    fn reset(self) {
        self.set_linger(Some(Duration::ZERO)).unwrap();
    }

    #[track_caller]
    fn is_silent(&self) -> bool {
        !system::is_readable(self, Duration::ZERO)
    }
}

/// Who runs the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Two threads of the server's own.
    Threads,
    /// A thread of the test, as a host would.
    Hosted,
}

impl Mode {
    pub(crate) const BOTH: [Mode; 2] = [Mode::Threads, Mode::Hosted];
}

/// A configuration: one listener `in`, one pool `app`, backends `b0`, `b1` and so on.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Where it listens.
    pub(crate) bind: String,
    /// Further lines of the listener.
    pub(crate) listener: String,
    /// Further lines of the pool.
    pub(crate) pool: String,
    /// The backends' addresses.
    pub(crate) backends: Vec<String>,
    /// Further lines of each backend.
    pub(crate) backend: String,
}

impl Setup {
    pub(crate) fn new(backends: &[&str]) -> Self {
        Self {
            bind: "127.0.0.1:0".into(),
            listener: String::new(),
            pool: String::new(),
            backends: backends.iter().map(ToString::to_string).collect(),
            backend: String::new(),
        }
    }

    pub(crate) fn bind(self, bind: impl Into<String>) -> Self {
        Self { bind: bind.into(), ..self }
    }

    pub(crate) fn listener(self, lines: &str) -> Self {
        Self { listener: format!("{}{lines}\n", self.listener), ..self }
    }

    pub(crate) fn pool(self, lines: &str) -> Self {
        Self { pool: format!("{}{lines}\n", self.pool), ..self }
    }

    pub(crate) fn backend(self, lines: &str) -> Self {
        Self { backend: format!("{}{lines}\n", self.backend), ..self }
    }

    pub(crate) fn text(&self) -> String {
        let Setup { bind, listener, pool, backends, backend } = self;
        let mut text = format!(
            "[runtime]\nworkers = 2\n[[listener]]\nname = \"in\"\nbind = \"{bind}\"\npool = \"app\"\n{listener}\n\
             [[pool]]\nname = \"app\"\n{pool}\n"
        );
        for (index, address) in backends.iter().enumerate() {
            text += &format!("[[pool.backend]]\nname = \"b{index}\"\naddress = \"{address}\"\n{backend}\n");
        }
        text
    }

    pub(crate) fn config(&self) -> Config {
        Config::parse(&self.text(), "test").unwrap_or_else(|error| panic!("{error}\n{}", self.text()))
    }

    pub(crate) fn start(&self, mode: Mode) -> Relay {
        Relay::start(mode, self.config(), |_| {})
    }
}

/// A running server, and whoever turns it.
pub(crate) struct Relay {
    pub(crate) server: Arc<Server>,
    mode: Mode,
    turner: Option<JoinHandle<()>>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<Event>>,
    came: Condvar,
}

impl Relay {
    /// Starts a server after `prepare`.
    pub(crate) fn start(mode: Mode, config: Config, prepare: impl FnOnce(&Server)) -> Self {
        let log = Arc::new(Log::default());
        let server = {
            let log = Arc::clone(&log);
            Server::with_events(config, move |event| {
                log.events.lock().unwrap().push(event.clone());
                log.came.notify_all();
            })
        };
        let server = Arc::new(server.unwrap());
        prepare(&server);
        let turner = match mode {
            Mode::Threads => {
                server.start().unwrap();
                None
            }
            Mode::Hosted => {
                server.start_hosted().unwrap();
                let server = Arc::clone(&server);
                Some(std::thread::spawn(move || turn_to_the_end(&server)))
            }
        };
        Self { server, mode, turner, log }
    }

    pub(crate) fn address(&self) -> Bind {
        self.server.address("in").unwrap()
    }

    /// A client.
    #[track_caller]
    pub(crate) fn connect(&self) -> Socket {
        connect_to(&self.address()).unwrap()
    }

    /// A client and, once it has come, its connection at the backend.
    #[track_caller]
    pub(crate) fn join(&self, backend: &Listen) -> (Socket, Socket) {
        let client = self.connect();
        let backend = backend.accept();
        (client, backend)
    }

    pub(crate) fn statistics(&self) -> ListenerStatistics {
        self.server.listener_statistics("in").unwrap()
    }

    /// Waits until so many sessions have ended for this reason, and no other.
    #[track_caller]
    pub(crate) fn expect_closed(&self, cause: &str, count: u64) {
        self.until(&format!("{count} sessions closed by {cause}"), |statistics| {
            statistics.closed[cause] >= count
        });
        let closed = self.statistics().closed;
        let others: Vec<_> = closed.iter().filter(|(name, n)| **name != cause && **n > 0).collect();
        assert_eq!((closed[cause], others), (count, vec![]));
    }

    /// Waits until the listener's statistics are so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&ListenerStatistics) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let statistics = self.statistics();
            if condition(&statistics) {
                return;
            }
            assert!(Instant::now() < end, "waited in vain: {what}: {statistics:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn pool(&self) -> Arc<Pool> {
        self.server.pool("app").unwrap()
    }

    /// The `n`th backend's statistics.
    pub(crate) fn backend(&self, n: usize) -> BackendStatistics {
        self.pool().backends().remove(n)
    }

    /// Clients that wait for a place at a backend.
    pub(crate) fn waiting(&self) -> u64 {
        self.server.statistics().unwrap().waiting
    }

    #[track_caller]
    pub(crate) fn until_waiting(&self, count: u64) {
        until(&format!("{count} wait in the queue"), || self.waiting() == count);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.events.lock().unwrap().clone()
    }

    pub(crate) fn count_events(&self, kind: EventKind) -> usize {
        self.log.events.lock().unwrap().iter().filter(|event| event.kind == kind).count()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn wait_stopped(&self) {
        match self.mode {
            Mode::Threads => self.server.wait(Some(DEADLINE)).unwrap(),
            Mode::Hosted => until("the server has stopped", || self.server.state() == State::Stopped),
        }
    }
}

/// Ends it and checks its books: whatever the test was about, nothing may be left.
impl Drop for Relay {
    fn drop(&mut self) {
        let stopped = self.server.stop();
        if std::thread::panicking() {
            return;
        }
        stopped.unwrap();
        self.wait_stopped();
        if let Some(turner) = self.turner.take() {
            turner.join().expect("the host's thread");
        }
        let status = self.server.status().unwrap();
        let totals = status.totals;
        assert_eq!((totals.sessions, totals.waiting), (0, 0), "{status:?}");
        assert_eq!(totals.accepted, totals.finished + totals.failed, "{status:?}");
        for pool in &status.pools {
            assert_eq!(pool.in_flight, 0, "{status:?}");
            for backend in &pool.backends {
                let outcomes = backend.statistics.outcomes;
                let done = outcomes.success
                    + outcomes.connect_failed
                    + outcomes.failed
                    + outcomes.timed_out
                    + outcomes.cancelled;
                assert_eq!(
                    (backend.statistics.picks, backend.statistics.in_flight),
                    (done, 0),
                    "{backend:?}"
                );
            }
        }
    }
}

/// What a host does: waits for the descriptor or the deadline, then turns.
pub(crate) fn turn_to_the_end(server: &Server) {
    while server.state() != State::Stopped {
        let (fd, deadline) = (server.poll_fd().unwrap(), server.next_deadline().unwrap());
        let wait = deadline.map(|deadline| deadline.duration_since(trimtab::time::Clock.now()));
        // Nothing else wakes it, so that a wake-up that is missing shows.
        system::poll(fd, wait.unwrap_or(Duration::MAX));
        server.turn(Some(Duration::ZERO)).unwrap();
    }
}
