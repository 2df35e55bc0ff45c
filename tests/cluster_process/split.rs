//! Clients of a listener that splits reads from writes, before nodes that are killed and restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::process::until;
use crate::support::{Client, Cluster};

/// The learner, which is neither killed nor restarted.
const LEARNER: usize = 3;
const CLIENTS: usize = 4;

fn ready(cluster: &Cluster) -> Client {
    cluster.primary();
    let mut client = Client::connect(cluster.split(LEARNER)).expect("it listens");
    until("the listener knows the primary", || client.ask("SET ready 1").as_deref() == Some("+OK"));
    client
}

#[test]
fn one_address_is_one_store() {
    let cluster = Cluster::start_splitting("reads = \"replicas\"");
    let mut client = ready(&cluster);
    let mut other = Client::connect(cluster.split(0)).expect("it listens");
    until("another listener does too", || other.ask("SET other 1").as_deref() == Some("+OK"));
    for round in 0..300 {
        assert_eq!(client.ask(&format!("SET key {round}")).as_deref(), Some("+OK"));
        let text = round.to_string();
        assert_eq!(client.ask("GET key"), Some(format!("${}|{text}", text.len())), "its own write");
        assert_eq!(client.ask(&format!("HSET hash f {round}")), Some(format!(":{}", u8::from(round == 0))));
        assert_eq!(client.ask("HGET hash f"), Some(format!("${}|{text}", text.len())));
    }
    // Sent together, and done in their order.
    for command in ["SET a 1", "GET a", "INCR a", "GET a", "DEL a", "GET a"] {
        assert!(client.say(command));
    }
    let answers: Vec<String> = (0..6).map(|_| client.answer().unwrap()).collect();
    assert_eq!(answers, ["+OK", "$1|1", ":2", "$1|2", ":1", "$-1"]);
    assert_eq!(client.ask("MULTI").as_deref(), Some("+OK"));
    assert_eq!(client.ask("INCR n").as_deref(), Some("+QUEUED"));
    assert_eq!(client.ask("GET n").as_deref(), Some("+QUEUED"));
    assert_eq!(client.ask("EXEC").as_deref(), Some("*2|:1|$1|1"));
    // Whoever else writes what is watched is noticed.
    assert_eq!(client.ask("WATCH n").as_deref(), Some("+OK"));
    assert_eq!(other.ask("INCR n").as_deref(), Some(":2"));
    assert_eq!(client.ask("MULTI").as_deref(), Some("+OK"));
    assert_eq!(client.ask("SET n 9").as_deref(), Some("+QUEUED"));
    assert_eq!(client.ask("EXEC").as_deref(), Some("*-1"));
    assert_eq!(client.ask("GET n").as_deref(), Some("$1|2"));
    assert_eq!(client.ask("SET safe 1").as_deref(), Some("+OK"));
    until("WAIT counts the other nodes", || client.ask("WAIT 3 1000").as_deref() == Some(":3"));
    assert!(client.ask("ROLE").unwrap().contains("master"));
    let options = client.ask("CONFIG GET maxclients").unwrap();
    assert!(options.starts_with("*2|$10|maxclients|"), "{options}");
    assert_eq!(cluster.connect(cluster.primary()).ask("CONFIG GET maxclients"), Some(options));
    // A scan ends with all there is.
    let mut cursor = "0".to_owned();
    let mut keys = 0;
    loop {
        let answer = client.ask(&format!("SCAN {cursor} COUNT 2")).unwrap();
        let lines: Vec<&str> = answer.split('|').collect();
        cursor = lines[2].to_owned();
        keys += lines[3][1..].parse::<usize>().unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(Some(format!(":{keys}")), client.ask("DBSIZE"));
    // Messages.
    let mut subscriber = Client::connect(cluster.split(1)).expect("it listens");
    until("it subscribes", || {
        subscriber.ask("SUBSCRIBE news").is_some_and(|told| told.contains("subscribe"))
    });
    until("it is heard", || client.ask("PUBLISH news hello").as_deref() == Some(":1"));
    assert!(subscriber.answer().unwrap().contains("hello"));
    // Replicas have been asked: by connections that are to be no older than a second.
    let primary = cluster.primary();
    let readers = (0..4).filter(|at| *at != primary).filter(|at| {
        let list = cluster.connect(*at).ask("CLIENT LIST").unwrap();
        list.contains("cmd=get ") || list.contains("cmd=hget ") || list.contains("cmd=scan ")
    });
    assert!(readers.count() > 0, "no replica was read");
}

#[test]
fn a_scan_goes_on_by_any_connection_to_any_listener() {
    let cluster = Cluster::start_splitting("reads = \"any\"");
    let mut client = ready(&cluster);
    let mut names = BTreeSet::new();
    for at in 0..60 {
        let name = format!("scanned:{at:03}");
        assert_eq!(client.ask(&format!("SET {name} v")).as_deref(), Some("+OK"));
        names.insert(name);
    }
    until("all nodes have it", || client.ask("WAIT 3 1000").as_deref() == Some(":3"));
    let mut clients: Vec<Client> =
        (0..8).map(|at| Client::connect(cluster.split(at % 4)).expect("it listens")).collect();
    let step = |client: &mut Client, cursor: &str| {
        let answer = client.ask(&format!("SCAN {cursor} COUNT 5 MATCH scanned:*")).unwrap();
        let lines: Vec<&str> = answer.split('|').collect();
        assert_eq!(lines[0], "*2", "{answer}");
        let keys: Vec<String> = lines[4..].chunks(2).map(|pair| pair[1].to_owned()).collect();
        (lines[2].to_owned(), keys)
    };
    // As many scans, begun at several nodes.
    let mut scans = Vec::new();
    until("more than one node gives cursors", || {
        scans = clients.iter_mut().map(|client| step(client, "0")).collect();
        let nodes: BTreeSet<u64> =
            scans.iter().map(|(cursor, _)| cursor.parse::<u64>().unwrap() >> 45).collect();
        nodes.len() > 1
    });
    // Each goes on with each client in turn, while the others do.
    let mut turn = 0;
    while scans.iter().any(|(cursor, _)| cursor != "0") {
        turn += 1;
        for (at, (cursor, found)) in scans.iter_mut().enumerate().filter(|(_, (cursor, _))| cursor != "0") {
            let (next, keys) = step(&mut clients[(at + turn) % 8], cursor);
            *cursor = next;
            found.extend(keys);
        }
    }
    let expected: Vec<String> = names.into_iter().collect();
    for (at, (_, found)) in scans.into_iter().enumerate() {
        assert_eq!(found, expected, "begun by client {at}");
    }
}

/// What a client came to: the last number that was acknowledged of each key, and what else it was told.
#[derive(Default)]
struct Seen {
    last: BTreeMap<String, u64>,
    errors: Vec<String>,
}

/// Writes rising numbers to keys of its own and reads them, by one connection, until it is told to stop.
fn load(address: SocketAddr, client: usize, acknowledged: &AtomicU64, is_over: &AtomicBool) -> Seen {
    let mut connection = Client::connect(address).expect("it listens");
    let (mut seen, mut number) = (Seen::default(), 0u64);
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("{client}:{}", number % 20);
        let answer = connection.ask(&format!("SET {key} {number}")).expect("the listener is there");
        if answer == "+OK" {
            seen.last.insert(key.clone(), number);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            seen.errors.push(answer);
        }
        let answer = connection.ask(&format!("GET {key}")).expect("the listener is there");
        let there = answer.split('|').nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let least = seen.last.get(&key).copied().unwrap_or(0);
        assert!(there >= least, "{key}: it wrote {least} and reads {answer}");
    }
    seen
}

/// Has clients write, does `trouble` meanwhile, and sees to it that writes go on.
fn under_load(cluster: &mut Cluster, trouble: impl FnOnce(&mut Cluster, &dyn Fn())) -> Vec<Seen> {
    let address = cluster.split(LEARNER);
    let (acknowledged, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
            std::thread::spawn(move || load(address, client, &acknowledged, &is_over))
        })
        .collect();
    let goes_on = || {
        let before = acknowledged.load(Ordering::Relaxed);
        until("clients go on", || acknowledged.load(Ordering::Relaxed) > before + 200);
    };
    goes_on();
    trouble(cluster, &goes_on);
    goes_on();
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

/// Everything that was acknowledged is there, or what the same client wrote after it.
fn check(cluster: &Cluster, all: &[Seen]) {
    let mut client = Client::connect(cluster.split(LEARNER)).expect("it listens");
    for (key, number) in all.iter().flat_map(|seen| &seen.last) {
        let answer = client.ask(&format!("GET {key}")).unwrap();
        let there = answer.split('|').nth(1).and_then(|text| text.parse::<u64>().ok());
        assert!(there.is_some_and(|there| there >= *number), "{key}: {number} was acknowledged, {answer}");
    }
}

#[test]
fn a_primary_that_is_killed_costs_a_client_one_error_at_most() {
    let mut cluster = Cluster::start_splitting("");
    ready(&cluster);
    let all = under_load(&mut cluster, |cluster, _| {
        let primary = cluster.primary();
        cluster.kill(primary);
        let left: Vec<usize> = (0..3).filter(|at| *at != primary).collect();
        cluster.primary_of(&left);
    });
    check(&cluster, &all);
    for seen in &all {
        assert!(seen.errors.len() <= 1, "{:?}", seen.errors);
        // What may have been done is said to be so.
        let is_known = |error: &String| error.starts_with("-INDOUBT ") || error.starts_with("-UNKNOWN ");
        assert!(seen.errors.iter().all(is_known), "{:?}", seen.errors);
    }
}

#[test]
fn nodes_that_are_restarted_in_turn_fail_no_write() {
    let mut cluster = Cluster::start_splitting("");
    ready(&cluster);
    let all = under_load(&mut cluster, |cluster, goes_on| {
        for at in 0..3 {
            cluster.end(at);
            goes_on();
            cluster.start_node(at);
            // It has to be there before the next one goes, or most of them are away.
            until("it is in the cluster again", || {
                Client::connect(cluster.resp(at))
                    .and_then(|mut client| client.ask("GET ready"))
                    .is_some_and(|answer| answer == "$1|1")
            });
            goes_on();
        }
    });
    check(&cluster, &all);
    let errors: Vec<&String> = all.iter().flat_map(|seen| &seen.errors).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Hands over to another node, by the primary's own word.
fn hand_over(cluster: &Cluster) {
    let before = cluster.primary();
    until("it hands over", || {
        cluster.connect(before).ask("SENTINEL FAILOVER trimtab").as_deref() == Some("+OK")
    });
    until("another one is primary", || {
        let mut others = (0..3).filter(|at| *at != before);
        others.any(|at| cluster.connect(at).ask("ROLE").is_some_and(|role| role.contains("master")))
    });
}

#[test]
fn where_nodes_pass_nothing_on_a_handover_fails_no_transaction() {
    let cluster = Cluster::start_splitting_store("learners = [\"n3\"]\nforward = false", "");
    ready(&cluster);
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = cluster.split(client);
            let (is_over, done) = (&is_over, &done);
            scope.spawn(move || {
                let mut connection = Client::connect(address).expect("it listens");
                until("the listener knows the primary", || {
                    connection.ask("SET ready 1").as_deref() == Some("+OK")
                });
                let mut count = 0u64;
                while !is_over.load(Ordering::Relaxed) {
                    count += 1;
                    for command in ["MULTI", "SET key value", &format!("INCR count{client}"), "EXEC"] {
                        assert!(connection.say(command));
                    }
                    let told: Vec<String> = (0..4).map(|_| connection.answer().unwrap()).collect();
                    assert_eq!(told[3], format!("*2|+OK|:{count}"), "once each, and none fails");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..6 {
            hand_over(&cluster);
            let before = done.load(Ordering::Relaxed);
            until("transactions go on", || done.load(Ordering::Relaxed) > before + 20);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn own_writes_are_seen_where_one_node_makes_them_durable() {
    let cluster =
        Cluster::start_splitting_store("learners = [\"n3\"]\ndurability = \"local\"", "reads = \"primary\"");
    ready(&cluster);
    for at in 0..4 {
        let mut client = Client::connect(cluster.split(at)).expect("it listens");
        until("the listener knows the primary", || client.ask("SET ready 1").as_deref() == Some("+OK"));
        for round in 0..100 {
            let value = format!("${}|{round}", round.to_string().len());
            assert_eq!(client.ask(&format!("SET a {round}")).as_deref(), Some("+OK"));
            assert_eq!(client.ask("GET a"), Some(value.clone()));
            assert_eq!(client.ask(&format!("SET b {round}")).as_deref(), Some("+OK"));
            assert_eq!(client.ask("MULTI").as_deref(), Some("+OK"));
            assert_eq!(client.ask("GET b").as_deref(), Some("+QUEUED"));
            assert_eq!(client.ask("EXEC"), Some(format!("*1|{value}")));
            assert_eq!(client.ask(&format!("SET c {round}")).as_deref(), Some("+OK"));
            assert_eq!(client.ask("WATCH c").as_deref(), Some("+OK"));
            assert_eq!(client.ask("GET c"), Some(value));
            assert_eq!(client.ask("MULTI").as_deref(), Some("+OK"));
            assert_eq!(client.ask("DEL c").as_deref(), Some("+QUEUED"));
            assert_eq!(client.ask("EXEC").as_deref(), Some("*1|:1"), "nobody else has changed it");
        }
    }
}

#[test]
fn a_pool_of_the_nodes_follows_the_primary() {
    let cluster = Cluster::start_splitting(
        "[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"primary\"\n\
         [[pool]]\nname = \"primary\"\nstore = { role = \"primary\" }\non_down = \"close\"",
    );
    ready(&cluster);
    let connect = |cluster: &Cluster| Client::connect(cluster.pooled(LEARNER)).expect("it listens");
    let is_master = |client: &mut Client| client.ask("ROLE").is_some_and(|role| role.contains("master"));
    let before = cluster.primary();
    let mut client = connect(&cluster);
    until("it leads to the primary", || {
        let leads = is_master(&mut client);
        if !leads {
            client = connect(&cluster);
        }
        leads
    });
    // This one is left alone by its node, and cut with the epoch.
    let mut idle = connect(&cluster);
    assert!(is_master(&mut idle));
    cluster.signal(before, "-STOP");
    let others: Vec<usize> = (0..3).filter(|at| *at != before).collect();
    let next = cluster.primary_of(&others);
    assert!(idle.answer().is_none(), "its session is cut");
    until("it leads to the next primary", || is_master(&mut connect(&cluster)));
    assert!(cluster.connect(next).ask("ROLE").unwrap().contains("master"));
    cluster.signal(before, "-CONT");
}

/// A write that was in doubt since the primary stood still is not done when that goes on: later ones of the same client were
/// answered meanwhile.
#[test]
fn what_was_given_up_is_not_done_later() {
    let cluster = Cluster::start_splitting("reads = \"primary\"");
    let mut client = ready(&cluster);
    let old = cluster.primary();
    cluster.stop(old);
    assert!(client.say("SET key first") && client.say("INCR n"));
    for _ in 0..2 {
        let told = client.answer().expect("it is told");
        assert!(told.starts_with("-INDOUBT "), "{told}");
    }
    assert_eq!(client.ask("SET key second").as_deref(), Some("+OK"));
    assert_eq!(client.ask("INCR n").as_deref(), Some(":1"));
    cluster.signal(old, "-CONT");
    until("it follows", || cluster.connect(old).ask("ROLE").is_some_and(|role| role.contains("slave")));
    // Passed on by it behind whatever lay there.
    until("it passes on", || cluster.connect(old).ask("SET after 1").as_deref() == Some("+OK"));
    until("all nodes have it", || client.ask("WAIT 3 1000").as_deref() == Some(":3"));
    assert_eq!(client.ask("GET key").as_deref(), Some("$6|second"));
    assert_eq!(client.ask("GET n").as_deref(), Some("$1|1"));
}

/// The listener of a process that stood still does nothing for who gave up meanwhile, and was answered elsewhere.
#[test]
fn a_listener_that_stood_still_does_nothing_for_who_has_gone() {
    let cluster = Cluster::start_splitting("reads = \"primary\"");
    drop(ready(&cluster));
    let stopped = cluster.primary();
    let clients = |count| (0..count).map(|_| Client::connect(cluster.split(stopped)).expect("it listens"));
    let mut gone: Vec<Client> = clients(4).collect();
    assert!(gone.iter_mut().all(|client| client.ask("PING").as_deref() == Some("+PONG")));
    cluster.stop(stopped);
    gone.extend(clients(4));
    assert!(gone.iter_mut().all(|client| client.say("SET key old")));
    drop(gone);
    let others: Vec<usize> = (0..3).filter(|at| *at != stopped).collect();
    let mut client = cluster.connect(cluster.primary_of(&others));
    until("it is written", || client.ask("SET key new").as_deref() == Some("+OK"));
    cluster.signal(stopped, "-CONT");
    let mut after: Vec<Client> = clients(8).collect();
    for client in &mut after {
        until("it passes on", || client.ask("SET mark 1").as_deref() == Some("+OK"));
    }
    assert_eq!(client.ask("GET key").as_deref(), Some("$3|new"));
}

/// What is too long for one client ends nothing that it shares with others, at no node.
#[test]
fn who_asks_for_too_much_is_cut_and_nobody_else_notices() {
    let lines = "learners = [\"n3\"]\nvalue_max = \"256KiB\"\noutput_max = \"1MiB\"";
    let cluster = Cluster::start_splitting_store(lines, "reads = \"any\"");
    let mut client = ready(&cluster);
    assert_eq!(client.ask(&format!("SET long {}", "x".repeat(200 << 10))).as_deref(), Some("+OK"));
    assert_eq!(client.ask("HSET hash field value").as_deref(), Some(":1"));
    let long = format!("MGET{}", " long".repeat(10));
    let transaction = format!("MULTI\nSET not-done 1\n{}EXEC", "GET long\n".repeat(10));
    let requests = [&long[..], "HRANDFIELD hash -1000000000", &transaction];
    for request in requests {
        let mut greedy = Client::connect(cluster.split(LEARNER)).expect("it listens");
        assert!(request.lines().all(|line| greedy.say(line)));
        while let Some(told) = greedy.answer() {
            assert!(told == "+OK" || told == "+QUEUED", "{request}: {told}");
        }
        assert_eq!(client.ask("INCR n").as_deref().map(|told| &told[..1]), Some(":"));
        assert_eq!(client.ask("GET not-done").as_deref(), Some("$-1"));
    }
    let split = cluster.status(LEARNER)["splits"][0].clone();
    assert_eq!((&split["slow"], &split["unserved"]), (&requests.len().into(), &0.into()), "{split}");
    for at in 0..4 {
        let stats = cluster.connect(at).ask("INFO stats").expect("it is told");
        assert!(stats.contains("|client_output_buffer_limit_disconnections:0|"), "n{at}: {stats}");
    }
}

/// What waits without end, and then its client has gone, by half or wholly.
#[test]
fn nobody_who_has_gone_is_waited_for() {
    let cluster = Cluster::start_splitting("reads = \"any\"");
    drop(ready(&cluster));
    let clients = || cluster.status(LEARNER)["splits"][0]["clients"].as_u64().expect("a number");
    let requests = [
        "SET a 1\nWAIT 9 0",
        "SET a 1\nWAITAOF 1 9 0",
        "HELLO 3\nSET a 1\nWAIT 9 0\nPING",
        "WATCH a\nWAIT 9 0\nMULTI\nSET a 1\nEXEC",
        "SUBSCRIBE c\nUNSUBSCRIBE c\nWAIT 9 0",
    ];
    for request in requests {
        let begin = || {
            let mut client = Client::connect(cluster.split(LEARNER)).expect("it listens");
            assert!(request.lines().all(|line| client.say(line)));
            client
        };
        // One that is gone before it could be asked, one that has been answered, and one that goes on to listen.
        drop(begin());
        let mut client = begin();
        assert!(client.answer().is_some());
        drop(client);
        let mut client = begin();
        client.stream().shutdown(Shutdown::Write).expect("it is connected");
        let told: Vec<String> = std::iter::from_fn(|| client.answer()).collect();
        assert!(!told.is_empty() && told.iter().all(|it| !it.starts_with(['-', ':'])), "{request}: {told:?}");
        until("none is left", || clients() == 0);
    }
    // What has an end is answered.
    for (request, answers) in
        [("WAIT 9 300", 1), ("WAIT 0 0\nSET a 2", 2), ("SUBSCRIBE c", 1), ("WATCH a\nSUBSCRIBE c", 2)]
    {
        let mut client = Client::connect(cluster.split(LEARNER)).expect("it listens");
        assert!(request.lines().all(|line| client.say(line)));
        client.stream().shutdown(Shutdown::Write).expect("it is connected");
        let told: Vec<String> = std::iter::from_fn(|| client.answer()).collect();
        assert!(told.len() == answers && !told[0].starts_with('-'), "{request}: {told:?}");
        until("none is left", || clients() == 0);
    }
    for at in 0..3 {
        let list = cluster.connect(at).ask("CLIENT LIST").expect("it is told");
        assert!(!list.contains("cmd=wait") && !list.contains("cmd=subscribe"), "n{at}: {list}");
    }
}

/// The nodes have a time for who says nothing, which is not for what this listener has connected.
#[test]
fn idle_connections_of_the_listener_stand() {
    let lines = "learners = [\"n3\"]\nidle = \"100ms\"";
    let cluster = Cluster::start_splitting_store(lines, "reads = \"any\"");
    let mut client = ready(&cluster);
    let mut watcher = Client::connect(cluster.split(LEARNER)).expect("it listens");
    assert_eq!(client.ask("SET a 1").as_deref(), Some("+OK"));
    assert_eq!(watcher.ask("WATCH a").as_deref(), Some("+OK"));
    let primary = cluster.primary();
    for _ in 0..3 {
        let mut idle = cluster.connect(primary);
        assert_eq!(idle.ask("PING").as_deref(), Some("+PONG"));
        assert_eq!(idle.answer(), None, "it is ended");
        assert_eq!(client.ask("SET b 1").as_deref(), Some("+OK"));
    }
    for (request, answer) in [("MULTI", "+OK"), ("SET a 2", "+QUEUED"), ("EXEC", "*1|+OK")] {
        assert_eq!(watcher.ask(request).as_deref(), Some(answer));
    }
    let split = cluster.status(LEARNER)["splits"][0].clone();
    assert_eq!((&split["link_errors"], &split["in_doubt"]), (&0.into(), &0.into()), "{split}");
}
