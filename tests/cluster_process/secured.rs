//! Mutual TLS between nodes that are processes: those that one authority has signed are a cluster, and others are refused.

use serde_json::Value;

use crate::command::{status, told};
use crate::process::until;
use crate::support::Cluster;

#[test]
fn nodes_know_each_other_by_their_certificates_and_refuse_a_stranger() {
    let mut cluster = Cluster::start_secured();
    let primary = cluster.primary();
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    assert_eq!(cluster.connect(primary).ask("WAIT 2 0").as_deref(), Some(":2"));

    let stranger = (primary + 1) % 3;
    let name = format!("n{stranger}");
    cluster.kill(stranger);
    cluster.start_stranger(stranger);
    // Whichever of them dials, the certificate is judged, and the status of the primary says why there is no link.
    let admin = cluster.admin(primary);
    let of_stranger = || {
        let status = status(&admin);
        status["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name.as_str()).unwrap().clone()
    };
    until("it is refused", || {
        let node = of_stranger();
        node["is_linked"] == false && node["trouble"].as_str().is_some_and(|why| why.contains("certificate"))
    });
    let shown = told(&["status", "--admin", &admin], 0);
    assert!(shown.lines().any(|line| line.contains(&name) && line.contains("certificate")), "{shown}");
    // It takes no part.
    let seen = status(&cluster.admin(stranger));
    let is_alone = |node: &Value| node["name"] == name.as_str() || node["is_linked"] == false;
    assert!(seen["nodes"].as_array().unwrap().iter().all(is_alone), "{seen}");
    assert_ne!(cluster.connect(stranger).ask("SET key theirs").as_deref(), Some("+OK"));
    assert_eq!(cluster.connect(primary).ask("SET key 2").as_deref(), Some("+OK"), "two of three go on");

    // With the right certificate it is one of them again.
    cluster.kill(stranger);
    cluster.start_node(stranger);
    until("it has all", || cluster.connect(stranger).ask("GET key").as_deref() == Some("$1|2"));
    assert_eq!(of_stranger()["is_linked"], true);
}
