//! A process that writes is killed, again and again. `TRIMTAB_STORE_ROUNDS=N` has it killed so often.
//!
//! Each of its threads puts numbers, one after the other, at keys of its own: the first of each ten with `local`, the
//! others with `memory`, and a transaction that moves between two accounts. What was answered as `local` must be there;
//! of a thread's numbers a beginning must be there, without a gap; the accounts must add up.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use trimtab::embedded::{Call, Options, Store};
use trimtab::rng::Rng;
use trimtab::store::engine::{self, Durability};
use trimtab::store::index::{
    Condition, Lifetime, OnRefusal, Operation, Range, RequestId, Step, Transaction, prefix_end,
};
use trimtab::store::log;

use crate::support::{Folder, LONG, child, local, memory, value_of};

/// With threads and hosted, each.
const ROUNDS: u64 = 200;
/// Then it begins with a new one, so that what has gathered does not make the next rounds slow.
const ROUNDS_OF_A_STORE: u64 = 50;
const THREADS: u64 = 3;
/// The numbers that a thread keeps; older ones are deleted.
const KEPT: u64 = 200;

fn key(thread: u64, number: u64) -> Vec<u8> {
    format!("{thread}/{number:012}").into_bytes()
}

/// The last number of a thread that is there.
fn last(store: &Store, thread: u64) -> Option<u64> {
    let prefix = format!("{thread}/");
    let end = prefix_end(prefix.as_bytes());
    let range = Range { start: prefix.as_bytes(), end: end.as_deref() };
    let listing = store.range(&range, 1, u64::MAX, true).expect("the store is open");
    listing.entries.first().map(|(key, _)| {
        let text = std::str::from_utf8(&key[prefix.len()..]).expect("digits");
        text.parse().expect("a number")
    })
}

/// Segments and snapshots come and go within a few rounds.
fn options(is_hosted: bool) -> Options {
    let log = log::Options { segment_bytes: 64 << 10, ..log::Options::default() };
    let engine = engine::Options { snapshot_bytes: 128 << 10, log, ..engine::Options::default() };
    Options { timeout: LONG, is_hosted, engine, ..Options::default() }
}

/// Writes until it is killed.
pub(super) fn write(dir: &Path, is_hosted: bool) {
    let store = Store::open(dir, options(is_hosted)).expect("the store opens");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut number = last(store, thread).map_or(0, |last| last + 1);
                let mut requests = 0;
                loop {
                    let call = if number.is_multiple_of(10) { local() } else { memory() };
                    let value = number.to_string();
                    let done =
                        store.put(&key(thread, number), value.as_bytes(), &call).expect("there is room");
                    if done.durability >= Durability::Local {
                        // One write: what is killed in between has not said it.
                        let line = format!("local {thread} {number}\n");
                        std::io::stdout().write_all(line.as_bytes()).expect("the parent reads");
                    }
                    if let Some(old) = number.checked_sub(KEPT) {
                        store.delete(&key(thread, old), &memory()).expect("there is room");
                    }
                    number += 1;
                    if number.is_multiple_of(7) {
                        requests += 1;
                        transfer(store, thread, number, requests);
                    }
                }
            });
        }
    });
}

fn transfer(store: &Store, thread: u64, salt: u64, number: u64) {
    let steps = vec![
        Step::Increment { key: b"account/a", by: 3 },
        Step::Increment { key: b"account/b", by: -3 },
        Step::Append { key: b"log", value: b"." },
    ];
    let transaction =
        Transaction { conditions: vec![], then: steps, otherwise: vec![], on_refusal: OnRefusal::Abort };
    let mut client = [thread as u8; 16];
    client[..8].copy_from_slice(&(u64::from(std::process::id()) << 32 | salt).to_le_bytes());
    let call = Call { request: Some(RequestId { client, number }), ..memory() };
    let done = store.transaction(transaction.clone(), &call).expect("there is room");
    // Sent again, it is not done again.
    let again = store.transaction(transaction, &call).expect("there is room");
    assert!(again.is_repeated && again.sequence == done.sequence && again.answer == done.answer);
}

#[test]
fn what_was_answered_survives_the_process() {
    kill_again_and_again("write");
}

#[test]
fn what_was_answered_survives_the_process_of_a_hosted_store() {
    kill_again_and_again("write-hosted");
}

fn kill_again_and_again(part: &str) {
    let rounds = std::env::var("TRIMTAB_STORE_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let mut folder = Folder::new("kill");
    let mut rng = Rng::new(rounds);
    let mut told = [None::<u64>; THREADS as usize];
    let (mut lines, mut snapshots) = (0, 0);
    for round in 0..rounds {
        if round > 0 && round.is_multiple_of(ROUNDS_OF_A_STORE) {
            (folder, told) = (Folder::new("kill"), [None; THREADS as usize]);
        }
        let mut writer = child(part, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the child starts");
        let mut output = BufReader::new(writer.stdout.take().expect("its output is a pipe"));
        // Killed after so many lines: wherever it is then.
        let mut left = 1 + rng.below(30);
        let mut line = String::new();
        let mut is_killed = false;
        while output.read_line(&mut line).expect("the pipe is read") > 0 {
            if let Some(rest) = line.trim().strip_prefix("local ") {
                let (thread, number) = rest.split_once(' ').expect("two numbers");
                let (thread, number): (usize, u64) =
                    (thread.parse().expect("a number"), number.parse().expect("a number"));
                told[thread] = told[thread].max(Some(number));
                lines += 1;
                left = left.saturating_sub(1);
                if left == 0 && !is_killed {
                    writer.kill().expect("it runs");
                    is_killed = true;
                }
            }
            line.clear();
        }
        let status = writer.wait().expect("it was started");
        assert!(is_killed && !status.success(), "round {round}: the child ended by itself: {status}");
        snapshots += u64::from(check(&folder, &told, round) > 0);
    }
    assert!(lines > rounds && snapshots > 0, "{lines} lines, {snapshots} rounds with a snapshot");
}

/// Gives the sequence of the snapshot that is there.
fn check(folder: &Folder, told: &[Option<u64>], round: u64) -> u64 {
    let store = Store::open(folder.path(), options(false)).expect("the store opens");
    for (thread, told) in told.iter().enumerate() {
        let thread = thread as u64;
        let Some(last) = last(&store, thread) else {
            assert!(told.is_none(), "round {round}: nothing of thread {thread}, {told:?} was told");
            continue;
        };
        assert!(Some(last) >= *told, "round {round}: thread {thread} is at {last}, {told:?} was told");
        for number in last.saturating_sub(KEPT - 1)..=last {
            let value = value_of(&store, &key(thread, number));
            assert_eq!(value, Some(number.to_string().into_bytes()), "round {round}: {thread}/{number}");
        }
    }
    let number = |key: &[u8]| -> i64 {
        value_of(&store, key).map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap())
    };
    let transfers = value_of(&store, b"log").map_or(0, |log| log.len() as i64);
    assert_eq!(
        (number(b"account/a"), number(b"account/b")),
        (3 * transfers, -3 * transfers),
        "round {round}"
    );
    // Whoever was killed amidst a put left nothing half done behind: the next one is taken.
    let text = round.to_string();
    let put = Step::Put {
        key: b"round",
        value: text.as_bytes(),
        condition: Condition::Always,
        lifetime: Lifetime::Unbounded,
        previous: false,
    };
    store.call(&Operation::Step(put), &local()).expect("there is room");
    let snapshot = store.status().expect("it is open").snapshot;
    store.close().expect("all is written");
    snapshot
}
