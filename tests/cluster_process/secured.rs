//! Mutual TLS between nodes that are processes: those that one authority has signed are a cluster, and others are refused.

use serde_json::Value;

use crate::command::{status, told};
use crate::process::until;
use crate::support::Cluster;

#[test]
fn nodes_know_each_other_by_their_certificates_and_refuse_a_stranger() {
    let mut cluster = Cluster::start_secured();
    let primary = cluster.primary();
    assert_eq!(cluster.connect(primary).ask("SET key 0").as_deref(), Some("+OK"));
    assert_eq!(cluster.connect(primary).ask("WAIT 2 0").as_deref(), Some(":2"));
    // In turn: the one in the middle dials one of the others and is dialled by the other.
    for stranger in 0..3 {
        refuses(&mut cluster, stranger);
    }
}

#[test]
fn a_hangup_reads_the_certificates_anew() {
    let cluster = Cluster::start_secured();
    let told = |count: usize| {
        until("it tells of the signal", || cluster.told(0, "signal").len() == count);
        let last = cluster.told(0, "signal").pop().unwrap();
        assert_eq!(last["value"], "SIGHUP");
        last["detail"].as_str().unwrap().to_owned()
    };
    cluster.signal(0, "-HUP");
    assert!(told(1).starts_with("the certificates of the links were read anew; "), "{}", told(1));
    let certificate = cluster.folder().path().join("n0.pem");
    let whole = std::fs::read(&certificate).unwrap();
    std::fs::write(&certificate, "").unwrap();
    cluster.signal(0, "-HUP");
    let why = told(2);
    assert!(why.starts_with("nothing was read anew: ") && why.contains("n0.pem is empty"), "{why}");
    std::fs::write(&certificate, whole).unwrap();
    cluster.signal(0, "-HUP");
    assert!(told(3).starts_with("the certificates of the links were read anew; "), "{}", told(3));
    assert_eq!(cluster.connect(0).ask("PING").as_deref(), Some("+PONG"));
}

/// Of a pair of nodes the one whose name comes first dials.
fn refuses(cluster: &mut Cluster, stranger: usize) {
    let name = format!("n{stranger}");
    let others: Vec<usize> = (0..3).filter(|at| *at != stranger).collect();
    cluster.kill(stranger);
    cluster.start_stranger(stranger);
    for other in others.iter().copied() {
        let admin = cluster.admin(other);
        let is_told = |node: &Value, status: &Value| {
            // Who does not trust the one it dialled breaks off before it says its own name.
            let why = if stranger < other { &status["last_refusal"] } else { &node["trouble"] };
            node["is_linked"] == false && why.as_str().is_some_and(|why| why.contains("certificate"))
        };
        let mut last = Value::Null;
        let refused = || {
            last = status(&admin);
            let nodes = last["nodes"].as_array().unwrap();
            is_told(nodes.iter().find(|node| node["name"] == name.as_str()).unwrap(), &last)
        };
        until(&format!("n{other} says why it has no link to {name}"), refused);
        let shown = told(&["status", "--admin", &admin], 0);
        let first = if stranger < other { "refused connections: " } else { &name };
        let is_it = |line: &str| line.starts_with(first) && line.contains("certificate");
        assert!(shown.lines().any(is_it), "{shown}");
    }
    // It takes no part.
    let seen = status(&cluster.admin(stranger));
    let is_alone = |node: &Value| node["name"] == name.as_str() || node["is_linked"] == false;
    assert!(seen["nodes"].as_array().unwrap().iter().all(is_alone), "{seen}");
    assert_ne!(cluster.connect(stranger).ask("SET key theirs").as_deref(), Some("+OK"));
    let value = format!("ours-{stranger}");
    until("two of three go on", || {
        let primary = cluster.primary_of(&others);
        cluster.connect(primary).ask(&format!("SET key {value}")).as_deref() == Some("+OK")
    });

    // With the right certificate it is one of them again.
    cluster.kill(stranger);
    cluster.start_node(stranger);
    let found = format!("${}|{value}", value.len());
    until("it has all", || cluster.connect(stranger).ask("GET key").as_deref() == Some(&found));
    for other in others {
        let is_linked =
            |status: &Value| status["nodes"].as_array().unwrap().iter().all(|node| node["is_linked"] == true);
        until(&format!("n{other} has all links"), || is_linked(&status(&cluster.admin(other))));
    }
}
