//! Three nodes, and a client that speaks no more than the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use crate::address::own_address;
use crate::certificates::{Authority, Issued};
use crate::folder::Folder;
use crate::process::{DEADLINE, Running, until};

pub(crate) struct Cluster {
    addresses: Vec<Ipv4Addr>,
    lines: &'static str,
    /// What nodes have beside their store.
    listener: Option<&'static str>,
    nodes: Vec<Option<Running>>,
    /// Who signs the certificates of each; none: they have none.
    authorities: Vec<Authority>,
    /// Goes last.
    folder: Folder,
}

impl Cluster {
    /// Three nodes, with these lines in `[store]`.
    pub(crate) fn start(lines: &'static str) -> Self {
        let addresses = (0..3).map(|_| own_address()).collect();
        Self::begin(addresses, 3, lines, None)
    }

    /// Three nodes that know each other by their certificates.
    pub(crate) fn start_secured() -> Self {
        let folder = Folder::new();
        let authority = Authority::new(&folder, "ours");
        Self::begin_in(folder, vec![authority], (0..3).map(|_| own_address()).collect(), 3, "", None)
    }

    /// One node that votes, and a learner, `n1`.
    pub(crate) fn start_pair() -> Self {
        Self::begin(vec![own_address(), own_address()], 1, "learners = [\"n1\"]", None)
    }

    /// The same the other way round: `n1` votes, and `n0` is the learner.
    pub(crate) fn start_pair_reversed() -> Self {
        Self::begin(vec![own_address(), own_address()], 1, "learners = [\"n0\"]", None)
    }

    /// Two nodes that vote, and a learner, `n2`. An election takes 6 s: as long a primary is one without the other.
    pub(crate) fn start_two_and_learner() -> Self {
        let lines = "learners = [\"n2\"]\nelection_ticks = 300";
        Self::begin((0..3).map(|_| own_address()).collect(), 2, lines, None)
    }

    /// Three nodes and a learner, `n3`; each has a listener that splits reads from writes, with these lines in it, in which
    /// `ADDRESS` is the node's.
    pub(crate) fn start_splitting(listener: &'static str) -> Self {
        Self::start_splitting_store("learners = [\"n3\"]", listener)
    }

    /// The same, with these lines in `[store]`: the learner's among them.
    pub(crate) fn start_splitting_store(lines: &'static str, listener: &'static str) -> Self {
        let addresses = (0..4).map(|_| own_address()).collect();
        Self::begin(addresses, 3, lines, Some(listener))
    }

    /// The same, where clients are told a name of each node that nobody can look up.
    pub(crate) fn start_splitting_by_name(listener: &'static str) -> Self {
        let addresses = (0..4).map(|_| own_address()).collect();
        Self::begin(addresses, 3, "learners = [\"n3\"]\nannounce = \"db.invalid:7000\"", Some(listener))
    }

    fn begin(
        addresses: Vec<Ipv4Addr>,
        voters: usize,
        lines: &'static str,
        listener: Option<&'static str>,
    ) -> Self {
        Self::begin_in(Folder::new(), Vec::new(), addresses, voters, lines, listener)
    }

    fn begin_in(
        folder: Folder,
        authorities: Vec<Authority>,
        addresses: Vec<Ipv4Addr>,
        voters: usize,
        lines: &'static str,
        listener: Option<&'static str>,
    ) -> Self {
        let nodes: Vec<_> = addresses.iter().map(|_| None).collect();
        let mut cluster = Self { addresses, lines, listener, nodes, authorities, folder };
        (0..cluster.nodes.len()).for_each(|at| cluster.start_node(at));
        // One that comes after the first election is taken in without a vote, and has it later. The primary knows.
        let linked = format!("|voters_linked:{voters}|");
        let votes = |at: &usize| !lines.contains(&format!("\"n{at}\""));
        until("all that vote do", || {
            let told = |at| Client::connect(cluster.resp(at))?.ask("INFO replication");
            let is_whole = |told: String| told.contains("|role:master|") && told.contains(&linked);
            (0..cluster.nodes.len()).filter(votes).any(|at| told(at).is_some_and(is_whole))
        });
        cluster
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        let security = match self.authorities.first() {
            Some(authority) => self.certified_by(authority, at),
            None => "\"insecure-plaintext\"".into(),
        };
        self.start_node_with(at, &security);
    }

    /// Starts a node with a certificate of another authority.
    pub(crate) fn start_stranger(&mut self, at: usize) {
        let security = self.certified_by(&Authority::new(&self.folder, "theirs"), at);
        self.start_node_with(at, &security);
    }

    fn certified_by(&self, authority: &Authority, at: usize) -> String {
        let Issued { certificate, key } = authority.issue(&self.folder, &format!("n{at}"));
        format!("{{ certificates = [{certificate:?}], key = {key:?}, ca = {:?} }}", authority.ca)
    }

    fn start_node_with(&mut self, at: usize, security: &str) {
        let peers =
            self.addresses.iter().take(3).enumerate().map(|(at, it)| format!("n{at} = \"{it}:7400\""));
        let peers = peers.collect::<Vec<_>>().join(", ");
        let dir = self.folder.file(&format!("n{at}"));
        let (resp, lines) = (self.resp(at), self.lines);
        let listener = self.listener.map_or(String::new(), |lines| {
            let bind = self.split(at);
            let lines = lines.replace("ADDRESS", &self.addresses[at].to_string());
            format!("[[listener]]\nname = \"split\"\nbind = \"{bind}\"\nmode = \"resp-split\"\n{lines}\n")
        });
        let config = format!(
            "[runtime]\nworkers = 2\n[store]\ndir = {dir:?}\nresp = \"{resp}\"\nnode = \"n{at}\"\n\
             peers = {{ {peers} }}\npeer_tls = {security}\n{lines}\n{listener}"
        );
        self.nodes[at] = Some(Running::start(&config, None));
    }

    pub(crate) fn resp(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.addresses[at], 6379))
    }

    /// Where its listener is that splits reads from writes.
    pub(crate) fn split(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.addresses[at], 6400))
    }

    /// Where it listens for a pool of the nodes.
    pub(crate) fn pooled(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.addresses[at], 6500))
    }

    pub(crate) fn connect(&self, at: usize) -> Client {
        Client::connect(self.resp(at)).expect("it listens")
    }

    /// An address of this machine that nobody else has.
    pub(crate) fn free_ip() -> Ipv4Addr {
        own_address()
    }

    /// Where a node is asked which it is.
    pub(crate) fn health(&self, at: usize) -> SocketAddr {
        let started = self.nodes[at].as_ref().expect("it runs").details("started");
        let address =
            started.iter().flat_map(|told| told.split(", ")).find_map(|it| it.strip_prefix("health on "));
        address.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("it does not say where: {started:?}"))
    }

    /// What a node told of this kind, since it was started last.
    pub(crate) fn told(&self, at: usize, event: &str) -> Vec<serde_json::Value> {
        self.nodes[at].as_ref().expect("it runs").told(event)
    }

    /// The path of a node's admin socket.
    pub(crate) fn admin(&self, at: usize) -> String {
        self.nodes[at].as_ref().expect("it runs").admin()
    }

    /// What a node's server says of itself.
    pub(crate) fn status(&self, at: usize) -> serde_json::Value {
        self.nodes[at].as_ref().expect("it runs").status()
    }

    /// Where a node is to be found for others, but for clients.
    pub(crate) fn ip(&self, at: usize) -> Ipv4Addr {
        self.addresses[at]
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, at: usize) {
        drop(self.nodes[at].take().expect("it runs"));
    }

    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let pid = self.nodes[at].as_ref().expect("it runs").pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Has one stand still, all of its threads.
    pub(crate) fn stop(&self, at: usize) {
        stop(self.nodes[at].as_ref().expect("it runs").pid());
    }

    /// Ends one in order.
    pub(crate) fn end(&mut self, at: usize) {
        self.nodes[at].take().expect("it runs").end();
    }

    /// Waits until one of these says that it is primary; gives it.
    pub(crate) fn primary_of(&self, among: &[usize]) -> usize {
        let mut found = None;
        until("there is a primary", || {
            found = among.iter().copied().find(|at| {
                let role = self.connect(*at).ask("ROLE");
                role.is_some_and(|role| role.contains("master"))
            });
            found.is_some()
        });
        found.expect("it was found")
    }

    pub(crate) fn primary(&self) -> usize {
        self.primary_of(&[0, 1, 2])
    }
}

/// Has a process stand still, all of its threads.
pub(crate) fn stop(pid: u32) {
    assert!(Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap().success());
    let stands_still = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.expect("it runs").path().join("stat")).expect("it runs");
        // The name, in brackets, may hold anything.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    let tasks = format!("/proc/{pid}/task");
    until("it stands still", || std::fs::read_dir(&tasks).expect("it runs").all(stands_still));
}

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Self(BufReader::new(stream)))
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Sends a command, its words parted by blanks. Whether the connection is there.
    pub(crate) fn say(&mut self, command: &str) -> bool {
        let words: Vec<&str> = command.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes()).is_ok()
    }

    /// The answer to a command, with `|` in place of the ends of its lines; `None`: the connection has ended.
    pub(crate) fn ask(&mut self, command: &str) -> Option<String> {
        if self.say(command) { self.answer() } else { None }
    }

    pub(crate) fn answer(&mut self) -> Option<String> {
        let mut out = Vec::new();
        self.read(&mut out)?;
        Some(String::from_utf8_lossy(&out).trim_end().replace("\r\n", "|"))
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return None;
        }
        out.extend_from_slice(&line);
        let number = || std::str::from_utf8(&line[1..]).unwrap().trim_end().parse::<i64>().unwrap();
        match line[0] {
            b'$' if number() >= 0 => {
                let len = number() as u64 + 2;
                let read = self.0.by_ref().take(len).read_to_end(out).ok()?;
                (read as u64 == len).then_some(())
            }
            b'%' if number() > 0 => (0..2 * number()).try_for_each(|_| self.read(out)),
            b'*' if number() > 0 => (0..number()).try_for_each(|_| self.read(out)),
            _ => Some(()),
        }
    }
}
