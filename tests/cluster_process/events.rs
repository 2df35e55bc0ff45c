//! What the server of a node tells of its cluster, and what its status has: as an operator sees it.

use std::process::Command;

use serde_json::Value;

use crate::command::{status, told};
use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::Cluster;

/// A text of an event.
fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// The `node` of what the server there told last of this kind.
fn last<'a>(events: &'a [Value], key: &str) -> Option<&'a str> {
    events.last().and_then(|event| event[key].as_str())
}

#[test]
fn who_is_primary_is_told_when_one_is_killed() {
    let mut cluster = Cluster::start("");
    let killed = cluster.primary();
    let name = |at: usize| format!("n{at}");
    until("it told that it is primary", || {
        last(&cluster.told(killed, "cluster-role"), "value") == Some("primary")
    });
    cluster.kill(killed);
    let others: Vec<usize> = (0..3).filter(|at| *at != killed).collect();
    let next = cluster.primary_of(&others);
    until("the next one told that it is primary", || {
        last(&cluster.told(next, "cluster-role"), "value") == Some("primary")
    });
    for at in others.iter().copied() {
        until("it told who is primary", || {
            last(&cluster.told(at, "cluster-primary"), "node") == Some(&name(next))
        });
        until("it told that the link is over", || {
            cluster.told(at, "cluster-link-down").iter().any(|it| text(it, "node") == name(killed))
        });
    }
    let epochs: Vec<u64> = cluster.told(next, "cluster-primary").iter().map(epoch).collect();
    assert!(epochs.is_sorted() && epochs.last() > epochs.first(), "{epochs:?}");

    // Why the link is down is in the status; and events can be read later.
    let of_killed = |admin: &str| {
        let status = status(admin);
        status["nodes"].as_array().unwrap().iter().find(|it| it["name"] == name(killed)).unwrap().clone()
    };
    let admin = cluster.admin(next);
    assert!(of_killed(&admin)["trouble"].is_string(), "{}", status(&admin));
    let shown = told(&["status", "--admin", &admin], 0);
    assert!(shown.contains(&format!("\n{}: ", name(killed))), "{shown}");
    let read = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["ctl", "events", "--recent", "1000", "--no-follow", "--admin", &admin])
        .output()
        .unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert!(read.contains("cluster-role") && read.contains("cluster-primary"), "{read}");
    assert!(read.contains("cluster-link-down"), "{read}");

    let before = cluster.told(next, "cluster-link-up").len();
    cluster.start_node(killed);
    until("it told that the link is up", || cluster.told(next, "cluster-link-up").len() > before);
    until("there is no trouble any more", || of_killed(&admin)["trouble"].is_null());
}

fn epoch(event: &Value) -> u64 {
    text(event, "value").parse().unwrap()
}

/// A process that is none of the cluster's, with these lines in `[store]`.
fn stranger(cluster: &Cluster, folder: &Folder, own: &str, lines: &str) -> Running {
    let address = Cluster::free_ip();
    let mut peers: Vec<String> = (0..3).map(|at| format!("n{at} = \"{}:7400\"", cluster.ip(at))).collect();
    if !own.starts_with('n') {
        peers.push(format!("{own} = \"{address}:7400\""));
    }
    let config = format!(
        "[store]\ndir = {:?}\nresp = \"{address}:6379\"\nnode = \"{own}\"\nlisten = \"{address}:7400\"\n\
         peers = {{ {} }}\npeer_tls = \"insecure-plaintext\"\n{lines}\n",
        folder.file("data"),
        peers.join(", ")
    );
    Running::start(&config, None)
}

#[test]
fn who_is_of_another_cluster_or_has_a_name_twice_is_refused_and_seen() {
    let cluster = Cluster::start("");
    let refused = |at: usize, name: &str, why: &str| {
        let told = cluster.told(at, "cluster-refused");
        told.iter().any(|it| text(it, "node") == name && text(it, "detail").contains(why))
    };
    // The lower name dials.
    let folder = Folder::new();
    let other = stranger(&cluster, &folder, "a9", "cluster = \"other\"");
    until("all refuse the node of another cluster", || {
        (0..3).all(|at| refused(at, "a9", "belongs to the cluster"))
    });
    until("it is told why", || {
        let told = other.told("cluster-refused");
        told.iter().any(|it| text(it, "detail").contains("it refused this node: "))
    });
    let status_of = status(&cluster.admin(1));
    assert!(text(&status_of, "last_refusal").starts_with("a9, from "), "{status_of}");
    assert!(status_of["refused_peers"].as_u64() > Some(0), "{status_of}");
    let shown = told(&["status", "--admin", &cluster.admin(1)], 0);
    assert!(shown.contains("refused connections: ") && shown.contains("belongs to the cluster"), "{shown}");
    // It comes again and again, and is told once.
    let count = status_of["refused_peers"].as_u64();
    until("it came again", || status(&cluster.admin(1))["refused_peers"].as_u64() > count);
    assert_eq!(cluster.told(1, "cluster-refused").iter().filter(|it| text(it, "node") == "a9").count(), 1);
    other.end();

    let folder = Folder::new();
    let double = stranger(&cluster, &folder, "n0", "");
    until("its name is taken", || (1..3).all(|at| refused(at, "n0", "n0")));
    until("it is told so", || double.told("cluster-refused").iter().any(|it| text(it, "node") == "n1"));
    let nodes = status(&cluster.admin(1))["nodes"].clone();
    let of_double = nodes.as_array().unwrap().iter().find(|it| it["name"] == "n0").unwrap();
    assert!(of_double["is_linked"] == true && text(of_double, "trouble").starts_with("it was refused: "));
}

#[test]
fn who_was_removed_is_refused_and_seen() {
    let mut cluster = Cluster::start("");
    // The lower name dials: the first one, once it is another that is primary.
    if cluster.primary() == 0 {
        told(&["transfer", "--admin", &cluster.admin(0), "n1"], 0);
    }
    let primary = cluster.primary_of(&[1, 2]);
    cluster.kill(0);
    told(&["remove", "--admin", &cluster.admin(primary), "n0"], 0);
    until("who is in the cluster is told", || {
        let told = cluster.told(primary, "cluster-members");
        last(&told, "detail").is_some_and(|it| !it.contains("n0"))
    });
    cluster.start_node(0);
    for at in 1..3 {
        until("the removed one is refused", || {
            let told = cluster.told(at, "cluster-refused");
            told.iter().any(|it| text(it, "node") == "n0" && text(it, "detail").contains("was removed"))
        });
    }
    until("it is told so", || {
        let told = cluster.told(0, "cluster-refused");
        told.iter().any(|it| text(it, "detail").contains("was removed"))
    });
}

#[test]
fn writes_that_get_fewer_nodes_than_they_ask_for_are_seen() {
    // With one of three stopped, another one that a busy machine holds up is no reason for an election here.
    let lines = "durability = \"all\"\ndegrade_after = \"200ms\"\nelection_ticks = 100";
    let cluster = Cluster::start(lines);
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    let mut client = cluster.connect(primary);
    assert_eq!(client.ask("SET key 0").as_deref(), Some("+OK"));
    let stopped = (0..3).find(|at| *at != primary).unwrap();
    let before = status(&admin)["degraded_writes"].as_u64().unwrap();
    let told_before = cluster.told(primary, "cluster-degraded").len();
    cluster.stop(stopped);
    assert_eq!(client.ask("SET key 1").as_deref(), Some("+OK"));
    let now = status(&admin);
    assert!(now["is_degraded"] == true && now["degraded_writes"].as_u64() > Some(before), "{now}");
    let shown = told(&["status", "--admin", &admin], 0);
    assert!(shown.contains("  degraded: writes are answered with fewer nodes than asked for"), "{shown}");
    until("it is in INFO", || client.ask("INFO replication").unwrap().contains("|degraded:1|"));
    until("it is told", || {
        let told = cluster.told(primary, "cluster-degraded");
        told.len() > told_before && last(&told, "detail").unwrap().contains(&format!("n{stopped}"))
    });
    cluster.signal(stopped, "-CONT");
    until("it is over", || status(&admin)["is_degraded"] == false);
    until("that is told", || {
        cluster.told(primary, "cluster-recovered").len() == cluster.told(primary, "cluster-degraded").len()
    });
    until("and in INFO", || client.ask("INFO replication").unwrap().contains("|degraded:0|"));
    assert_eq!(client.ask("SET key 2").as_deref(), Some("+OK"));
}
