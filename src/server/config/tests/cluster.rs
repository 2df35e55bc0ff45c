//! The cluster of `[store]`: what it may say, and what is told of the rest.

use std::time::Duration;

use crate::peer::Security;
use crate::server::config::cluster::{self, Cluster};
use crate::server::config::fields::Fields;
use crate::server::config::problems::Problems;
use crate::server::config::schema::STORE;
use crate::server::config::syntax;

fn read_text(text: &str) -> (Option<Cluster>, Vec<String>) {
    read_text_with(text, "0.0.0.0:6379")
}

fn read_text_with(text: &str, resp: &str) -> (Option<Cluster>, Vec<String>) {
    let mut problems = Problems::new(text, "t");
    let root = syntax::parse(text, &mut problems).expect("it is TOML");
    let fields = Fields::new(&root, &STORE, 0, &mut problems);
    let resp = resp.parse().ok();
    let cluster = cluster::read(&fields, resp.as_ref(), 64 << 20, &mut problems);
    (cluster.map(|it| it.0), problems.finish().iter().map(ToString::to_string).collect())
}

fn good(text: &str) -> Cluster {
    let (cluster, told) = read_text(text);
    cluster.unwrap_or_else(|| panic!("{told:?}"))
}

/// What is told of a text that gives no cluster, its lines joined.
fn told(text: &str) -> String {
    let (cluster, told) = read_text(text);
    assert!(!told.is_empty(), "{cluster:?}");
    told.join("\n")
}

const PEERS: &str =
    "peers = { db-1 = \"10.0.0.5:7400\", db-2 = \"10.0.0.6:7400\", db-3 = \"10.0.0.7:7400\" }\n";
#[cfg(feature = "tls")]
const TLS: &str = "peer_tls = { certificates = [\"node.pem\"], ca = \"ca.pem\" }\n";

#[cfg(feature = "tls")]
#[test]
fn what_the_documentation_shows_is_taken() {
    let cluster =
        good(&format!("node = \"db-1\"\nlisten = \"0.0.0.0:7400\"\nlearners = [\"db-4\"]\n{PEERS}{TLS}"));
    assert_eq!(cluster.node.as_str(), "db-1");
    assert_eq!(cluster.listen, "0.0.0.0:7400".parse().ok());
    assert_eq!((cluster.name.as_str(), cluster.joins, cluster.forwards), ("trimtab", false, true));
    assert_eq!((cluster.replication.degrade_after, cluster.stale_max), (None, Some(Duration::from_secs(10))));
    assert_eq!(cluster.announce.as_deref(), Some("10.0.0.5:6379"));
    let members: Vec<_> = cluster.members.iter().map(|(name, member)| (name.as_str(), *member)).collect();
    let voter = |address: &str| cluster::Member { address: address.parse().ok(), is_learner: false };
    assert_eq!(
        members,
        [
            ("db-1", voter("10.0.0.5:7400")),
            ("db-2", voter("10.0.0.6:7400")),
            ("db-3", voter("10.0.0.7:7400")),
            ("db-4", cluster::Member { address: None, is_learner: true }),
        ]
    );
    let certificates = vec!["node.pem".into()];
    assert_eq!(cluster.security, Security::Tls { certificates, key: None, ca: "ca.pem".into() });
    // The learner's own file says the same but for its name.
    let learner = good(&format!("node = \"db-4\"\nlearners = [\"db-4\"]\n{PEERS}{TLS}"));
    assert_eq!((learner.listen, learner.members), (None, cluster.members));
    let second = good(&format!("node = \"db-2\"\nlearners = [\"db-3\"]\n{PEERS}{TLS}"));
    assert_eq!(second.listen, "10.0.0.6:7400".parse().ok());
    let third = &second.members[&"db-3".parse().unwrap()];
    assert!(third.is_learner && third.address.is_some());
}

#[test]
fn a_single_node_needs_no_security_and_plaintext_goes_by_its_name() {
    let one = good("node = \"db-1\"\npeers = { db-1 = \"10.0.0.5:7400\" }");
    assert_eq!(one.security, Security::InsecurePlaintext);
    let near = "node = \"a\"\npeers = { a = \"127.0.0.1:1\", b = \"127.0.0.1:2\" }\n";
    let plain = good(&format!("{near}peer_tls = \"insecure-plaintext\""));
    assert_eq!(plain.security, Security::InsecurePlaintext);
    let far = good(&format!("node = \"db-1\"\n{PEERS}peer_tls = \"insecure-plaintext-anywhere\""));
    assert_eq!(far.security, Security::InsecurePlaintextAnywhere);
}

#[test]
fn what_is_said_beside_the_members_is_taken() {
    let near = "node = \"a\"\npeers = { a = \"127.0.0.1:1\", b = \"127.0.0.1:2\" }\npeer_tls = \"insecure-plaintext\"\n";
    let said = good(&format!(
        "{near}cluster = \"orders\"\njoin = true\nforward = false\ndegrade_after = \"1s\"\nstale_max = \"0s\"\n\
         announce = \"db.example:7000\"\nsentinel = \"mymaster\""
    ));
    assert_eq!(said.sentinel, "mymaster");
    assert_eq!(good(&format!("{near}cluster = \"orders\"")).sentinel, "orders");
    assert_eq!((said.name.as_str(), said.joins, said.forwards), ("orders", true, false));
    assert_eq!((said.replication.degrade_after, said.stale_max), (Some(Duration::from_secs(1)), None));
    assert_eq!(said.announce.as_deref(), Some("db.example:7000"));
    assert_eq!(said.reached_at.as_deref(), Some("127.0.0.1:6379"), "by other nodes");
    let address = good(&format!("{near}announce = \"10.0.0.9:7000\""));
    assert_eq!((address.announce.as_deref(), address.reached_at), (Some("10.0.0.9:7000"), None));
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let plain = "peer_tls = \"insecure-plaintext-anywhere\"\n";
    let with = |lines: &str| format!("node = \"db-1\"\n{PEERS}{lines}");
    for (text, expected) in [
        (format!("{PEERS}{plain}"), "t:1:1: node is missing in [store]; add node = \"db-1\""),
        (format!("node = \"db-1\"\n{plain}"), "t:1:1: peers is missing in [store]"),
        (format!("node = \"db-1\"\npeers = {{}}\n{plain}"), "t:2:9: peers names nobody"),
        (
            format!("node = \"db-1\"\npeers = [\"db-1\"]\n{plain}"),
            "peers is a list, where a table is expected",
        ),
        (
            format!("node = \"db-1\"\npeers = {{ db-1 = 7400 }}\n{plain}"),
            "t:2:18: peers.db-1 is the whole number 7400",
        ),
        (format!("node = \"DB1\"\n{PEERS}{plain}"), "t:1:8: node: \"DB1\" has other characters than a to z"),
        (
            format!("node = \"db-9\"\n{PEERS}{plain}"),
            "t:1:8: node \"db-9\" is neither in peers nor in learners; did you mean \"db-1\"?",
        ),
        (with(""), "t:1:1: peer_tls is missing, and there are other nodes; add peer_tls = {"),
        (with(&format!("{plain}cluster = \"\"")), "t:4:11: cluster is empty"),
        (with(&format!("{plain}degrade_after = \"0s\"")), "degrade_after 0s is outside 1ms to 1h"),
        (with(&format!("{plain}feed_timeout = \"1ms\"")), "feed_timeout 1ms is outside 400ms to 1h"),
        (with(&format!("{plain}feed_from = [\"db-1\"]")), "feed_from names db-1, and that is this node"),
        (with(&format!("{plain}feed_from = [\"db-9\"]")), "neither in peers nor in learners; did you mean"),
        (with(&format!("{plain}feed_from = [\"db-2\", \"db-2\"]")), "feed_from names db-2 twice"),
        (with(&format!("{plain}join = true\nadopt = true")), "adopt begins a cluster, and join says"),
        (with(&format!("{plain}announce = \"6379\"")), "announce: \"6379\" is no host:port"),
        (with(&format!("{plain}announce = \"0.0.0.0:1\"")), "\"0.0.0.0:1\" is no address to reach a node at"),
        (with(&format!("{plain}announce = \"[::]:1\"")), "\"[::]:1\" is no address to reach a node at"),
        (with("peer_tls = \"off\""), "t:3:12: unknown peer_tls \"off\""),
        (with("peer_tls = \"insecure-plain\""), "did you mean \"insecure-plaintext\"?"),
        (with("peer_tls = true"), "peer_tls is true, where text is expected"),
        (with("peer_tls = \"insecure-plaintext\""), "10.0.0.5:7400 is not of this machine"),
        (
            with(&format!("{plain}learners = [\"db-1\", \"db-2\", \"db-3\"]")),
            "all nodes are learners, and nobody votes",
        ),
        (with(&format!("{plain}learners = [\"db-4\", \"db-4\"]")), "learners names db-4 twice"),
        (with(&format!("{plain}learners = [\"-\"]")), "learners: \"-\" has no letter or digit"),
        (
            with(&format!("{plain}listen = \"db-1:7400\"")),
            "listen: \"db-1:7400\" is no ip:port; a host name cannot be given yet",
        ),
        (with(&format!("{plain}listen = \"10.0.0.5\"")), "it has no port; write 10.0.0.5:7400"),
        (with(&format!("{plain}listen = \"fd00::5:7400\"")), "is no ip:port"),
        (with(&format!("{plain}listen = \"10.0.0.5:0\"")), "has port 0"),
        (
            format!("node = \"a\"\npeers = {{ a = \"0.0.0.0:1\", b = \"10.0.0.6:1\" }}\n{plain}"),
            "t:2:15: peers: 0.0.0.0:1 is no address to reach a node at",
        ),
        (
            format!("node = \"a\"\npeers = {{ a = \"10.0.0.6:1\", b = \"10.0.0.6:1\" }}\n{plain}"),
            "t:2:33: a and b have the same address 10.0.0.6:1; give each node its own",
        ),
        (
            format!("node = \"x\"\nlearners = [\"x\"]\nlisten = \"10.0.0.9:7400\"\n{PEERS}{plain}"),
            "t:3:10: listen is given, and peers has no address for x",
        ),
    ] {
        let told = told(&text);
        assert!(told.contains(expected), "{text}\n{told}\nexpected {expected}");
    }
}

#[test]
fn where_nodes_are_on_other_machines_resp_is_too() {
    let far = format!("node = \"db-1\"\n{PEERS}peer_tls = \"insecure-plaintext-anywhere\"\n");
    let near = "node = \"a\"\npeers = { a = \"127.0.0.1:1\", b = \"127.0.0.2:2\" }\n\
                peer_tls = \"insecure-plaintext\"\n";
    let alone = "node = \"a\"\npeers = { a = \"10.0.0.5:7400\" }\n";
    let learner = format!(
        "node = \"db-4\"\nlearners = [\"db-4\"]\n{PEERS}peer_tls = \"insecure-plaintext-anywhere\"\n"
    );
    for (text, resp, announced) in [
        (&*far, "10.0.0.5:1", Some("10.0.0.5:1")),
        (&far, "0.0.0.0:1", Some("10.0.0.5:1")),
        // As it is said: clients have a tunnel there, or there are none elsewhere.
        (&format!("{far}announce = \"127.0.0.1:7001\""), "127.0.0.1:1", Some("127.0.0.1:7001")),
        (&format!("{far}announce = \"10.0.0.5:7001\""), "unix:/run/db", Some("10.0.0.5:7001")),
        (near, "127.0.0.1:1", Some("127.0.0.1:1")),
        (near, "unix:/run/db", Some("unix:/run/db")),
        (&learner, "10.0.0.8:1", Some("10.0.0.8:1")),
        (&learner, "0.0.0.0:1", None),
    ] {
        let (cluster, told) = read_text_with(text, resp);
        let cluster = cluster.unwrap_or_else(|| panic!("{told:?}"));
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(cluster.announce.as_deref(), announced, "{text}\n{resp}");
    }
    for (text, resp, expected) in [
        (
            &*far,
            "127.0.0.1:1",
            "resp 127.0.0.1:1 is of this machine alone, and nodes on others, as 10.0.0.6:7400, would send clients \
             there; write resp = \"10.0.0.5:1\", or say with announce",
        ),
        (&far, "[::1]:1", "resp [::1]:1 is of this machine alone"),
        (&far, "unix:/run/db", "write resp = \"10.0.0.5:6379\", or"),
        (alone, "127.0.0.1:1", "as 10.0.0.5:7400, would send clients there"),
        (&format!("{far}announce = \"0.0.0.0:1\""), "127.0.0.1:1", "is no address to reach a node at"),
        (&learner, "127.0.0.1:1", "bind resp to an address that they reach, or say one with announce"),
        (
            &format!("{far}announce = \"db-1.example:7000\""),
            "127.0.0.1:1",
            "is a name, which clients look up and nodes do not, and nothing says where nodes reach them",
        ),
    ] {
        let (_, told) = read_text_with(text, resp);
        assert!(told.len() == 1 && told[0].contains(expected), "{text}\n{resp}\n{told:?}\n{expected}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_table_of_files_must_be_whole() {
    let with = |table: &str| told(&format!("node = \"db-1\"\n{PEERS}peer_tls = {table}"));
    assert!(with("{ ca = \"ca.pem\" }").contains("peer_tls has no certificates"));
    assert!(with("{ certificates = [], ca = \"ca.pem\" }").contains("peer_tls has no certificates"));
    assert!(
        with("{ certificates = \"a\", ca = \"b\" }")
            .contains("certificates is the text \"a\", where a list of texts")
    );
    assert!(with("{ certificates = [\"a\"] }").contains("ca is missing in store.peer_tls"));
    assert!(with("{ certificates = [\"a\"], ca = \"b\", kay = \"c\" }").contains("did you mean \"key\"?"));
}
