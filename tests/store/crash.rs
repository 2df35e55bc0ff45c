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
use trimtab::store::engine::Durability;
use trimtab::store::index::{
    Condition, Lifetime, OnRefusal, Operation, Range, RequestId, Step, Transaction, prefix_end,
};

use crate::support::{Folder, child, local, memory, open, value_of};

const ROUNDS: u64 = 40;
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

/// Writes until it is killed.
pub(super) fn write(dir: &Path, options: Options) {
    let store = Store::open(dir, options).expect("the store opens");
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
    let folder = Folder::new("kill");
    let mut rng = Rng::new(rounds);
    let mut told = [None::<u64>; THREADS as usize];
    let (mut lines, mut snapshots) = (0, 0);
    for round in 0..rounds {
        let mut writer = child(part, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the child starts");
        let mut output = BufReader::new(writer.stdout.take().expect("its output is a pipe"));
        // Killed after so many lines: wherever it is then.
        let mut left = 1 + rng.below(60);
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
        check(&folder, &told, round);
        let store = open(&folder);
        snapshots += u64::from(store.status().unwrap().snapshot > 0);
    }
    assert!(lines > rounds && snapshots > 0, "{lines} lines, {snapshots} rounds with a snapshot");
}

fn check(folder: &Folder, told: &[Option<u64>], round: u64) {
    let store = open(folder);
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
    store.close().expect("all is written");
}
