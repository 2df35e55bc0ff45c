//! The nodes: `trimtab run` where the hub has a place for it.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::Connection;

use crate::folder::Folder;
use crate::hub::{Hub, address};

/// After this long nothing will come any more, and the scene fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const VOTERS: usize = 3;
pub(crate) const NODES: usize = 4;
const CLIENT_PORT: u16 = 6379;
const PEER_PORT: u16 = 7400;

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where clients find a node.
pub(crate) fn client_address(node: usize) -> SocketAddr {
    SocketAddrV4::new(address(node), CLIENT_PORT).into()
}

/// A client's connection to a node. It waits no longer than a few seconds for anything.
pub(crate) fn connect(node: usize) -> redis::RedisResult<Connection> {
    let client = redis::Client::open(format!("redis://{}/", client_address(node)))?;
    let patience = Duration::from_secs(2);
    let connection = client.get_connection_with_timeout(patience)?;
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(patience))?;
    Ok(connection)
}

pub(crate) struct Nodes {
    pub(crate) hub: Hub,
    folder: Folder,
    children: Vec<Option<Child>>,
    /// More of `[store]`.
    lines: &'static str,
}

impl Nodes {
    /// Starts all; returns when one is primary and takes a write.
    pub(crate) fn start() -> Self {
        Self::start_with("", |_| {})
    }

    /// Starts all with these lines in `[store]` and in directories that were made ready.
    pub(crate) fn start_with(lines: &'static str, ready: impl Fn(&Path)) -> Self {
        let mut nodes = Self {
            hub: Hub::new(NODES),
            folder: Folder::new(),
            children: (0..NODES).map(|_| None).collect(),
            lines,
        };
        for node in 1..=NODES {
            std::fs::create_dir(nodes.dir(node)).expect("the folder is there");
            ready(&nodes.dir(node));
            nodes.start_one(node);
        }
        until("a primary", || nodes.primary().is_some());
        nodes
    }

    /// Where a node has its files.
    pub(crate) fn dir(&self, node: usize) -> PathBuf {
        self.folder.path().join(node.to_string())
    }

    pub(crate) fn start_one(&mut self, node: usize) {
        assert!(self.children[node - 1].is_none(), "node {node} runs");
        let peers: Vec<String> =
            (1..=NODES).map(|node| format!("n{node} = \"{}:{PEER_PORT}\"", address(node))).collect();
        let dir = self.dir(node);
        // For failures: what it told.
        let told = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.file(&format!("{node}/told")));
        let config = format!(
            "[store]\nnode = \"n{node}\"\ndir = {:?}\nresp = \"0.0.0.0:{CLIENT_PORT}\"\npeers = {{ {} }}\n\
             learners = [\"n{NODES}\"]\npeer_tls = \"insecure-plaintext-anywhere\"\n{}",
            dir.join("data"),
            peers.join(", "),
            self.lines,
        );
        let file = self.folder.write(&format!("{node}/trimtab.toml"), &config);
        let child = self
            .hub
            .command(node, env!("CARGO_BIN_EXE_trimtab"))
            .args(["run", "--json"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(told.expect("the folder is there"))
            .spawn();
        self.children[node - 1] = Some(child.expect("nsenter can be started"));
    }

    /// Kills a node as nothing else kills.
    pub(crate) fn kill(&mut self, node: usize) {
        let mut child = self.children[node - 1].take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("it was started");
    }

    /// Has a node end in good order.
    pub(crate) fn end(&mut self, node: usize) {
        self.signal(node, "TERM");
        let mut child = self.children[node - 1].take().expect("it runs");
        let status = child.wait().expect("it was started");
        assert!(status.success(), "node {node} ended with {status}: {}", self.told(node));
    }

    pub(crate) fn signal(&self, node: usize, signal: &str) {
        let child = self.children[node - 1].as_ref().expect("it runs");
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.expect("there is kill").success());
    }

    /// What a node has told so far.
    pub(crate) fn told(&self, node: usize) -> String {
        std::fs::read_to_string(self.dir(node).join("told")).unwrap_or_default()
    }

    /// The node that says that it is primary, where one does and no other.
    pub(crate) fn primary(&self) -> Option<usize> {
        let mut found = (1..=VOTERS).filter(|node| {
            let asked = || redis::cmd("ROLE").query::<Vec<redis::Value>>(&mut connect(*node)?);
            let role = asked().ok().and_then(|role| role.into_iter().next());
            role.is_some_and(|role| {
                redis::from_redis_value::<String>(role).is_ok_and(|role| role == "master")
            })
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let running: Vec<usize> = (1..=NODES).filter(|node| self.children[node - 1].is_some()).collect();
        for node in running {
            if std::thread::panicking() {
                eprintln!("node {node} told:\n{}", self.told(node));
            }
            self.kill(node);
        }
    }
}
