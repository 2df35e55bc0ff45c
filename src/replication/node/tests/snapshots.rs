//! Snapshots of a node's own beside those that come from others: their files are never mixed up.

use super::changes::far_behind;
use super::*;

fn files(net: &Net, id: u64) -> Vec<File> {
    let mut files = net.nodes[&id].0.list().expect("it is read");
    files.retain(|file| matches!(file, File::Snapshot(_) | File::Unfinished(_)));
    files.sort();
    files
}

/// Has so many pieces go though none has come.
fn widen(net: &mut Net, primary: u64, behind: u64, window: usize) {
    net.node(primary).outgoing.get_mut(&behind).expect("it is under way").widen(window);
    net.pass(200);
}

/// A replica writes the last pieces of a snapshot when its primary dies, and the next one has it apply just as many entries. What
/// was refused is not taken away under the name that its own snapshot has.
#[test]
fn one_that_is_refused_does_not_take_away_the_own_one_of_the_same_sequence() {
    let (mut net, primary, behind) = far_behind();
    net.node(primary).options.snapshot_window = 64;
    net.held = Some(behind);
    net.start(behind, &Start::default());
    net.pass(700);
    widen(&mut net, primary, behind, 64);
    let sequence = net.node(primary).outgoing[&behind].sequence();
    let mut job = net.node(behind).poll_install().expect("pieces have come");
    net.stop(primary);
    net.snapshot_at = Some((behind, sequence));
    net.pass(4_000);
    assert!(net.node(behind).state().sequence() > sequence, "the entries have come");
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&behind).expect("it is there");
    let node = node.as_mut().expect("it runs");
    let result = job.run(disk);
    assert!(result.is_ok(), "{result:?}");
    node.handle_install(job, result, now);
    settle(node, disk, now);
    let own = node.engine().snapshot_sequence();
    let own = (own > 0).then_some(File::Snapshot(Sequence(own)));
    assert_eq!(files(&net, behind), Vec::from_iter(own), "no more than the log's own is left");
    net.stop(behind);
    net.start(behind, &Start::default());
    net.pass(500);
    assert!(net.node(behind).state().sequence() > sequence);
}

/// While files of a sequence are somebody else's, or still to be taken away, no snapshot of that sequence is begun.
#[test]
fn an_own_one_waits_until_files_of_its_sequence_are_gone() {
    let disk = SimDisk::new(1, Faults::default());
    let now = at(0);
    let mut node = open(&disk, 1, &begin(1, 0), None, now);
    settle(&mut node, &disk, now);
    let sequence = Sequence(node.state().sequence());
    assert!(node.engine.claim_snapshot(sequence));
    node.want_snapshot();
    assert!(node.poll_snapshot(now).is_none(), "somebody else writes one");
    disk.create(File::Snapshot(sequence), 0).unwrap();
    node.engine.give_back_snapshot(sequence, Some(File::Snapshot(sequence)));
    assert!(node.poll_snapshot(now).is_none(), "its file is to be taken away");
    let work = node.poll_upkeep().expect("there is something to do");
    assert!(node.poll_snapshot(now).is_none(), "it is being taken away");
    let result = work.run(&disk);
    node.handle_upkeep(&work, result, now, |file| disk.name(file));
    let mut job = node.poll_snapshot(now).expect("it was wanted");
    assert!(!node.engine.claim_snapshot(sequence), "it is being written");
    let written = write(&mut job, &disk);
    node.handle_snapshot(&job, written, now).unwrap();
    // What the log goes on from is taken away by nobody.
    node.engine.give_back_snapshot(sequence, Some(File::Snapshot(sequence)));
    settle(&mut node, &disk, now);
    assert!(disk.list().unwrap().contains(&File::Snapshot(sequence)));
}

/// Another process of the primary offers what is being written: nothing is written or taken away beside it.
#[test]
fn one_that_is_offered_anew_waits_until_nobody_writes_the_file() {
    let (mut net, primary, behind) = far_behind();
    net.node(primary).options.snapshot_window = 64;
    net.held = Some(behind);
    net.start(behind, &Start::default());
    net.pass(700);
    let mut job = net.node(behind).poll_install().expect("a piece has come");
    widen(&mut net, primary, behind, 64);
    let sequence = net.node(primary).outgoing[&behind].sequence();
    let state = net.node(primary).state().hash();
    net.cut = vec![behind];
    let now = at(net.millis);
    let mut again = Vec::new();
    for bytes in &net.tape {
        let (header, body) = frame::decode(bytes).expect("it is a frame");
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, &Header { boot: header.boot + 1, ..header }, &body);
        match body {
            Body::Offer { .. } if again.is_empty() => again.push(bytes),
            Body::Piece { number, .. } if number + 1 == again.len() as u64 => again.push(bytes),
            _ => {}
        }
    }
    assert!(again.len() > 10);
    let (disk, node) = net.nodes.get_mut(&behind).expect("it is there");
    let node = node.as_mut().expect("it runs");
    assert!(matches!(job.run(disk), Ok(None)));
    node.handle_frame(&again[0], now).unwrap();
    settle_all(node, disk, false, now);
    assert!(disk.list().unwrap().contains(&File::Unfinished(Sequence(sequence))), "it is being written");
    assert!(node.poll_install().is_none());
    node.handle_install(job, Ok(None), now);
    settle_all(node, disk, false, now);
    for bytes in &again {
        node.handle_frame(bytes, now).unwrap();
    }
    settle(node, disk, now);
    assert_eq!((node.engine().snapshot_sequence(), node.state().sequence()), (sequence, sequence));
    assert_eq!(files(&net, behind), [File::Snapshot(Sequence(sequence))]);
    net.cut.clear();
    net.held = None;
    net.pass(3_000);
    assert_eq!(net.node(behind).state().hash(), state);
}

/// An own one that is finished when another one has been installed is taken away, and is no failure.
#[test]
fn an_own_one_that_was_overtaken_is_taken_away() {
    let (mut net, primary, behind) = far_behind();
    net.node(primary).options.snapshot_window = 64;
    net.start(behind, &Start::default());
    let now = at(net.millis);
    net.node(behind).want_snapshot();
    let mut job = net.node(behind).poll_snapshot(now).expect("it has entries");
    let own = job.header().sequence;
    net.pass(3_000);
    let now = at(net.millis);
    let (disk, node) = net.nodes.get_mut(&behind).expect("it is there");
    let node = node.as_mut().expect("it runs");
    let installed = node.engine().snapshot_sequence();
    assert!(own.0 < installed);
    let written = write(&mut job, disk);
    assert!(written.is_ok(), "{written:?}");
    node.handle_snapshot(&job, written, now).unwrap();
    settle(node, disk, now);
    assert_eq!(node.engine().counts().snapshots_failed, 0);
    assert_eq!(files(&net, behind), [File::Snapshot(Sequence(installed))]);
}
