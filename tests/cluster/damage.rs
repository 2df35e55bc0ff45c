//! Bits that rot on a member's disk: found while it runs and made up for from memory, found when it is opened and made up for
//! by the others.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use trimtab::Error;
use trimtab::embedded::{Call, ClusterEvent, ClusterOptions, Read, ReadLevel, Store};
use trimtab::replication::{Position, Role, Standing};

use crate::support::{Cluster, PATIENCE, options, wait_role};

/// On the disks of three nodes.
fn on_three() -> Call {
    Call { nodes: 3, ..Call::default() }
}

/// Writes that are on all three when this returns; gives where the last one is.
fn fill(store: &Store, from: u32, to: u32) -> Position {
    let mut last = Position::default();
    for number in from..to {
        let done = store.put(&number.to_be_bytes(), &value(number), &on_three()).unwrap();
        assert_eq!(done.nodes, 3);
        last = done.position();
    }
    last
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(100)
}

/// All nodes have all of it, and have come to the same.
fn agree(cluster: &Cluster, position: Position, count: u32) {
    let mut hashes = Vec::new();
    for (at, store) in cluster.open_ones() {
        let read = Read { level: Some(ReadLevel::Local), token: Some(position), timeout: Some(PATIENCE) };
        let view = store.view_at(&read).unwrap();
        for number in 0..count {
            let found = view.get(&number.to_be_bytes(), view.time());
            let found = found.unwrap_or_else(|| panic!("{} has lost {number}", cluster.name(at)));
            assert_eq!(found.value, value(number), "{number}");
        }
        hashes.push((view.sequence(), view.hash()));
    }
    // Nobody writes; one may have been asked a little earlier than another.
    hashes.sort_unstable();
    for pair in hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert_eq!(pair[0].1, pair[1].1, "{hashes:?}");
    }
}

fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|is| is == kind)).collect();
    paths.sort();
    paths
}

/// The last segment that has so much in it that the middle of it is not its end.
fn written(dir: &Path) -> PathBuf {
    let is_long = |path: &PathBuf| fs::read(path).unwrap()[60_000..].iter().any(|byte| *byte != 0);
    files(dir, "wal").into_iter().rfind(is_long).unwrap()
}

/// In place, as rot does: the store may have the file open.
fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    file.sync_all().unwrap();
}

/// Has a node read its disk again, which finds damage in this file, and waits until a snapshot stands for it.
fn scrub_and_wait(cluster: &Cluster, at: usize, path: &Path) {
    let store = cluster.store(at);
    let mut events = store.cluster_events().unwrap();
    let told = store.scrub(Some(PATIENCE)).unwrap_err();
    let Error::Corrupt(damage) = &told else { panic!("{told}") };
    assert_eq!(damage.file, path.display().to_string(), "{told}");
    let detail = events
        .find(PATIENCE, |event| match event {
            ClusterEvent::Damaged { file, offset, detail }
                if (&file, offset) == (&damage.file, damage.offset) =>
            {
                Some(detail)
            }
            _ => None,
        })
        .unwrap();
    assert!(detail.contains("a snapshot of what is in memory takes its place"), "{detail}");
    let mended = |event| matches!(event, ClusterEvent::Mended { .. }).then_some(());
    events.find(PATIENCE, mended).unwrap_or_else(|error| panic!("{error}: {:?}", store.status()));
    store.scrub(Some(PATIENCE)).unwrap();
    let scrub = store.status().unwrap().scrub;
    assert!(scrub.damage.is_none() && scrub.damages >= 1 && scrub.mended >= 1, "{scrub:?}");
}

#[test]
fn what_rots_while_a_node_runs_is_replaced_and_the_node_stays_what_it_is() {
    let mut cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    let mut last = fill(cluster.store(primary), 0, 300);
    let mut count = 300;
    let replica = cluster.replica();
    for at in [primary, replica] {
        // The segment that is written to: nothing but a new one helps.
        let path = files(&cluster.dir(at), "wal").into_iter().next().unwrap();
        flip(&path, 20_000);
        scrub_and_wait(&cluster, at, &path);
        last = fill(cluster.store(primary), count, count + 10);
        count += 10;
    }
    let store = cluster.store(replica);
    store.snapshot(Some(PATIENCE)).unwrap();
    let path = files(&cluster.dir(replica), "snapshot").pop().unwrap();
    flip(&path, 60_000);
    scrub_and_wait(&cluster, replica, &path);
    last = fill(cluster.store(primary), count, count + 10).max(last);
    agree(&cluster, last, count + 10);
    // It has forgotten nothing: it is opened as ever, and at once has its vote.
    cluster.drop(replica);
    cluster.open(replica);
    let status = cluster.store(replica).cluster().unwrap();
    assert_eq!(status.standing, Standing::Active, "{status:?}");
    agree(&cluster, last, count + 10);
}

/// What is damaged when a node is opened is given to it again by the others.
fn open_damaged(damage: impl Fn(&Path)) {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    fill(cluster.store(primary), 0, 300);
    cluster.store(replica).snapshot(Some(PATIENCE)).unwrap();
    fill(cluster.store(primary), 300, 600);
    cluster.drop(replica);
    damage(&cluster.dir(replica));
    let store = cluster.store(primary);
    for number in 600..650 {
        store.put(&u32::to_be_bytes(number), &value(number), &Call::default()).unwrap();
    }
    cluster.open(replica);
    let mut events = cluster.store(replica).cluster_events().unwrap();
    let detail = events
        .find(PATIENCE, |event| match event {
            ClusterEvent::Damaged { detail, .. } => Some(detail),
            _ => None,
        })
        .unwrap();
    assert!(detail.contains("votes for nobody until the others have taken it in again"), "{detail}");
    events.find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(())).unwrap();
    drop(events);
    wait_role(cluster.store(replica), Role::Replica);
    assert_eq!(cluster.store(replica).status().unwrap().scrub.mended, 1);
    assert!(cluster.dir(replica).join("set-aside").exists());
    let last = fill(cluster.store(primary), 650, 660);
    agree(&cluster, last, 660);
    cluster.store(replica).scrub(Some(PATIENCE)).unwrap();
    // Opened in order it needs what was set aside no more.
    cluster.drop(replica);
    cluster.open(replica);
    assert_eq!(cluster.store(replica).cluster().unwrap().standing, Standing::Active);
    assert!(!cluster.dir(replica).join("set-aside").exists());
    agree(&cluster, last, 660);
}

#[test]
fn a_node_with_a_damaged_segment_is_taken_in_again_with_what_comes_before() {
    open_damaged(|dir| flip(&written(dir), 30_000));
}

/// What a snapshot stands for was not promised by the log alone: the node has forgotten nothing.
#[test]
fn a_node_with_damage_in_a_segment_that_a_snapshot_stands_for_goes_on_as_it_is() {
    let mut cluster = Cluster::new(3, 0);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    fill(cluster.store(primary), 0, 700);
    cluster.drop(replica);
    let segments = files(&cluster.dir(replica), "wal");
    // The one in which the log goes on is left as it will be.
    let kept: Vec<_> = segments[..segments.len() - 1].iter().map(|path| fs::read(path).unwrap()).collect();
    cluster.open(replica);
    let last = fill(cluster.store(primary), 700, 710);
    cluster.store(replica).snapshot(Some(PATIENCE)).unwrap();
    cluster.drop(replica);
    // As if the process had died before a segment went.
    let oldest = files(&cluster.dir(replica), "wal").remove(0);
    for (path, bytes) in segments.iter().zip(kept).filter(|(path, _)| **path < oldest) {
        fs::write(path, bytes).unwrap();
    }
    flip(&segments[0], 30_000);
    cluster.open(replica);
    let store = cluster.store(replica);
    let told = store.report().log.covered.clone().expect("it is told");
    assert_eq!(told.file, segments[0].display().to_string());
    assert_eq!(store.cluster().unwrap().standing, Standing::Active);
    assert_eq!(store.status().unwrap().scrub.mended, 0);
    assert!(!cluster.dir(replica).join("set-aside").exists());
    agree(&cluster, last, 710);
    // Its vote counts at once: with it alone beside the primary writes are taken.
    let third = (0..3).find(|at| ![primary, replica].contains(at)).unwrap();
    cluster.drop(third);
    let last = cluster.store(cluster.primary()).put(b"more", b"1", &Call::default()).unwrap().position();
    agree(&cluster, last, 710);
}

#[test]
fn a_node_with_a_damaged_snapshot_is_sent_everything() {
    open_damaged(|dir| flip(files(dir, "snapshot").last().unwrap(), 60_000));
}

/// The one shows only once the other is mended: it starts all the same, with no order.
#[test]
fn a_node_with_a_damaged_snapshot_and_a_damaged_segment_is_sent_everything() {
    open_damaged(|dir| {
        flip(files(dir, "snapshot").last().unwrap(), 60_000);
        flip(&written(dir), 30_000);
    });
    open_damaged(|dir| {
        flip(files(dir, "snapshot").last().unwrap(), 312);
        flip(&written(dir), 30_000);
    });
}

/// Its log goes on from a snapshot that came from another: without that file it would seem to have begun there with nothing.
#[test]
fn a_node_that_misses_the_snapshot_it_goes_on_from_is_sent_everything() {
    let tune = |options: &mut ClusterOptions| {
        options.replication.kept_bytes_max = 0;
        options.replication.tail_bytes = 0;
    };
    let mut cluster = Cluster::with(3, 0, tune);
    let (primary, replica) = (cluster.primary(), cluster.replica());
    fill(cluster.store(primary), 0, 1_000);
    cluster.drop(replica);
    fs::remove_dir_all(cluster.dir(replica)).unwrap();
    (0..3).filter(|at| *at != replica).for_each(|at| {
        cluster.store(at).snapshot(Some(PATIENCE)).unwrap();
    });
    cluster.open(replica);
    wait_role(cluster.store(replica), Role::Replica);
    let last = fill(cluster.store(primary), 1_000, 1_010);
    agree(&cluster, last, 1_010);
    cluster.drop(replica);
    let snapshots = files(&cluster.dir(replica), "snapshot");
    assert!(!snapshots.is_empty(), "it was sent one");
    snapshots.iter().for_each(|path| fs::remove_file(path).unwrap());
    cluster.open(replica);
    let mut events = cluster.store(replica).cluster_events().unwrap();
    let detail = events
        .find(PATIENCE, |event| match event {
            ClusterEvent::Damaged { detail, .. } => Some(detail),
            _ => None,
        })
        .unwrap();
    assert!(detail.contains("the snapshot is missing"), "{detail}");
    assert!(detail.contains("votes for nobody until the others have taken it in again"), "{detail}");
    events.find(PATIENCE, |event| (event == ClusterEvent::Readmitted).then_some(())).unwrap();
    drop(events);
    wait_role(cluster.store(replica), Role::Replica);
    let last = fill(cluster.store(cluster.primary()), 1_010, 1_020);
    agree(&cluster, last, 1_020);
}

#[test]
fn where_the_others_could_not_take_it_in_again_damage_is_told_and_nothing_is_touched() {
    let mut cluster = Cluster::new(1, 0);
    let store = cluster.store(cluster.primary());
    for number in 0..100 {
        store.put(&u32::to_be_bytes(number), &value(number), &Call::default()).unwrap();
    }
    cluster.drop(0);
    let path = files(&cluster.dir(0), "wal").into_iter().next().unwrap();
    flip(&path, 20_000);
    let before = fs::read(&path).unwrap();
    let refused = Store::join(cluster.dir(0), options(), cluster.options_of(0)).unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
    assert!(refused.to_string().contains("fewer than 3 voters"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn with_too_few_that_are_whole_nobody_votes_for_what_may_be_lost() {
    let mut cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    let last = fill(cluster.store(primary), 0, 300);
    (0..3).for_each(|at| cluster.drop(at));
    for at in [0, 1] {
        flip(&written(&cluster.dir(at)), 20_000);
    }
    (0..3).for_each(|at| cluster.open(at));
    for at in [0, 1] {
        let status = cluster.store(at).cluster().unwrap();
        assert!(matches!(status.standing, Standing::Forgetful { .. }), "{status:?}");
    }
    // The one that is whole asks for votes and gets none.
    let mut events = cluster.store(2).cluster_events().unwrap();
    wait_role(cluster.store(2), Role::Candidate);
    let call = Call { timeout: Some(std::time::Duration::from_secs(2)), ..Call::default() };
    let refused = cluster.store(2).put(b"key", b"1", &call).unwrap_err();
    assert!(matches!(refused, Error::NoQuorum | Error::TimedOut { .. }), "{refused}");
    while let Ok(event) = events.next(std::time::Duration::ZERO) {
        assert!(!matches!(event, ClusterEvent::Role { role: Role::Primary, .. }), "{event:?}");
    }
    // What it has is all there is: it goes on by force.
    drop(events);
    cluster.drop(2);
    let forced = trimtab::embedded::ClusterOptions {
        directory: trimtab::embedded::Directory::Promoted,
        ..cluster.options_of(2)
    };
    let store = Store::join(cluster.dir(2), options(), forced).unwrap();
    wait_role(&store, Role::Primary);
    assert!(store.view_at(&Read::default()).unwrap().sequence() >= last.sequence);
}

/// `trimtab wal repair --yes`: what it tells.
fn repair(dir: &Path) -> String {
    let command = ["wal", "repair", "--yes"];
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_trimtab")).args(command).arg(dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What was cut off may have been answered at `quorum` with this node: it does not vote for who lacks that.
#[test]
fn a_node_whose_log_was_cut_off_by_hand_does_not_vote_until_it_has_that_again() {
    let mut cluster = Cluster::new(3, 0);
    let primary = cluster.primary();
    let (cut, away) = ((primary + 1) % 3, (primary + 2) % 3);
    fill(cluster.store(primary), 0, 300);
    cluster.drop(away);
    let store = cluster.store(primary);
    for number in 300..600 {
        let done = store.put(&u32::to_be_bytes(number), &value(number), &Call::default()).unwrap();
        assert!(done.nodes >= 2);
    }
    cluster.drop(cut);
    cluster.drop(primary);
    let dir = cluster.dir(cut);
    flip(&written(&dir), 30_000);
    let told = repair(&dir);
    assert!(told.contains("votes for nobody until the others have given it what it lacks"), "{told}");
    assert_eq!(trimtab::embedded::look_at_directory(&dir).unwrap().seen, "damaged");
    cluster.open(cut);
    cluster.open(away);
    let status = cluster.store(cut).cluster().unwrap();
    assert!(matches!(status.standing, Standing::Forgetful { .. }), "{status:?}");
    let mut events = cluster.store(away).cluster_events().unwrap();
    wait_role(cluster.store(away), Role::Candidate);
    let call = Call { timeout: Some(std::time::Duration::from_secs(2)), ..Call::default() };
    let refused = cluster.store(away).put(b"key", b"1", &call).unwrap_err();
    assert!(matches!(refused, Error::NoQuorum | Error::TimedOut { .. }), "{refused}");
    while let Ok(event) = events.next(std::time::Duration::ZERO) {
        assert!(!matches!(event, ClusterEvent::Role { role: Role::Primary, .. }), "{event:?}");
    }
    drop(events);
    // Who has all of it is elected, and gives it to the others.
    cluster.open(primary);
    wait_role(cluster.store(primary), Role::Primary);
    wait_role(cluster.store(cut), Role::Replica);
    let last = fill(cluster.store(primary), 600, 610);
    agree(&cluster, last, 610);
}

/// Nobody could take a lone voter in again, and its learner may have more than is left of it.
#[test]
fn a_lone_voter_whose_log_was_cut_off_waits_for_what_its_operator_says() {
    let mut cluster = Cluster::new(1, 1);
    let last = {
        let store = cluster.store(cluster.primary());
        (0..600)
            .map(|it| store.put(&u32::to_be_bytes(it), &value(it), &Call::default()).unwrap().position())
            .max()
    };
    let read = Read { level: Some(ReadLevel::Local), token: last, timeout: Some(PATIENCE) };
    cluster.store(1).view_at(&read).unwrap();
    cluster.drop(0);
    flip(&written(&cluster.dir(0)), 30_000);
    let refused = Store::join(cluster.dir(0), options(), cluster.options_of(0)).unwrap_err().to_string();
    assert!(
        refused.contains("b may have everything") && refused.contains("trimtab store promote --dir"),
        "{refused}"
    );
    let told = repair(&cluster.dir(0));
    assert!(told.contains("If a learner has more, promote that by force"), "{told}");
    cluster.open(0);
    let status = cluster.store(0).cluster().unwrap();
    assert!(matches!(status.standing, Standing::Forgetful { .. }), "{status:?}");
    assert!(
        status.trouble.as_ref().is_some_and(|it| it.contains("promote its directory by force")),
        "{status:?}"
    );
    // The learner has all of it, and nobody takes that from it.
    assert_eq!(cluster.store(1).cluster().unwrap().standing, Standing::Active);
    cluster.drop(1);
    trimtab::embedded::promote_directory(cluster.dir(1)).unwrap();
    cluster.open(1);
    wait_role(cluster.store(1), Role::Primary);
    agree_on(cluster.store(1), 600);
    let mut events = cluster.store(0).cluster_events().unwrap();
    while !matches!(cluster.store(0).cluster().unwrap().standing, Standing::Fenced(_)) {
        events.next(PATIENCE).unwrap();
    }
}

fn agree_on(store: &Store, count: u32) {
    let view = store.view_at(&Read::default()).unwrap();
    for number in 0..count {
        assert_eq!(view.get(&number.to_be_bytes(), view.time()).unwrap().value, value(number), "{number}");
    }
}

/// Without a learner that has more, what is left goes on, once somebody has said so.
#[test]
fn a_lone_voter_whose_log_was_cut_off_goes_on_by_force() {
    let mut cluster = Cluster::new(1, 0);
    let store = cluster.store(cluster.primary());
    for number in 0..100 {
        store.put(&u32::to_be_bytes(number), &value(number), &Call::default()).unwrap();
    }
    cluster.drop(0);
    flip(&files(&cluster.dir(0), "wal").into_iter().next().unwrap(), 20_000);
    repair(&cluster.dir(0));
    for _ in 0..2 {
        cluster.open(0);
        let status = cluster.store(0).cluster().unwrap();
        assert!(matches!(status.standing, Standing::Forgetful { .. }), "{status:?}");
        cluster.drop(0);
    }
    for is_marked in [false, true] {
        if is_marked {
            // Cut off, and not opened since.
            fs::remove_dir_all(cluster.dir(0).join("damaged")).unwrap();
            flip(&files(&cluster.dir(0), "wal").into_iter().next().unwrap(), 12_000);
            repair(&cluster.dir(0));
        }
        trimtab::embedded::promote_directory(cluster.dir(0)).unwrap();
        cluster.open(0);
        wait_role(cluster.store(0), Role::Primary);
        cluster.store(0).put(b"key", b"1", &Call::default()).unwrap();
        cluster.drop(0);
    }
}
