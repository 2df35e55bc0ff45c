//! A store as a member of a cluster: what it is told, how the cluster is, what happens to it.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use trimtab::Error;
use trimtab::embedded::{
    self, Beginning, ClusterEvent, ClusterOptions, ClusterStatus, Directory, MemberOptions, NodeStatus,
    Promoted, Read, ReadLevel,
};
use trimtab::peer::Security;
use trimtab::replication::{Position, Role, Standing};

use crate::convert::{self, Choice, Chosen, Timeout};
use crate::descriptor;
use crate::errors;
use crate::store::Store;
use crate::store::arguments::{Reach, Wait};
use crate::store::door;
use crate::wait::Until;

/// Makes the node whose directory this is the primary of its cluster, by force, with what is in it, and gives what it came to,
/// as a Promoted: it alone votes from now on, learners follow it, and all others that voted are out, together with what they
/// had and this one has not. For when they are gone for good. Nobody may have the directory open; it is opened as ever
/// then. directory="promoted" of ClusterOptions does the same as the store joins, and does not say who is out. Lets other
/// threads run; Ctrl-C ends the wait, and it goes on.
///
/// Raises StateError when somebody has it open, InvalidArgumentError when it is no member's or that of a node that was taken
/// out, and what opening a store does.
#[pyfunction]
pub(crate) fn promote_directory(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyAny>> {
    let promoted = door::aside(py, move || embedded::promote_directory(path))?;
    let Promoted { cluster, node, generation, last, out, learners } =
        promoted.map_err(|error| errors::raised(py, &error))?;
    let (out, learners) = (PyTuple::new(py, out)?, PyTuple::new(py, learners)?);
    errors::class(py, TYPES, "Promoted")?.call1((cluster, node, generation, last, out, learners))
}

impl Choice for Beginning {
    const WHAT: &'static str = "beginning";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "new", Beginning::New), (1, "join", Beginning::Join), (2, "adopt", Beginning::Adopt)];
}

impl Choice for Directory {
    const WHAT: &'static str = "directory";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "detect", Directory::Detect),
        (1, "original", Directory::Original),
        (2, "copy", Directory::Copy),
        (3, "promoted", Directory::Promoted),
    ];
}

/// Freshness without its bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Primary,
    Replica,
    Local,
}

impl Choice for Level {
    const WHAT: &'static str = "level";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(1, "primary", Level::Primary), (2, "replica", Level::Replica), (3, "local", Level::Local)];
}

/// What a `trimtab.ClusterOptions` says.
pub(crate) fn options(given: &Bound<'_, PyAny>) -> PyResult<ClusterOptions> {
    let py = given.py();
    let class = errors::class(py, TYPES, "ClusterOptions")?;
    if !given.is_instance(&class)? {
        return Err(convert::wrong_argument("cluster", "ClusterOptions", given));
    }
    let raised = |error: Error| errors::raised(py, &error);
    let field = |name: &str| given.getattr(name);
    let text = |name: &'static str| -> PyResult<Option<String>> {
        let value = given.getattr(name)?;
        if value.is_none() { Ok(None) } else { convert::text(name, &value).map(|text| Some(text.into())) }
    };
    let node = text("node")?.ok_or_else(|| PyTypeError::new_err("node is a name"))?;
    let mut members = Vec::new();
    let member_class = errors::class(py, TYPES, "Member")?;
    let wrong = |given| convert::wrong_argument("members", "trimtab.Member in it", given);
    let given_members = field("members")?;
    for member in given_members.try_iter().map_err(|_| wrong(&given_members))? {
        let member = member?;
        if !member.is_instance(&member_class)? {
            return Err(wrong(&member));
        }
        let address = member.getattr("address")?;
        members.push(MemberOptions {
            name: convert::text("members.name", &member.getattr("name")?)?.parse().map_err(raised)?,
            address: (!address.is_none()).then(|| self::address("members.address", &address)).transpose()?,
            is_learner: member.getattr("learner")?.extract()?,
        });
    }
    let mut options = ClusterOptions::new(node.parse().map_err(raised)?, members, security(given)?);
    if let Some(cluster) = text("cluster")? {
        options.cluster = cluster;
    }
    let listen = field("listen")?;
    options.listen = (!listen.is_none()).then(|| address("listen", &listen)).transpose()?;
    options.beginning = field("beginning")?.extract::<Chosen<Beginning>>()?.0;
    options.directory = field("directory")?.extract::<Chosen<Directory>>()?.0;
    let reach = field("durability")?.extract::<Reach>()?;
    options.durability = reach.durability.unwrap_or(options.durability);
    options.nodes = reach.nodes;
    options.read = level(py, Some(&field("read")?), Some(&field("age_max")?))?.unwrap_or_default();
    options.forwards = field("forwards")?.extract()?;
    options.patience = convert::span("patience", &field("patience")?)?;
    options.forward_max = convert::whole("forward_max", 32, &field("forward_max")?)?;
    options.client_address = text("client_address")?;
    let degrade_after = field("degrade_after")?;
    options.replication.degrade_after =
        (!degrade_after.is_none()).then(|| convert::span("degrade_after", &degrade_after)).transpose()?;
    for source in field("feed_from")?.try_iter()? {
        options.feed_from.push(convert::text("feed_from", &source?)?.parse().map_err(raised)?);
    }
    options.replication.feed_timeout = convert::span("feed_timeout", &field("feed_timeout")?)?;
    options.replication.transfer_timeout = convert::span("transfer_timeout", &field("transfer_timeout")?)?;
    options.replication.message_bytes = convert::whole("message_bytes", 64, &field("message_bytes")?)?;
    options.replication.kept_bytes_max = convert::whole("kept_bytes_max", 64, &field("kept_bytes_max")?)?;
    options.replication.snapshot_rate = convert::whole("snapshot_rate", 64, &field("snapshot_rate")?)?;
    let slow_flush = field("slow_flush")?;
    options.replication.slow_flush =
        (!slow_flush.is_none()).then(|| convert::span("slow_flush", &slow_flush)).transpose()?;
    options.replication.election_ticks = convert::whole("election_ticks", 32, &field("election_ticks")?)?;
    Ok(options)
}

/// Certificates, or plaintext by its name.
fn security(given: &Bound<'_, PyAny>) -> PyResult<Security> {
    let (tls, plaintext) = (given.getattr("tls")?, given.getattr("insecure_plaintext")?);
    let is_plain = plaintext.is_truthy()?;
    if tls.is_none() != is_plain {
        let why = "one of tls and insecure_plaintext says how links are secured";
        return Err(errors::invalid(given.py(), "security", why.into()));
    }
    if is_plain {
        let is_anywhere = plaintext.extract::<&str>().is_ok_and(|text| text == "anywhere");
        return Ok(match is_anywhere {
            true => Security::InsecurePlaintextAnywhere,
            false => Security::InsecurePlaintext,
        });
    }
    let key = tls.getattr("key")?;
    Ok(Security::Tls {
        certificates: vec![tls.getattr("certificate")?.extract()?],
        key: (!key.is_none()).then(|| key.extract()).transpose()?,
        ca: tls.getattr("ca")?.extract()?,
    })
}

pub(crate) fn address(what: &'static str, given: &Bound<'_, PyAny>) -> PyResult<std::net::SocketAddr> {
    let text = convert::text(what, given)?;
    text.parse().map_err(|_| {
        let detail = format!("{text:.80?} is no address with a port; write 10.0.0.5:7400");
        errors::invalid(given.py(), what, detail)
    })
}

/// Freshness as Python says it; `None`: the store's default.
fn level(
    py: Python<'_>,
    level: Option<&Bound<'_, PyAny>>,
    age_max: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<ReadLevel>> {
    let age_max = age_max.filter(|it| !it.is_none()).map(|it| convert::span("age_max", it)).transpose()?;
    let level = level.filter(|it| !it.is_none()).map(|it| it.extract::<Chosen<Level>>()).transpose()?;
    match (level.map(|level| level.0), age_max) {
        (Some(Level::Replica) | None, Some(age_max)) => Ok(Some(ReadLevel::Replica { age_max })),
        (Some(Level::Replica), None) => {
            Err(errors::invalid(py, "age_max", "of level replica it must be said".into()))
        }
        (_, Some(_)) => Err(errors::invalid(py, "age_max", "is for level replica alone".into())),
        (Some(Level::Primary), None) => Ok(Some(ReadLevel::Primary)),
        (Some(Level::Local), None) => Ok(Some(ReadLevel::Local)),
        (None, None) => Ok(None),
    }
}

/// How a view is to be taken.
pub(crate) fn read(
    py: Python<'_>,
    given: Option<&Bound<'_, PyAny>>,
    age_max: Option<&Bound<'_, PyAny>>,
    position: Option<At>,
    timeout: Wait,
) -> PyResult<Read> {
    Ok(Read {
        level: level(py, given, age_max)?,
        token: position.map(|at| at.0),
        timeout: timeout.duration(),
    })
}

/// Where a write was: an epoch and a sequence, as a `trimtab.StoreResult` has it.
#[derive(Clone, Copy)]
pub(crate) struct At(pub(crate) Position);

impl<'a, 'py> FromPyObject<'a, 'py> for At {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let wrong = || convert::wrong_argument("position", "the position of a StoreResult", &object);
        let pair = object.cast::<PyTuple>().map_err(|_| wrong())?;
        if pair.len() != 2 {
            return Err(wrong());
        }
        Ok(Self(Position {
            epoch: convert::whole("position.epoch", 64, &pair.get_item(0)?)?,
            sequence: convert::whole("position.sequence", 64, &pair.get_item(1)?)?,
        }))
    }
}

pub(crate) fn role(py: Python<'_>, role: Role) -> PyResult<Bound<'_, PyAny>> {
    let number = match role {
        Role::Primary => 1,
        Role::Replica => 2,
        Role::Candidate => 3,
        Role::Learner => 4,
        Role::Idle => 5,
    };
    errors::class(py, "trimtab._enums", "NodeRole")?.call1((number,))
}

/// A `trimtab.ClusterStatus`.
pub(crate) fn described<'py>(py: Python<'py>, status: &ClusterStatus) -> PyResult<Bound<'py, PyAny>> {
    let standing = match status.standing {
        Standing::Active => 1,
        Standing::Forgetful { .. } => 2,
        Standing::Fenced(_) => 3,
        Standing::Failed(_) => 4,
        Standing::Founding => 5,
    };
    let standing = errors::class(py, "trimtab._enums", "Standing")?.call1((standing,))?;
    let class = errors::class(py, TYPES, "ClusterNode")?;
    let node = |node: &NodeStatus| {
        class.call1((
            &node.name,
            node.number,
            node.address.map(|it| it.to_string()),
            &node.client_address,
            node.is_voter,
            node.is_primary,
            node.is_linked,
            node.matched,
            node.lag,
            &node.source,
            &node.trouble,
        ))
    };
    let nodes = PyTuple::new(py, status.nodes.iter().map(node).collect::<PyResult<Vec<_>>>()?)?;
    let seconds = |duration: Option<Duration>| duration.map(|it| it.as_secs_f64());
    let first = (
        &status.cluster,
        &status.node,
        role(py, status.role)?,
        standing,
        &status.trouble,
        status.epoch,
        status.generation,
        &status.primary,
        &status.primary_address,
        nodes,
    );
    let counted = (
        status.last,
        status.committed,
        status.applied,
        status.durable,
        seconds(status.age),
        seconds(status.lease),
        status.held,
        status.forwarded,
        status.refused_frames,
        status.unsent_frames,
    );
    let troubles = (status.refused_peers, &status.last_refusal, status.degraded_writes, status.is_degraded);
    let all = first.into_pyobject(py)?.as_sequence().concat(counted.into_pyobject(py)?.as_sequence())?;
    let all = all.concat(troubles.into_pyobject(py)?.as_sequence())?;
    errors::class(py, TYPES, "ClusterStatus")?.call1(all.to_tuple()?)
}

/// A `trimtab.ClusterEvent`.
fn told(py: Python<'_>, event: ClusterEvent) -> PyResult<Bound<'_, PyAny>> {
    let (mut of, mut epoch, mut number, mut name, mut detail) = (None, 0, 0, None, None);
    let kind = match event {
        ClusterEvent::Role { role, epoch: at, primary } => {
            (of, epoch, name) = (Some(self::role(py, role)?), at, primary);
            1
        }
        ClusterEvent::Members { voters, learners } => {
            (name, detail) = (Some(voters.join(",")), Some(learners.join(",")));
            2
        }
        ClusterEvent::Fenced { detail: why } => {
            detail = Some(why);
            3
        }
        ClusterEvent::Forgetful => 4,
        ClusterEvent::Readmitted => 5,
        ClusterEvent::Differs { node, sequence } => {
            (name, number) = (Some(node), sequence);
            6
        }
        ClusterEvent::TwoProcesses { node } => {
            name = Some(node);
            7
        }
        ClusterEvent::SlowDisk { to } => {
            name = Some(to);
            8
        }
        ClusterEvent::Installed { sequence } => {
            number = sequence;
            9
        }
        ClusterEvent::LinkUp { node } => {
            name = Some(node);
            10
        }
        ClusterEvent::LinkDown { node, detail: why } => {
            (name, detail) = (Some(node), Some(why));
            11
        }
        ClusterEvent::Refused { node, detail: why } => {
            (name, detail) = (node, Some(why));
            12
        }
        ClusterEvent::Missed { count } => {
            number = count;
            13
        }
        ClusterEvent::Source { node } => {
            name = node;
            14
        }
        ClusterEvent::Damaged { file, offset, detail: why } => {
            (name, number, detail) = (Some(file), offset, Some(why));
            15
        }
        ClusterEvent::Mended { sequence } => {
            number = sequence;
            16
        }
        ClusterEvent::Degraded { nodes, sequence } => {
            (name, number) = (Some(nodes.join(",")), sequence);
            17
        }
        ClusterEvent::Recovered { writes } => {
            number = writes;
            18
        }
        // The library is that which this was built with.
        _ => unreachable!("an event of a later release"),
    };
    let kind = errors::class(py, "trimtab._enums", "ClusterEventKind")?.call1((kind,))?;
    errors::class(py, TYPES, "ClusterEvent")?.call1((kind, of, epoch, number, name, detail))
}

/// Follows what happens to the cluster of a store. A slow one delays nobody, and is told how many events it has missed.
#[pyclass(frozen, subclass, weakref, name = "_ClusterEvents", module = "trimtab")]
pub(crate) struct ClusterEvents {
    /// Locked by the thread that waits, without the interpreter: others only try. `None` once closed.
    events: Arc<Mutex<Option<embedded::ClusterEvents>>>,
    is_closed: AtomicBool,
    descriptor: AtomicI32,
    store: Py<Store>,
}

#[pymethods]
impl ClusterEvents {
    #[new]
    fn new(store: &Bound<'_, Store>) -> PyResult<Self> {
        let events = store.get().of_member(store.py(), embedded::Store::cluster_events)?;
        let descriptor = AtomicI32::new(events.as_fd().as_raw_fd());
        Ok(Self {
            events: Arc::new(Mutex::new(Some(events))),
            is_closed: AtomicBool::new(false),
            descriptor,
            store: store.clone().unbind(),
        })
    }

    /// Waits for the next event and gives it; None when the time is over, or this is closed. Ctrl-C ends the wait.
    ///
    /// - timeout: seconds or timedelta; 0 (default) only looks, None waits as long as it takes.
    ///
    /// Raises StateError while another thread waits in it.
    #[pyo3(signature = (timeout = Timeout::NONE), text_signature = "($self, timeout=0.0)")]
    fn poll<'py>(&self, py: Python<'py>, timeout: Timeout) -> PyResult<Option<Bound<'py, PyAny>>> {
        let until = Until::new(&timeout);
        loop {
            if self.is_closed.load(Ordering::Acquire) {
                self.close();
                return Ok(None);
            }
            self.store.get().check(py)?;
            drop(self.events(py)?);
            let (events, slice) = (Arc::clone(&self.events), until.slice());
            let next = self.store.get().detached(py, move |_| {
                let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                match events.as_mut().map(|events| events.next(slice)) {
                    None | Some(Err(Error::TimedOut { .. })) => Ok(None),
                    Some(next) => next.map(Some),
                }
            })?;
            if let Some(event) = next {
                return told(py, event).map(Some);
            }
            py.check_signals()?;
            if until.is_over() {
                return Ok(None);
            }
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.poll(py, Timeout::EVER)
    }

    /// The descriptor, readable when poll is worth a call; -1 once it is closed. It is this object's: neither read nor close
    /// it.
    fn fileno(&self) -> RawFd {
        self.descriptor.load(Ordering::Acquire)
    }

    /// A duplicate of the descriptor, for a loop that goes on watching it, also when this is closed meanwhile; -1 once it is
    /// closed. It is the caller's to close.
    fn _duplicate(&self, py: Python<'_>) -> PyResult<RawFd> {
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(-1);
        }
        self.store.get().check(py)?;
        // Whoever closes it has to wait for the lock.
        match &*self.events(py)? {
            Some(events) => descriptor::given(py, events.as_fd(), "duplicate the descriptor of events"),
            None => Ok(-1),
        }
    }

    /// Ends it; a wait on another thread ends too. Once is enough, and more does no harm.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.descriptor.store(-1, Ordering::Release);
        // Who waits in it takes it down when the wait ends.
        if !self.store.get().is_foreign()
            && let Ok(mut events) = self.events.try_lock()
        {
            *events = None;
        }
    }

    /// Whether close was called.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::stays("ClusterEvents"))
    }
}

impl ClusterEvents {
    /// What there is, unless another thread waits for more.
    fn events(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<embedded::ClusterEvents>>> {
        match self.events.try_lock() {
            Ok(events) => Ok(events),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let detail = "are waited for by another thread; make one for each thread".into();
                Err(errors::raised(py, &Error::State { what: "events", detail }))
            }
        }
    }
}

const TYPES: &str = "trimtab._cluster_types";
