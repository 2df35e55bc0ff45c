//! A node that hears anything at all from the others: frames of all kinds with any content, snapshots in pieces among them,
//! while time passes and its disk does what it is asked for. It never panics, and what it says can be read.

#![no_main]

#[path = "../../tests/shared/memory.rs"]
mod memory;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memory::Memory;
use trimtab::replication::frame::{Header, decode, encode, seal};
use trimtab::replication::{Body, Node, Options, Start};
use trimtab::store::engine::{self, Now};
use trimtab::store::index::Timestamp;
use trimtab::store::log::{self, Disk, Identity};
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A frame from node 2 or 3.
    Frame { is_third: bool, epoch: u8, leader: u8, generation: u8, forgot: u8, kind: u8, body: Vec<u8> },
    /// Time passes.
    Pass(u8),
    /// The disk does what it is asked for.
    Work,
    /// The node is closed and opened again.
    Again,
}

const CLUSTER: [u8; 16] = [7; 16];

fn open(disk: &Memory, is_learner: bool, now: Now) -> Node {
    let log = log::Options { segment_bytes: 64 << 10, ..log::Options::default() };
    let store = engine::Options { log, ..engine::Options::default() };
    // A learner may be fed by either of the others; a voter may feed node 3.
    let feed_from = if is_learner { vec![2, 3] } else { Vec::new() };
    let options = Options { message_bytes: 4 << 10, feed_from, ..Options::default() };
    let learner = if is_learner { 1 } else { 3 };
    let nodes = (1..=3).map(|node| (node, node != learner, Vec::new())).collect();
    let start = Start { nodes, ..Start::default() };
    let identity = Identity { cluster: CLUSTER, node: 1 };
    Node::open(disk, store, options, identity, &start, now.instant.as_nanos(), now).expect("it opens").0
}

fn at(millis: u64) -> Now {
    Now { instant: Instant::from_millis(1 + millis), clock: Timestamp::from_millis(1_000_000 + millis) }
}

fn work(node: &mut Node, disk: &Memory, now: Now) {
    node.advance(now);
    while let Some(flush) = node.poll_flush(now) {
        let result = flush.run(disk);
        node.handle_flushed(flush, result, now, |file| disk.name(file));
    }
    while let Some(work) = node.poll_upkeep() {
        let result = work.run(disk);
        node.handle_upkeep(&work, result, now, |file| disk.name(file));
    }
    if let Some(mut job) = node.poll_install() {
        let result = job.run(disk);
        node.handle_install(job, result, now);
    }
    if let Some(mut fetch) = node.poll_fetch() {
        let result = fetch.run(disk);
        node.handle_fetched(fetch, result, now);
    }
}

fuzz_target!(|given: (bool, Vec<Step>)| {
    let (is_learner, steps) = given;
    let disk = Memory::default();
    let mut millis = 0;
    let mut node = open(&disk, is_learner, at(millis));
    let mut frame = Vec::new();
    for (stamp, step) in steps.into_iter().take(64).enumerate() {
        match step {
            Step::Frame { is_third, epoch, leader, generation, forgot, kind, body } => {
                let from = if is_third { 3 } else { 2 };
                let header = Header {
                    cluster: CLUSTER,
                    from,
                    to: 1,
                    boot: from,
                    generation: u64::from(generation % 3),
                    epoch: u64::from(epoch),
                    leader: u64::from(leader % 4),
                    stamp: stamp as u64,
                    echo: stamp as u64,
                    attest: u64::from(epoch),
                    forgot: u64::from(forgot / 200),
                };
                encode(&mut frame, &header, &Body::Ping);
                // All kinds there are, 1 to 9, and two that are none.
                frame[12] = kind % 11;
                frame.extend_from_slice(&body);
                seal(&mut frame);
                let _ = node.handle_frame(&frame, at(millis));
            }
            Step::Pass(by) => {
                millis += u64::from(by) * 4;
                node.handle_timeout(at(millis));
            }
            Step::Work => work(&mut node, &disk, at(millis)),
            Step::Again => {
                drop(node);
                node = open(&disk, is_learner, at(millis));
            }
        }
        node.advance(at(millis));
        while node.poll_frame(&mut frame, at(millis)).is_some() {
            decode(&frame).expect("what it says can be read");
        }
        while node.poll_event().is_some() || node.poll_completion().is_some() {}
    }
});
