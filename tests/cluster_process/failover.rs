//! Nodes that are killed, stopped and ended while clients write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::process::until;
use crate::support::{Client, Cluster};

const CLIENTS: usize = 4;

/// Writes rising numbers to keys of its own until it is told to stop, on whichever node takes them; gives the last one
/// that was acknowledged of each key.
fn load(
    addresses: &[std::net::SocketAddr],
    client: usize,
    acknowledged: &AtomicU64,
    is_over: &AtomicBool,
) -> BTreeMap<String, u64> {
    let mut last = BTreeMap::new();
    let (mut at, mut connection, mut number) = (client, None, 0u64);
    while !is_over.load(Ordering::Relaxed) {
        if connection.is_none() {
            at += 1;
            connection = Client::connect(addresses[at % addresses.len()]);
            if connection.is_none() {
                continue;
            }
        }
        number += 1;
        let key = format!("{client}:{}", number % 20);
        match connection.as_mut().unwrap().ask(&format!("SET {key} {number}")).as_deref() {
            Some("+OK") => {
                last.insert(key, number);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // Whatever it says or does not say: it may have been done, and is written anew.
            _ => connection = None,
        }
    }
    last
}

/// Has clients write, does `trouble` meanwhile, and sees to it that writes go on; gives what was acknowledged.
fn under_load(cluster: &mut Cluster, trouble: impl FnOnce(&mut Cluster)) -> BTreeMap<String, u64> {
    let addresses: Vec<_> = (0..3).map(|at| cluster.resp(at)).collect();
    let (acknowledged, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (addresses, acknowledged, is_over) =
                (addresses.clone(), Arc::clone(&acknowledged), Arc::clone(&is_over));
            std::thread::spawn(move || load(&addresses, client, &acknowledged, &is_over))
        })
        .collect();
    until("clients write", || acknowledged.load(Ordering::Relaxed) > 200);
    trouble(cluster);
    let before = acknowledged.load(Ordering::Relaxed);
    until("clients go on", || acknowledged.load(Ordering::Relaxed) > before + 200);
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// Everything that was acknowledged is there, or what the same client wrote after it.
fn check(cluster: &Cluster, acknowledged: &BTreeMap<String, u64>) {
    let mut client = cluster.connect(cluster.primary());
    for (key, number) in acknowledged {
        let answer = client.ask(&format!("GET {key}")).unwrap();
        let there = answer.split('|').nth(1).and_then(|text| text.parse::<u64>().ok());
        assert!(there.is_some_and(|there| there >= *number), "{key}: {number} was acknowledged, {answer}");
    }
}

#[test]
fn a_primary_that_is_killed_takes_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start("");
    for _ in 0..2 {
        let mut killed = 0;
        let acknowledged = under_load(&mut cluster, |cluster| {
            killed = cluster.primary();
            cluster.kill(killed);
        });
        let left: Vec<usize> = (0..3).filter(|at| *at != killed).collect();
        let second = cluster.primary_of(&left);
        assert_ne!(second, killed);
        cluster.start_node(killed);
        check(&cluster, &acknowledged);
    }
}

#[test]
fn a_primary_that_is_ended_hands_over() {
    let mut cluster = Cluster::start("");
    let acknowledged = under_load(&mut cluster, |cluster| {
        let primary = cluster.primary();
        cluster.end(primary);
        cluster.start_node(primary);
    });
    check(&cluster, &acknowledged);
}

/// Where a client's last write is.
fn position(client: &mut Client) -> (u64, u64) {
    let told = client.ask("TRIMTAB POSITION").unwrap();
    let numbers: Vec<u64> = told.split('|').filter_map(|it| it.strip_prefix(':')?.parse().ok()).collect();
    assert_eq!(numbers.len(), 2, "{told}");
    (numbers[0], numbers[1])
}

#[test]
fn a_primary_that_stood_still_shows_nothing_that_is_over() {
    let cluster = Cluster::start("stale_max = \"100ms\"\nforward = false");
    let stopped = cluster.primary();
    let mut before = cluster.connect(stopped);
    assert_eq!(before.ask("SET key old").as_deref(), Some("+OK"));
    assert_eq!(before.ask("SET kept 1").as_deref(), Some("+OK"));
    assert_eq!(before.ask("GET key").as_deref(), Some("$3|old"));
    let (epoch, kept) = position(&mut before);
    cluster.stop(stopped);
    // These wait in its socket for when it goes on.
    assert!(before.say("GET key") && before.say("SET key late") && before.say("GET key"));
    let others: Vec<usize> = (0..3).filter(|at| *at != stopped).collect();
    let next = cluster.primary_of(&others);
    let mut client = cluster.connect(next);
    until("the next one takes writes", || client.ask("SET key new").as_deref() == Some("+OK"));
    assert_eq!(client.ask("GET kept").as_deref(), Some("$1|1"));
    cluster.signal(stopped, "-CONT");
    let seen: Vec<Option<String>> = (0..3).map(|_| before.answer()).collect();
    for answer in [&seen[0], &seen[2]] {
        let is_right = answer.as_deref().is_none_or(|it| it == "$3|new" || it.starts_with('-'));
        assert!(is_right, "{seen:?}");
    }
    // What would be behind its last write in its own epoch is lost for good, and every node says so.
    let (_, sequence) = position(&mut client);
    assert!(sequence > kept);
    for at in 0..3 {
        // Without `forward` a node ends connections when another one is primary in its place.
        let ask = |sequence: u64| {
            cluster.connect(at).ask(&format!("TRIMTAB AFTER {epoch} {sequence} 5000 GET kept"))
        };
        until("it knows the next primary", || ask(sequence).is_some_and(|told| told.starts_with("-LOST")));
        until("what was kept is there", || ask(kept).as_deref() == Some("$1|1"));
    }
    // It was not primary any more when it took this in.
    assert!(seen[1].as_deref().is_none_or(|it| it.starts_with('-')), "{seen:?}");
    assert_eq!(client.ask("GET key").as_deref(), Some("$3|new"));
    // It follows.
    until("it shows what there is", || cluster.connect(stopped).ask("GET key").as_deref() == Some("$3|new"));
    let role = cluster.connect(stopped).ask("ROLE").unwrap();
    assert!(role.contains("slave"), "{role}");
}

/// A primary that is ended hands over. A balancer that writes, which asks where it is in the log, hears of the other one in its
/// own time: its connection stands until it goes, and what it sends meanwhile is refused, for it to send elsewhere.
#[test]
fn who_follows_the_primary_leaves_one_that_is_ended_by_itself() {
    let mut cluster = Cluster::start("");
    let primary = cluster.primary();
    let (mut balancer, mut plain) = (cluster.connect(primary), cluster.connect(primary));
    assert_eq!(balancer.ask("SET a 1").as_deref(), Some("+OK"));
    let position = balancer.ask("TRIMTAB POSITION").unwrap();
    assert!(!position.starts_with('-'), "{position}");
    assert_eq!(plain.ask("GET a").as_deref(), Some("$1|1"));
    cluster.signal(primary, "-TERM");
    assert_eq!(plain.answer(), None, "the others are ended at once");
    let others: Vec<usize> = (0..3).filter(|at| *at != primary).collect();
    let next = cluster.primary_of(&others);
    assert!(balancer.ask("SET a 2").is_some_and(|told| told.starts_with("-READONLY ")));
    assert_eq!(cluster.connect(next).ask("SET a 2").as_deref(), Some("+OK"));
    drop(balancer);
    cluster.end(primary);
}
