//! [`Resolver`]: a zone that changes, and servers that tell of it truly, falsely, late or not at all.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::hosts::Hosts;
use crate::discovery::lookup::Environment;
use crate::discovery::members::Endpoint;
use crate::discovery::name::{Source, WatchedName};
use crate::discovery::options::Families;
use crate::discovery::resolv_conf::Resolvers;
use crate::discovery::zone::{Style, Zone};
use crate::rng::Rng;

/// What comes to an exchange.
#[derive(Clone, Debug)]
pub(super) enum Owned {
    Datagram(SocketAddr, Vec<u8>),
    Connected,
    Bytes(Vec<u8>),
    Closed,
    Failed,
}

impl Owned {
    pub(super) fn event(&self) -> Event<'_> {
        match self {
            Owned::Datagram(from, bytes) => Event::Datagram { from: *from, bytes },
            Owned::Connected => Event::Connected,
            Owned::Bytes(bytes) => Event::Bytes(bytes),
            Owned::Closed => Event::Closed,
            Owned::Failed => Event::Failed("no route to host"),
        }
    }
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// UDP answers are cut short, so that TCP is asked.
    Truncates,
    /// The same, and nobody listens on TCP.
    TruncatesWithoutTcp,
    Refuses,
    Silent,
    Unreachable,
    /// Somebody answers first, with another number, from elsewhere, or to another question.
    Forged,
    /// Lengths and counts that are not so.
    Lies,
    /// A name that points to itself.
    Loops,
}

pub(super) const FAULTS: [Fault; 9] = [
    Fault::None,
    Fault::Truncates,
    Fault::TruncatesWithoutTcp,
    Fault::Refuses,
    Fault::Silent,
    Fault::Unreachable,
    Fault::Forged,
    Fault::Lies,
    Fault::Loops,
];

/// The servers and what there is to know.
pub(super) struct Resolver {
    pub(super) zone: Zone,
    faults: Vec<Fault>,
    pub(super) name: WatchedName,
    is_service: bool,
}

/// An answer on its way.
pub(super) struct Coming {
    pub(super) after: Duration,
    pub(super) event: Owned,
    /// A true answer by which there is nothing of what was asked for.
    pub(super) is_negative: bool,
}

/// What a forger would have us connect to.
pub(super) const FORGED: IpAddr = IpAddr::V4(Ipv4Addr::new(6, 6, 6, 6));

impl Resolver {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let is_service = rng.below(2) == 0;
        let text = if is_service { "srv:_s._tcp.test" } else { "h0.test:80" };
        let Ok(Source::Watched(name)) = text.parse() else { unreachable!("both are names") };
        let mut resolver = Self {
            zone: Zone::new(),
            faults: vec![Fault::None; 1 + rng.below(3) as usize],
            name,
            is_service,
        };
        resolver.change(rng);
        resolver
    }

    pub(super) fn environment(&self) -> Environment {
        let servers = (0..self.faults.len()).map(server).collect();
        let resolvers = Resolvers { servers, timeout: Duration::from_secs(1), ..Resolvers::default() };
        Environment { resolvers: Arc::new(resolvers), hosts: Arc::new(Hosts::default()) }
    }

    /// Other records from now on.
    pub(super) fn change(&mut self, rng: &mut Rng) {
        let mut zone = Zone::new();
        zone.minimum = Some(rng.below(5) as u32);
        let ttl = 1 + rng.below(8) as u32;
        let is_empty = rng.below(6) == 0;
        for host in 0..3u8 {
            let count = if is_empty { 0 } else { 1 + rng.below(3) };
            for _ in 0..count {
                let address = format!("10.1.{host}.{}", 1 + rng.below(4));
                zone.host(&format!("h{host}.test"), ttl, &[&address]);
            }
            if !is_empty && rng.below(3) > 0 {
                let at = (rng.below(3) as u16, 1 + rng.below(5) as u16, 80);
                zone.service("_s._tcp.test", ttl, at, &format!("h{host}.test"));
            }
        }
        self.zone = zone;
    }

    /// Another fault somewhere, or none any more.
    pub(super) fn break_something(&mut self, rng: &mut Rng) {
        let at = rng.below(self.faults.len() as u64) as usize;
        // Half of the time it is well.
        let fault = rng.below(2 * FAULTS.len() as u64) as usize;
        self.faults[at] = FAULTS.get(fault).copied().unwrap_or(Fault::None);
    }

    pub(super) fn heal(&mut self) {
        self.faults.fill(Fault::None);
    }

    /// The members by the zone.
    pub(super) fn truth(&self) -> Vec<Endpoint> {
        match &self.name {
            WatchedName::Host { name, port } => self.zone.host_members(name.name(), *port, Families::V4),
            WatchedName::Service { name } => self.zone.service_members(name.name(), Families::V4),
        }
    }

    /// What comes of something that a question wants done.
    pub(super) fn act(&self, io: &Io, rng: &mut Rng) -> Vec<Coming> {
        let after = Duration::from_millis(1 + rng.below(300));
        let coming = |event| Coming { after, event, is_negative: false };
        match io {
            Io::Close { .. } => Vec::new(),
            Io::OpenTcp { server, .. } => match self.fault(*server) {
                Fault::Silent => Vec::new(),
                Fault::Unreachable | Fault::TruncatesWithoutTcp => vec![coming(Owned::Failed)],
                _ => vec![coming(Owned::Connected)],
            },
            Io::SendUdp { server, bytes, .. } => match self.fault(*server) {
                Fault::Silent => Vec::new(),
                Fault::Unreachable => vec![coming(Owned::Failed)],
                fault => {
                    let mut all = Vec::new();
                    if fault == Fault::Forged {
                        all.push(coming(self.forged(*server, bytes, rng)));
                    }
                    let (answer, is_negative) = self.answer(fault, bytes, rng);
                    all.push(Coming { after, event: Owned::Datagram(*server, answer), is_negative });
                    all
                }
            },
            // Which server it is does not matter: those with other faults were left before.
            Io::SendTcp { bytes, .. } => {
                let (answer, is_negative) = self.answer(Fault::None, &bytes[2..], rng);
                let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                framed.extend_from_slice(&answer);
                let behind = framed.split_off(rng.below(framed.len() as u64) as usize);
                if rng.below(8) == 0 {
                    return vec![coming(Owned::Bytes(framed)), coming(Owned::Closed)];
                }
                let last = Coming { after, event: Owned::Bytes(behind), is_negative };
                vec![coming(Owned::Bytes(framed)), last]
            }
        }
    }

    fn fault(&self, at: SocketAddr) -> Fault {
        (0..)
            .map(server)
            .zip(&self.faults)
            .find(|(server, _)| *server == at)
            .map_or(Fault::Silent, |(_, fault)| *fault)
    }

    /// What a server with this fault says, and whether that is true and nothing.
    fn answer(&self, fault: Fault, asked: &[u8], rng: &mut Rng) -> (Vec<u8>, bool) {
        let style = Style { adds: rng.below(2) == 0, shuffles: true, ..Style::HONEST };
        let mut answer = self.zone.answer(asked, style, rng);
        let records = u16::from_be_bytes([answer[6], answer[7]]);
        match fault {
            Fault::Truncates | Fault::TruncatesWithoutTcp => {
                answer.truncate(answer.len().min(40));
                answer[2] |= 0x02;
            }
            Fault::Refuses => {
                answer.truncate(question_end(asked));
                answer[3] = answer[3] & 0xf0 | [2, 4, 5][rng.below(3) as usize];
                answer[6..12].fill(0);
            }
            // More records than there are.
            Fault::Lies => {
                answer[6..8].copy_from_slice(&(records + 7).to_be_bytes());
            }
            Fault::Loops => {
                let end = question_end(asked);
                answer.truncate(end);
                answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
                answer[3] &= 0xf0;
                answer.extend_from_slice(&[
                    0xc0 | (end >> 8) as u8,
                    end as u8,
                    0,
                    1,
                    0,
                    1,
                    0,
                    0,
                    0,
                    9,
                    0,
                    4,
                    6,
                    6,
                    6,
                    6,
                ]);
            }
            _ => return (answer, records == 0),
        }
        (answer, false)
    }

    /// What somebody else says.
    fn forged(&self, server: SocketAddr, asked: &[u8], rng: &mut Rng) -> Owned {
        let mut lie = Zone::new();
        for host in ["h0.test", "h1.test", "h2.test"] {
            lie.host(host, 60, &["6.6.6.6"]);
        }
        lie.service("_s._tcp.test", 60, (0, 1, 80), "h0.test");
        let mut bytes = lie.answer(asked, Style::HONEST, rng);
        let mut from = server;
        match rng.below(3) {
            0 => bytes[0] ^= 1 + rng.below(255) as u8,
            1 => from.set_ip([10, 9, 9, 9].into()),
            _ => bytes[13] ^= 0x01,
        }
        Owned::Datagram(from, bytes)
    }

    pub(super) fn is_service(&self) -> bool {
        self.is_service
    }
}

/// The place of an exchange's own question ends there.
fn question_end(asked: &[u8]) -> usize {
    let name = asked[12..].iter().position(|&byte| byte == 0).expect("a name has an end");
    12 + name + 5
}

fn server(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index as u8 + 1], 53))
}

/// The exchange that an action is about.
pub(super) fn exchange(io: &Io) -> Exchange {
    match io {
        Io::SendUdp { exchange, .. }
        | Io::OpenTcp { exchange, .. }
        | Io::SendTcp { exchange, .. }
        | Io::Close { exchange } => *exchange,
    }
}
