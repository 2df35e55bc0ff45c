//! A server's store becomes the first node of a cluster.

use std::process::Command;

use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::{Client, Cluster};

#[test]
fn a_store_becomes_a_cluster_from_its_configuration() {
    let folder = Folder::new();
    let (first, second) = (Cluster::free_ip(), Cluster::free_ip());
    let config = |name: &str, address: std::net::Ipv4Addr, lines: &str| {
        format!("[store]\ndir = {:?}\nresp = \"{address}:6379\"\n{lines}", folder.file(name))
    };
    let ask = |address: std::net::Ipv4Addr, command: &str| {
        Client::connect((address, 6379).into()).and_then(|mut client| client.ask(command))
    };
    let lone = Running::start(&config("n0", first, ""), None);
    assert_eq!(ask(first, "SET key 1").as_deref(), Some("+OK"));
    lone.end();

    let peers = format!(
        "peers = {{ n0 = \"{first}:7400\", n1 = \"{second}:7400\" }}\npeer_tls = \"insecure-plaintext\"\n"
    );
    let file = folder.write("refused.toml", &config("n0", first, &format!("node = \"n0\"\n{peers}")));
    let refused =
        Command::new(env!("CARGO_BIN_EXE_trimtab")).arg("run").arg(&file).output().expect("it runs");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("adopt = true in [store]"), "{told}");

    let node = Running::start(&config("n0", first, &format!("node = \"n0\"\nadopt = true\n{peers}")), None);
    until("it is primary", || ask(first, "ROLE").is_some_and(|role| role.contains("master")));
    assert_eq!(ask(first, "GET key").as_deref(), Some("$1|1"));
    let other = Running::start(&config("n1", second, &format!("node = \"n1\"\njoin = true\n{peers}")), None);
    let added = Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .args(["store", "add", "--admin", &node.admin(), "n1", &format!("{second}:7400")])
        .output()
        .expect("it runs");
    assert!(added.status.success(), "{added:?}");
    until("the other one has it", || ask(second, "GET key").as_deref() == Some("$1|1"));
    assert_eq!(ask(second, "SET key 2").as_deref(), Some("+OK"));
    assert_eq!(ask(first, "GET key").as_deref(), Some("$1|2"));
    drop(other);
    node.end();
}
