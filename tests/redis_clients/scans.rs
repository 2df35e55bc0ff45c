//! Scans that go on by whichever connection, whichever worker serves it.

use std::collections::BTreeSet;

use crate::support::{Client, Served};

/// A connection to each of two workers.
fn one_of_each(served: &Served) -> [Client; 2] {
    let mut found: [Option<Client>; 2] = [None, None];
    for _ in 0..200 {
        let mut client = served.connect();
        // Workers number their clients in turn.
        let worker = client.number("CLIENT ID") as usize % 2;
        found[worker] = Some(client);
        if found.iter().all(Option::is_some) {
            return found.map(|client| client.expect("both are there"));
        }
    }
    panic!("all connections went to one worker");
}

/// One step: the next cursor, and the keys.
fn step(client: &mut Client, cursor: &str, count: usize) -> (String, Vec<String>) {
    let answer = client.ask(&format!("SCAN {cursor} COUNT {count}"));
    let lines: Vec<&str> = answer.split('|').collect();
    assert_eq!(lines[0], "*2", "{answer}");
    let keys = lines[4..].chunks(2).map(|pair| pair[1].to_owned()).collect();
    (lines[2].to_owned(), keys)
}

fn filled(served: &Served, keys: usize) -> BTreeSet<String> {
    let store = served.server.store().unwrap();
    let names: BTreeSet<String> = (0..keys).map(|at| format!("key:{at:04}")).collect();
    for name in &names {
        store.put(name.as_bytes(), b"v", &Default::default()).unwrap();
    }
    names
}

#[test]
fn a_scan_goes_on_by_the_connection_of_another_worker() {
    let served = Served::start(2, "durability = \"memory\"");
    let names = filled(&served, 300);
    let mut clients = one_of_each(&served);
    // Two scans at once, each by both connections in turn.
    let mut scans = [("0".to_owned(), Vec::new(), 7), ("0".to_owned(), Vec::new(), 11)];
    let mut turn = 0;
    while scans.iter().any(|(cursor, keys, _)| cursor != "0" || keys.is_empty()) {
        for (cursor, keys, count) in &mut scans {
            if cursor == "0" && !keys.is_empty() {
                continue;
            }
            turn += 1;
            let (next, found) = step(&mut clients[turn / 3 % 2], cursor, *count);
            keys.extend(found);
            *cursor = next;
        }
    }
    let expected: Vec<String> = names.into_iter().collect();
    assert_eq!(scans[0].1, expected);
    assert_eq!(scans[1].1, expected);
}

#[test]
fn what_is_there_all_the_time_is_told_whatever_comes_and_goes() {
    let served = Served::start(2, "durability = \"memory\"");
    let names = filled(&served, 300);
    let mut clients = one_of_each(&served);
    let (mut cursor, mut told, mut turn) = ("0".to_owned(), Vec::new(), 0);
    loop {
        turn += 1;
        let (next, found) = step(&mut clients[turn % 2], &cursor, 10);
        // What was told goes, the one behind which the scan goes on too, and others come before and behind.
        for key in &found {
            assert_eq!(clients[0].number(&format!("DEL {key}")), 1);
        }
        clients[1].ask(&format!("MSET a{turn} 1 key:{turn:04}+ 1 z{turn} 1"));
        told.extend(found);
        cursor = next;
        if cursor == "0" {
            break;
        }
        // Whoever asks for the same step once more is told the same, but for what is gone.
        if turn == 5 {
            assert_eq!(step(&mut clients[0], &cursor, 10).1, step(&mut clients[1], &cursor, 10).1);
        }
    }
    let once: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(once.len(), told.len(), "each is told once");
    assert!(names.is_subset(&once));
}

#[test]
fn a_cursor_of_before_a_restart_is_refused() {
    let served = Served::start(2, "durability = \"memory\"");
    filled(&served, 50);
    let (cursor, _) = step(&mut served.connect(), "0", 10);
    assert!(cursor.parse::<u64>().unwrap() < 1 << 53);
    let served = Served::start_in(served.end(), 2, "durability = \"memory\"");
    let mut client = served.connect();
    // Whatever was begun meanwhile.
    for _ in 0..20 {
        step(&mut client, "0", 10);
    }
    for forgotten in [cursor.as_str(), "1", "2", "18446744073709551615"] {
        let answer = client.ask(&format!("SCAN {forgotten} COUNT 10"));
        assert!(answer.starts_with("-ERR this scan is forgotten"), "{forgotten}: {answer}");
    }
}
