//! What clients have given up is not done behind what they were answered since; and who took a node for the primary looks for the
//! next one.

use std::io::Read as _;

use crate::command::store;
use crate::process::until;
use crate::support::{Client, Cluster};

/// Clients that have something wait; some of them on each loop of a node.
const CLIENTS: usize = 8;

/// Has the keys written anew while `stopped` stands still, has that go on, and sees to it that what was asked for before on `asked`
/// is not done behind.
fn check(cluster: &Cluster, stopped: usize, asked: usize) {
    let others: Vec<usize> = (0..3).filter(|at| *at != stopped).collect();
    let mut client = cluster.connect(cluster.primary_of(&others));
    for at in 0..CLIENTS {
        until("it is written", || client.ask(&format!("SET late{at} new")).as_deref() == Some("+OK"));
    }
    cluster.signal(stopped, "-CONT");
    until("it follows", || cluster.connect(stopped).ask("ROLE").is_some_and(|it| it.contains("slave")));
    // What came to it, and to the node that was asked, before, comes before this.
    for node in [stopped, asked] {
        for _ in 0..CLIENTS {
            until("it passes on", || cluster.connect(node).ask("SET mark 1").as_deref() == Some("+OK"));
        }
    }
    for at in 0..CLIENTS {
        assert_eq!(client.ask(&format!("GET late{at}")).as_deref(), Some("$3|new"), "client {at}");
    }
}

#[test]
fn a_primary_that_stood_still_does_nothing_for_who_has_gone() {
    let cluster = Cluster::start("");
    let stopped = cluster.primary();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| cluster.connect(stopped)).collect();
    assert!(clients.iter_mut().all(|client| client.ask("PING").as_deref() == Some("+PONG")));
    cluster.stop(stopped);
    // Some are connected, and some will have been only once it goes on.
    clients.truncate(CLIENTS / 2);
    clients.extend((CLIENTS / 2..CLIENTS).map(|_| cluster.connect(stopped)));
    for (at, mut client) in clients.into_iter().enumerate() {
        assert!(client.say(&format!("SET late{at} old")));
    }
    check(&cluster, stopped, stopped);
}

#[test]
fn what_was_passed_on_for_who_has_gone_is_not_passed_on_again() {
    let cluster = Cluster::start("");
    let stopped = cluster.primary();
    let asked = (0..3).find(|at| *at != stopped).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| cluster.connect(asked)).collect();
    assert!(clients.iter_mut().all(|client| client.ask("SET late 0").as_deref() == Some("+OK")));
    cluster.stop(stopped);
    for (at, client) in clients.iter_mut().enumerate() {
        assert!(client.say(&format!("SET late{at} old")));
    }
    // They are on their way to it when this is answered, which needs no primary.
    let mut client = cluster.connect(asked);
    assert_eq!(client.ask("PING").as_deref(), Some("+PONG"));
    drop(clients);
    check(&cluster, stopped, asked);
}

#[test]
fn what_waits_behind_what_was_passed_on_is_not_begun_for_who_has_gone() {
    let cluster = Cluster::start("");
    let stopped = cluster.primary();
    let asked = (0..3).find(|at| *at != stopped).unwrap();
    let mut gone = cluster.connect(asked);
    assert_eq!(gone.ask("SET late 0").as_deref(), Some("+OK"));
    cluster.stop(stopped);
    // Each reads what the one before it has made, so only the first is on its way.
    for at in 0..4 {
        assert!(gone.say(&format!("APPEND late old{at}")));
    }
    let mut watcher = cluster.connect(asked);
    assert_eq!(watcher.ask("PING").as_deref(), Some("+PONG"));
    drop(gone);
    let others: Vec<usize> = (0..3).filter(|at| *at != stopped).collect();
    let mut client = cluster.connect(cluster.primary_of(&others));
    until("it is written", || client.ask("SET late new").as_deref() == Some("+OK"));
    // The node has done all that it does for the one that has gone.
    until("it lets go of it", || watcher.ask("CLIENT LIST").is_some_and(|it| !it.contains("cmd=append")));
    cluster.signal(stopped, "-CONT");
    until("it follows", || cluster.connect(stopped).ask("ROLE").is_some_and(|it| it.contains("slave")));
    until("it passes on", || cluster.connect(stopped).ask("SET mark 1").as_deref() == Some("+OK"));
    assert_eq!(client.ask("GET late").as_deref(), Some("$3|new"));
}

#[test]
fn who_took_a_node_for_the_primary_looks_for_the_next_one() {
    let cluster = Cluster::start("");
    let before = cluster.primary();
    let mut clients: Vec<Client> = (0..3).map(|_| cluster.connect(before)).collect();
    assert_eq!(clients[0].ask("SET key 1").as_deref(), Some("+OK"));
    assert_eq!(clients[1].ask("READONLY").as_deref(), Some("+OK"));
    assert!(clients[2].say("SUBSCRIBE news") && clients[2].answer().is_some());
    let mut order = cluster.connect(before);
    assert_eq!(order.ask("SENTINEL FAILOVER trimtab").as_deref(), Some("+OK"));
    // Nothing is asked of it: it is closed by itself.
    assert_eq!(clients[0].stream().read(&mut [0]).ok(), Some(0));
    let next = cluster.primary();
    assert_ne!(next, before);
    assert_eq!(clients[1].ask("SET key 2").as_deref(), Some("+OK"), "it may be anywhere");
    assert_eq!(cluster.connect(next).ask("PUBLISH news 1").as_deref(), Some(":0"));
    assert!(clients[2].answer().is_some_and(|it| it.contains("message")), "it goes on listening");
}

#[test]
fn what_was_said_to_a_primary_is_not_done_when_it_is_that_again() {
    let cluster = Cluster::start("");
    let first = cluster.primary();
    let mut balancer = cluster.connect(first);
    assert_eq!(balancer.ask("TRIMTAB BOUND 0").as_deref(), Some("+OK"));
    assert_eq!(balancer.ask("SET key 1").as_deref(), Some("+OK"));
    // Where nodes have little time, one may be elected in between.
    let hand_over = |to: usize| {
        let to_name = format!("n{to}");
        until("it is primary", || {
            let now = cluster.primary();
            now == to || {
                store(&["transfer", "--admin", &cluster.admin(now), &to_name]);
                false
            }
        });
    };
    hand_over((first + 1) % 3);
    until("it is written", || cluster.connect(cluster.primary()).ask("SET key 2").as_deref() == Some("+OK"));
    hand_over(first);
    // The connection has stood all along, and what comes by it may have been said before.
    let refused = balancer.ask("SET key 3").unwrap();
    assert!(refused.starts_with("-READONLY "), "{refused}");
    until("it reads what is newest", || balancer.ask("GET key").as_deref() == Some("$1|2"));
    assert_eq!(balancer.ask("TRIMTAB BOUND 0").as_deref(), Some("+OK"));
    assert_eq!(balancer.ask("SET key 4").as_deref(), Some("+OK"));
}
