//! A node led by hand to where something must or must not happen: alone, and with others on links that lose nothing.

mod adopting;
mod calls;
mod chain;
mod changes;
mod founding;
mod handover;
mod positions;
mod promotion;
mod reopening;
mod room;
mod slow_links;
mod snapshots;
mod votes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use raft::eraftpb::{Message, MessageType};

use super::*;
use crate::replication::Fault;
use crate::replication::message::Verdict;
use crate::replication::planted::Plant;
use crate::sim::disk::{Faults, SimDisk};
use crate::store::engine::{self, Durability};
use crate::store::index::{Command, Condition, Lifetime, Operation, RequestId, Step, Timestamp};
use crate::store::log::Disk;

const CLUSTER: [u8; 16] = *b"a cluster by han";

fn nodes(voters: u64, learners: u64) -> Vec<(u64, bool, Vec<u8>)> {
    (1..=voters + learners).map(|id| (id, id <= voters, Vec::new())).collect()
}

fn store() -> engine::Options {
    let log = log::Options { segment_bytes: 64 << 10, ..log::Options::default() };
    engine::Options { log, ..engine::Options::default() }
}

fn options(planted: Option<Plant>) -> Options {
    Options { message_bytes: 4 << 10, hash_interval: 1 << 20, planted, ..Options::default() }
}

fn at(millis: u64) -> Now {
    let instant = Instant::from_millis(1_000_000 + millis);
    Now { instant, clock: Timestamp::from_millis(1_700_000_000_000 + millis) }
}

fn open(disk: &SimDisk, id: u64, start: &Start, planted: Option<Plant>, now: Now) -> Node {
    open_with(disk, id, start, options(planted), now)
}

fn open_with(disk: &SimDisk, id: u64, start: &Start, options: Options, now: Now) -> Node {
    let identity = Identity { cluster: CLUSTER, node: id };
    Node::open(disk, store(), options, identity, start, id * 1_000 + now.instant.as_nanos(), now)
        .expect("it opens")
        .0
}

fn begin(voters: u64, learners: u64) -> Start {
    Start { nodes: nodes(voters, learners), ..Start::default() }
}

/// Has the disk do all that is wanted; gives what the node says.
fn settle(node: &mut Node, disk: &SimDisk, now: Now) -> Vec<(u64, Vec<u8>)> {
    settle_all(node, disk, true, now)
}

/// Likewise; of snapshots that come nothing is written where it does not install.
fn settle_all(node: &mut Node, disk: &SimDisk, installs: bool, now: Now) -> Vec<(u64, Vec<u8>)> {
    let mut said = Vec::new();
    loop {
        node.advance(now);
        let mut is_busy = false;
        while let Some(flush) = node.poll_flush(now) {
            let result = flush.run(disk);
            node.handle_flushed(flush, result, now, |file| disk.name(file));
            is_busy = true;
        }
        while let Some(work) = node.poll_upkeep() {
            let result = work.run(disk);
            node.handle_upkeep(&work, result, now, |file| disk.name(file));
            is_busy = true;
        }
        if node.engine().log().problem().is_some()
            && let Some(mut job) = node.poll_snapshot(now)
        {
            let result = write(&mut job, disk);
            let _ = node.handle_snapshot(&job, result, now);
            is_busy = true;
        }
        if installs && let Some(mut job) = node.poll_install() {
            let result = job.run(disk);
            node.handle_install(job, result, now);
            is_busy = true;
        }
        if let Some(mut fetch) = node.poll_fetch() {
            let result = fetch.run(disk);
            node.handle_fetched(fetch, result, now);
            is_busy = true;
        }
        let mut frame = Vec::new();
        while let Some(to) = node.poll_frame(&mut frame, now) {
            said.push((to, frame.clone()));
        }
        if !is_busy {
            return said;
        }
    }
}

/// Writes a snapshot to its end.
fn write(job: &mut engine::SnapshotJob, disk: &SimDisk) -> Result<log::Written> {
    loop {
        if let Some(result) = job.step(disk).transpose() {
            return result;
        }
    }
}

fn header(from: u64, epoch: u64, leader: u64) -> Header {
    Header {
        cluster: CLUSTER,
        from,
        to: 1,
        boot: from,
        generation: 1,
        epoch,
        leader,
        stamp: 1,
        ..Header::default()
    }
}

fn frame(from: u64, epoch: u64, leader: u64, body: &Body) -> Vec<u8> {
    let header = header(from, epoch, leader);
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, &header, body);
    bytes
}

fn message(kind: MessageType, term: u64, index: u64, log_term: u64) -> Body {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.term, message.index, message.log_term) = (term, index, log_term);
    Body::Consensus(message)
}

/// Whether one of the frames gives a vote.
fn votes(said: &[(u64, Vec<u8>)], to: u64) -> bool {
    said.iter().any(|(it, bytes)| match frame::decode(bytes).expect("it is a frame").1 {
        Body::Consensus(message) => {
            *it == to && message.get_msg_type() == MessageType::MsgRequestVoteResponse && !message.reject
        }
        _ => false,
    })
}

/// Node 1 hears that node 2 is new too.
fn found(node: &mut Node, disk: &SimDisk, now: Now) {
    node.handle_frame(&frame(2, 1, 0, &Body::Ping), now).unwrap();
    settle(node, disk, now);
    assert_eq!(*node.standing(), Standing::Active);
}

/// Nodes on links that lose nothing, unless one is cut off.
struct Net {
    nodes: BTreeMap<u64, (SimDisk, Option<Node>)>,
    cut: Vec<u64>,
    /// Nothing gets through between the two, in either direction.
    apart: BTreeSet<(u64, u64)>,
    /// What a node is told beside what all are.
    told: BTreeMap<u64, Options>,
    /// Bytes of frames with entries or pieces of a snapshot that went from one to another.
    carried: BTreeMap<(u64, u64), u64>,
    /// The pieces of snapshots that came, by number.
    pieces: Vec<u64>,
    /// The links of this node are cut when so many have.
    cut_after: Option<(u64, usize)>,
    /// Of snapshots that come to this node nothing is written.
    held: Option<u64>,
    /// This node writes a snapshot of its own as soon as it has applied so many entries, if it may.
    snapshot_at: Option<(u64, u64)>,
    /// What goes of a snapshot goes through this.
    pipe: Option<slow_links::Pipe>,
    /// What came of a snapshot: offers and pieces.
    tape: Vec<Vec<u8>>,
    millis: u64,
    planted: Option<Plant>,
    faults: Vec<Fault>,
}

impl Net {
    fn new(voters: u64, learners: u64, planted: Option<Plant>) -> Self {
        let mut net = Self::empty(planted);
        for id in 1..=voters + learners {
            net.start(id, &begin(voters, learners));
        }
        net
    }

    fn empty(planted: Option<Plant>) -> Self {
        Self {
            nodes: BTreeMap::new(),
            cut: Vec::new(),
            apart: BTreeSet::new(),
            told: BTreeMap::new(),
            carried: BTreeMap::new(),
            pieces: Vec::new(),
            cut_after: None,
            held: None,
            snapshot_at: None,
            pipe: None,
            tape: Vec::new(),
            millis: 0,
            planted,
            faults: Vec::new(),
        }
    }

    fn start(&mut self, id: u64, start: &Start) {
        let now = at(self.millis);
        let planted = self.planted;
        let (disk, node) =
            self.nodes.entry(id).or_insert_with(|| (SimDisk::new(id, Faults::default()), None));
        let told = self.told.get(&id).cloned().unwrap_or_else(|| options(planted));
        *node = Some(open_with(disk, id, start, told, now));
    }

    fn stop(&mut self, id: u64) {
        let (disk, node) = self.nodes.get_mut(&id).expect("it is there");
        *node = None;
        disk.restart();
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("it is there").1.as_mut().expect("it runs")
    }

    /// Lets all talk until nothing is left to say.
    fn talk(&mut self) {
        let now = at(self.millis);
        let mut frames = VecDeque::new();
        loop {
            for (id, (disk, node)) in &mut self.nodes {
                if let Some(node) = node {
                    let said = settle_all(node, disk, self.held != Some(*id), now);
                    frames.extend(said.into_iter().map(|(to, bytes)| (*id, to, bytes)));
                    if self.snapshot_at == Some((*id, node.state().sequence())) {
                        node.want_snapshot();
                        if let Some(mut job) = node.poll_snapshot(now) {
                            let result = write(&mut job, disk);
                            node.handle_snapshot(&job, result, now).expect("it counts");
                        }
                    }
                }
            }
            let Some((from, to, bytes)) = frames.pop_front() else { return };
            let is_apart = self.apart.contains(&(from.min(to), from.max(to)));
            if self.cut.contains(&from) || self.cut.contains(&to) || is_apart {
                continue;
            }
            let is_cut = |(node, pieces)| (from == node || to == node) && self.pieces.len() >= pieces;
            if self.cut_after.is_some_and(is_cut) {
                continue;
            }
            if let Some(pipe) = self.pipe.as_mut().filter(|it| it.takes(to, &bytes)) {
                if !pipe.push(bytes) {
                    self.node(from).handle_unreachable(to);
                }
                continue;
            }
            match frame::decode(&bytes) {
                Ok((_, Body::Piece { number, .. })) => {
                    self.pieces.push(number);
                    self.tape.push(bytes.clone());
                }
                Ok((_, Body::Offer { .. })) => self.tape.push(bytes.clone()),
                _ => {}
            }
            if let Ok((_, Body::Consensus(_) | Body::Piece { .. } | Body::Feed(_))) = frame::decode(&bytes)
                && bytes.len() > 500
            {
                *self.carried.entry((from, to)).or_default() += bytes.len() as u64;
            }
            if let Some((_, Some(node))) = self.nodes.get_mut(&to)
                && let Err(fault) = node.handle_frame(&bytes, now)
            {
                self.faults.push(fault);
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.millis += 10;
            let now = at(self.millis);
            for (_, node) in self.nodes.values_mut() {
                if let Some(node) = node {
                    node.handle_timeout(now);
                }
            }
            self.carry();
            self.talk();
        }
    }

    fn primary(&mut self) -> u64 {
        for _ in 0..40 {
            self.pass(100);
            let now = at(self.millis).instant;
            let holds = |it: &&(SimDisk, Option<Node>)| {
                it.1.as_ref().is_some_and(|it| it.holds_lease(now) && it.is_settled())
            };
            if let Some((id, _)) = self.nodes.iter().find(|(_, it)| holds(it)) {
                return *id;
            }
        }
        panic!("nobody is primary");
    }

    fn put(&mut self, id: u64, key: &str, level: Level) -> std::result::Result<Ticket, Denied> {
        let now = at(self.millis);
        let step = Step::Put {
            key: key.as_bytes(),
            value: &[b'v'; 500],
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
        self.node(id).submit(&command, Some(level), None, now)
    }

    fn answer(&mut self, id: u64) -> std::result::Result<Answer, Denied> {
        self.talk();
        self.node(id).poll_completion().expect("it is answered").result
    }
}

fn is_there(node: &Node, key: &str) -> bool {
    let view = node.reader().view();
    view.get(key.as_bytes(), view.time()).is_some()
}

#[test]
fn bad_frames_are_refused_each_for_its_reason() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    let good = frame(2, 5, 2, &message(MessageType::MsgHeartbeat, 5, 0, 0));
    for len in 0..good.len() {
        assert!(node.handle_frame(&good[..len], at(1)).is_err());
    }
    let mut other = Vec::new();
    let header = Header { cluster: [7; 16], from: 2, to: 1, boot: 2, ..Header::default() };
    frame::encode(&mut other, &header, &Body::Ping);
    assert!(matches!(node.handle_frame(&other, at(1)), Err(Fault::OtherCluster { .. })));
    let header = Header { cluster: CLUSTER, from: 2, to: 3, boot: 2, ..Header::default() };
    frame::encode(&mut other, &header, &Body::Ping);
    assert_eq!(node.handle_frame(&other, at(1)), Err(Fault::NotForUs { to: 3 }));
    // Entries from nowhere, and an acknowledgement of what there is not, do no harm.
    let odd = frame(2, 5, 2, &message(MessageType::MsgAppend, 5, 900, 0));
    assert!(matches!(node.handle_frame(&odd, at(2)), Err(Fault::Malformed(_))));
    node.handle_frame(&frame(2, 5, 2, &message(MessageType::MsgAppendResponse, 5, 900, 0)), at(2)).unwrap();
    assert_eq!(node.handle_frame(&good, at(3)), Ok(()));
    // A process that came later takes the place of this one; what was sent before it is refused.
    let header = Header { cluster: CLUSTER, from: 2, to: 1, boot: 99, ..Header::default() };
    frame::encode(&mut other, &header, &Body::Ping);
    node.handle_frame(&other, at(4)).unwrap();
    assert_eq!(node.handle_frame(&good, at(4)), Err(Fault::Retired { from: 2 }));
    // Two that go on side by side are told of, and the earlier one is told to stop.
    for beat in 0..32 {
        let stamp = 60_000_000_000 + beat;
        let header = Header { cluster: CLUSTER, from: 2, to: 1, boot: 2, stamp, ..Header::default() };
        frame::encode(&mut other, &header, &Body::Ping);
        assert_eq!(node.handle_frame(&other, at(5)), Err(Fault::Retired { from: 2 }));
    }
    let said = settle(&mut node, &disk, at(5));
    let is_told = |it: &(u64, Vec<u8>)| {
        matches!(frame::decode(&it.1).unwrap().1, Body::Told { verdict: Verdict::Retired, boot: 2, .. })
    };
    assert!(said.iter().any(is_told));
    let mut events = std::iter::from_fn(|| node.poll_event());
    assert!(events.any(|it| it == Event::TwoProcesses { node: 2 }));
    // One frame of a process that was over came late, and was taken for a later one's: that is found out.
    let header = Header { cluster: CLUSTER, from: 2, to: 1, boot: 55, ..Header::default() };
    frame::encode(&mut other, &header, &Body::Ping);
    node.handle_frame(&other, at(6)).unwrap();
    let mut hear = |node: &mut Node, millis: u64| {
        let stamp = millis * 1_000_000;
        let header = Header { cluster: CLUSTER, from: 2, to: 1, boot: 99, stamp, ..Header::default() };
        frame::encode(&mut other, &header, &Body::Ping);
        node.handle_frame(&other, at(millis))
    };
    for millis in (100..=5_100).step_by(50) {
        assert_eq!(hear(&mut node, millis), Err(Fault::Retired { from: 2 }), "{millis}");
    }
    assert_eq!(hear(&mut node, 5_150), Ok(()));
    assert!(!std::iter::from_fn(|| node.poll_event()).any(|it| it == Event::TwoProcesses { node: 2 }));
}

#[test]
fn one_that_has_come_to_something_else_is_named_and_takes_no_part() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    let hash = |state| Body::Hash { sequence: 64, state, membership: 0 };
    node.handle_hash(1, 64, (7, 0));
    node.handle_frame(&frame(2, 1, 0, &hash(8)), at(1)).unwrap();
    assert_eq!(*node.standing(), Standing::Active);
    node.handle_frame(&frame(3, 1, 0, &hash(8)), at(1)).unwrap();
    assert_eq!(*node.standing(), Standing::Fenced(Fence::Differs { sequence: 64 }));
    let mut events = std::iter::from_fn(|| node.poll_event());
    assert!(events.any(|it| it == Event::Differs { node: 1, sequence: 64 }));
}
