//! [`Server`]: the life of one instance.
//!
//! ```text
//! new ──► started (threads of its own) ──► draining ──► stopped
//!     └─► hosted (the caller turns it) ──►    "     ──►    "
//! ```

mod course;
mod instance;
mod looks;

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use socket2::Socket;

use crate::balance;
use crate::driver::event::{Event, EventKind, Sink};
use crate::driver::net;
#[cfg(feature = "store")]
use crate::driver::resp::shared::SharedClients;
use crate::driver::shared::Shared;
#[cfg(feature = "replication")]
use crate::driver::split::shared::SharedSplit;
use crate::driver::worker::Worker;
#[cfg(feature = "store")]
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::proxy::options::Bind;
use crate::server::admin::Instance;
use crate::server::assembly::{self, Files};
#[cfg(feature = "store")]
use crate::server::backups::Backups;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::changes::ClusterChanges;
use crate::server::config::Config;
use crate::server::journal::Journal;
#[cfg(feature = "store")]
use crate::server::store;
use crate::sys;
use crate::time::Instant;

/// Listeners that relay connections to pools.
///
/// Any thread may call anything at any time, except where a function says otherwise. Dropping it ends it as
/// [`Server::stop`] does and waits for its threads.
pub struct Server {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    config: Config,
    pools: Vec<Arc<balance::Pool>>,
    sink: Sink,
    journal: Arc<Journal>,
    #[cfg(feature = "store")]
    backups: Arc<Backups>,
    #[cfg(all(feature = "store", feature = "replication"))]
    changes: Arc<ClusterChanges>,
    pid: u32,
    /// [`State`] as a number, for who reads it often.
    state: AtomicU8,
    life: Mutex<Life>,
    ended: Condvar,
    /// The one worker that the host turns. Locked for as long as a turn lasts, so nothing else waits for it.
    hosted: Mutex<Option<Worker>>,
    /// When the next turn is due, in nanoseconds, as of the end of the last one; [`NO_DEADLINE`] for none.
    hosted_deadline: AtomicU64,
}

/// What stands for no deadline.
const NO_DEADLINE: u64 = u64::MAX;

#[derive(Default)]
struct Life {
    adopted: BTreeMap<usize, Socket>,
    shared: Option<Arc<Shared>>,
    addresses: Vec<Bind>,
    admin: Option<Bind>,
    /// Closed, and gone, when the last worker has ended.
    #[cfg(feature = "store")]
    store: Option<Store>,
    /// What its end has failed with.
    #[cfg(all(feature = "cli", feature = "store"))]
    store_failure: Option<String>,
    #[cfg(feature = "store")]
    resp: Option<Bind>,
    #[cfg(feature = "store")]
    health: Option<Bind>,
    #[cfg(feature = "store")]
    clients: Option<Arc<SharedClients>>,
    /// What is told of at the start.
    #[cfg(feature = "store")]
    lowered: Vec<String>,
    #[cfg(feature = "replication")]
    splits: Vec<(Bind, Arc<SharedSplit>)>,
    files: Files,
    workers: u32,
    is_hosted: bool,
    /// What the host polls, until it has ended.
    poll_fd: Option<RawFd>,
    /// Workers that have not ended.
    running: usize,
    thread_ids: Vec<ThreadId>,
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Made, not started.
    New = 0,
    /// Accepts and relays.
    Running = 1,
    /// Accepts nothing new; its sessions go on.
    Draining = 2,
    /// Ended.
    Stopped = 3,
}

impl State {
    /// Its name in JSON and in the bindings.
    pub fn name(self) -> &'static str {
        match self {
            State::New => "new",
            State::Running => "running",
            State::Draining => "draining",
            State::Stopped => "stopped",
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => State::New,
            1 => State::Running,
            2 => State::Draining,
            _ => State::Stopped,
        }
    }
}

impl Server {
    /// Makes a server. Nothing is opened and no thread made before it is started.
    pub fn new(config: Config) -> Result<Self> {
        Self::with_events(config, |_| {})
    }

    /// Makes a server that tells `on_event` what happens.
    ///
    /// Events come on the thread that made them happen: a worker, a backup's, whoever turns a hosted server, or whoever
    /// called. No lock is held meanwhile, so `on_event` may call the server, except [`Server::turn`]; it must
    /// not block for long, and two threads may call it at once.
    pub fn with_events(config: Config, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Result<Self> {
        let pools = assembly::pools(&config)?;
        let journal = Arc::new(Journal::default());
        let noting = Arc::clone(&journal);
        let sink = move |event: &Event| {
            noting.note(event, unix_ms());
            on_event(event);
        };
        let inner = Inner {
            config,
            pools,
            sink: Arc::new(sink),
            journal,
            #[cfg(feature = "store")]
            backups: Arc::default(),
            #[cfg(all(feature = "store", feature = "replication"))]
            changes: Arc::default(),
            pid: std::process::id(),
            state: AtomicU8::new(State::New as u8),
            life: Mutex::new(Life::default()),
            ended: Condvar::new(),
            hosted: Mutex::new(None),
            hosted_deadline: AtomicU64::new(NO_DEADLINE),
        };
        Ok(Self { inner: Arc::new(inner), threads: Mutex::new(Vec::new()) })
    }

    /// Makes a server from a configuration's text; `source` names it in errors.
    pub fn from_toml(text: &str, source: &str) -> Result<Self> {
        Self::new(Config::parse(text, source)?)
    }

    /// Makes a server from a configuration's file.
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::new(Config::read(path)?)
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Hands over a socket that listens already, in place of the listener's `bind`. The server's copy is
    /// closed when it ends; what the caller keeps of the same socket stays open.
    ///
    /// Errors: `NotFound`, `Io` for what is no listening stream socket, `State` once started.
    pub fn adopt(&self, listener: &str, descriptor: OwnedFd) -> Result<()> {
        self.inner.check_process()?;
        let mut life = self.inner.life.lock();
        self.inner.expect_new()?;
        let index = self.inner.listener_index(listener)?;
        let socket = net::adopt(descriptor)
            .map_err(|error| Error::io(format!("adopt a socket for {listener}"), &error))?;
        life.adopted.insert(index, socket);
        Ok(())
    }

    /// Listens, and relays on threads of its own. Returns once every listener listens.
    ///
    /// Errors: `Io` names what could not be bound, and where the configuration asks for it; nothing is left
    /// open then, and it may be tried again. `State` when started before.
    pub fn start(&self) -> Result<()> {
        let workers = self.inner.open(false)?;
        let mut threads = self.threads.lock();
        let mask = sys::signal::mask_all();
        let mut refused = None;
        for (index, worker) in workers.into_iter().enumerate() {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name(format!("trimtab/{index}"));
            match thread.spawn(move || inner.run(worker)) {
                Ok(thread) => {
                    self.inner.life.lock().thread_ids.push(thread.thread().id());
                    threads.push(thread);
                }
                Err(error) => {
                    self.inner.worker_ended();
                    refused = Some(Error::io("make a thread", &error));
                }
            }
        }
        drop(mask);
        drop(threads);
        if let Some(error) = refused {
            self.stop()?;
            return Err(error);
        }
        self.inner.tell_start();
        Ok(())
    }

    /// Listens, and relays only while the caller turns it: no thread is made. Wait until [`Server::poll_fd`]
    /// is readable or [`Server::next_deadline`] has come, then call [`Server::turn`].
    ///
    /// Its store has no threads either: a turn does its work too, and waits for the disk where that writes. Only a node of a
    /// cluster has threads of its own, and a backup ordered through the admin interface one while it is made.
    pub fn start_hosted(&self) -> Result<()> {
        let mut workers = self.inner.open(true)?;
        let worker = workers.pop();
        self.inner.life.lock().poll_fd = worker.as_ref().map(Worker::poll_fd);
        self.inner.note_deadline(worker.as_ref());
        *self.inner.hosted.lock() = worker;
        self.inner.tell_start();
        Ok(())
    }

    /// The descriptor to poll for reading. It belongs to the server: neither read nor close it.
    pub fn poll_fd(&self) -> Result<RawFd> {
        self.inner.check_process()?;
        let life = self.inner.life.lock();
        life.poll_fd.ok_or_else(|| self.inner.not_hosted(&life))
    }

    /// When [`Server::turn`] is needed even if nothing happens; `None` while nothing is pending. Ask again
    /// after each turn.
    pub fn next_deadline(&self) -> Result<Option<Instant>> {
        self.inner.check_process()?;
        self.poll_fd()?;
        let nanos = self.inner.hosted_deadline.load(Ordering::Acquire);
        Ok((nanos != NO_DEADLINE).then(|| Instant::from_nanos(nanos)))
    }

    /// Handles what has happened, waiting at most `timeout` for something to (`None`: until something does),
    /// and answers how much there was. It returns early when the thread takes a signal.
    ///
    /// Errors: `State` when it is not hosted, has ended, or is being turned already, by another thread or
    /// around this call.
    pub fn turn(&self, timeout: Option<Duration>) -> Result<usize> {
        self.inner.check_process()?;
        let Some(mut hosted) = self.inner.hosted.try_lock() else {
            return Err(state("is being turned already; one thread turns it at a time"));
        };
        let Some(worker) = hosted.as_mut() else {
            return Err(self.inner.not_hosted(&self.inner.life.lock()));
        };
        let count = worker.turn(timeout).map_err(|error| Error::io("wait for events", &error));
        if count.is_err() {
            worker.end();
        }
        self.inner.note_deadline(Some(worker));
        self.inner.reap(hosted);
        count
    }

    /// Accepts nothing new and lets sessions end by themselves until `timeout` is over, then ends them. Does
    /// not wait: see [`Server::wait`]; a hosted server does it in its next turns, for which its descriptor
    /// becomes readable. `None` takes the longest `timeouts.drain` of the listeners. Calling it
    /// again sets the time anew.
    pub fn drain(&self, timeout: Option<Duration>) -> Result<()> {
        self.inner.drain(timeout)
    }

    /// Ends it: every session is cut. Does not wait: see [`Server::wait`]; a hosted server ends in its next
    /// turn, for which its descriptor becomes readable, or when it is dropped. Good at any time and more than
    /// once.
    pub fn stop(&self) -> Result<()> {
        self.inner.stop()
    }

    /// Waits until it has ended, at most `timeout`; `None` waits for ever.
    ///
    /// Errors: `TimedOut`; `State` when it is not started, when it is hosted (turn it until
    /// [`Server::state`] says stopped), and on a thread of the server's own.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.inner.check_process()?;
        {
            let mut life = self.inner.life.lock();
            if self.inner.state() == State::New {
                return Err(state("is not started"));
            }
            if life.is_hosted && self.inner.state() != State::Stopped {
                return Err(state("is hosted: turn it until it has stopped"));
            }
            if self.inner.is_own_thread(&life) {
                return Err(state("cannot be waited for by one of its own threads"));
            }
            let until = timeout.and_then(|timeout| std::time::Instant::now().checked_add(timeout));
            while self.inner.state() != State::Stopped {
                match until {
                    None => self.inner.ended.wait(&mut life),
                    Some(until) => {
                        if self.inner.ended.wait_until(&mut life, until).timed_out()
                            && self.inner.state() != State::Stopped
                        {
                            return Err(Error::TimedOut { what: "the server to end" });
                        }
                    }
                }
            }
        }
        self.join();
        Ok(())
    }

    /// Why the store was not closed in order, and what of it may be lost, once the server has ended.
    #[cfg(all(feature = "cli", feature = "store"))]
    pub(crate) fn store_failure(&self) -> Option<String> {
        self.inner.life.lock().store_failure.clone()
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Joins threads that have ended or are about to. Not on one of them.
    fn join(&self) {
        #[cfg(feature = "store")]
        if self.inner.backups.is_theirs() {
            // The last worker waits for this thread.
            return;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() {
                // What a worker panicked of was told as an event.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.inner.check_process().is_err() {
            // The parent's threads are not here, and its sockets are not ours to end.
            for thread in std::mem::take(self.threads.get_mut()) {
                std::mem::forget(thread);
            }
            std::mem::forget(Arc::clone(&self.inner));
            return;
        }
        let _ = self.stop();
        self.join();
        // Nobody will turn a hosted worker any more.
        let mut hosted = self.inner.hosted.lock();
        if let Some(worker) = hosted.as_mut() {
            worker.obey();
        }
        self.inner.reap(hosted);
    }
}

impl Inner {
    fn state(&self) -> State {
        State::from_number(self.state.load(Ordering::Acquire))
    }

    /// With `life` locked, so that states follow each other.
    fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    fn check_process(&self) -> Result<()> {
        if self.pid == std::process::id() { Ok(()) } else { Err(Error::Forked { what: "server" }) }
    }

    fn expect_new(&self) -> Result<()> {
        match self.state() {
            State::New => Ok(()),
            State::Stopped => Err(state("has ended; make another")),
            _ => Err(state("is started already")),
        }
    }

    /// Whether this is a thread that ends before the server does.
    fn is_own_thread(&self, life: &Life) -> bool {
        #[cfg(feature = "store")]
        if self.backups.is_theirs() {
            return true;
        }
        life.thread_ids.contains(&std::thread::current().id())
    }

    fn not_hosted(&self, life: &Life) -> Error {
        match self.state() {
            State::New => state("is not started; start it hosted first"),
            State::Stopped => state("has ended"),
            _ if life.is_hosted => state("is being ended, by another thread"),
            _ => state("runs on threads of its own; start it hosted to turn it"),
        }
    }

    fn listener_index(&self, name: &str) -> Result<usize> {
        let at = self.config.listeners.iter().position(|listener| listener.name == name);
        at.ok_or_else(|| Error::NotFound { what: "listener", value: format!("{name:?}") })
    }

    fn pool_index(&self, name: &str) -> Option<usize> {
        self.config.pools.iter().position(|pool| pool.name == name)
    }

    /// Tells that it runs, and before that what was found on the way there.
    fn tell_start(&self) {
        #[cfg(feature = "store")]
        {
            let (store, lowered) = {
                let mut life = self.life.lock();
                (life.store.clone(), std::mem::take(&mut life.lowered))
            };
            if let Some(found) = store.and_then(|store| store::found_by(store.report())) {
                self.tell(EventKind::StoreOpened, &found);
            }
            for told in lowered {
                self.tell(EventKind::StoreOpened, &told);
            }
        }
        self.tell(EventKind::Started, &self.addresses());
    }

    fn tell(&self, kind: EventKind, detail: &str) {
        (self.sink)(&Event::of_server(kind, detail));
    }
}

/// The time of day, for logs.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn state(detail: &'static str) -> Error {
    Error::State { what: "server", detail: detail.into() }
}
