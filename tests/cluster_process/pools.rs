//! Pools whose backends are the nodes of the store, seen by the learner, which has one.

use std::collections::BTreeMap;

use crate::process::until;
use crate::support::{Client, Cluster};

/// The learner, which is neither stopped nor ended.
const LEARNER: usize = 3;

/// What the learner's pool has observed of each node, and why.
fn observed(cluster: &Cluster) -> BTreeMap<String, (bool, String)> {
    let status = cluster.status(LEARNER);
    let backends = status["pools"][0]["backends"].as_array().expect("a list").iter();
    let one = |it: &serde_json::Value| {
        let text = |key: &str| it[key].as_str().unwrap_or_default().to_string();
        (text("name"), (text("observed") == "up", text("reason")))
    };
    backends.map(one).collect()
}

/// Who is up for it.
fn up(cluster: &Cluster) -> Vec<usize> {
    let observed = observed(cluster);
    (0..4).filter(|at| observed.get(&format!("n{at}")).is_some_and(|it| it.0)).collect()
}

fn all_but(out: usize) -> Vec<usize> {
    (0..4).filter(|at| *at != out).collect()
}

/// The node that a session through the pool leads to, by its own account.
fn led_to(cluster: &Cluster) -> Option<String> {
    let mut client = Client::connect(cluster.pooled(LEARNER))?;
    let told = client.ask("INFO replication")?;
    told.split('|').find_map(|line| line.strip_prefix("role:").map(str::to_owned))
}

#[test]
fn a_pool_of_the_replicas_leaves_out_the_primary_and_who_is_too_far_behind() {
    let cluster = Cluster::start_splitting(
        "[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"replicas\"\n\
         [[pool]]\nname = \"replicas\"\nstore = { role = \"replicas\", lag_max = \"1s\" }",
    );
    let primary = cluster.primary();
    until("the others are up", || up(&cluster) == all_but(primary));
    assert_eq!(observed(&cluster)[&format!("n{primary}")], (false, "it is primary".to_string()));
    for _ in 0..12 {
        assert_eq!(led_to(&cluster).as_deref(), Some("slave"));
    }

    // They come and go with the nodes alone.
    let admin = cluster.admin(LEARNER);
    for order in [&["add", "replicas/x", "127.0.0.1:9"][..], &["remove", "replicas/n0"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["ctl", "--admin", &admin])
            .args(order)
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains("are the nodes of the store"), "{told}");
    }
    assert_eq!(observed(&cluster).len(), 4);

    // Whoever is primary next leaves, and who was comes.
    let next = (primary + 1) % 3;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["store", "transfer", "--admin", &cluster.admin(primary), &format!("n{next}")])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    until("they have changed places", || up(&cluster) == all_but(next));

    // Without most of the voters nobody is told what is new, though the last one is linked to the learner still.
    let (idle, left) = (primary, (next + 1) % 3);
    cluster.stop(next);
    cluster.stop(idle);
    let late = "it is farther behind than lag_max";
    until("who is left is too far behind, and so is the learner", || {
        let observed = observed(&cluster);
        [left, LEARNER].iter().all(|at| observed[&format!("n{at}")] == (false, late.to_string()))
    });
    until("who is stopped is out as well", || up(&cluster).is_empty());
    cluster.signal(next, "-CONT");
    cluster.signal(idle, "-CONT");
    until("they are back", || {
        let primary = cluster.primary();
        up(&cluster) == all_but(primary)
    });
}

#[test]
fn a_pool_of_any_node_reaches_them_at_its_port() {
    let cluster = Cluster::start_splitting(
        "[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"any\"\n\
         [[pool]]\nname = \"any\"\nstore = { role = \"any\", port = 6400, lag_entries_max = 100000 }",
    );
    let primary = cluster.primary();
    until("all are up", || up(&cluster) == [0, 1, 2, 3]);
    // There it is the listener that splits reads from writes, which is none to be asked that.
    let asked = "TRIMTAB BOUND 1000";
    let refused = Client::connect(cluster.split(LEARNER)).expect("it listens").ask(asked);
    assert_ne!(cluster.connect(LEARNER).ask(asked), refused);
    let clients = || cluster.status(LEARNER)["pools"][0]["backends"].as_array().expect("a list").clone();
    for round in 0..12 {
        let mut client = Client::connect(cluster.pooled(LEARNER)).expect("it listens");
        assert_eq!(client.ask(asked), refused);
        assert_eq!(client.ask(&format!("SET key {round}")).as_deref(), Some("+OK"));
    }
    assert!(clients().iter().all(|it| it["picks"].as_u64() > Some(0)), "{:?}", clients());

    let stopped = (primary + 1) % 3;
    cluster.stop(stopped);
    until("it is out", || up(&cluster) == all_but(stopped));
    let reason = observed(&cluster)[&format!("n{stopped}")].1.clone();
    assert!(["how far behind it is is not known", "there is no link to it"].contains(&&*reason), "{reason}");
    cluster.signal(stopped, "-CONT");
    until("it is back", || up(&cluster) == [0, 1, 2, 3]);
}

#[test]
fn nodes_that_announce_a_name_are_reached_all_the_same() {
    let cluster = Cluster::start_splitting_by_name(
        "reads = \"replicas\"\n[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"primary\"\n\
         [[pool]]\nname = \"primary\"\nstore = { role = \"primary\" }",
    );
    let primary = cluster.primary();
    until("the primary is up", || up(&cluster) == [primary]);
    assert_eq!(led_to(&cluster).as_deref(), Some("master"));
    let mut client = Client::connect(cluster.split(LEARNER)).expect("it listens");
    until("the listener knows the primary", || client.ask("SET key 1").as_deref() == Some("+OK"));
    assert_eq!(client.ask("GET key").as_deref(), Some("$1|1"));
    // Clients are told what was announced.
    let told = cluster.connect(LEARNER).ask("SENTINEL get-master-addr-by-name trimtab");
    assert_eq!(told.as_deref(), Some("*2|$10|db.invalid|$4|7000"));
}

/// What a node was told last of the others is nothing to go by once it is out.
#[test]
fn who_was_removed_sends_nobody_anywhere() {
    let cluster = Cluster::start_splitting(
        "[[listener]]\nname = \"pooled\"\nbind = \"ADDRESS:6500\"\npool = \"replicas\"\n\
         [[pool]]\nname = \"replicas\"\nstore = { role = \"replicas\" }",
    );
    let primary = cluster.primary();
    until("the others are up", || up(&cluster) == all_but(primary));
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .arg("store")
            .args(arguments)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    run(&["remove", "--admin", &cluster.admin(primary), "n3"]);
    until("all are down", || up(&cluster).is_empty());
    let observed = observed(&cluster);
    let is_told = |it: &(bool, String)| it.1.starts_with("this node was removed from the cluster");
    assert!(observed.len() >= 3 && observed.values().all(is_told), "{observed:?}");
    let told = run(&["status", "--admin", &cluster.admin(LEARNER)]);
    assert!(told.contains("it takes no part (fenced): was removed from the cluster"), "{told}");
    assert!(!told.contains("replica "), "{told}");
}
