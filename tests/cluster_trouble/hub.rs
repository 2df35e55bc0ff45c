//! Network namespaces, one for each node, around a bridge where the clients are.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// One for each node, numbered from 1.
pub(crate) struct Hub {
    /// What holds each namespace open.
    holders: Vec<Child>,
}

/// Where a node is.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, u8::try_from(node).expect("a few"))
}

#[track_caller]
fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Hub {
    pub(crate) fn new(nodes: usize) -> Self {
        run(&["ip", "link", "set", "lo", "up"]);
        run(&["ip", "link", "add", "hub", "type", "bridge"]);
        run(&["ip", "address", "add", "10.99.0.254/24", "dev", "hub"]);
        run(&["ip", "link", "set", "hub", "up"]);
        let mut hub = Self { holders: Vec::new() };
        for node in 1..=nodes {
            // It says that it is there, which it is once its namespace is.
            let mut holder = Command::new("unshare")
                .args(["--net", "sh", "-c", "echo there && exec cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("unshare can be started");
            let mut line = String::new();
            let mut out = std::io::BufReader::new(holder.stdout.take().expect("it is piped"));
            std::io::BufRead::read_line(&mut out, &mut line).expect("it says something");
            assert_eq!(line, "there\n");
            hub.holders.push(holder);
            let (port, plug, pid) = (format!("port{node}"), format!("plug{node}"), hub.pid(node));
            run(&["ip", "link", "add", &port, "type", "veth", "peer", "name", &plug, "netns", &pid]);
            run(&["ip", "link", "set", &port, "master", "hub", "up"]);
            let inside = ["nsenter", "--target", &pid, "--net", "ip"];
            run(&[&inside[..], &["link", "set", "lo", "up"]].concat());
            let address = format!("{}/24", address(node));
            run(&[&inside[..], &["address", "add", &address, "dev", &plug]].concat());
            run(&[&inside[..], &["link", "set", &plug, "up"]].concat());
            let rules = "add table ip cut; add chain ip cut in { type filter hook input priority 0; }";
            run(&["nsenter", "--target", &pid, "--net", "nft", rules]);
        }
        hub
    }

    fn pid(&self, node: usize) -> String {
        self.holders[node - 1].id().to_string()
    }

    /// A command that runs where a node is.
    pub(crate) fn command(&self, node: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid(node), "--net", program]);
        command
    }

    /// From now on `node` hears nothing from `other`.
    pub(crate) fn deafen(&self, node: usize, other: usize) {
        let rule = format!("add rule ip cut in ip saddr {} drop", address(other));
        run(&["nsenter", "--target", &self.pid(node), "--net", "nft", &rule]);
    }

    /// All hear each other again.
    pub(crate) fn heal(&self) {
        for node in 1..=self.holders.len() {
            run(&["nsenter", "--target", &self.pid(node), "--net", "nft", "flush chain ip cut in"]);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}
