//! [`Discovering`]: members that come from DNS and from files, on one worker. What is asked, when, and what an
//! answer means is said by the watches; this has the sockets, reads the files, and tells the pools.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use slab::Slab;
use socket2::{Domain, Socket, Type};

use crate::balance::{Address, Backend, Pool};
use crate::discovery::exchange::{self, Exchange, Io};
use crate::discovery::file::{self, MembersFile};
use crate::discovery::lookup::Environment;
use crate::discovery::members::{Roster, Template};
use crate::discovery::name::WatchedName;
use crate::discovery::options::Options;
use crate::discovery::watch::{self, Watch};
use crate::driver::event::{Event as Told, EventKind};
use crate::driver::net::{self, Outgoing};
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Timer};
use crate::error::Result;
use crate::rng::Rng;
use crate::time::Instant;

/// Where the members of the pools come from.
pub(crate) struct Discovering {
    pools: Vec<Found>,
    watches: Vec<Watched>,
    files: Vec<Followed>,
    system: System,
    rng: Rng,
    table: Slab<Talk>,
    exchanges: BTreeMap<(usize, Exchange), usize>,
    generation: u32,
    timer: Option<TimerId>,
    /// When files are looked at next.
    look: Instant,
}

/// One pool, and everybody who is in it by configuration, name or file.
struct Found {
    name: Arc<str>,
    pool: Arc<Pool>,
    roster: Roster,
}

/// A name whose members are looked up again and again.
struct Watched {
    pool: usize,
    /// Its number among the sources of its pool.
    source: usize,
    template: Template,
    watch: Watch,
    /// What was told of it last, so that the same is not told with every lookup.
    told: String,
}

/// A file of members.
struct Followed {
    pool: usize,
    source: usize,
    path: PathBuf,
    file: MembersFile,
    seen: Seen,
    told: String,
}

/// The system's own files, and what they said.
struct System {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    seen: (Seen, Seen),
    last: Environment,
    read: ReadSystem,
}

/// What tells one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Whatever it is, it is to be read.
    Unread,
    Nothing,
    /// When what it says, or who may read it, last changed.
    File {
        changed: (i64, i64),
        length: u64,
        inode: u64,
    },
}

/// What a server looks up and follows.
pub(crate) struct Plan {
    pub(crate) pools: Vec<PoolPlan>,
    pub(crate) options: Options,
    pub(crate) resolv_conf: PathBuf,
    pub(crate) hosts: PathBuf,
    pub(crate) read: ReadSystem,
    pub(crate) seed: u64,
}

/// Reads both, and what the configuration says in their place. One that is there and cannot be read says what it said
/// last.
pub(crate) type ReadSystem = Box<dyn Fn(Option<&Environment>) -> Environment + Send>;

/// What one pool looks up and follows.
pub(crate) struct PoolPlan {
    pub(crate) name: Arc<str>,
    pub(crate) pool: Arc<Pool>,
    /// Its members by configuration.
    pub(crate) fixed: Vec<Backend>,
    pub(crate) watched: Vec<(WatchedName, Template)>,
    pub(crate) files: Vec<PathBuf>,
}

/// One socket of an exchange.
struct Talk {
    socket: Socket,
    watch: usize,
    exchange: Exchange,
    server: SocketAddr,
    kind: Transport,
    generation: u32,
}

enum Transport {
    Udp,
    Tcp { is_connected: bool, out: Outgoing },
}

/// How often files are looked at. A look is one call to the system, and a change is rarely in a hurry.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Discovering {
    /// Begins to look up and to read. Files are read here and now; names are looked up as the worker turns.
    pub(crate) fn new(plan: Plan, now: Instant) -> Result<Self> {
        let mut rng = Rng::new(plan.seed);
        let seen = (Seen::of(&plan.resolv_conf), Seen::of(&plan.hosts));
        let environment = (plan.read)(None);
        let (mut pools, mut watches, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (index, from) in plan.pools.into_iter().enumerate() {
            let mut roster = Roster::new();
            // They are in the pool already.
            roster.set(0, from.fixed);
            let mut source = 0;
            for (name, template) in from.watched {
                source += 1;
                let watch = Watch::new(name, environment.clone(), plan.options.clone(), now, &mut rng)?;
                watches.push(Watched { pool: index, source, template, watch, told: String::new() });
            }
            for path in from.files {
                source += 1;
                let file = MembersFile::new(&path.display().to_string());
                let told = String::new();
                files.push(Followed { pool: index, source, path, file, seen: Seen::Unread, told });
            }
            pools.push(Found { name: from.name, pool: from.pool, roster });
        }
        Ok(Self {
            pools,
            watches,
            files,
            system: System {
                resolv_conf: plan.resolv_conf,
                hosts: plan.hosts,
                seen,
                last: environment,
                read: plan.read,
            },
            rng,
            table: Slab::new(),
            exchanges: BTreeMap::new(),
            generation: 0,
            timer: None,
            look: now,
        })
    }

    /// Whether there is anything to look up or to follow.
    pub(crate) fn is_needed(&self) -> bool {
        !self.watches.is_empty() || !self.files.is_empty()
    }

    pub(crate) fn begin(&mut self, core: &mut Core) {
        self.run(core);
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core) {
        self.timer = None;
        self.run(core);
    }

    /// Something happened to the socket of an exchange.
    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key, event: &Event) {
        let index = key.index as usize;
        if self.table.get(index).is_some_and(|talk| talk.generation == key.generation) {
            self.talk(core, index, event.is_error());
            self.arm(core);
        }
    }

    /// Closes every socket. The members stay as they are.
    pub(crate) fn close_all(&mut self, core: &mut Core) {
        self.table.clear();
        self.exchanges.clear();
        if let Some(timer) = self.timer.take() {
            core.wheel.cancel(timer);
        }
    }

    /// Does what is due and what the watches say.
    fn run(&mut self, core: &mut Core) {
        if core.now >= self.look {
            self.look = core.now.saturating_add(LOOK_EVERY);
            self.look_at_files(core);
        }
        for at in 0..self.watches.len() {
            let watched = &mut self.watches[at];
            if watched.watch.next_deadline().is_some_and(|deadline| deadline <= core.now) {
                watched.watch.handle_timeout(core.now, &mut self.rng);
            }
            self.follow(core, at);
        }
        self.arm(core);
    }

    /// Sets the timer for what is due next.
    fn arm(&mut self, core: &mut Core) {
        let lookups = self.watches.iter().filter_map(|watched| watched.watch.next_deadline());
        if let Some(deadline) = lookups.chain([self.look]).min() {
            core.set_timer(&mut self.timer, deadline, Timer::Discovering);
        }
    }

    /// Takes a watch's actions.
    fn follow(&mut self, core: &mut Core, at: usize) {
        let mut is_troubled = false;
        while let Some(action) = self.watches[at].watch.poll_action() {
            match action {
                watch::Action::Io(io) => self.exchange(core, at, io),
                watch::Action::Members(endpoints) => {
                    let watched = &self.watches[at];
                    let members = watched.template.members(&endpoints);
                    let (pool, source) = (watched.pool, watched.source);
                    self.set(core, pool, source, members);
                }
                watch::Action::Trouble(trouble) => {
                    is_troubled = true;
                    let watched = &mut self.watches[at];
                    let cause = trouble.cause();
                    if watched.told != cause {
                        watched.told = cause;
                        let text = format!("{}: {trouble}", watched.watch.name());
                        let pool = watched.pool;
                        self.tell(core, pool, text);
                    }
                }
            }
        }
        // What is over and comes again is news.
        if !is_troubled && self.watches[at].watch.is_well() {
            self.watches[at].told = String::new();
        }
    }

    fn exchange(&mut self, core: &mut Core, at: usize, io: Io) {
        match io {
            Io::SendUdp { exchange, server, bytes } => {
                let opened = datagram(server, &bytes)
                    .and_then(|socket| self.open(core, at, exchange, server, socket, Transport::Udp));
                self.check(core, at, exchange, opened);
            }
            Io::OpenTcp { exchange, server } => {
                let tcp = Transport::Tcp { is_connected: false, out: Outgoing::default() };
                let opened = net::connect(&Address::Inet(server))
                    .and_then(|socket| self.open(core, at, exchange, server, socket, tcp));
                self.check(core, at, exchange, opened);
            }
            Io::SendTcp { exchange, bytes } => {
                let Some(&index) = self.exchanges.get(&(at, exchange)) else { return };
                let talk = &mut self.table[index];
                if let Transport::Tcp { out, .. } = &mut talk.kind {
                    out.bytes.extend_from_slice(&bytes);
                }
                let sent = talk.send();
                self.check(core, at, exchange, sent);
            }
            Io::Close { exchange } => {
                if let Some(index) = self.exchanges.remove(&(at, exchange)) {
                    self.table.remove(index);
                }
            }
        }
    }

    fn open(
        &mut self,
        core: &Core,
        watch: usize,
        exchange: Exchange,
        server: SocketAddr,
        socket: Socket,
        kind: Transport,
    ) -> io::Result<()> {
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        core.register(&socket, Source::Lookup(key))?;
        let generation = self.generation;
        let index = self.table.insert(Talk { socket, watch, exchange, server, kind, generation });
        self.exchanges.insert((watch, exchange), index);
        Ok(())
    }

    /// Tells the watch what the system refused.
    fn check(&mut self, core: &Core, at: usize, exchange: Exchange, result: io::Result<()>) {
        if let Err(error) = result {
            let why = error.to_string();
            let event = exchange::Event::Failed(&why);
            self.watches[at].watch.handle_event(exchange, event, core.now, &mut self.rng);
        }
    }

    /// Reads, writes and hands over as far as it goes.
    fn talk(&mut self, core: &mut Core, index: usize, is_error: bool) {
        loop {
            // What was handed over before may have ended the exchange.
            let Some(talk) = self.table.get_mut(index) else { return };
            let (at, exchange, server) = (talk.watch, talk.exchange, talk.server);
            let watch = &mut self.watches[at].watch;
            let mut failed = |error: io::Error, rng: &mut Rng| {
                let why = error.to_string();
                watch.handle_event(exchange, exchange::Event::Failed(&why), core.now, rng);
            };
            if is_error && let Ok(Some(error)) = talk.socket.take_error() {
                failed(error, &mut self.rng);
                return self.follow(core, at);
            }
            if let Transport::Tcp { is_connected, .. } = &mut talk.kind
                && !*is_connected
            {
                match talk.socket.peer_addr() {
                    Ok(_) => {
                        *is_connected = true;
                        watch.handle_event(exchange, exchange::Event::Connected, core.now, &mut self.rng);
                        self.follow(core, at);
                        continue;
                    }
                    Err(_) => return,
                }
            }
            if let Err(error) = talk.send() {
                failed(error, &mut self.rng);
                return self.follow(core, at);
            }
            let is_udp = matches!(talk.kind, Transport::Udp);
            match net::read(&talk.socket, &mut core.buffer) {
                Ok(None) => return,
                Ok(Some(0)) if !is_udp => {
                    watch.handle_event(exchange, exchange::Event::Closed, core.now, &mut self.rng);
                    return self.follow(core, at);
                }
                Ok(Some(bytes)) => {
                    let bytes = &core.buffer[..bytes];
                    let event = match is_udp {
                        true => exchange::Event::Datagram { from: server, bytes },
                        false => exchange::Event::Bytes(bytes),
                    };
                    watch.handle_event(exchange, event, core.now, &mut self.rng);
                    self.follow(core, at);
                }
                Err(error) => {
                    failed(error, &mut self.rng);
                    return self.follow(core, at);
                }
            }
        }
    }

    /// Reads what has changed.
    fn look_at_files(&mut self, core: &Core) {
        if !self.watches.is_empty() {
            let seen = (Seen::of(&self.system.resolv_conf), Seen::of(&self.system.hosts));
            if seen != self.system.seen {
                self.system.seen = seen;
                let environment = (self.system.read)(Some(&self.system.last));
                self.system.last = environment.clone();
                for watched in &mut self.watches {
                    watched.watch.handle_environment(environment.clone(), core.now, &mut self.rng);
                }
            }
        }
        for at in 0..self.files.len() {
            let followed = &mut self.files[at];
            let seen = Seen::of(&followed.path);
            if seen == followed.seen {
                continue;
            }
            followed.seen = seen;
            let read = read(&followed.path);
            let (pool, source) = (followed.pool, followed.source);
            let trouble = match read {
                Ok(text) => match followed.file.handle_text(&text) {
                    Ok(is_new) => {
                        if is_new {
                            let members = followed.file.members().to_vec();
                            self.set(core, pool, source, members);
                        }
                        String::new()
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => {
                    // It may be readable the next time without looking otherwise.
                    followed.seen = Seen::Unread;
                    format!("cannot read {}: {error}", followed.path.display())
                }
            };
            let followed = &mut self.files[at];
            if followed.told != trouble {
                followed.told.clone_from(&trouble);
                if !trouble.is_empty() {
                    self.tell(core, pool, format!("{trouble}; the members stay as they are"));
                }
            }
        }
    }

    /// A source of a pool has these members now.
    fn set(&mut self, core: &Core, pool: usize, source: usize, members: Vec<Backend>) {
        let changes = self.pools[pool].roster.set(source, members);
        if changes.is_empty() {
            return;
        }
        if let Err(error) = changes.apply(&self.pools[pool].pool) {
            self.tell(core, pool, error.to_string());
        }
    }

    fn tell(&self, core: &Core, pool: usize, detail: String) {
        (core.shared.sink)(&Told {
            kind: EventKind::DiscoveryFailed,
            listener: None,
            pool: Some(Arc::clone(&self.pools[pool].name)),
            backend: None,
            node: None,
            detail,
        });
    }
}

impl Talk {
    /// Sends what is left of what a TCP connection is to carry, once it stands.
    fn send(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Transport::Tcp { is_connected: true, out } => out.send(&self.socket),
            _ => Ok(()),
        }
    }
}

impl Seen {
    fn of(path: &std::path::Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        match std::fs::metadata(path) {
            Ok(found) => {
                let changed = (found.ctime(), found.ctime_nsec());
                Seen::File { changed, length: found.len(), inode: found.ino() }
            }
            Err(_) => Seen::Nothing,
        }
    }
}

/// A socket that has sent this one datagram, and hears nobody but `server`.
fn datagram(server: SocketAddr, bytes: &[u8]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM.nonblocking(), None)?;
    socket.connect(&server.into())?;
    socket.send(bytes)?;
    Ok(socket)
}

/// A pipe or a device is no list of members, and would hold up the loop.
fn read(path: &std::path::Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    // It may grow while it is read: one byte above tells what is too long from what fits.
    let length = File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if length as u64 > FILE_MAX {
        let why = format!("it has more than {FILE_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

/// The longest file of members is the longest text of one.
const FILE_MAX: u64 = file::TEXT_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_no_list_of_members() {
        assert_eq!(read("/dev/zero".as_ref()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
