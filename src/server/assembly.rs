//! From a configuration to what runs: sockets bound, pools watched, workers made.

#[cfg(feature = "store")]
mod descriptors;
#[cfg(feature = "store")]
mod redis;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::{Poll, Waker};
use socket2::Socket;

#[cfg(feature = "store")]
use self::descriptors::Descriptors;
#[cfg(feature = "store")]
use self::redis::{Share, clients};
#[cfg(feature = "replication")]
use self::redis::{splits, store_pools};
use crate::balance;
use crate::discovery::hosts::Hosts;
use crate::discovery::lookup::Environment;
use crate::discovery::resolv_conf::Resolvers;
use crate::driver::conversation::{self, Bell};
use crate::driver::cutting::Cutting;
use crate::driver::discovering::{Discovering, Plan, PoolPlan};
use crate::driver::event::{Event, EventKind, Sink};
use crate::driver::listening::ListeningSocket;
use crate::driver::mailbox::{self, Sender};
use crate::driver::net;
use crate::driver::probing::{Checked, Probing};
#[cfg(feature = "store")]
use crate::driver::resp::{shared::SharedClients, watch::StoreWatch};
use crate::driver::room::{Room, RoomObserver};
use crate::driver::shared::{CHECKER, Orders, Shared, SharedListener, SharedPool};
#[cfg(feature = "replication")]
use crate::driver::split::{nodes::reachable, shared::SharedSplit};
use crate::driver::standing::Standing;
use crate::driver::token::Source;
use crate::driver::worker::{Message, Parts, Worker};
#[cfg(feature = "store")]
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::health::options::Settings;
use crate::health::secret::Secret;
use crate::proxy::options::{Bind, OnDown, Options};
use crate::server::admin::Reach;
use crate::server::config::{Check, Config, Discovery, Position};
use crate::sys;
use crate::sys::fork::Moment;
use crate::time::Clock;

/// What a server runs with.
pub(super) struct Assembly {
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Vec<Worker>,
    /// Where each listener listens in truth.
    pub(super) addresses: Vec<Bind>,
    /// Where the admin socket does.
    pub(super) admin: Option<Bind>,
    /// Where Redis clients are served, and what is counted of them.
    #[cfg(feature = "store")]
    pub(super) resp: Option<Bind>,
    /// Where it is told which node of the store this is.
    #[cfg(feature = "store")]
    pub(super) health: Option<Bind>,
    #[cfg(feature = "store")]
    pub(super) clients: Option<Arc<SharedClients>>,
    /// Which bounds are not those asked for, and why.
    #[cfg(feature = "store")]
    pub(super) lowered: Vec<String>,
    /// Where each splitting listener listens in truth, and what is counted of it.
    #[cfg(feature = "replication")]
    pub(super) splits: Vec<(Bind, Arc<SharedSplit>)>,
    pub(super) files: Files,
    /// What tells those who follow events that there are some.
    pub(super) bell: Bell,
}

/// Builds the pools of a configuration, which was found right before.
pub(super) fn pools(config: &Config) -> Result<Vec<Arc<balance::Pool>>> {
    let build = |from: &crate::server::config::Pool| {
        let pool = balance::Pool::new(from.options.clone())?;
        pool.add_all(&from.backends)?;
        Ok(Arc::new(pool))
    };
    config.pools.iter().map(build).collect()
}

/// How one worker's loop is reached.
struct Loop {
    poll: Poll,
    inbox: mailbox::Receiver<Message>,
    outbox: Sender<Message>,
}

/// Binds every socket and makes the workers. Nothing accepts yet when this fails.
pub(super) fn assemble(
    config: &Config,
    pools: &[Arc<balance::Pool>],
    mut adopted: BTreeMap<usize, Socket>,
    sink: &Sink,
    make_conversation: impl Fn(Reach) -> Box<dyn conversation::Conversation> + Clone + Send + 'static,
    is_hosted: bool,
    #[cfg(feature = "store")] store: Option<&Store>,
) -> Result<Assembly> {
    let count = if is_hosted { 1 } else { config.runtime.workers as usize };
    let mut files = Files::default();
    let mut sockets: Vec<Vec<ListeningSocket>> = (0..count).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let who = at(config, &format!("the listener {}", listener.name), listener.bind_at);
        let failed = |error: io::Error| Error::io(format!("listen on {} for {who}", listener.bind), &error);
        let since = Moment::now();
        let given = adopted.remove(&index);
        let is_adopted = given.is_some();
        let bound = match given {
            Some(socket) => net::share(socket, count).map_err(failed)?,
            None => {
                let bound = net::bind(&listener.bind, &who, count)?;
                files.note(&listener.bind);
                for socket in &bound {
                    net::start(socket, listener.backlog).map_err(failed)?;
                }
                bound
            }
        };
        addresses.push(net::local_bind(&bound[0]).map_err(failed)?);
        let is_shared = count > 1 && (is_adopted || matches!(listener.bind, Bind::Unix(_)));
        for (worker, socket) in bound.into_iter().enumerate() {
            sockets[worker].push(ListeningSocket { socket, is_shared, is_adopted, since });
        }
    }
    let mut admin = None;
    let mut conversations = Vec::new();
    if let Some(from) = &config.admin {
        let who = at(config, "admin", from.bind_at);
        let failed = |error: io::Error| Error::io(format!("listen on {} for {who}", from.bind), &error);
        let since = Moment::now();
        let socket = net::bind(&from.bind, &who, 1)?.remove(0);
        files.note(&from.bind);
        if let Bind::Unix(path) = &from.bind
            && !path.starts_with('@')
        {
            // Nobody can have connected: it does not listen yet.
            std::fs::set_permissions(&**path, Permissions::from_mode(from.mode))
                .map_err(|error| Error::io(format!("set the mode of {} for {who}", from.bind), &error))?;
        }
        net::start(&socket, ADMIN_BACKLOG).map_err(failed)?;
        admin = Some(net::local_bind(&socket).map_err(failed)?);
        let (make, reach) = (make_conversation.clone(), reach(&from.bind));
        conversations.push(conversation::Listener { socket, since, make: Box::new(move || make(reach)) });
    }
    #[cfg(feature = "store")]
    let mut health = None;
    #[cfg(feature = "store")]
    if let Some((from, bind)) = config.store.as_ref().and_then(|from| Some((from, from.health.as_ref()?))) {
        let who = at(config, "health of the store", from.health_at);
        let failed = |error: io::Error| Error::io(format!("listen on {bind} for {who}"), &error);
        let since = Moment::now();
        let socket = net::bind(bind, &who, 1)?.remove(0);
        files.note(bind);
        net::start(&socket, ADMIN_BACKLOG).map_err(failed)?;
        health = Some(net::local_bind(&socket).map_err(failed)?);
        let make = make_conversation;
        let make = Box::new(move || make(Reach::Standing));
        conversations.push(conversation::Listener { socket, since, make });
    }

    #[cfg(feature = "store")]
    let mut lowered = Vec::new();
    #[cfg(feature = "store")]
    let descriptors =
        config.store.as_ref().map(|from| Descriptors::measure(config, from, count)).transpose()?;

    #[cfg(feature = "store")]
    let mut resp = match (&config.store, store, &descriptors) {
        (Some(from), Some(store), Some(descriptors)) => clients(
            config,
            from,
            store,
            count,
            &mut files,
            &mut Share { descriptors, lowered: &mut lowered },
        )?,
        _ => None,
    };

    #[cfg(feature = "replication")]
    let mut splits = match (&config.store, store, &descriptors) {
        (Some(from), Some(store), Some(descriptors)) => {
            let own = resp.as_ref().map(|resp| reachable(resp.address()));
            let mut share = Share { descriptors, lowered: &mut lowered };
            splits(config, from, store, own.as_ref(), count, &mut files, &mut share)?
        }
        _ => Vec::new(),
    };

    // Whatever can be refused comes before the pools are observed, which is done once: a start may be tried again.
    let checks = checks(config)?;
    let (seeds, secret) = ([seed()?, seed()?], entropy()?);
    let capacity = MAIL_BESIDES + 4 * config.pools.len() + config.listeners.len() + config.splits.len();
    let loops = (0..count).map(|_| open_loop(capacity)).collect::<io::Result<Vec<Loop>>>();
    let loops = loops.map_err(|error| Error::io("make an event loop", &error))?;
    let shared = Arc::new(share(config, pools, &loops, sink));

    // The first worker has the conversations.
    let bell = Bell::new(shared.senders[0].clone());
    let mut conversations = Some((conversations, bell.clone()));
    let mut discovering = Some(discovering(config, &shared, seeds[0])?).filter(Discovering::is_needed);
    let is_checked = checks.iter().any(Option::is_some);
    let mut probing = is_checked.then(|| probing(config, &shared, checks, seeds[1], secret)).transpose()?;
    #[cfg(feature = "replication")]
    let mut store_pools = match store {
        Some(store) => {
            let own = resp.as_ref().map(|resp| reachable(resp.address()));
            store_pools(config, &shared, store, own)?
        }
        None => None,
    };
    let mut workers = Vec::with_capacity(count);
    for (index, (one, sockets)) in loops.into_iter().zip(sockets).enumerate() {
        let (conversations, bell) = conversations.take().unzip();
        #[cfg(feature = "store")]
        let clients = match &mut resp {
            Some(resp) => resp.parts(&shared.senders[index])?,
            None => None,
        };
        #[cfg(feature = "replication")]
        let split_parts = splits
            .iter_mut()
            .filter_map(|split| split.parts(&shared.senders[index]).transpose())
            .collect::<Result<Vec<_>>>()?;
        let parts = Parts {
            index,
            poll: one.poll,
            shared: Arc::clone(&shared),
            inbox: one.inbox,
            sockets,
            conversations: conversations.unwrap_or_default(),
            bell,
            #[cfg(feature = "store")]
            clients,
            #[cfg(feature = "store")]
            store_watch: store.filter(|_| index == CHECKER).cloned().map(StoreWatch::new).transpose()?,
            #[cfg(feature = "store")]
            hosted_store: store.filter(|store| store.is_hosted()).cloned(),
            #[cfg(feature = "replication")]
            splits: split_parts,
            #[cfg(feature = "replication")]
            store_pools: if index == CHECKER { store_pools.take() } else { None },
            discovering: if index == CHECKER { discovering.take() } else { None },
            probing: if index == CHECKER { probing.take() } else { None },
            is_hosted,
        };
        workers.push(Worker::new(parts)?);
    }
    #[cfg(feature = "store")]
    let (resp, clients) = resp.map(|resp| (resp.address().clone(), resp.shared)).unzip();
    Ok(Assembly {
        shared,
        workers,
        addresses,
        admin,
        #[cfg(feature = "store")]
        resp,
        #[cfg(feature = "store")]
        health,
        #[cfg(feature = "store")]
        clients,
        #[cfg(feature = "store")]
        lowered,
        #[cfg(feature = "replication")]
        splits: splits.into_iter().map(|split| (split.address().clone(), split.shared)).collect(),
        files,
        bell,
    })
}

/// What may be asked at the admin's address.
fn reach(bind: &Bind) -> Reach {
    match bind {
        Bind::Inet(address) if address.ip().to_canonical().is_loopback() => Reach::Loopback,
        _ => Reach::All,
    }
}

/// How each pool is checked, where it is; passwords are read.
fn checks(config: &Config) -> Result<Vec<Option<Arc<Settings>>>> {
    let pools = config.pools.iter();
    pools.map(|pool| pool.check.as_ref().map(|check| settings(config, check)).transpose()).collect()
}

/// The checks, for one of the workers.
fn probing(
    config: &Config,
    shared: &Shared,
    checks: Vec<Option<Arc<Settings>>>,
    seed: u64,
    secret: [u8; 32],
) -> Result<Probing> {
    let checked = |(pool, settings): (&SharedPool, _)| {
        Checked::new(Arc::clone(&pool.pool), settings, Arc::clone(&pool.standing))
    };
    let pools = shared.pools.iter().zip(checks).map(checked).collect();
    Probing::new(pools, config.runtime.probes_max, seed, secret)
}

/// Where members come from beside the configuration.
fn discovering(config: &Config, shared: &Shared, seed: u64) -> Result<Discovering> {
    let plan = |(pool, from): (&SharedPool, &crate::server::config::Pool)| PoolPlan {
        name: Arc::clone(&pool.name),
        pool: Arc::clone(&pool.pool),
        fixed: from.backends.clone(),
        watched: from.watched.clone(),
        files: from.members_file.iter().cloned().collect(),
    };
    let from = config.discovery.clone();
    let plan = Plan {
        pools: shared.pools.iter().zip(&config.pools).map(plan).collect(),
        options: from.options.clone(),
        resolv_conf: from.resolv_conf.clone(),
        hosts: from.hosts.clone(),
        read: Box::new(move |last| environment(&from, last)),
        seed,
    };
    Discovering::new(plan, Clock.now())
}

/// What the system's files say now, and the configuration in their place. A file that is not there says nothing; one
/// that cannot be read says what it said `last`.
fn environment(from: &Discovery, last: Option<&Environment>) -> Environment {
    let read = |path: &PathBuf| match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || last.is_none() => Some(Vec::new()),
        read => read.ok(),
    };
    let resolvers = |text: Vec<u8>| {
        let mut resolvers = Resolvers::parse(&text, sys::interface::number);
        if !from.nameservers.is_empty() {
            resolvers.servers.clone_from(&from.nameservers);
        }
        if let Some(search) = &from.search {
            resolvers.search.clone_from(search);
        }
        Arc::new(resolvers)
    };
    let last = || last.cloned().unwrap_or_default();
    Environment {
        resolvers: read(&from.resolv_conf).map_or_else(|| last().resolvers, resolvers),
        hosts: read(&from.hosts).map_or_else(|| last().hosts, |text| Arc::new(Hosts::parse(&text))),
    }
}

fn entropy() -> Result<[u8; 32]> {
    sys::entropy::bytes().map_err(|error| Error::io("ask the system for random bytes", &error))
}

fn seed() -> Result<u64> {
    Ok(u64::from_le_bytes(entropy()?[..8].try_into().expect("8 is less than 32")))
}

/// How a pool is checked, its password read.
pub(super) fn settings(config: &Config, check: &Check) -> Result<Arc<Settings>> {
    let mut options = check.options.clone();
    if let Some(login) = &check.login {
        let read = |path: &PathBuf| read_password(config, path, login.password_at);
        options.kind = login.ask(login.password_file.as_ref().map(read).transpose()?)?;
    }
    options.parse().map(Arc::new)
}

/// The password in a file, without the line end behind it.
pub(super) fn read_password(config: &Config, path: &Path, position: Position) -> Result<Secret> {
    let what = || at(config, &format!("read the password in {}", path.display()), position);
    password_of(path).map_err(|error| Error::io(what(), &error))
}

/// The same, for who knows where it is asked for.
pub(super) fn password_of(path: &Path) -> io::Result<Secret> {
    let mut bytes = std::fs::read(path)?;
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(Secret::new(bytes))
}

fn open_loop(capacity: usize) -> io::Result<Loop> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), Source::Mailbox.to_token())?;
    let (outbox, inbox) = mailbox::mailbox(capacity, waker);
    Ok(Loop { poll, inbox, outbox })
}

fn share(config: &Config, pools: &[Arc<balance::Pool>], loops: &[Loop], sink: &Sink) -> Shared {
    let senders: Box<[Sender<Message>]> = loops.iter().map(|one| one.outbox.clone()).collect();
    let shared_pool = |(index, from): (usize, &crate::server::config::Pool)| {
        let name: Arc<str> = from.name.as_str().into();
        let is_change_told = Arc::new(AtomicBool::new(false));
        let room = Arc::new(Room::new(index, from.queue_max as usize, &senders));
        let cutting = (from.on_down == OnDown::Close).then(|| Arc::new(Cutting::new(index, &senders)));
        let on_change = {
            let (sink, pool) = (Arc::clone(sink), Arc::clone(&name));
            let is_change_told = Arc::clone(&is_change_told);
            let (on_down, cutting) = (from.on_down, cutting.clone());
            // Who checks nothing here need not know.
            let checker = senders.get(CHECKER).filter(|_| from.check.is_some()).cloned();
            move |change: &balance::Change| {
                use balance::ChangeKind::{Added, Admin, Removed};
                if matches!(change.kind, Added | Admin(_) | Removed)
                    && let Some(checker) = &checker
                    && !is_change_told.swap(true, Ordering::AcqRel)
                {
                    // The mailbox has a place for one such message of each pool. It refuses only when the worker
                    // is gone, and the checks with it.
                    let _ = checker.try_send(Message::Pool(index));
                }
                if let Some(cutting) = &cutting
                    && on_down.cuts(change.kind)
                {
                    cutting.order(change.backend);
                }
                sink(&Event {
                    kind: EventKind::Pool(change.kind),
                    listener: None,
                    pool: Some(Arc::clone(&pool)),
                    backend: Some(Arc::clone(&change.name)),
                    node: None,
                    detail: change.reason.as_deref().unwrap_or_default().into(),
                });
            }
        };
        let on_panic = {
            let (sink, pool) = (Arc::clone(sink), Arc::clone(&name));
            move |tier, panics| {
                let kind = if panics { EventKind::PanicBegan(tier) } else { EventKind::PanicEnded(tier) };
                sink(&Event::of_pool(kind, &pool, ""));
            }
        };
        let observer = RoomObserver {
            pid: std::process::id(),
            room: Arc::clone(&room),
            on_change: Box::new(on_change),
            on_panic: Box::new(on_panic),
        };
        let is_first = pools[index].observe(Box::new(observer));
        assert!(is_first, "a server makes its pools and starts once");
        let (pool, standing) = (Arc::clone(&pools[index]), Arc::new(Standing::default()));
        SharedPool { name, pool, room, cutting, is_checked: from.check.is_some(), standing, is_change_told }
    };
    let shared_listener = |from: &crate::server::config::Listener| {
        let pool = &config.pools[from.pool];
        let options = Options {
            accept_proxy: from.proxy_protocol,
            send_proxy: pool.proxy_protocol,
            abort_on_close: from.abort_on_close,
            attempts: pool.attempts,
            timeouts: from.timeouts,
        };
        SharedListener::new(&from.name, from.pool, options, from.maxconn, loops.len())
    };
    Shared {
        pools: config.pools.iter().enumerate().map(shared_pool).collect(),
        listeners: config.listeners.iter().map(shared_listener).collect(),
        sink: Arc::clone(sink),
        orders: Orders::default(),
        conversations: conversation::Counters::default(),
        present: AtomicUsize::new(0),
        senders,
    }
}

/// `what` and where the configuration asks for it.
pub(super) fn at(config: &Config, what: &str, position: Position) -> String {
    format!("{what} ({}:{}:{})", config.source, position.line, position.column)
}

/// The files of unix sockets that were made here, to be removed at the end.
#[derive(Default)]
pub(super) struct Files(Vec<(PathBuf, u64, u64)>);

impl Files {
    fn note(&mut self, bind: &Bind) {
        let Bind::Unix(path) = bind else { return };
        if path.starts_with('@') {
            return;
        }
        let path = PathBuf::from(&**path);
        if let Ok(found) = std::fs::symlink_metadata(&path) {
            self.0.push((path, found.dev(), found.ino()));
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for (path, device, inode) in &self.0 {
            // Another server may have put its own there since.
            if std::fs::symlink_metadata(path).is_ok_and(|is| is.dev() == *device && is.ino() == *inode) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Places in a mailbox beside four for each pool and one for each listener, which is what else can be on its way at
/// once.
const MAIL_BESIDES: usize = 16;
/// Redis clients that wait to be accepted: the most that Linux keeps unless told otherwise.
/// Who waits to be answered by the admin socket.
const ADMIN_BACKLOG: u32 = 128;
