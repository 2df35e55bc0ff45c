//! A node led by hand to where something must or must not happen: alone, and with others on links that lose nothing.

mod chain;

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
        if let Some(mut job) = node.poll_install() {
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

fn frame(from: u64, epoch: u64, leader: u64, body: &Body) -> Vec<u8> {
    let header = Header {
        cluster: CLUSTER,
        from,
        to: 1,
        boot: from,
        generation: 1,
        epoch,
        leader,
        stamp: 1,
        ..Header::default()
    };
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

#[test]
fn a_founder_votes_for_nobody_before_it_knows_that_the_cluster_is_new() {
    let ask = |from, epoch| frame(from, epoch, 0, &message(MessageType::MsgRequestVote, 6, 1, 1));
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    assert_eq!(*node.standing(), Standing::Founding);
    // Also after its process was killed.
    drop(node);
    disk.restart();
    node = open(&disk, 1, &begin(3, 0), None, at(10));
    assert_eq!(*node.standing(), Standing::Founding);
    // That one is in its first election already, or the directory here was lost.
    node.handle_frame(&ask(3, 6), at(2_000)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_000)), 3));
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
    node.handle_frame(&frame(2, 1, 0, &Body::Ping), at(2_010)).unwrap();
    node.handle_frame(&ask(3, 6), at(2_020)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_020)), 3));

    let disk = SimDisk::new(2, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), Some(Plant::TrustedFounder), at(0));
    node.handle_frame(&ask(3, 6), at(2_000)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(2_000)), 3), "the planted bug is found");

    let disk = SimDisk::new(3, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    // It says that it is there.
    node.handle_timeout(at(200));
    assert!(settle(&mut node, &disk, at(200)).iter().any(|(to, _)| *to == 3));
    // What it has heard counts once that is on disk.
    node.handle_frame(&frame(2, 1, 0, &Body::Ping), at(210)).unwrap();
    assert!(!node.may_elect());
    found(&mut node, &disk, at(220));
    assert!(node.may_elect());
    node.handle_frame(&ask(3, 6), at(230)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(230)), 3));
}

/// Node 1 votes for node 2, its power fails, and node 3 asks for a vote in the same epoch: does it get one?
fn votes_twice(planted: Option<Plant>) -> bool {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(0));
    found(&mut node, &disk, at(5));
    node.handle_frame(&frame(2, 5, 0, &message(MessageType::MsgRequestVote, 5, 1, 1)), at(10)).unwrap();
    assert!(votes(&settle(&mut node, &disk, at(10)), 2));
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(20));
    // Not so long that it begins an election of its own.
    let later = at(21 + options(None).promise().as_millis() as u64);
    node.handle_frame(&frame(3, 5, 0, &message(MessageType::MsgRequestVote, 5, 1, 1)), later).unwrap();
    votes(&settle(&mut node, &disk, later), 3)
}

#[test]
fn a_vote_is_remembered() {
    assert!(!votes_twice(None));
    assert!(votes_twice(Some(Plant::ForgottenVote)), "the planted bug is found");
}

/// Node 1 answers a primary, its process is killed, and node 3 asks for a vote while the primary counts on the answer.
fn votes_at_once(planted: Option<Plant>) -> bool {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(0));
    found(&mut node, &disk, at(5));
    node.handle_frame(&frame(2, 5, 2, &message(MessageType::MsgHeartbeat, 5, 0, 0)), at(10)).unwrap();
    settle(&mut node, &disk, at(10));
    assert_eq!(node.primary(), Some(2));
    drop(node);
    disk.restart();
    let mut node = open(&disk, 1, &begin(3, 0), planted, at(20));
    let ask = frame(3, 6, 0, &message(MessageType::MsgRequestVote, 6, 1, 1));
    node.handle_frame(&ask, at(30)).unwrap();
    let is_hasty = votes(&settle(&mut node, &disk, at(30)), 3);
    // Later it does vote.
    let later = at(21 + options(None).promise().as_millis() as u64);
    node.handle_frame(&ask, later).unwrap();
    assert!(votes(&settle(&mut node, &disk, later), 3));
    is_hasty
}

#[test]
fn a_promise_outlasts_a_process() {
    assert!(!votes_at_once(None));
    assert!(votes_at_once(Some(Plant::HastyVote)), "the planted bug is found");
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
                    frames.extend(settle(node, disk, now).into_iter().map(|(to, bytes)| (*id, to, bytes)));
                }
            }
            let Some((from, to, bytes)) = frames.pop_front() else { return };
            let is_apart = self.apart.contains(&(from.min(to), from.max(to)));
            if self.cut.contains(&from) || self.cut.contains(&to) || is_apart {
                continue;
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
fn each_level_is_answered_when_it_is_reached_and_says_so() {
    let mut net = Net::new(3, 1, None);
    let primary = net.primary();
    for (level, durability) in [
        (Level::Quorum, Durability::Quorum),
        (Level::All, Durability::All),
        (Level::AtLeast(4), Durability::All),
    ] {
        net.put(primary, "key", level).unwrap();
        let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("{level:?} is not answered") };
        assert!(done.reached.durability >= durability && done.outcome.is_some(), "{level:?}: {done:?}");
        assert!(!done.reached.is_degraded);
    }
    // What waits for nobody is answered at once, and is not seen.
    net.cut = vec![primary];
    net.put(primary, "early", Level::Memory).unwrap();
    let now = at(net.millis);
    net.node(primary).advance(now);
    let memory = net.node(primary).poll_completion().expect("it is answered").result;
    let Ok(Answer::Written(done)) = memory else { panic!("{memory:?}") };
    assert_eq!((done.reached.durability, done.outcome), (Durability::Memory, None));
    net.put(primary, "local", Level::Local).unwrap();
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("local is not answered") };
    assert_eq!((done.reached.durability, done.outcome), (Durability::Local, None));
    assert!(!is_there(net.node(primary), "early") && !is_there(net.node(primary), "local"));
}

/// A primary is cut off for a while that is too short for another one to be elected: is a read answered at its end?
fn reads_alone(planted: Option<Plant>) -> bool {
    let mut net = Net::new(3, 0, planted);
    let primary = net.primary();
    net.cut = vec![primary];
    let lease = options(None).lease().as_millis() as u64;
    // By its own clock alone: nothing is done meanwhile.
    net.millis += lease + 10;
    let now = at(net.millis);
    assert_eq!(net.put(primary, "key", Level::Quorum), Err(Denied::NoQuorum));
    let node = net.node(primary);
    assert_eq!(node.role(), Role::Primary);
    let ticket = node.read(None, now).unwrap();
    node.advance(now);
    let answer = node.poll_completion();
    assert!(answer.as_ref().is_none_or(|it| it.ticket == ticket));
    answer.is_some_and(|it| it.result.is_ok())
}

#[test]
fn a_primary_that_is_cut_off_refuses_before_another_can_be_elected() {
    assert!(options(None).lease() < options(None).tick * (options(None).election_ticks - 1));
    assert!(!reads_alone(None));
    assert!(reads_alone(Some(Plant::UncheckedRead)), "the planted bug is found");
}

#[test]
fn a_read_without_a_lease_waits_for_a_quorum() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.millis += options(None).lease().as_millis() as u64 + 5;
    let now = at(net.millis);
    let node = net.node(primary);
    node.read(None, now).unwrap();
    assert_eq!(node.poll_completion(), None);
    assert!(matches!(net.answer(primary), Ok(Answer::Read(_))));
}

#[test]
fn a_handover_and_changes_say_when_they_are_done() {
    let mut net = Net::new(3, 1, None);
    let primary = net.primary();
    let now = at(net.millis);
    let to = 1 + primary % 3;
    let refused = |it| matches!(it, Err(Denied::Refused(_)));
    assert!(refused(net.node(primary).transfer(4, now)) && refused(net.node(primary).transfer(primary, now)));
    net.node(primary).transfer(to, now).unwrap();
    assert_eq!(net.answer(primary), Ok(Answer::HandedOver));
    assert_eq!((net.primary(), net.node(primary).role()), (to, Role::Replica));

    let now = at(net.millis);
    for bad in [
        Change::AddLearner { node: 4, about: Vec::new() },
        Change::Promote { node: primary },
        Change::Remove { node: to },
        Change::Replace { old: 9, new: 4 },
        Change::Leave,
    ] {
        assert!(refused(net.node(to).change(&bad, None, now)), "{bad:?}");
    }
    net.node(to).change(&Change::Replace { old: primary, new: 4 }, None, now).unwrap();
    assert!(matches!(net.answer(to), Ok(Answer::Changed(_))));
    net.pass(200);
    let members = net.node(to).members().clone();
    assert!(!members.is_joint() && members.voters.contains(&4) && members.removed.contains(&primary));
    net.pass(3_000);
    assert_eq!(*net.node(primary).standing(), Standing::Fenced(Fence::Removed));
    assert_eq!(net.primary(), to);
}

#[test]
fn two_nodes_a_primary_and_a_replica_and_the_replica_is_promoted() {
    let mut net = Net::new(1, 1, None);
    assert_eq!(net.primary(), 1);
    net.put(1, "both", Level::AtLeast(2)).unwrap();
    net.talk();
    net.pass(100);
    net.cut = vec![2];
    net.put(1, "one", Level::Quorum).unwrap();
    assert!(matches!(net.answer(1), Ok(Answer::Written(_))));
    // The primary is gone for good, as far as anybody can tell.
    net.stop(2);
    net.start(2, &Start { is_promoted: true, ..Start::default() });
    net.cut = vec![1];
    net.pass(100);
    assert_eq!((net.node(2).role(), net.node(2).members().generation), (Role::Primary, 2));
    net.put(2, "two", Level::Quorum).unwrap();
    assert!(matches!(net.answer(2), Ok(Answer::Written(_))));
    assert!(is_there(net.node(2), "both") && !is_there(net.node(2), "one"));
    // It comes back: whoever hears of the other takes no part any more.
    net.cut.clear();
    net.pass(1_000);
    assert!(matches!(net.node(1).standing(), Standing::Fenced(_)), "{:?}", net.node(1));
    let denied = net.put(1, "three", Level::Quorum);
    assert!(matches!(denied, Err(Denied::Fenced(_))), "{denied:?}");
    assert_eq!(net.node(2).role(), Role::Primary);
}

#[test]
fn a_replica_far_behind_gets_a_snapshot_and_goes_on() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let behind = 1 + primary % 3;
    net.stop(behind);
    for at_ in 0..300 {
        net.put(primary, &format!("key-{at_}"), Level::Quorum).unwrap();
        net.talk();
    }
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&primary).expect("it is there");
    let node = node.as_mut().expect("it runs");
    node.options.kept_bytes_max = 0;
    node.kept.clear();
    node.want_snapshot();
    let mut job = node.poll_snapshot(now).expect("one is wanted");
    let written = loop {
        if let Some(written) = job.step(disk).unwrap() {
            break written;
        }
    };
    node.handle_snapshot(&job, Ok(written), now).unwrap();
    // The log lets go of what it can when more is on disk.
    for _ in 0..3 {
        net.put(primary, "more", Level::Quorum).unwrap();
        net.talk();
    }
    net.start(behind, &Start::default());
    net.pass(3_000);
    let (theirs, ours) = (net.node(primary).state().hash(), net.node(behind).state().hash());
    assert_eq!(theirs, ours);
    let mut events = Vec::new();
    while let Some(event) = net.node(behind).poll_event() {
        events.push(event);
    }
    assert!(events.iter().any(|it| matches!(it, Event::Installed { .. })), "{events:?}");
    // What came is there after a crash too.
    net.stop(behind);
    net.start(behind, &Start::default());
    net.pass(500);
    assert_eq!(net.node(behind).state().hash(), theirs);
}

#[test]
fn a_store_of_one_node_becomes_a_cluster() {
    let disk = SimDisk::new(1, Faults::default());
    let identity = Identity { cluster: CLUSTER, node: 1 };
    let (mut alone, _) = engine::open(&disk, store(), identity, 9, at(0)).unwrap();
    let step = Step::Append { key: b"before", value: b"v" };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    alone.submit(&command, None, at(0)).unwrap();
    while let Some(flush) = alone.poll_flush() {
        let result = flush.run(&disk);
        alone.handle_flushed(flush, result, |file| disk.name(file));
    }
    drop(alone);
    disk.restart();
    let refused = Node::open(&disk, store(), options(None), identity, &begin(3, 0), 1, at(0));
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "nodes", .. })));
    disk.restart();

    let mut net = Net::empty(None);
    net.nodes.insert(1, (disk, None));
    net.start(1, &begin(1, 0));
    assert_eq!(net.primary(), 1);
    assert!(is_there(net.node(1), "before"));
    let now = at(net.millis);
    net.node(1).change(&Change::AddLearner { node: 2, about: b"there".to_vec() }, None, now).unwrap();
    net.talk();
    net.start(2, &Start::default());
    net.pass(1_000);
    assert!(is_there(net.node(2), "before"));
    assert_eq!(net.node(2).state().hash(), net.node(1).state().hash());
    assert_eq!(net.node(2).role(), Role::Learner);
    let now = at(net.millis);
    net.node(1).change(&Change::Promote { node: 2 }, None, now).unwrap();
    net.pass(200);
    assert_eq!(net.node(2).role(), Role::Replica);
}

/// What a store of one node has: entries, and a client's request.
fn lone(disk: &SimDisk, identity: Identity) -> u64 {
    let (mut alone, _) = engine::open(disk, store(), identity, 9, at(0)).unwrap();
    for number in 1..=20 {
        let key = format!("key-{number}");
        let step = Step::Append { key: key.as_bytes(), value: b"v" };
        let request = Some(RequestId { client: [1; 16], number });
        let command = Command { time: Timestamp::default(), request, operation: Operation::Step(step) };
        alone.submit(&command, None, at(0)).unwrap();
    }
    alone.close(at(0));
    while let Some(flush) = alone.poll_flush() {
        let result = flush.run(disk);
        alone.handle_flushed(flush, result, |file| disk.name(file));
    }
    alone.last_sequence()
}

/// The power fails in the midst of the change, at each of the calls of the disk: the next opening, as what it is to become,
/// finds all that was there, and goes on.
#[test]
fn a_store_whose_power_fails_while_it_becomes_a_node_becomes_one_later() {
    let identity = Identity { cluster: CLUSTER, node: 1 };
    let label = Identity { cluster: *b"of a lone store.", node: 7 };
    let start = Start { label: Some(label), ..begin(1, 0) };
    let (mut seed, mut calls, mut crashes, mut lone_again) = (0, 0, 0, 0);
    let open = |disk: &SimDisk, drawn| {
        Node::open(disk, store(), options(None), identity, &start, drawn, at(1_000)).map(|(node, _)| node)
    };
    // What a crash leaves of what was not synced is drawn anew with each seed.
    while seed < 24 {
        let disk = SimDisk::new(seed, Faults::default());
        let last = lone(&disk, label);
        disk.restart();
        disk.crash_in(calls);
        let opened = open(&disk, 5);
        let is_whole = opened.is_ok() && !disk.is_crashed();
        drop(opened);
        disk.abandon_crash();
        disk.restart();
        // Until then it may be opened as what it was.
        if !is_whole && seed % 3 == 0 {
            match engine::open(&disk, store(), label, 6, at(2_000)) {
                Ok((again, _)) => {
                    lone_again += 1;
                    assert!(again.state().sequence() >= last, "after {calls} calls");
                }
                // The first entry of the cluster is there: it is a node.
                Err(error) => {
                    assert!(matches!(error, Error::Unsupported { .. }), "after {calls} calls: {error}")
                }
            }
            disk.restart();
        }
        let mut node = open(&disk, 7).unwrap_or_else(|error| panic!("after {calls} calls: {error}"));
        settle(&mut node, &disk, at(1_000));
        assert_eq!(node.role(), Role::Primary, "after {calls} calls");
        for number in 1..=20 {
            assert!(is_there(&node, &format!("key-{number}")), "after {calls} calls");
        }
        assert_eq!((node.members().voters.len(), node.members().generation), (1, 1));
        let step = Step::Append { key: b"key-20", value: b"v" };
        let request = Some(RequestId { client: [1; 16], number: 20 });
        let command = Command { time: Timestamp::default(), request, operation: Operation::Step(step) };
        node.submit(&command, Some(Level::Quorum), None, at(1_000)).unwrap();
        settle(&mut node, &disk, at(1_000));
        let Some(Completion { result: Ok(Answer::Written(done)), .. }) = node.poll_completion() else {
            panic!("it is not answered, after {calls} calls")
        };
        assert!(done.outcome.is_some_and(|outcome| outcome.is_repeated) && done.position.sequence > last);
        (seed, calls) = if is_whole { (seed + 1, 0) } else { (seed, calls + 1) };
        crashes += u32::from(!is_whole);
    }
    assert!(crashes >= 24 && lone_again > 0, "{crashes} crashes, {lone_again} times still what it was");
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

#[test]
fn a_node_that_hears_that_it_had_more_votes_for_nobody() {
    let disk = SimDisk::new(1, Faults::default());
    let mut node = open(&disk, 1, &begin(3, 0), None, at(0));
    let mut heartbeat = Message::default();
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    (heartbeat.term, heartbeat.commit) = (5, 40);
    node.handle_frame(&frame(2, 5, 2, &Body::Consensus(heartbeat)), at(1)).unwrap();
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
    let said = settle(&mut node, &disk, at(1));
    assert!(said.iter().all(|(_, bytes)| frame::decode(bytes).unwrap().0.forgot != 0) && !said.is_empty());
    node.handle_frame(&frame(3, 9, 0, &message(MessageType::MsgRequestVote, 9, 50, 8)), at(2_000)).unwrap();
    assert!(!votes(&settle(&mut node, &disk, at(2_000)), 3));
    // It is not forgotten over a crash.
    drop(node);
    disk.restart();
    let node = open(&disk, 1, &begin(3, 0), None, at(2_100));
    assert!(matches!(node.standing(), Standing::Forgetful { .. }));
}

#[test]
fn what_was_answered_early_and_lost_is_told_by_its_token() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.cut = vec![primary];
    net.put(primary, "lost", Level::Local).unwrap();
    let Ok(Answer::Written(done)) = net.answer(primary) else { panic!("local is not answered") };
    let old = primary;
    net.pass(2_000);
    let now = at(net.millis).instant;
    let is_new = |it: &(SimDisk, Option<Node>)| it.1.as_ref().is_some_and(|it| it.holds_lease(now));
    let new = *net.nodes.iter().find(|(id, it)| **id != old && is_new(it)).expect("there is a new one").0;
    net.put(new, "other", Level::Quorum).unwrap();
    net.talk();
    net.cut.clear();
    net.pass(1_000);
    let now = at(net.millis);
    let bound = Bound { token: Some(done.position), age: None };
    net.node(old).read_here(bound, None, now).unwrap();
    let mut results = std::iter::from_fn(|| net.node(old).poll_completion()).map(|it| it.result);
    assert!(results.any(|it| it == Err(Denied::Lost)));
    assert!(!is_there(net.node(new), "lost"));
}

#[test]
fn a_primary_with_a_slow_disk_hands_over() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    net.put(primary, "key", Level::Quorum).unwrap();
    let now = at(net.millis);
    net.node(primary).advance(now);
    let flush = net.node(primary).poll_flush(now).expect("one is wanted");
    // Others take part meanwhile; this one's disk is at it.
    for _ in 0..30 {
        net.millis += 50;
        let now = at(net.millis);
        let mut frames = Vec::new();
        for (id, (disk, node)) in &mut net.nodes {
            let node = node.as_mut().expect("it runs");
            node.handle_timeout(now);
            if *id == primary {
                let mut bytes = Vec::new();
                while let Some(to) = node.poll_frame(&mut bytes, now) {
                    frames.push((to, bytes.clone()));
                }
            } else {
                frames.extend(settle(node, disk, now));
            }
        }
        for (to, bytes) in frames {
            net.node(to).handle_frame(&bytes, now).unwrap();
        }
    }
    assert_ne!(net.node(primary).role(), Role::Primary);
    assert!(is_there(net.node(1 + primary % 3), "key"));
    let mut events = std::iter::from_fn(|| net.node(primary).poll_event());
    assert!(events.any(|it| matches!(it, Event::SlowDisk { .. })));
    drop(flush);
}

#[test]
fn what_expires_expires_by_the_log_on_all_nodes() {
    let mut net = Net::new(3, 0, None);
    let primary = net.primary();
    let now = at(net.millis);
    let until = Timestamp::from_millis(now.clock.as_millis() + 300);
    let step = Step::Put {
        key: b"short",
        value: b"v",
        condition: Condition::Always,
        lifetime: Lifetime::Until(until),
        previous: false,
    };
    let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(step) };
    net.node(primary).submit(&command, Some(Level::All), None, now).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
    assert!(is_there(net.node(primary), "short"));
    net.pass(1_000);
    let first = net.node(1).state().hash();
    for id in 1..=3 {
        assert_eq!((is_there(net.node(id), "short"), net.node(id).state().hash()), (false, first));
    }
    assert_eq!(Duration::ZERO, net.node(primary).status().age.unwrap());
}

#[test]
fn a_primary_that_finds_itself_removed_steps_down_and_the_others_go_on() {
    let mut net = Net::new(3, 0, None);
    let old = net.primary();
    let (next, third) = (1 + old % 3, 1 + (old + 1) % 3);
    // Its removal is in its log, and committed by nobody, when the primary's power fails.
    let now = at(net.millis);
    net.node(old).change(&Change::Remove { node: next }, None, now).unwrap();
    net.node(old).advance(now);
    let mut frame = Vec::new();
    while let Some(to) = net.node(old).poll_frame(&mut frame, now) {
        if to == next {
            net.node(next).handle_frame(&frame, now).unwrap();
        }
    }
    net.stop(old);
    net.pass(3_000);
    // It goes on to vote: only one of the two others knows that it was taken out.
    assert_eq!(*net.node(next).standing(), Standing::Active);
    assert_eq!(net.node(next).role(), Role::Idle);
    net.start(old, &Start::default());
    let primary = net.primary();
    net.pass(3_000);
    assert_eq!(*net.node(next).standing(), Standing::Fenced(Fence::Removed));
    assert!(primary == old || primary == third);
    net.put(primary, "key", Level::All).unwrap();
    assert!(matches!(net.answer(primary), Ok(Answer::Written(_))));
}
