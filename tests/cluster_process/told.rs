//! What a node is told by its configuration and about its directory.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::folder::Folder;
use crate::process::{DEADLINE, Running, until};
use crate::support::{Client, Cluster, stop};

fn command(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trimtab")).args(arguments).output().expect("it runs");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

fn signal(running: &Running, signal: &str) {
    let pid = running.pid().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

/// One voter and one learner: what is answered is on both.
#[test]
fn redis_clients_get_the_number_of_nodes_that_is_the_default() {
    let folder = Folder::new();
    let addresses = [Cluster::free_ip(), Cluster::free_ip()];
    let [first, second] = addresses;
    let nodes = [0, 1].map(|at| {
        let (dir, address) = (folder.file(&format!("n{at}")), addresses[at]);
        let config = format!(
            "[store]\ndir = {dir:?}\nresp = \"{address}:6379\"\nnode = \"n{at}\"\ndurability = 2\n\
             peers = {{ n0 = \"{first}:7400\", n1 = \"{second}:7400\" }}\nlearners = [\"n1\"]\n\
             peer_tls = \"insecure-plaintext\"\n"
        );
        Running::start(&config, None)
    });
    let connect = |at: usize| Client::connect((addresses[at], 6379).into()).expect("it listens");
    until("a write is answered", || connect(0).ask("SET key 1").as_deref() == Some("+OK"));
    assert_eq!(connect(1).ask("SET key 2").as_deref(), Some("+OK"), "it is passed on");
    let store = &nodes[0].status()["store"];
    assert_eq!((&store["durability"], &store["nodes"]), (&"quorum".into(), &2.into()));
    assert!(command(&["ctl", "--admin", &nodes[0].admin(), "status"]).contains(": quorum and 2 nodes, "));

    stop(nodes[1].pid());
    let mut client = connect(0);
    assert!(client.say("SET key 3"));
    // The one voter has it, so it is seen; that is not enough to be answered.
    until("it is seen", || connect(0).ask("GET key").as_deref() == Some("$1|3"));
    let stream = client.stream();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let answered = stream.read(&mut [0]);
    let is_nothing =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(answered.as_ref().is_err_and(is_nothing), "{answered:?}");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    signal(&nodes[1], "-CONT");
    assert_eq!(client.answer().as_deref(), Some("+OK"));
}

/// Everything but whose the directory is, which stays the file that it was, as when a whole volume is brought back.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let files = |dir: &Path| -> Vec<_> {
        let all = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        all.filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != "member")).collect()
    };
    files(to).iter().for_each(|path| fs::remove_file(path).unwrap());
    for path in files(from) {
        fs::copy(&path, to.join(path.file_name().expect("a file has one"))).unwrap();
    }
}

#[test]
fn a_directory_put_back_from_an_earlier_copy_is_told_so_and_nothing_is_lost() {
    let mut cluster = Cluster::start("slow_flush = \"0s\"");
    let primary = cluster.primary();
    let (back, late) = ((primary + 1) % 3, (primary + 2) % 3);
    let set = |cluster: &Cluster, value: u32| {
        let command = format!("SET key {value}");
        until("it is written", || cluster.connect(primary).ask(&command).as_deref() == Some("+OK"));
    };
    let status = |cluster: &Cluster, at: usize| -> Value {
        serde_json::from_str(&command(&["store", "status", "--json", "--admin", &cluster.admin(at)])).unwrap()
    };
    set(&cluster, 1);
    let dir = cluster.folder().file(&format!("n{back}"));
    let earlier = cluster.folder().file("earlier");
    cluster.end(back);
    copy(Path::new(&dir), Path::new(&earlier));
    cluster.start_node(back);
    until("it has it", || {
        let told = cluster.connect(back).ask("GET key");
        told.as_deref() == Some("$1|1") && status(&cluster, back)["trouble"].is_null()
    });
    // What is answered now is on the disks of two, one of which forgets it.
    cluster.end(late);
    set(&cluster, 2);
    cluster.kill(back);
    cluster.kill(primary);
    copy(Path::new(&earlier), Path::new(&dir));
    let seen = command(&["store", "directory", &dir]);
    assert!(seen.contains(&format!("of n{back} in the cluster trimtab, as the node left it")), "{seen}");
    let said = command(&["store", "directory", "--copy", &dir]);
    assert!(said.contains("a copy: the node votes for nobody"), "{said}");

    // The two that lack it are most of the voters, and elect nobody; also when the one was opened since.
    cluster.start_node(late);
    for _ in 0..2 {
        cluster.start_node(back);
        until("they are linked, and it says what it waits for", || {
            let told = status(&cluster, back);
            let nodes = told["nodes"].as_array().unwrap();
            let is_linked =
                nodes.iter().any(|it| it["name"] == format!("n{late}") && it["is_linked"] == true);
            is_linked && told["trouble"].is_string()
        });
        let refused = cluster.connect(late).ask("SET key 9").expect("an answer");
        assert!(refused.starts_with("-CLUSTERDOWN"), "{refused}");
        cluster.end(back);
        let seen = command(&["store", "directory", &dir]);
        assert!(seen.contains("as the node left it"), "what was said counts once: {seen}");
    }
    cluster.start_node(back);
    cluster.start_node(primary);
    for at in [primary, back, late] {
        until("all have what was answered", || cluster.connect(at).ask("GET key").as_deref() == Some("$1|2"));
    }
    until("it is taken in again", || status(&cluster, back)["trouble"].is_null());
    set(&cluster, 3);
}
