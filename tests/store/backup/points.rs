//! Restoring to any point gives what was there then.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use trimtab::backup::{Kind, Options, Point, Span, backup_closed, read_manifest, verify};
use trimtab::embedded::Store;
use trimtab::rng::Rng;
use trimtab::store::engine::replicated::CHANGE;
use trimtab::store::index::{
    Command, Condition, Lifetime, OnRefusal, Operation, Step, Timestamp, Transaction,
};
use trimtab::store::log::record::{Body, Vote};
use trimtab::store::log::{Epoch, Identity, Sequence, dump, open};
use trimtab::wal::FileDisk;

use super::{Content, content, restore, restored, tiny};
use crate::support::{Folder, local, memory, value_of};

const ROUNDS: u64 = 12;

fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis() as u64
}

/// A store with what was in it after each of its entries.
struct Written {
    store: Store,
    states: Vec<Content>,
    /// Of each entry, a time when it was the last one.
    times: Vec<u64>,
}

impl Written {
    fn step(&mut self, rng: &mut Rng) {
        let key = format!("key/{:02}", rng.below(20)).into_bytes();
        let mut next = self.states.last().expect("the first is empty").clone();
        let call = if rng.below(4) == 0 { local() } else { memory() };
        let sequence = if rng.below(5) == 0 {
            next.remove(&key);
            let delete = Step::Delete { key: &key, condition: Condition::Always, previous: false };
            self.store.call(&Operation::Step(delete), &call).expect("there is room").sequence
        } else {
            let value = vec![b'a' + rng.below(26) as u8; rng.below(400) as usize];
            next.insert(key.clone(), value.clone());
            self.store.put(&key, &value, &call).expect("there is room").sequence
        };
        assert_eq!(sequence as usize, self.states.len(), "nothing else is in the log");
        self.states.push(next);
        // Now and then a moment of its own.
        let is_alone = rng.below(40) == 0;
        let time = clock_ms();
        self.times.push(if is_alone { time } else { 0 });
        while is_alone && clock_ms() <= time {
            std::hint::spin_loop();
        }
    }
}

#[test]
fn any_point_within_a_backup_is_what_was_there() {
    let mut gaps = 0;
    for seed in 0..ROUNDS {
        let (folder, backup) = (Folder::new("points"), Folder::new("backup"));
        let mut rng = Rng::new(seed);
        let store = Store::open(folder.path(), tiny()).expect("it opens");
        let mut written = Written { store, states: vec![Content::new()], times: vec![0] };
        for _ in 0..6 {
            for _ in 0..rng.below(150) {
                written.step(&mut rng);
            }
            if rng.below(3) == 0 {
                written.store.snapshot(None).expect("a snapshot is written");
            }
            let options = Options { is_full: rng.below(4) == 0 };
            let report = written.store.backup(backup.path(), &options).expect("a backup is taken");
            assert_eq!(report.sequence as usize, written.states.len() - 1, "all that was answered is in it");
            if rng.below(4) == 0 {
                // The same from the closed directory, and the store goes on.
                written.store.close().expect("all is written");
                let report =
                    backup_closed(folder.path(), backup.path(), &options).expect("a backup is taken");
                assert_eq!((report.sequence as usize, report.entries), (written.states.len() - 1, 0));
                written.store = Store::open(folder.path(), tiny()).expect("it opens");
            }
        }
        let manifest = verify(backup.path()).expect("it is whole");
        let spans = manifest.spans();
        gaps += spans.len() - 1;
        let last = written.states.len() - 1;
        assert_eq!(spans.last().map(|span| span.last), Some(last as u64));
        assert_eq!(restored(backup.path(), Point::End), (written.states[last].clone(), last as u64));
        for Span { first, last, .. } in spans {
            for sequence in
                [first, last, first + rng.below(last - first + 1), first + rng.below(last - first + 1)]
            {
                let expected = (written.states[sequence as usize].clone(), sequence);
                assert_eq!(restored(backup.path(), Point::Sequence(sequence)), expected, "seed {seed}");
            }
            let alone = (first..=last).filter(|sequence| written.times[*sequence as usize] > 0);
            for sequence in alone.take(2) {
                let is_base = sequence == first && first > 1;
                let time = written.times[sequence as usize];
                // What was there when a snapshot was taken is told by the time of that.
                if !is_base {
                    let expected = (written.states[sequence as usize].clone(), sequence);
                    assert_eq!(restored(backup.path(), Point::Time(time)), expected, "seed {seed}");
                }
            }
        }
    }
    assert!(gaps > 0, "the log has let go of something between two backups, in some rounds");
}

#[test]
fn a_later_backup_adds_what_came_since() {
    let (folder, backup) = (Folder::new("since"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    for number in 0..50_u32 {
        store.put(&number.to_be_bytes(), &[7; 100], &memory()).expect("there is room");
    }
    let first = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((first.sequence, first.entries, first.snapshot), (50, 50, 0));
    let none = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((none.sequence, none.entries, none.snapshot, none.bytes), (50, 0, 0, 0));
    store.put(b"more", b"1", &memory()).expect("there is room");
    let second = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((second.sequence, second.entries, second.snapshot), (51, 1, 0));
    assert!(second.bytes < 300, "{}", second.bytes);
    // Begun anew, what was there before can still be gone back to.
    store.put(b"more", b"2", &memory()).expect("there is room");
    let full = store.backup(backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((full.sequence, full.entries, full.snapshot), (52, 1, 52));
    let spans = full.manifest.spans();
    assert_eq!(spans.iter().map(|span| (span.first, span.last)).collect::<Vec<_>>(), [(1, 52)]);
    assert_eq!(restored(backup.path(), Point::Sequence(50)).0.get(&b"more"[..]), None);
    assert_eq!(restored(backup.path(), Point::End).0.get(&b"more"[..]), Some(&b"2".to_vec()));
    let again = store.backup(backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((again.snapshot, again.bytes), (0, 0));
}

#[test]
fn a_full_backup_of_a_directory_has_a_snapshot_in_any_case() {
    let (folder, backup) = (Folder::new("full"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    for number in 0..20_u32 {
        store.put(&number.to_be_bytes(), &[7; 100], &memory()).expect("there is room");
    }
    let there = content(&store);
    store.close().expect("all is written");
    let before: Vec<_> = files(folder.path());
    let full =
        backup_closed(folder.path(), backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((full.sequence, full.snapshot), (20, 20));
    assert_eq!(files(folder.path()), before, "nothing is changed there");
    verify(backup.path()).expect("it is whole");
    assert_eq!(restored(backup.path(), Point::Sequence(20)), (there, 20));
    let again =
        backup_closed(folder.path(), backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((again.snapshot, again.bytes), (0, 0));
    // The log's own snapshot is older: it begins anew with one of the last entry.
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    store.put(b"more", b"1", &local()).expect("there is room");
    store.snapshot(None).expect("a snapshot is written");
    store.put(b"more", b"2", &local()).expect("there is room");
    let there = content(&store);
    store.close().expect("all is written");
    let full =
        backup_closed(folder.path(), backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((full.sequence, full.snapshot, full.entries), (22, 22, 2));
    assert_eq!(restored(backup.path(), Point::End), (there, 22));
    assert_eq!(restored(backup.path(), Point::Sequence(21)).0.get(&b"more"[..]), Some(&b"1".to_vec()));
}

#[test]
fn a_full_backup_of_a_directory_that_replicated_has_what_is_committed() {
    let (folder, backup) = (Folder::new("full"), Folder::new("backup"));
    let disk = FileDisk::new(folder.path()).expect("it is there");
    let identity = Identity { cluster: [7; 16], node: 2 };
    let (mut log, _) = open(&disk, tiny().engine.log, identity, 7, &mut |_| {}).expect("it opens");
    log.vote(Vote { epoch: Epoch(1), node: 1 }, 0).expect("it is appended");
    for _ in 0..5 {
        // Nothing that is a command, so the state is empty at each.
        log.append(Epoch(1), 1, &[CHANGE]).expect("it is appended");
    }
    log.commit(Sequence(3), 0).expect("it is appended");
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(&disk);
        log.handle_flushed(flush, result, |file| file.to_string());
    }
    drop((log, disk));
    let full =
        backup_closed(folder.path(), backup.path(), &Options { is_full: true }).expect("a backup is taken");
    assert_eq!((full.sequence, full.snapshot, full.entries), (3, 3, 3));
    assert!(full.manifest.is_replicated && full.manifest.parts.iter().all(|part| part.last_epoch == 1));
    verify(backup.path()).expect("it is whole");
    assert_eq!(restored(backup.path(), Point::End), (Content::new(), 3));
}

/// What consensus has in a log beside commands: what a reign begins with, and a change of the cluster.
const BEGUN: &[u8] = &[];
const CHANGED: &[u8] = &[CHANGE, 1, 1];

/// A log as a node of a cluster has it, with something of consensus between `count` commands each. `vote`: as long as it is one.
fn of_a_node(dir: &Path, count: u64, vote: Vote) -> Vec<Content> {
    let disk = FileDisk::new(dir).expect("it is there");
    let identity = Identity { cluster: [7; 16], node: 2 };
    let (mut log, _) = open(&disk, tiny().engine.log, identity, 7, &mut |_| {}).expect("it opens");
    if vote != Vote::default() {
        log.vote(vote, 0).expect("it is appended");
    }
    let mut states = vec![Content::new()];
    for at in 0..3 * count {
        let mut next = states.last().expect("the first is empty").clone();
        let key = at.to_be_bytes();
        let mut payload = Vec::new();
        match at % 3 {
            0 => payload.extend_from_slice(CHANGED),
            1 => payload.extend_from_slice(BEGUN),
            _ => {
                let step = Step::Put {
                    key: &key,
                    value: b"value",
                    condition: Condition::Always,
                    lifetime: Lifetime::Unbounded,
                    previous: false,
                };
                let operation = Operation::Step(step);
                Command { time: Timestamp::default(), request: None, operation }.encode(&mut payload);
                next.insert(key.to_vec(), b"value".to_vec());
            }
        }
        log.append(Epoch(1 + at / 4), at, &payload).expect("it is appended");
        states.push(next);
    }
    log.commit(Sequence(3 * count), 0).expect("it is appended");
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(&disk);
        log.handle_flushed(flush, result, |file| file.to_string());
    }
    states
}

#[test]
fn what_is_restored_of_a_node_of_a_cluster_is_a_store_of_one_node() {
    let (folder, backup) = (Folder::new("node"), Folder::new("backup"));
    let states = of_a_node(folder.path(), 4, Vote { epoch: Epoch(4), node: 2 });
    let report = backup_closed(folder.path(), backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((report.sequence, report.snapshot, report.manifest.is_replicated), (12, 0, true));
    verify(backup.path()).expect("it is whole");
    for (sequence, state) in states.iter().enumerate() {
        assert_eq!(restored(backup.path(), Point::Sequence(sequence as u64)).0, *state, "{sequence}");
    }
    // It goes on, and so do backups of it, with nothing of the old cluster in them.
    let (to, next) = (Folder::new("restored"), Folder::new("next"));
    restore(backup.path(), to.path(), Point::End).expect("it is restored");
    let store = Store::open(to.path(), tiny()).expect("it opens");
    store.backup(next.path(), &Options::default()).expect("a backup is taken");
    assert_eq!(store.put(b"more", b"1", &local()).expect("there is room").sequence, 13);
    let report = store.backup(next.path(), &Options::default()).expect("it is added to");
    assert!(!report.manifest.is_replicated);
    let there = content(&store);
    store.close().expect("all is written");
    assert_eq!(restored(next.path(), Point::End), (there, 13));
    assert_eq!(restored(next.path(), Point::Sequence(12)).0, states[12]);
    let mut left = 0;
    dump(&FileDisk::new(to.path()).expect("it is there"), &mut |_, _, record| {
        left += usize::from(matches!(record.body, Body::Entry(payload) if payload.first() == Some(&CHANGE)));
        true
    })
    .expect("it can be read");
    assert_eq!(left, 0, "the changes of the old cluster are none of this store");
}

/// As earlier releases restored them: with the changes of the old cluster.
#[test]
fn changes_of_a_cluster_take_a_sequence_and_change_nothing() {
    let folder = Folder::new("changes");
    let states = of_a_node(folder.path(), 4, Vote::default());
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    assert_eq!(content(&store), states[12]);
    assert_eq!(store.put(b"more", b"1", &local()).expect("there is room").sequence, 13);
}

#[test]
fn the_log_of_a_node_is_no_store_of_its_own() {
    let folder = Folder::new("node");
    of_a_node(folder.path(), 1, Vote { epoch: Epoch(1), node: 2 });
    let before = files(folder.path());
    let told = Store::open(folder.path(), tiny()).expect_err("it is the cluster's").to_string();
    assert!(told.contains("is that of a node of a cluster"), "{told}");
    assert!(told.contains("trimtab store restore"), "{told}");
    assert_eq!(files(folder.path()), before);
}

/// The files of a directory, but for the lock, with what is in them.
fn files(dir: &Path) -> Vec<(OsString, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("it is there"));
    let entries = entries.filter(|entry| entry.file_name() != "lock");
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).expect("it is there"))).collect();
    files.sort();
    files
}

#[test]
fn what_the_log_has_let_go_of_is_made_up_for_by_a_snapshot() {
    let (folder, backup) = (Folder::new("gap"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    let fill = |from: u32| {
        for number in from..from + 200 {
            store.put(&number.to_be_bytes(), &[7; 100], &memory()).expect("there is room");
        }
    };
    fill(0);
    store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    fill(200);
    let gone = store.snapshot(None).expect("a snapshot is written");
    fill(400);
    store.snapshot(None).expect("a snapshot is written");
    let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!((report.sequence, report.snapshot), (600, 600));
    let error = restore(backup.path(), &folder.path().join("to"), Point::Sequence(gone)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("400 is not in the backup, which holds the sequences 1 to 200 and 600 to 600"),
        "{text}"
    );
    assert_eq!(restored(backup.path(), Point::Sequence(200)).0.len(), 200);
    assert_eq!(restored(backup.path(), Point::End).0, content(&store));
}

#[test]
fn what_is_kept_of_the_log_lets_backups_of_a_busy_store_go_on() {
    let (folder, backup) = (Folder::new("kept"), Folder::new("backup"));
    let mut options = tiny();
    // The half of such a small segment is its header: 400 entries take eight of them.
    options.engine.log.kept_bytes = 12 * (16 << 10);
    let mut store = Store::open(folder.path(), options.clone()).expect("it opens");
    let fill = |store: &Store, from: u32| {
        for number in from..from + 200 {
            store.put(&number.to_be_bytes(), &[7; 100], &memory()).expect("there is room");
        }
    };
    for round in 0..20 {
        fill(&store, round * 200);
        // Each of them would have the log let go of what the last backup has not.
        store.snapshot(None).expect("a snapshot is written");
        fill(&store, (round + 1) * 200);
        store.snapshot(None).expect("a snapshot is written");
        let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
        assert_eq!((report.snapshot, report.entries), (0, 400), "{round}");
        if round % 7 == 6 {
            store.close().expect("all is written");
            store = Store::open(folder.path(), options.clone()).expect("it opens");
        }
    }
    let status = store.status().expect("it is open");
    // Beside the last snapshot: what is kept, and what there is in any case.
    assert!(status.disk_bytes < (12 + 8) * (16 << 10) + 1_000_000, "{status:?}");
    assert_eq!(restored(backup.path(), Point::Sequence(3_900)).1, 3_900);
    assert_eq!(restored(backup.path(), Point::End).0, content(&store));
    // More than is kept: a snapshot again.
    for round in 0..5 {
        fill(&store, round * 200);
        store.snapshot(None).expect("a snapshot is written");
    }
    let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    assert_eq!(report.snapshot, report.sequence);
}

/// Ends those who write, also when something was not as it should be.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_beside_writers_is_of_one_moment_and_has_what_was_answered() {
    let (folder, backup) = (Folder::new("beside"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let (store, is_over) = (&store, &is_over);
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                while !is_over.load(Ordering::Relaxed) {
                    let by = rng.below(9) as i64;
                    let filler = vec![b'.'; rng.below(300) as usize];
                    let steps = vec![
                        Step::Increment { key: b"a", by },
                        Step::Increment { key: b"b", by: -by },
                        Step::Append { key: b"filler", value: &filler },
                    ];
                    let transaction = Transaction {
                        conditions: vec![],
                        then: steps,
                        otherwise: vec![],
                        on_refusal: OnRefusal::Abort,
                    };
                    let call = if rng.below(8) == 0 { local() } else { memory() };
                    store.transaction(transaction, &call).expect("there is room");
                    if rng.below(50) == 0 {
                        store.delete(b"filler", &call).expect("there is room");
                    }
                }
            });
        }
        let _over = Over(&is_over);
        for round in 0..8_u64 {
            let told = store.put(b"round", round.to_string().as_bytes(), &memory()).expect("there is room");
            let report = store.backup(backup.path(), &Options::default()).expect("a backup is taken");
            assert!(report.sequence >= told.sequence);
            let (content, sequence) = restored(backup.path(), Point::End);
            assert_eq!(sequence, report.sequence);
            let number = |key: &[u8]| -> i64 {
                content.get(key).map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap())
            };
            assert_eq!(number(b"round"), round as i64);
            assert_eq!(number(b"a"), -number(b"b"));
        }
    });
    let manifest = verify(backup.path()).expect("it is whole");
    assert!(manifest.parts.iter().any(|part| part.kind == Kind::Entries));
    assert_eq!(read_manifest(backup.path()).expect("it is there"), manifest);
}

#[test]
fn a_store_is_restored_whose_log_ends_anywhere_in_a_segment() {
    let (folder, backup) = (Folder::new("ends"), Folder::new("backup"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    for at in 0..14_u8 {
        store.put(&[at], &[b'.'; 1_000], &memory()).expect("there is room");
    }
    // Until behind the end of the first segment.
    for round in 0..120_usize {
        store.put(b"more", &vec![b'.'; round % 3], &memory()).expect("there is room");
        store.backup(backup.path(), &Options::default()).expect("a backup is taken");
        let (content, _) = restored(backup.path(), Point::End);
        assert_eq!(content.len(), 15, "{round}");
    }
}

#[test]
fn a_restored_store_is_one_of_its_own() {
    let (folder, backup, to) = (Folder::new("own"), Folder::new("backup"), Folder::new("restored"));
    let store = Store::open(folder.path(), tiny()).expect("it opens");
    store.put(b"a", b"1", &local()).expect("there is room");
    store.backup(backup.path(), &Options::default()).expect("a backup is taken");
    let told = restore(backup.path(), to.path(), Point::End).expect("it is restored");
    assert!(told.identity.cluster != store.identity().cluster && told.identity.node == 1);
    // Who expects the old one is told.
    let expecting = trimtab::embedded::Options { identity: Some(store.identity()), ..tiny() };
    let error = Store::open(to.path(), expecting).expect_err("it is another");
    assert!(matches!(error, trimtab::Error::InvalidArgument { what: "cluster", .. }), "{error}");
    let new = Store::open(to.path(), tiny()).expect("it opens");
    assert_eq!(value_of(&new, b"a"), Some(b"1".to_vec()));
    // It writes, and is backed up to a directory of its own.
    new.put(b"a", b"2", &local()).expect("there is room");
    let error = new.backup(backup.path(), &Options::default()).expect_err("it is another's");
    assert!(matches!(error, trimtab::Error::InvalidArgument { what: "cluster", .. }), "{error}");
    let own = Folder::new("own-backup");
    new.backup(own.path(), &Options::default()).expect("a backup is taken");
    assert_eq!(restored(own.path(), Point::End).0, content(&new));
}
