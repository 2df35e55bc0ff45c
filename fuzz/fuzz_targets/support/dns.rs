//! Replies put together from parts, and the bookkeeping a driver of discovery does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use arbitrary::Arbitrary;
use trimtab::discovery::exchange::{Event, Exchange, Io};

/// A reply to a question, mostly a sensible one.
#[derive(Arbitrary, Debug)]
pub struct Reply {
    flags: u8,
    rcode: u8,
    /// Added to the counts at the head.
    lies: [u8; 4],
    has_question: u8,
    sections: [Vec<Record>; 3],
    /// Taken off the end.
    cut: u8,
    behind: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Record {
    owner: u8,
    class: u8,
    /// In seconds, so that it is over soon; 255 for the most there is.
    ttl: u8,
    /// Added to the length of the data.
    lies: u8,
    data: Data,
}

#[derive(Arbitrary, Debug)]
enum Data {
    A([u8; 4]),
    Aaaa(u8),
    Alias(u8),
    Service {
        priority: u8,
        weight: u16,
        port: u16,
        target: u8,
    },
    Zone(u32),
    Opt(Vec<u8>),
    Any(u16, Vec<u8>),
    /// The same address over and over: `0` to `255` times eight.
    Many(u8),
}

const NAMES: [&[u8]; 8] = [
    b"\x03app\x04test\0",
    b"\x01b\x04test\0",
    b"\x02_s\x04_tcp\x04test\0",
    b"\x01c\x04test\0",
    b"\x03APP\x04TEST\0",
    b"\0",
    b"\x04\xff. \n\x04test\0",
    b"\xc0\x0c",
];

impl Reply {
    /// The message in answer to `asked`.
    pub fn bytes(&self, asked: &[u8]) -> Vec<u8> {
        let question = 12 + asked[12..].iter().position(|&byte| byte == 0).expect("a name ends") + 5;
        let has_question = self.has_question > 0;
        let mut bytes = asked[..2].to_vec();
        bytes.extend([
            0x81 | self.flags & 0x06,
            0x80 ^ self.flags & 0xc0 | self.rcode & 0x0f & (self.rcode >> 4),
        ]);
        let counts = [usize::from(has_question), self.count(0), self.count(1), self.count(2)];
        for (count, lies) in counts.into_iter().zip(self.lies) {
            // Mostly the truth.
            bytes.extend((count as u16).wrapping_add(u16::from(lies.saturating_sub(0xf0))).to_be_bytes());
        }
        if has_question {
            bytes.extend_from_slice(&asked[12..question]);
        }
        for record in self.sections.iter().flatten() {
            record.write(&mut bytes);
        }
        bytes.truncate(bytes.len() - usize::from(self.cut.saturating_sub(0xc0)).min(bytes.len()));
        bytes.extend_from_slice(&self.behind);
        bytes.truncate(65_535);
        bytes
    }

    fn count(&self, section: usize) -> usize {
        self.sections[section].iter().map(Record::count).sum()
    }
}

impl Record {
    fn count(&self) -> usize {
        match self.data {
            Data::Many(times) => usize::from(times) * 8,
            _ => 1,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, data) = match &self.data {
            Data::A(v4) => (1, v4.to_vec()),
            Data::Aaaa(last) => (28, [&[0x20, 1][..], &[0; 13], &[*last]].concat()),
            Data::Alias(name) => (5, name_of(*name).to_vec()),
            Data::Service { priority, weight, port, target } => {
                let numbers = [u16::from(*priority), *weight, *port].map(u16::to_be_bytes);
                (33, [numbers.as_flattened(), name_of(*target)].concat())
            }
            Data::Zone(minimum) => (6, [&[0; 18][..], &minimum.to_be_bytes()].concat()),
            Data::Opt(options) => (41, options.clone()),
            Data::Any(kind, data) => (*kind, data.clone()),
            Data::Many(_) => (1, vec![10, 0, 0, 1]),
        };
        for turn in 0..self.count() {
            bytes.extend_from_slice(name_of(self.owner));
            bytes.extend(u16::to_be_bytes(kind));
            bytes.extend(u16::to_be_bytes(if self.class < 0xe0 { 1 } else { u16::from(self.class) }));
            let ttl = if self.ttl == u8::MAX { u32::MAX } else { u32::from(self.ttl) };
            bytes.extend(ttl.to_be_bytes());
            let length =
                (data.len().min(60_000) as u16).wrapping_add(u16::from(self.lies.saturating_sub(0xf8)));
            bytes.extend(length.to_be_bytes());
            bytes.extend_from_slice(&data[..data.len().min(60_000)]);
            if matches!(self.data, Data::Many(_)) {
                let end = bytes.len();
                bytes[end - 2..].copy_from_slice(&(turn as u16).to_be_bytes());
            }
        }
    }
}

/// Half of them point to the question.
fn name_of(index: u8) -> &'static [u8] {
    NAMES[usize::from(index % 16).min(7)]
}

/// What happens on an exchange.
#[derive(Arbitrary, Debug)]
pub enum Happening {
    Reply(Reply),
    /// Over TCP cut into pieces of this length.
    Pieces(Reply, u8),
    Raw(Vec<u8>),
    From(Reply, u8),
    Connected,
    Closed,
    Failed,
}

/// The exchanges that are open, and what was asked over them.
#[derive(Default)]
pub struct Links {
    open: BTreeMap<Exchange, Link>,
    closed: Vec<Exchange>,
}

struct Link {
    server: SocketAddr,
    is_tcp: bool,
    asked: Vec<u8>,
}

impl Links {
    /// Does what is wanted, as a driver does.
    pub fn act(&mut self, io: Io) {
        match io {
            Io::SendUdp { exchange, server, bytes } => {
                assert!(self.open.insert(exchange, Link { server, is_tcp: false, asked: bytes }).is_none());
            }
            Io::OpenTcp { exchange, server } => {
                let link = Link { server, is_tcp: true, asked: Vec::new() };
                assert!(self.open.insert(exchange, link).is_none());
            }
            Io::SendTcp { exchange, bytes } => {
                let link = self.open.get_mut(&exchange).expect("it is open");
                assert!(link.is_tcp && link.asked.is_empty());
                link.asked = bytes[2..].to_vec();
            }
            Io::Close { exchange } => {
                self.open.remove(&exchange).expect("it is open");
                self.closed.push(exchange);
            }
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Tells what happened on one of them, at times on one that is closed.
    pub fn tell(&self, at: u8, happening: &Happening, mut event: impl FnMut(Exchange, Event<'_>)) {
        let open = self.open.len();
        let (exchange, link) = match self.open.iter().nth(usize::from(at) % (open + 1)) {
            Some((exchange, link)) => (*exchange, Some(link)),
            None => match self.closed.last() {
                Some(closed) => (*closed, None),
                None => return,
            },
        };
        let asked = link.map_or(&[][..], |link| &link.asked);
        let from = link.map_or(SocketAddr::from(([10, 0, 0, 1], 53)), |link| link.server);
        let is_tcp = link.is_some_and(|link| link.is_tcp);
        let bytes = match happening {
            Happening::Connected => return event(exchange, Event::Connected),
            Happening::Closed => return event(exchange, Event::Closed),
            Happening::Failed => return event(exchange, Event::Failed("no route to host")),
            Happening::Raw(bytes) => bytes.clone(),
            Happening::Reply(reply) | Happening::Pieces(reply, _) | Happening::From(reply, _) => {
                if asked.is_empty() { Vec::new() } else { reply.bytes(asked) }
            }
        };
        let from = match happening {
            Happening::From(_, port) => SocketAddr::new(from.ip(), u16::from(*port)),
            _ => from,
        };
        if !is_tcp {
            return event(exchange, Event::Datagram { from, bytes: &bytes });
        }
        let framed = match happening {
            Happening::Raw(_) => bytes,
            _ => [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat(),
        };
        let length = match happening {
            Happening::Pieces(_, length) => usize::from(*length) * 16 + 1,
            _ => usize::MAX,
        };
        for piece in framed.chunks(length) {
            event(exchange, Event::Bytes(piece));
        }
    }
}
