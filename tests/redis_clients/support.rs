//! A server with a store in this process, and a client that speaks no more than the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use trimtab::proxy::options::Bind;
use trimtab::server::{Server, StoreStatus};

use crate::folder::Folder;
use crate::process::DEADLINE;

pub(crate) struct Served {
    pub(crate) server: Server,
    folder: Folder,
}

/// What `[store]` says, and how many workers there are.
pub(crate) fn config(dir: &str, workers: u32, lines: &str) -> String {
    format!("[runtime]\nworkers = {workers}\n[store]\ndir = {dir:?}\nresp = \"127.0.0.1:0\"\n{lines}\n")
}

impl Served {
    pub(crate) fn start(workers: u32, lines: &str) -> Self {
        Self::start_in(Folder::new(), workers, lines)
    }

    pub(crate) fn start_in(folder: Folder, workers: u32, lines: &str) -> Self {
        let text = config(&folder.file("data"), workers, lines);
        let server = Server::from_toml(&text, "t").expect("it is right");
        server.start().expect("it starts");
        Self { server, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self.server.resp_address() {
            Ok(Some(Bind::Inet(address))) => address,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub(crate) fn status(&self) -> StoreStatus {
        self.server.status().unwrap().store.expect("it is open")
    }

    /// Ends it gracefully, and gives the folder for the next.
    pub(crate) fn end(self) -> Folder {
        self.server.drain(None).unwrap();
        self.server.wait(Some(DEADLINE)).unwrap();
        let Self { server, folder } = self;
        drop(server);
        folder
    }
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a command, its words parted by blanks.
    pub(crate) fn say(&mut self, command: &str) {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.send(&encoded(&words));
    }

    /// The answer to a command, with `|` in place of the ends of its lines.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut out = Vec::new();
        assert!(self.read(&mut out), "the connection has ended");
        String::from_utf8_lossy(&out).trim_end().replace("\r\n", "|")
    }

    /// The bytes in an answer `$length`.
    pub(crate) fn bytes(&mut self, command: &str) -> Vec<u8> {
        self.say(command);
        let mut out = Vec::new();
        assert!(self.read(&mut out), "the connection has ended");
        let begin = out.iter().position(|byte| *byte == b'\n').expect("a line");
        assert!(out[0] == b'$' && out.ends_with(b"\r\n"), "{}", String::from_utf8_lossy(&out[..begin]));
        out[begin + 1..out.len() - 2].to_vec()
    }

    /// An answer of one line; `None`: the connection has ended.
    pub(crate) fn try_answer(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(len) if len > 0 && line.ends_with('\n') => Some(line.trim_end().to_string()),
            _ => None,
        }
    }

    /// The number in an answer `:number`.
    pub(crate) fn number(&mut self, command: &str) -> i64 {
        let answer = self.ask(command);
        answer.strip_prefix(':').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// Whether the server ends the connection, whatever it says before.
    pub(crate) fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// One answer; `false`: the connection has ended before it.
    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return false;
        }
        out.extend_from_slice(&line);
        let number = || std::str::from_utf8(&line[1..]).unwrap().trim_end().parse::<i64>().unwrap();
        match line[0] {
            b'$' | b'=' if number() >= 0 => {
                let len = number() as u64 + 2;
                self.0.by_ref().take(len).read_to_end(out).unwrap();
                true
            }
            b'*' | b'~' | b'>' if number() > 0 => (0..number()).all(|_| self.read(out)),
            b'%' => (0..number() * 2).all(|_| self.read(out)),
            _ => true,
        }
    }
}

pub(crate) fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}
