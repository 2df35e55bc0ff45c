//! Three nodes, and a client that speaks no more than the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::folder::Folder;
use crate::process::{DEADLINE, Running, until};

/// An address of this machine that nobody else has: of a network of 16 million, by process and count.
fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, high, middle, low] =
        (std::process::id() << 8 | NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    Ipv4Addr::new(127, high, middle, low)
}

pub(crate) struct Cluster {
    addresses: Vec<Ipv4Addr>,
    lines: &'static str,
    nodes: Vec<Option<Running>>,
    /// Goes last.
    folder: Folder,
}

impl Cluster {
    /// Three nodes, with these lines in `[store]`.
    pub(crate) fn start(lines: &'static str) -> Self {
        let addresses = (0..3).map(|_| free_address()).collect();
        let mut cluster =
            Self { addresses, lines, nodes: (0..3).map(|_| None).collect(), folder: Folder::new() };
        (0..3).for_each(|at| cluster.start_node(at));
        cluster
    }

    pub(crate) fn start_node(&mut self, at: usize) {
        let peers = self.addresses.iter().enumerate().map(|(at, it)| format!("n{at} = \"{it}:7400\""));
        let peers = peers.collect::<Vec<_>>().join(", ");
        let dir = self.folder.file(&format!("n{at}"));
        let (resp, lines) = (self.resp(at), self.lines);
        let config = format!(
            "[runtime]\nworkers = 2\n[store]\ndir = {dir:?}\nresp = \"{resp}\"\nnode = \"n{at}\"\n\
             peers = {{ {peers} }}\npeer_tls = \"insecure-plaintext\"\n{lines}\n"
        );
        self.nodes[at] = Some(Running::start(&config, None));
    }

    pub(crate) fn resp(&self, at: usize) -> SocketAddr {
        SocketAddr::from((self.addresses[at], 6379))
    }

    pub(crate) fn connect(&self, at: usize) -> Client {
        Client::connect(self.resp(at)).expect("it listens")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, at: usize) {
        drop(self.nodes[at].take().expect("it runs"));
    }

    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let pid = self.nodes[at].as_ref().expect("it runs").pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
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

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Self(BufReader::new(stream)))
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
            b'*' if number() > 0 => (0..number()).try_for_each(|_| self.read(out)),
            _ => Some(()),
        }
    }
}
