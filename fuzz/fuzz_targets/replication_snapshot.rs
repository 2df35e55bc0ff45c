//! A node that is behind and is offered snapshots: pieces of several, out of order, repeated, cut, changed, of one another, more
//! of them than it may have at once, while its disk is slow and it is opened again. It never panics; the state it takes is one of
//! those that were offered, whole, and still there when it is opened again; and what it keeps until then is bounded.

#![no_main]

#[path = "support/counted.rs"]
mod counted;
#[path = "../../tests/shared/memory.rs"]
mod memory;

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memory::Memory;
use trimtab::replication::frame::{Header, decode, encode};
use trimtab::replication::{Body, Event, InstallJob, Membership, Node, Options, SnapshotId, Start};
use trimtab::store::engine::{self, Durability, Now, SNAPSHOT_PIECE_BYTES};
use trimtab::store::index::snapshot::SnapshotWriter;
use trimtab::store::index::{
    Command, Condition, Lifetime, Operation, Settings, Step as Put, Timestamp, View,
};
use trimtab::store::log::{self, Disk, Identity};
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A snapshot is offered.
    Offer {
        by: Sender,
        of: u8,
        wrong: Option<Wrong>,
    },
    /// A piece of one.
    Piece {
        by: Sender,
        of: u8,
        number: Number,
        wrong: Option<Wrong>,
    },
    /// So many, in order.
    Pieces {
        by: Sender,
        of: u8,
        count: u8,
    },
    /// The longest ones that there are, none of which ends anything.
    Flood {
        by: Sender,
        of: u8,
        count: u8,
    },
    /// What is to be written is taken, and comes to disk with the second one.
    Take,
    Written,
    /// The disk does everything else that it is asked for.
    Work,
    /// Time passes.
    Pass(u8),
    /// The node is closed, whatever is not written yet, and opened again.
    Again,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Sender {
    is_third: bool,
    /// Its process.
    boot: bool,
    /// The epoch is that of before, or a later one; it is primary, or follows the other.
    is_later: bool,
    follows: bool,
}

/// Which piece: the next one, or another.
#[derive(Arbitrary, Debug)]
enum Number {
    Next,
    Before(u8),
    Behind(u8),
    Any(u64),
}

/// What is not as it was sent.
#[derive(Arbitrary, Debug)]
enum Wrong {
    Sequence(u64),
    Epoch(u64),
    /// The end is said to be here, or not to be.
    End,
    /// As much of its bytes.
    Cut(u16),
    /// A bit.
    Flip(u32),
    /// What another snapshot has there.
    Other(u8),
    Bytes(Vec<u8>),
}

/// A snapshot to be had.
struct Source {
    id: SnapshotId,
    /// Whether it is the last, and its bytes.
    pieces: Vec<(bool, Vec<u8>)>,
    chunks: Vec<Vec<u8>>,
}

const CLUSTER: [u8; 16] = [7; 16];
const WINDOW: u32 = 1;
/// Beside pieces: what a node has of itself, and what is on its way out.
const OWN_BYTES: usize = 4 << 20;

/// States of several sequences; the second and third of the same one.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    vec![
        source(12, 100, 40, 60),
        source(20, 300, 500, 200),
        source(20, 301, 500, 200),
        // In pieces as they are in earnest.
        source(14, 60_000, SNAPSHOT_PIECE_BYTES, SNAPSHOT_PIECE_BYTES),
    ]
});

/// The state after so many writes of so many bytes, in chunks and pieces of so many.
fn source(sequence: u64, value_bytes: usize, chunk_bytes: usize, piece_bytes: usize) -> Source {
    let disk = Memory::default();
    // All of it in one segment.
    let log = log::Options { segment_bytes: 8 << 20, ..log::Options::default() };
    let options = engine::Options { log, settings: settings(), ..engine::Options::default() };
    let identity = Identity { cluster: CLUSTER, node: 9 };
    let (mut engine, _) = engine::open(&disk, options, identity, 1, at(0)).expect("it opens");
    let mut number = 0;
    while engine.state().sequence() < sequence {
        let key = format!("key-{value_bytes}-{number}");
        let value = vec![number as u8; value_bytes];
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        let put = Put::Put { key: key.as_bytes(), value: &value, condition, lifetime, previous: false };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(put) };
        engine.submit(&command, Some(Durability::Memory), at(0)).expect("there is room");
        number += 1;
    }
    assert_eq!(engine.state().sequence(), sequence);
    let chunks = chunks(engine.view(), chunk_bytes);
    let mut pieces = Vec::new();
    for chunk in &chunks {
        let count = chunk.len().div_ceil(piece_bytes - 1);
        for (at, piece) in chunk.chunks(piece_bytes - 1).enumerate() {
            pieces.push((false, [&[u8::from(at + 1 == count)], piece].concat()));
        }
    }
    pieces.last_mut().expect("there is one").0 = true;
    let chunks = self::chunks(engine.view(), SNAPSHOT_PIECE_BYTES);
    Source { id: SnapshotId { sequence, epoch: 2 }, pieces, chunks }
}

fn chunks(view: std::sync::Arc<View>, bytes: usize) -> Vec<Vec<u8>> {
    let mut from = SnapshotWriter::new(view);
    let mut chunks = vec![Vec::new()];
    while from.next_chunk(bytes, chunks.last_mut().expect("there is one")) {
        chunks.push(Vec::new());
    }
    chunks.pop();
    chunks
}

fn log() -> log::Options {
    log::Options { segment_bytes: 128 << 10, ..log::Options::default() }
}

fn settings() -> Settings {
    Settings { value_max: 64 << 10, ..Settings::default() }
}

fn open(disk: &Memory, is_learner: bool, now: Now) -> Node {
    open_as(1, disk, is_learner, now)
}

/// Who is in the cluster, as one of its founders has it.
fn membership(is_learner: bool) -> Vec<u8> {
    open_as(2, &Memory::default(), is_learner, at(0)).members().encode()
}

fn open_as(node: u64, disk: &Memory, is_learner: bool, now: Now) -> Node {
    let store = engine::Options { log: log(), settings: settings(), ..engine::Options::default() };
    let feed_from = if is_learner { vec![2, 3] } else { Vec::new() };
    let options =
        Options { message_bytes: 4 << 10, snapshot_window: WINDOW, feed_from, ..Options::default() };
    let nodes = (1..=3).map(|node| (node, !is_learner || node != 1, Vec::new())).collect();
    let start = Start { nodes, ..Start::default() };
    let identity = Identity { cluster: CLUSTER, node };
    Node::open(disk, store, options, identity, &start, now.instant.as_nanos(), now).expect("it opens").0
}

fn at(millis: u64) -> Now {
    Now { instant: Instant::from_millis(1 + millis), clock: Timestamp::from_millis(1_000_000 + millis) }
}

struct World {
    disk: Memory,
    node: Node,
    is_learner: bool,
    membership: Vec<u8>,
    millis: u64,
    stamp: u64,
    epoch: u64,
    /// The next piece of each snapshot, when they are sent in order.
    next: Vec<u64>,
    job: Option<InstallJob>,
    /// The last one that was taken.
    installed: u64,
    frame: Vec<u8>,
    before_bytes: usize,
}

impl World {
    fn now(&self) -> Now {
        at(self.millis)
    }

    fn send(&mut self, by: Sender, body: &Body) {
        let from = if by.is_third { 3 } else { 2 };
        self.stamp += 1;
        self.epoch += u64::from(by.is_later);
        let header = Header {
            cluster: CLUSTER,
            from,
            to: 1,
            boot: 10 * from + u64::from(by.boot),
            generation: 1,
            epoch: self.epoch,
            leader: if by.follows { 5 - from } else { from },
            stamp: self.stamp,
            echo: 0,
            attest: 0,
            forgot: 0,
        };
        encode(&mut self.frame, &header, body);
        let _ = self.node.handle_frame(&self.frame, self.now());
    }

    fn offer(&mut self, by: Sender, of: u8, wrong: Option<Wrong>) {
        let of = usize::from(of) % SOURCES.len();
        let mut id = SOURCES[of].id;
        let mut membership = self.membership.clone();
        match wrong {
            Some(Wrong::Sequence(sequence)) => id.sequence = sequence,
            Some(Wrong::Epoch(epoch)) => id.epoch = epoch,
            Some(Wrong::Cut(len)) => membership.truncate(usize::from(len)),
            Some(Wrong::Flip(bit)) => flip(&mut membership, bit),
            Some(Wrong::Bytes(bytes)) => membership = bytes,
            Some(Wrong::End | Wrong::Other(_)) | None => {}
        }
        // Whoever else is said to be in the cluster is believed: it may be this node alone, which then goes on by itself.
        if Membership::decode(&membership).is_ok() {
            membership.clone_from(&self.membership);
        }
        self.next[of] = 0;
        self.send(by, &Body::Offer { id, clock_ms: 1_000_000, membership });
    }

    fn piece(&mut self, by: Sender, of: u8, number: Number, wrong: Option<Wrong>) {
        let of = usize::from(of) % SOURCES.len();
        let source = &SOURCES[of];
        let next = &mut self.next[of];
        let number = match number {
            Number::Next => *next,
            Number::Before(by) => next.saturating_sub(u64::from(by)),
            Number::Behind(by) => *next + u64::from(by),
            Number::Any(number) => number,
        };
        if number == *next {
            *next += 1;
        }
        let nth = |source: &Source| source.pieces.get(number as usize).or(source.pieces.last()).cloned();
        let (mut is_last, mut bytes) = nth(source).expect("there is one");
        let mut id = source.id;
        match wrong {
            Some(Wrong::Sequence(sequence)) => id.sequence = sequence,
            Some(Wrong::Epoch(epoch)) => id.epoch = epoch,
            Some(Wrong::End) => is_last = !is_last,
            Some(Wrong::Cut(len)) => bytes.truncate(usize::from(len)),
            Some(Wrong::Flip(bit)) => flip(&mut bytes, bit),
            Some(Wrong::Other(other)) => {
                (is_last, bytes) = nth(&SOURCES[usize::from(other) % SOURCES.len()]).expect("there is one");
            }
            Some(Wrong::Bytes(other)) => bytes = other,
            None => {}
        }
        self.send(by, &Body::Piece { id, number, is_last, bytes });
    }

    fn flood(&mut self, by: Sender, of: u8, count: u8) {
        let of = usize::from(of) % SOURCES.len();
        for _ in 0..count.min(40) {
            let (id, number) = (SOURCES[of].id, self.next[of]);
            self.next[of] += 1;
            let bytes = vec![0; SNAPSHOT_PIECE_BYTES];
            self.send(by, &Body::Piece { id, number, is_last: false, bytes });
            self.check_memory();
        }
    }

    fn written(&mut self) {
        if let Some(mut job) = self.job.take() {
            let result = job.run(&self.disk);
            self.node.handle_install(job, result, self.now());
        }
    }

    fn work(&mut self) {
        let now = self.now();
        let (node, disk) = (&mut self.node, &self.disk);
        node.advance(now);
        while let Some(flush) = node.poll_flush(now) {
            let result = flush.run(disk);
            node.handle_flushed(flush, result, now, |file| disk.name(file));
        }
        while let Some(work) = node.poll_upkeep() {
            let result = work.run(disk);
            node.handle_upkeep(&work, result, now, |file| disk.name(file));
        }
    }

    fn again(&mut self) {
        self.job = None;
        let had = self.node.state().sequence();
        self.node = open(&self.disk, self.is_learner, self.now());
        // It got its name on disk before it counted.
        assert!(self.node.state().sequence() >= self.installed, "{} of {had}", self.node.state().sequence());
        self.check_state();
    }

    /// What there is to be taken from it.
    fn drain(&mut self) {
        let now = self.now();
        self.node.advance(now);
        while self.node.poll_frame(&mut self.frame, now).is_some() {
            decode(&self.frame).expect("what it says can be read");
        }
        while let Some(event) = self.node.poll_event() {
            if let Event::Installed { sequence } = event {
                assert!(sequence > self.installed, "{sequence} behind {}", self.installed);
                self.installed = sequence;
                assert_eq!(self.node.state().sequence(), sequence);
                self.check_state();
            }
        }
        while self.node.poll_completion().is_some() {}
    }

    /// Nothing, or one of those that were offered, to the last byte.
    fn check_state(&mut self) {
        let sequence = self.node.state().sequence();
        if self.installed == 0 && self.node.state().is_empty() {
            return;
        }
        let chunks = chunks(self.node.view(), SNAPSHOT_PIECE_BYTES);
        let is_one = |source: &Source| source.id.sequence == sequence && source.chunks == chunks;
        assert!(SOURCES.iter().any(is_one), "a state at {sequence} that nobody has");
    }

    /// What waits to be written, and is being written, is bounded, whatever is sent. What was written is in memory too here, a
    /// second time as the state that is made of it, and buffers may be twice as long as what is in them.
    fn check_memory(&self) {
        let disk_bytes: usize = self.disk.0.borrow().values().map(Vec::len).sum();
        let pieces_bytes = 2 * 4 * WINDOW as usize * SNAPSHOT_PIECE_BYTES;
        let bytes = counted::live().saturating_sub(self.before_bytes);
        let most = OWN_BYTES + pieces_bytes + 4 * disk_bytes;
        assert!(bytes <= most, "{bytes} bytes, of {most}; {disk_bytes} on disk");
    }
}

fn flip(bytes: &mut [u8], bit: u32) {
    if !bytes.is_empty() {
        let at = bit as usize / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
    }
}

/// That what is sent as it should be is taken, and what is mixed with another one of the same sequence is not: else there would
/// be nothing to be seen here.
static SOUND: LazyLock<()> = LazyLock::new(|| {
    let by = Sender { is_third: false, boot: false, is_later: false, follows: false };
    for is_learner in [false, true] {
        for (of, source) in (0..).zip(SOURCES.iter()) {
            let offer = Step::Offer { by, of, wrong: None };
            let steps = vec![offer, Step::Pieces { by, of, count: 255 }, Step::Work, Step::Again];
            assert_eq!(play(is_learner, steps), source.id.sequence);
        }
        let piece = |wrong| Step::Piece { by, of: 1, number: Number::Next, wrong };
        let mut steps = vec![Step::Offer { by, of: 1, wrong: None }];
        for at in 0..SOURCES[1].pieces.len() {
            let wrong = (at == SOURCES[1].pieces.len() / 2).then_some(Wrong::Other(2));
            steps.extend([piece(wrong), Step::Take, Step::Written]);
        }
        assert_eq!(play(is_learner, steps), 0);
        play(is_learner, vec![Step::Offer { by, of: 3, wrong: None }, Step::Flood { by, of: 3, count: 40 }]);
    }
});

fuzz_target!(|given: (bool, Vec<Step>)| {
    LazyLock::force(&SOUND);
    play(given.0, given.1);
});

/// Gives the sequence of the snapshot that was taken last.
fn play(is_learner: bool, steps: Vec<Step>) -> u64 {
    LazyLock::force(&SOURCES);
    let before_bytes = counted::live();
    let disk = Memory::default();
    let node = open(&disk, is_learner, at(0));
    let next = vec![0; SOURCES.len()];
    let mut world = World {
        disk,
        node,
        is_learner,
        membership: membership(is_learner),
        millis: 0,
        stamp: 0,
        epoch: 2,
        next,
        job: None,
        installed: 0,
        frame: Vec::new(),
        before_bytes,
    };
    for step in steps.into_iter().take(200) {
        match step {
            Step::Offer { by, of, wrong } => world.offer(by, of, wrong),
            Step::Piece { by, of, number, wrong } => world.piece(by, of, number, wrong),
            Step::Pieces { by, of, count } => {
                for _ in 0..count {
                    world.piece(by, of, Number::Next, None);
                    world.job = world.job.take().or_else(|| world.node.poll_install());
                    world.written();
                }
            }
            Step::Flood { by, of, count } => world.flood(by, of, count),
            Step::Take => world.job = world.job.take().or_else(|| world.node.poll_install()),
            Step::Written => world.written(),
            Step::Work => world.work(),
            Step::Pass(by) => {
                world.millis += u64::from(by) * 4;
                world.node.handle_timeout(world.now());
            }
            Step::Again => world.again(),
        }
        world.drain();
        world.check_memory();
    }
    world.installed
}
