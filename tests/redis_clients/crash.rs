//! The server killed under load: every write that was acknowledged is there again. `TRIMTAB_SERVER_ROUNDS=N` has it killed so
//! often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::{Client, config, encoded};

const CLIENTS: usize = 6;
const ROUNDS: u64 = 40;

fn rounds() -> u64 {
    std::env::var("TRIMTAB_SERVER_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"))
}

fn start(folder: &Folder) -> (Running, SocketAddr) {
    let running = Running::start(&config(&folder.file("data"), 2, ""), None);
    let address = running.status()["store"]["clients"]["address"].as_str().unwrap().parse().unwrap();
    (running, address)
}

/// Sends SETs in batches until the server is gone; gives what was acknowledged last of each key. It has begun once there is
/// something.
fn load(
    address: SocketAddr,
    client: usize,
    round: u64,
    begun: &Barrier,
    is_over: &AtomicBool,
) -> BTreeMap<String, u64> {
    let mut connection = Client::connect(address);
    let mut acknowledged = BTreeMap::new();
    let mut next = round << 32;
    let mut begins = Some(begun);
    while !is_over.load(Ordering::Relaxed) {
        let mut requests = Vec::new();
        let batch: Vec<(String, u64)> = (0..1 + next % 5)
            .map(|at| {
                next += 1;
                (format!("{client}:{}", (next + at) % 50), next)
            })
            .collect();
        for (key, value) in &batch {
            requests.extend(encoded(&[b"SET", key.as_bytes(), value.to_string().as_bytes()]));
        }
        use std::io::Write;
        if connection.0.get_mut().write_all(&requests).is_err() {
            break;
        }
        for (key, value) in batch {
            match connection.try_answer().as_deref() {
                Some("+OK") => acknowledged.insert(key, value),
                Some(other) => panic!("{other}"),
                None => return acknowledged,
            };
        }
        if let Some(begun) = begins.take() {
            begun.wait();
        }
    }
    acknowledged
}

/// The same with redis-benchmark beside it, which does not end by itself; a quarter as often.
#[test]
fn nor_is_one_lost_under_the_load_of_redis_benchmark() {
    let folder = Folder::new();
    let mut all = BTreeMap::new();
    for round in 1..=rounds().div_ceil(4) {
        let (running, address) = start(&folder);
        expect(&mut Client::connect(address), &all, round);
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &address.port().to_string(), "-q", "-c", "20", "-P", "16", "-r", "10000"]);
        command.args(["-n", "1000000000", "-t", "set"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        let mut benchmark =
            child.unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs it"));
        let (begun, is_over) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
        let recorder = {
            let (begun, is_over) = (Arc::clone(&begun), Arc::clone(&is_over));
            std::thread::spawn(move || load(address, 0, round, &begun, &is_over))
        };
        begun.wait();
        let mut watcher = Client::connect(address);
        // Keys of its own come, and of the recorder's there are at most 50.
        until("redis-benchmark writes", || {
            watcher.number("DBSIZE") > 100 && watcher.number("EXISTS 0:7") == 1
        });
        for _ in 0..20 {
            watcher.ask("INCR pace");
        }
        drop(running);
        is_over.store(true, Ordering::Relaxed);
        let acknowledged = recorder.join().unwrap();
        assert!(!acknowledged.is_empty());
        all.extend(acknowledged);
        benchmark.kill().unwrap();
        benchmark.wait().unwrap();
    }
}

/// What was acknowledged is there; a later one of the same client may have been written without having been.
fn expect(reader: &mut Client, acknowledged: &BTreeMap<String, u64>, round: u64) {
    for (key, value) in acknowledged {
        let found = reader.ask(&format!("GET {key}"));
        let found: u64 = found.split_once('|').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
        assert!(found >= *value, "round {round}: {key} is {found}, and {value} was acknowledged");
    }
}

#[test]
fn each_acknowledged_write_is_there_after_a_kill() {
    let folder = Folder::new();
    let mut all = BTreeMap::new();
    for round in 1..=rounds() {
        let (running, address) = start(&folder);
        expect(&mut Client::connect(address), &all, round);
        let (begun, is_over) = (Arc::new(Barrier::new(CLIENTS + 1)), Arc::new(AtomicBool::new(false)));
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (begun, is_over) = (Arc::clone(&begun), Arc::clone(&is_over));
                std::thread::spawn(move || load(address, client, round, &begun, &is_over))
            })
            .collect();
        begun.wait();
        let mut watcher = Client::connect(address);
        while watcher.number("DBSIZE") < 100 * i64::from(round == 1) {}
        for _ in 0..round * 7 % 60 {
            watcher.ask("INCR pace");
        }
        // Dropping it kills it.
        drop(running);
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            let acknowledged = thread.join().unwrap();
            assert!(!acknowledged.is_empty());
            all.extend(acknowledged);
        }
    }
}
