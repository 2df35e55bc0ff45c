//! `trimtab store`: the cluster asked and changed from the command.

use std::process::{Command, Output};

use serde_json::Value;

use crate::certificates::Authority;
use crate::process::{Running, until};
use crate::support::Cluster;

pub(crate) fn store(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.arg("store").args(arguments).env_remove("TRIMTAB_ADMIN").output().expect("it runs")
}

/// What it says, when it ends with this code.
pub(crate) fn told(arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = store(arguments);
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {text}");
    text
}

pub(crate) fn status(admin: &str) -> Value {
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
    assert_eq!(told_json["standing"], "active");
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
fn a_handover_is_called_off() {
    let mut cluster = Cluster::start("");
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    let abort = || told(&["transfer", "--abort", "--admin", &admin], 0);
    assert_eq!(abort(), "no handover is under way\n");
    let gone = (primary + 1) % 3;
    cluster.kill(gone);
    let misused = told(&["transfer", "--abort", "--admin", &admin, "n1"], 2);
    assert!(misused.contains("cannot be used with"), "{misused}");
    // On a machine that is busy it may have ended by itself before.
    loop {
        let ended = std::thread::scope(|scope| {
            let handover = scope.spawn(|| told(&["transfer", "--admin", &admin, &format!("n{gone}")], 1));
            until("it has begun", || {
                status(&admin)["changes"][0]["is_running"] == true || handover.is_finished()
            });
            let is_called_off = abort() == "the handover is called off\n";
            (is_called_off, handover.join().expect("it is told"))
        });
        match ended {
            (true, why) => {
                assert!(
                    why.contains(&format!("cannot hand over to n{gone}: the handover was called off")),
                    "{why}"
                );
                break;
            }
            (false, why) => assert!(why.contains("timed out waiting for handover"), "{why}"),
        }
    }
    until("it takes writes", || cluster.connect(primary).ask("SET key 2").as_deref() == Some("+OK"));
}

/// `n3`, which waits to be added, from a configuration that has the others too; and its address.
fn start_added(cluster: &Cluster) -> (Running, std::net::Ipv4Addr) {
    let peers: Vec<String> = (0..3).map(|at| format!("n{at} = \"{}:7400\"", cluster.ip(at))).collect();
    let address = Cluster::free_ip();
    let config = format!(
        "[store]\ndir = {:?}\nresp = \"{address}:6379\"\nnode = \"n3\"\njoin = true\n\
         peers = {{ {}, n3 = \"{address}:7400\" }}\npeer_tls = \"insecure-plaintext\"\n",
        cluster.folder().file("n3"),
        peers.join(", ")
    );
    (Running::start(&config, None), address)
}

#[test]
fn a_lost_node_is_replaced() {
    let mut cluster = Cluster::start("");
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    let (added, address) = start_added(&cluster);
    told(&["add", "--admin", &admin, "n3", &format!("{address}:7400")], 0);
    let lost = (primary + 1) % 3;
    let name = format!("n{lost}");
    cluster.kill(lost);
    let refused = told(&["replace", "--admin", &admin, "n3", &name], 2);
    assert!(refused.contains("n3"), "{refused}");
    until("it has caught up", || {
        status(&admin)["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|node| node["name"] == "n3" && node["behind"] == 0)
    });
    let done = told(&["replace", "--admin", &admin, &name, "n3"], 0);
    assert!(done.contains(&format!("replace {name} with n3")), "{done}");
    let nodes = status(&admin)["nodes"].clone();
    let nodes = nodes.as_array().unwrap();
    assert!(nodes.iter().all(|node| node["name"] != name.as_str()), "{nodes:?}");
    assert!(nodes.iter().any(|node| node["name"] == "n3" && node["role"] == "replica"), "{nodes:?}");
    // It counts: with the other one it is a majority.
    cluster.kill((primary + 2) % 3);
    assert_eq!(cluster.connect(primary).ask("SET key 2").as_deref(), Some("+OK"));
    drop(added);
}

#[test]
fn nodes_come_and_go() {
    // What is refused is refused by a primary: none that a busy machine holds up is to lose its quorum.
    let mut cluster = Cluster::start("election_ticks = 100");
    let primary = cluster.primary();
    let admin = cluster.admin(primary);
    assert_eq!(cluster.connect(primary).ask("SET key 1").as_deref(), Some("+OK"));
    let (added, address) = start_added(&cluster);
    let trouble = status(&added.admin())["trouble"].clone();
    let to_do = format!("have the primary do so: trimtab store add n3 {address}:7400");
    assert!(trouble.as_str().is_some_and(|it| it.contains(&to_do)), "{trouble}");
    told(&["add", "--admin", &admin, "n3", &format!("{address}:7400")], 0);
    let refused = told(&["add", "--admin", &admin, "n3", &format!("{address}:7400")], 2);
    assert!(refused.contains("n3 is in the cluster already, and each name is used once"), "{refused}");
    let name = format!("n{primary}");
    let refused = told(&["remove", "--admin", &admin, &name], 2);
    assert!(
        refused.contains(&format!("{name} is the primary, which is not taken out; transfer first")),
        "{refused}"
    );
    let refused = told(&["replace", "--admin", &admin, "n3", &format!("n{}", (primary + 1) % 3)], 2);
    assert!(refused.contains("n3 has no vote to give; remove takes it out"), "{refused}");
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
    assert!(said.contains("in generation 2") && said.contains("they must not run any more"), "{said}");
    let again = told(&["promote", "--dir", &dir, "--force"], 0);
    assert!(again.contains("voters that are out: none\n"), "{again}");
    cluster.start_node(left);
    until("it takes writes alone", || cluster.connect(left).ask("SET key 2").as_deref() == Some("+OK"));
    assert_eq!(cluster.connect(left).ask("GET key").as_deref(), Some("$1|2"));
    let refused = told(&["promote", "--dir", "/nowhere", "--force"], 2);
    assert!(refused.contains("there is no directory /nowhere"), "{refused}");
}

#[test]
fn certificates_are_read_anew_when_that_is_ordered() {
    let folder = crate::folder::Folder::new();
    let authority = Authority::new(&folder, "ca");
    let issued = authority.issue(&folder, "n0");
    let config = format!(
        "[store]\ndir = {:?}\nnode = \"n0\"\npeers = {{ n0 = \"{}:7400\" }}\n\
         peer_tls = {{ certificates = [{:?}], key = {:?}, ca = {:?} }}\n",
        folder.file("data"),
        Cluster::free_ip(),
        issued.certificate,
        issued.key,
        authority.ca
    );
    let alone = Running::start(&config, None);
    let done = told(&["reload", "--admin", &alone.admin()], 0);
    assert!(done.contains("read the certificates of the links anew"), "{done}");
    std::fs::remove_file(&issued.key).unwrap();
    let refused = told(&["reload", "--admin", &alone.admin()], 1);
    assert!(refused.contains("cannot read the certificates") && refused.contains("n0.key"), "{refused}");
    // A certificate that the others would not take is not taken here.
    authority.issue(&folder, "n9");
    std::fs::rename(folder.file("n9.pem"), &issued.certificate).unwrap();
    std::fs::rename(folder.file("n9.key"), &issued.key).unwrap();
    let refused = told(&["reload", "--admin", &alone.admin()], 2);
    assert!(refused.contains("n0"), "{refused}");
    alone.end();
}

#[test]
fn a_server_in_no_cluster_says_so() {
    let folder = crate::folder::Folder::new();
    let alone = Running::start(&format!("[store]\ndir = {:?}\n", folder.file("data")), None);
    let refused = told(&["status", "--admin", &alone.admin()], 1);
    let to_do = "the store is in no cluster; node and peers in [store] make it a node of one";
    assert!(refused.contains(to_do), "{refused}");
    for order in [&["remove", "n1"][..], &["transfer"], &["transfer", "--abort"]] {
        let refused = told(&[order, &["--admin", &alone.admin()]].concat(), 1);
        assert!(refused.contains(to_do), "{order:?}: {refused}");
    }
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

/// Something is written that the learner has, then something that it has not, since it is gone.
fn write_and_part(cluster: &mut Cluster, old: usize, new: usize) {
    let mut client = cluster.connect(old);
    assert_eq!(client.ask("SET key 1").as_deref(), Some("+OK"));
    assert_eq!(client.ask("WAIT 1 0").as_deref(), Some(":1"));
    cluster.kill(new);
    assert_eq!(client.ask("SET lost 1").as_deref(), Some("+OK"));
}

/// The primary of before hears that another one was promoted: it says so, and takes no part.
fn is_told(cluster: &Cluster, old: usize, new: usize) {
    let (old_name, new_name) = (format!("n{old}"), format!("n{new}"));
    let admin = cluster.admin(old);
    let why = "promoted by force (generation 2)";
    until("the old primary is told", || {
        status(&admin)["trouble"].as_str().is_some_and(|it| it.contains(why))
    });
    assert_eq!(status(&admin)["role"], "idle");
    assert!(told(&["status", "--admin", &admin], 0).contains("promoted by force (generation 2)"));
    let mut client = cluster.connect(old);
    for command in ["SET key 3", "SET other 3", "DEL key"] {
        let refused = client.ask(command).expect("it answers");
        assert!(refused.starts_with('-'), "{refused}");
    }
    assert!(!client.ask("ROLE").expect("it answers").contains("master"));
    let detail = |at: usize, kind: &str| -> Vec<String> {
        let told = cluster.told(at, kind);
        told.iter().map(|it| it["detail"].as_str().unwrap_or_default().to_owned()).collect()
    };
    until("the events say so", || {
        let fenced = detail(old, "cluster-fenced");
        let heard = detail(old, "cluster-refused");
        let refused = detail(new, "cluster-refused");
        let why =
            format!("{old_name} is of generation 1, and a node was promoted since, which began generation 2");
        fenced.iter().any(|it| it.contains("promoted by force (generation 2)"))
            && heard.iter().any(|it| it.contains("it refused this node") && it.contains(&why))
            && refused.iter().any(|it| it.contains("it was refused") && it.contains(&why))
    });
    let new_said = status(&cluster.admin(new));
    assert!(new_said["last_refusal"].as_str().is_some_and(|it| it.contains(&old_name)), "{new_said}");
    assert_eq!(new_said["primary"], new_name.as_str(), "{new_said}");
    // What the new one has is as it was, and it goes on.
    let mut client = cluster.connect(new);
    assert_eq!(client.ask("GET key").as_deref(), Some("$1|2"));
    assert_eq!(client.ask("GET lost").as_deref(), Some("$-1"));
    assert_eq!(client.ask("GET other").as_deref(), Some("$-1"));
    assert_eq!(client.ask("SET key 4").as_deref(), Some("+OK"));
}

/// The new primary is there, and takes writes.
fn go_on_as_primary(cluster: &mut Cluster, new: usize) {
    let said = told(&["promote", "--dir", &cluster.folder().file(&format!("n{new}")), "--force"], 0);
    assert!(said.contains("in generation 2"), "{said}");
    cluster.start_node(new);
    assert_eq!(cluster.primary_of(&[new]), new);
    assert_eq!(cluster.connect(new).ask("SET key 2").as_deref(), Some("+OK"));
}

fn an_old_primary_comes_back(mut cluster: Cluster, old: usize, new: usize) {
    write_and_part(&mut cluster, old, new);
    cluster.kill(old);
    go_on_as_primary(&mut cluster, new);
    cluster.start_node(old);
    is_told(&cluster, old, new);
    // It knows it where nobody is there to tell it again.
    cluster.end(new);
    cluster.kill(old);
    cluster.start_node(old);
    let said = status(&cluster.admin(old));
    assert!(said["trouble"].as_str().is_some_and(|it| it.contains("(generation 2)")), "{said}");
    assert_eq!(said["role"], "idle", "{said}");
    let refused = cluster.connect(old).ask("SET key 5").expect("it answers");
    assert!(refused.starts_with('-'), "{refused}");
    until("the event says so", || !cluster.told(old, "cluster-fenced").is_empty());
    // Whoever orders it knows better.
    cluster.end(old);
    let said = told(&["promote", "--dir", &cluster.folder().file(&format!("n{old}")), "--force"], 0);
    assert!(said.contains("in generation 3"), "{said}");
    cluster.start_node(old);
    assert_eq!(cluster.connect(old).ask("SET key 6").as_deref(), Some("+OK"));
}

fn an_old_primary_goes_on(mut cluster: Cluster, old: usize, new: usize) {
    write_and_part(&mut cluster, old, new);
    cluster.stop(old);
    go_on_as_primary(&mut cluster, new);
    cluster.signal(old, "-CONT");
    is_told(&cluster, old, new);
}

#[test]
fn an_old_primary_that_dials_is_told_when_it_comes_back() {
    an_old_primary_comes_back(Cluster::start_pair(), 0, 1);
}

#[test]
fn an_old_primary_that_is_dialled_is_told_when_it_comes_back() {
    an_old_primary_comes_back(Cluster::start_pair_reversed(), 1, 0);
}

#[test]
fn an_old_primary_that_dials_is_told_when_it_goes_on() {
    an_old_primary_goes_on(Cluster::start_pair(), 0, 1);
}

#[test]
fn an_old_primary_that_is_dialled_is_told_when_it_goes_on() {
    an_old_primary_goes_on(Cluster::start_pair_reversed(), 1, 0);
}
