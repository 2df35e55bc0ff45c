//! `trimtab store`: the cluster asked and changed from the command.

use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{Running, until};
use crate::support::Cluster;

fn store(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.arg("store").args(arguments).env_remove("TRIMTAB_ADMIN").output().expect("it runs")
}

/// What it says, when it ends with this code.
fn told(arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = store(arguments);
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {text}");
    text
}

fn status(admin: &str) -> Value {
    serde_json::from_str(&told(&["status", "--json", "--admin", admin], 0)).unwrap()
}

#[test]
fn a_cluster_is_told_and_handed_over() {
    let cluster = Cluster::start("");
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    until("all are linked and have it", || {
        let status = status(&admin);
        let nodes = status["nodes"].as_array().unwrap();
        nodes.len() == 3 && nodes.iter().all(|node| node["is_linked"] == true && node["behind"] != 1)
    });
    let told_json = status(&admin);
    let name = format!("n{primary}");
    assert_eq!((&told_json["role"], &told_json["primary"]), (&"primary".into(), &name.clone().into()));
    assert_eq!((&told_json["holds_quorum"], &told_json["changes"]), (&true.into(), &Value::Array(vec![])));
    let text = told(&["status", "--admin", &admin], 0);
    let first = format!("cluster trimtab, as {name} sees it: epoch ");
    assert!(text.starts_with(&first) && text.contains("holds its quorum"), "{text}");
    assert!(text.contains(&cluster.resp(primary).to_string()), "{text}");

    // A replica says whom to ask.
    let other = (primary + 1) % 3;
    let refused = told(&["transfer", "--admin", &cluster.admin(other)], 1);
    assert!(refused.contains(&format!("this node is not primary; {name} is: ask there")), "{refused}");
    let refused = told(&["transfer", "--admin", &admin, "n9"], 2);
    assert!(refused.contains("cannot hand over to n9"), "{refused}");
    let done = told(&["transfer", "--admin", &admin, &format!("n{other}")], 0);
    assert!(done.starts_with("done in ") && done.contains(&format!("hand over to n{other}")), "{done}");
    until("it is primary", || status(&cluster.admin(other))["holds_quorum"] == true);
    let change = &status(&admin)["changes"][0];
    assert_eq!((&change["order"], &change["is_running"]), (&"transfer".into(), &false.into()));
    // To whoever takes over best, which is one of the two others; what was refused has a number too.
    let done: Value =
        serde_json::from_str(&told(&["transfer", "--json", "--admin", &cluster.admin(other)], 0)).unwrap();
    assert_eq!((&done["what"], &done["change"]), (&"hand over".into(), &2.into()));
    until("another one is primary", || cluster.primary() != other);
}

#[test]
fn nodes_come_and_go() {
    let mut cluster = Cluster::start("");
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    // One that waits to be added, from a configuration that has the others too.
    let peers: Vec<String> = (0..3).map(|at| format!("n{at} = \"{}:7400\"", cluster.ip(at))).collect();
    let address = Cluster::free_ip();
    let config = format!(
        "[store]\ndir = {:?}\nresp = \"{address}:6379\"\nnode = \"n3\"\njoin = true\n\
         peers = {{ {}, n3 = \"{address}:7400\" }}\npeer_tls = \"insecure-plaintext\"\n",
        cluster.folder().file("n3"),
        peers.join(", ")
    );
    let added = Running::start(&config, None);
    told(&["add", "--admin", &admin, "n3", &format!("{address}:7400")], 0);
    let node = |name: &str| {
        let status = status(&admin);
        status["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).cloned()
    };
    assert_eq!(node("n3").expect("it is there")["role"], "learner");
    told(&["promote", "--admin", &admin, "n3"], 0);
    assert_eq!(node("n3").expect("it is there")["role"], "replica");
    until("it has all", || {
        let mut client = crate::support::Client::connect((address, 6379).into()).expect("it listens");
        client.ask("GET key").as_deref() == Some("$1|1")
    });
    // A lost one is taken out, and its name is not used again.
    let lost = (primary + 1) % 3;
    cluster.kill(lost);
    told(&["remove", "--admin", &admin, &format!("n{lost}")], 0);
    assert_eq!(node(&format!("n{lost}")), None);
    let refused = told(&["add", "--admin", &admin, &format!("n{lost}")], 2);
    assert!(refused.contains("was removed, and each name is used once"), "{refused}");
    assert_eq!(cluster.connect(primary).ask("SET key 2").as_deref(), Some("+OK"));
    drop(added);
}

#[test]
fn a_directory_is_promoted_by_force_when_the_others_are_gone() {
    let mut cluster = Cluster::start("");
    let primary = cluster.primary();
    let mut client = cluster.connect(primary);
    assert_eq!(client.ask("SET key 1").as_deref(), Some("+OK"));
    assert_eq!(client.ask("WAIT 2 0").as_deref(), Some(":2"));
    let left = (primary + 1) % 3;
    let dir = cluster.folder().file(&format!("n{left}"));
    let refused = told(&["promote", "--dir", &dir], 2);
    assert!(refused.contains("When they are gone for good, say --force"), "{refused}");
    let refused = told(&["promote", "--dir", &dir, "--force"], 1);
    assert!(refused.contains("open already"), "{refused}");
    (0..3).for_each(|at| cluster.kill(at));
    let said = told(&["promote", "--dir", &dir, "--force"], 0);
    assert!(said.contains(&format!("n{left} is the primary of trimtab with all it has")), "{said}");
    assert!(said.contains("in generation 2") && said.contains("voters that are out: "), "{said}");
    cluster.start_node(left);
    until("it takes writes alone", || cluster.connect(left).ask("SET key 2").as_deref() == Some("+OK"));
    assert_eq!(cluster.connect(left).ask("GET key").as_deref(), Some("$1|2"));
    let refused = told(&["promote", "--dir", "/nowhere", "--force"], 2);
    assert!(refused.contains("is no directory of a node of a cluster"), "{refused}");
}

#[test]
fn a_server_in_no_cluster_says_so() {
    let folder = crate::folder::Folder::new();
    let alone = Running::start(&format!("[store]\ndir = {:?}\n", folder.file("data")), None);
    let refused = told(&["status", "--admin", &alone.admin()], 1);
    assert!(refused.contains("cluster"), "{refused}");
    told(&["remove", "--admin", &alone.admin(), "n1"], 1);
    told(&["promote", "n1", "--dir", "x"], 2);
    told(&["promote"], 2);
}

/// A primary and a learner, which is promoted when the primary is gone. What the learner had not is lost.
#[test]
fn the_learner_of_one_primary_is_promoted_by_force() {
    let mut cluster = Cluster::start_pair();
    let mut client = cluster.connect(0);
    assert_eq!(client.ask("SET key 1").as_deref(), Some("+OK"));
    assert_eq!(client.ask("WAIT 1 0").as_deref(), Some(":1"));
    cluster.kill(1);
    assert_eq!(client.ask("SET lost 1").as_deref(), Some("+OK"));
    cluster.kill(0);
    let said = told(&["promote", "--dir", &cluster.folder().file("n1"), "--force"], 0);
    assert!(said.contains("n1 is the primary of trimtab with all it has"), "{said}");
    assert!(said.contains("in generation 2") && said.contains("voters that are out: n0;"), "{said}");
    cluster.start_node(1);
    assert_eq!(cluster.primary_of(&[1]), 1);
    let mut client = cluster.connect(1);
    assert_eq!(client.ask("GET key").as_deref(), Some("$1|1"));
    assert_eq!(client.ask("GET lost").as_deref(), Some("$-1"));
    assert_eq!(client.ask("SET key 2").as_deref(), Some("+OK"));
}
