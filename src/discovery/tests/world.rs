//! [`World`]: resolvers, the network between, and the loop that drives a machine in it.
//!
//! What a machine owes its driver is checked here in every run: an exchange begins once and is closed once,
//! nothing is sent over what is closed or not yet connected, and at the end nothing is open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::lookup::{self, Lookup};
use crate::discovery::query::{self, Query};
use crate::discovery::watch::{self, Watch};
use crate::discovery::zone::{Style, Zone};
use crate::rng::Rng;
use crate::time::Instant;

/// What a resolver and the way to it do. Shares are of 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behaviour {
    pub(super) style: Style,
    /// Of datagrams and connections, both ways together, that are lost.
    pub(super) loss: f64,
    /// How long an answer takes, at least and at most.
    pub(super) delay: (Duration, Duration),
    /// Of answers that come twice.
    pub(super) repeats: f64,
    /// Of questions to which somebody else answers first.
    pub(super) forges: f64,
    /// Of answers that are SERVFAIL, REFUSED or NOTIMP.
    pub(super) refuses: f64,
    /// Of answers that make no sense, though they bear the right number and question.
    pub(super) babbles: f64,
    /// Of connections and sockets that fail.
    pub(super) fails: f64,
    /// Whether it answers FORMERR to EDNS.
    pub(super) is_old: bool,
    /// Whether questions with EDNS are lost.
    pub(super) drops_edns: bool,
    /// Whether all connections fail.
    pub(super) is_tcp_refused: bool,
}

impl Behaviour {
    pub(super) const HONEST: Behaviour = Behaviour {
        style: Style::HONEST,
        loss: 0.0,
        delay: (Duration::from_millis(1), Duration::from_millis(1)),
        repeats: 0.0,
        forges: 0.0,
        refuses: 0.0,
        babbles: 0.0,
        fails: 0.0,
        is_old: false,
        drops_edns: false,
        is_tcp_refused: false,
    };
    pub(super) const SILENT: Behaviour = Behaviour { loss: 1.0, ..Behaviour::HONEST };
    pub(super) const UNREACHABLE: Behaviour = Behaviour { fails: 1.0, ..Behaviour::HONEST };
    pub(super) const REFUSING: Behaviour = Behaviour { refuses: 1.0, ..Behaviour::HONEST };
}

/// Resolvers and a network.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) zone: Zone,
    pub(super) servers: BTreeMap<SocketAddr, Behaviour>,
    pub(super) rng: Rng,
    /// For the machine's own draws.
    pub(super) machine_rng: Rng,
    open: BTreeMap<Exchange, Link>,
    closed: BTreeSet<Exchange>,
    /// What is under way, by when it comes.
    coming: BTreeMap<(Instant, u64), (Exchange, Owned)>,
    sequence: u64,
    /// Every question put to a resolver.
    pub(super) asked: Vec<Asked>,
    /// Answers that were whole and right, and came to an exchange that was open.
    pub(super) good: u64,
    /// The most exchanges open at once.
    pub(super) open_max: usize,
    /// The number of the last question made by hand.
    pub(super) query: u64,
}

/// One question as it came to a resolver.
pub(super) struct Asked {
    pub(super) server: SocketAddr,
    pub(super) is_tcp: bool,
    pub(super) bytes: Vec<u8>,
}

impl Asked {
    /// The name and type asked for.
    pub(super) fn question(&self) -> String {
        let packet = simple_dns::Packet::parse(&self.bytes).unwrap();
        let question = &packet.questions[0];
        format!("{} {:?}", question.qname, question.qtype).replace("TYPE(", "").replace(')', "")
    }

    pub(super) fn is_edns(&self) -> bool {
        simple_dns::Packet::parse(&self.bytes).unwrap().opt().is_some()
    }
}

struct Link {
    server: SocketAddr,
    is_tcp: bool,
    is_connected: bool,
}

enum Owned {
    Datagram { from: SocketAddr, bytes: Vec<u8>, is_good: bool },
    Connected,
    Bytes(Vec<u8>, bool),
    Closed,
    Failed,
}

/// What can be driven.
pub(super) trait Machine {
    type Done;
    fn event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng);
    fn timeout(&mut self, now: Instant, rng: &mut Rng);
    fn deadline(&self) -> Option<Instant>;
    fn poll(&mut self) -> Option<Result<Io, Self::Done>>;
}

impl Machine for Query {
    type Done = Result<crate::discovery::message::Answer, query::Failure>;
    fn event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        self.handle_event(exchange, event, now, rng);
    }
    fn timeout(&mut self, now: Instant, rng: &mut Rng) {
        self.handle_timeout(now, rng);
    }
    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }
    fn poll(&mut self) -> Option<Result<Io, Self::Done>> {
        Some(match self.poll_action()? {
            query::Action::Io(io) => Ok(io),
            query::Action::Done(result) => Err(result),
        })
    }
}

impl Machine for Lookup {
    type Done = Result<lookup::Outcome, lookup::LookupError>;
    fn event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        self.handle_event(exchange, event, now, rng);
    }
    fn timeout(&mut self, now: Instant, rng: &mut Rng) {
        self.handle_timeout(now, rng);
    }
    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }
    fn poll(&mut self) -> Option<Result<Io, Self::Done>> {
        Some(match self.poll_action()? {
            lookup::Action::Io(io) => Ok(io),
            lookup::Action::Done(result) => Err(result),
        })
    }
}

impl Machine for Watch {
    type Done = watch::Action;
    fn event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        self.handle_event(exchange, event, now, rng);
    }
    fn timeout(&mut self, now: Instant, rng: &mut Rng) {
        self.handle_timeout(now, rng);
    }
    fn deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }
    fn poll(&mut self) -> Option<Result<Io, Self::Done>> {
        Some(match self.poll_action()? {
            watch::Action::Io(io) => Ok(io),
            other => Err(other),
        })
    }
}

/// The resolvers of a world: 10.0.0.1 and so on.
pub(super) fn server(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index as u8 + 1], 53))
}

impl World {
    pub(super) fn new(seed: u64, zone: Zone, servers: &[Behaviour]) -> Self {
        let servers = servers.iter().enumerate().map(|(index, behaviour)| (server(index), *behaviour));
        Self {
            now: Instant::from_millis(1_000),
            zone,
            servers: servers.collect(),
            rng: Rng::new(seed),
            machine_rng: Rng::new(seed ^ 1),
            open: BTreeMap::new(),
            closed: BTreeSet::new(),
            coming: BTreeMap::new(),
            sequence: 0,
            asked: Vec::new(),
            good: 0,
            open_max: 0,
            query: 0,
        }
    }

    /// Every resolver does this from now on.
    pub(super) fn all(&mut self, behaviour: Behaviour) {
        self.servers.values_mut().for_each(|server| *server = behaviour);
    }

    /// How many exchanges are open.
    pub(super) fn open_now(&self) -> usize {
        self.open.len()
    }

    /// The questions put so far, in order.
    pub(super) fn questions(&self) -> Vec<String> {
        self.asked.iter().map(Asked::question).collect()
    }

    /// Drives a machine until it is done.
    pub(super) fn finish<M: Machine>(&mut self, machine: &mut M) -> M::Done {
        for _ in 0..1_000_000 {
            while let Some(action) = machine.poll() {
                match action {
                    Ok(io) => self.act(io),
                    Err(done) => {
                        assert!(machine.poll().is_none(), "nothing comes behind the end");
                        assert!(machine.deadline().is_none());
                        assert!(self.open.is_empty(), "all is closed at the end");
                        return done;
                    }
                }
            }
            assert!(self.step(machine, None), "it waits for what never comes");
        }
        panic!("it comes to no end");
    }

    /// Drives a machine until `until`, and gives what it said meanwhile.
    pub(super) fn run<M: Machine>(&mut self, machine: &mut M, until: Instant) -> Vec<(Instant, M::Done)> {
        let mut said = Vec::new();
        for _ in 0..1_000_000 {
            while let Some(action) = machine.poll() {
                match action {
                    Ok(io) => self.act(io),
                    Err(other) => said.push((self.now, other)),
                }
            }
            if !self.step(machine, Some(until)) {
                self.now = until;
                return said;
            }
        }
        panic!("it is busy without end");
    }

    /// Does what comes next; `false` when that is nothing, or not before `until`.
    fn step<M: Machine>(&mut self, machine: &mut M, until: Option<Instant>) -> bool {
        let event_at = self.coming.keys().next().map(|(at, _)| *at);
        let next = event_at.into_iter().chain(machine.deadline()).min();
        let Some(next) = next.filter(|next| until.is_none_or(|until| *next <= until)) else { return false };
        self.now = self.now.max(next);
        if event_at == Some(next) {
            let ((_, _), (exchange, event)) = self.coming.pop_first().unwrap();
            self.deliver(machine, exchange, event);
            return true;
        }
        machine.timeout(self.now, &mut self.machine_rng);
        true
    }

    fn deliver<M: Machine>(&mut self, machine: &mut M, exchange: Exchange, event: Owned) {
        // Sockets that are closed hear nothing.
        let Some(link) = self.open.get_mut(&exchange) else { return };
        let rng = &mut self.machine_rng;
        match event {
            Owned::Datagram { from, bytes, is_good } => {
                self.good += u64::from(is_good);
                machine.event(exchange, Event::Datagram { from, bytes: &bytes }, self.now, rng);
            }
            Owned::Connected => {
                link.is_connected = true;
                machine.event(exchange, Event::Connected, self.now, rng);
            }
            Owned::Bytes(bytes, is_good) => {
                self.good += u64::from(is_good);
                machine.event(exchange, Event::Bytes(&bytes), self.now, rng);
            }
            Owned::Closed => machine.event(exchange, Event::Closed, self.now, rng),
            Owned::Failed => machine.event(exchange, Event::Failed("no route to host"), self.now, rng),
        }
    }

    /// Gives the newest exchange bytes: behind the number and question that were asked, or as they are.
    pub(super) fn inject<M: Machine>(&mut self, machine: &mut M, is_matched: bool, bytes: Vec<u8>) {
        let Some((&exchange, link)) = self.open.last_key_value() else { return };
        let mut message = bytes;
        if let Some(asked) = self.asked.last().filter(|_| is_matched) {
            let end = 12 + asked.bytes[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
            let mut head = asked.bytes[..end].to_vec();
            // Flags and counts are the first of the bytes, few enough to be there at times.
            head[2] = 0x81;
            for (at, byte) in head[3..12].iter_mut().zip(&message) {
                *at = byte % 4;
            }
            (head[4], head[5]) = (0, 1);
            head.extend_from_slice(message.get(9..).unwrap_or_default());
            message = head;
        }
        let event = if link.is_tcp {
            let length = (message.len() as u16).to_be_bytes();
            Owned::Bytes([&length[..], &message].concat(), false)
        } else {
            Owned::Datagram { from: link.server, bytes: message, is_good: false }
        };
        self.deliver(machine, exchange, event);
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.unit() < share
    }

    fn after(&mut self, delay: Duration, exchange: Exchange, event: Owned) {
        self.sequence += 1;
        self.coming.insert((self.now.saturating_add(delay), self.sequence), (exchange, event));
    }

    fn delay(&mut self, behaviour: &Behaviour) -> Duration {
        let (least, most) = behaviour.delay;
        least + (most - least).mul_f64(self.rng.unit())
    }

    /// Does what a machine wants done.
    pub(super) fn act(&mut self, io: Io) {
        match io {
            Io::SendUdp { exchange, server, bytes } => {
                self.begin(exchange, Link { server, is_tcp: false, is_connected: true });
                self.ask(exchange, server, bytes);
            }
            Io::OpenTcp { exchange, server } => {
                self.begin(exchange, Link { server, is_tcp: true, is_connected: false });
                let behaviour = self.servers[&server];
                let delay = self.delay(&behaviour);
                if behaviour.is_tcp_refused || self.chance(behaviour.fails) {
                    self.after(delay, exchange, Owned::Failed);
                } else if !self.chance(behaviour.loss) {
                    self.after(delay, exchange, Owned::Connected);
                }
            }
            Io::SendTcp { exchange, bytes } => {
                let link = &self.open[&exchange];
                assert!(link.is_tcp && link.is_connected);
                let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
                assert_eq!(bytes.len(), 2 + length);
                self.ask(exchange, link.server, bytes[2..].to_vec());
            }
            Io::Close { exchange } => {
                assert!(self.open.remove(&exchange).is_some(), "{exchange:?} is closed and was not open");
                self.closed.insert(exchange);
            }
        }
    }

    fn begin(&mut self, exchange: Exchange, link: Link) {
        assert!(!self.closed.contains(&exchange), "{exchange:?} begins a second time");
        assert!(self.open.insert(exchange, link).is_none(), "{exchange:?} begins twice");
        self.open_max = self.open_max.max(self.open.len());
    }

    /// A question goes to a resolver.
    fn ask(&mut self, exchange: Exchange, server: SocketAddr, bytes: Vec<u8>) {
        let is_tcp = self.open[&exchange].is_tcp;
        self.asked.push(Asked { server, is_tcp, bytes: bytes.clone() });
        let behaviour = self.servers[&server];
        let delay = self.delay(&behaviour);
        if self.chance(behaviour.forges) {
            self.forge(exchange, server, &bytes, delay.mul_f64(0.5));
        }
        if !is_tcp && self.chance(behaviour.fails) {
            self.after(delay, exchange, Owned::Failed);
            return;
        }
        let is_dropped = behaviour.drops_edns && self.asked.last().is_some_and(Asked::is_edns);
        if is_dropped || self.chance(behaviour.loss) {
            return;
        }
        let (answer, is_good) = self.answer(&behaviour, &bytes, is_tcp);
        if is_tcp {
            self.trickle(exchange, &answer, is_good, delay);
            return;
        }
        if self.chance(behaviour.repeats) {
            let again = Owned::Datagram { from: server, bytes: answer.clone(), is_good: false };
            self.after(delay * 2, exchange, again);
        }
        self.after(delay, exchange, Owned::Datagram { from: server, bytes: answer, is_good });
    }

    fn answer(&mut self, behaviour: &Behaviour, bytes: &[u8], is_tcp: bool) -> (Vec<u8>, bool) {
        let asked = simple_dns::Packet::parse(bytes).unwrap();
        assert!(asked.has_flags(simple_dns::PacketFlag::RECURSION_DESIRED));
        assert_eq!((asked.questions.len(), asked.answers.len()), (1, 0));
        let payload = asked.opt().map(|opt| opt.udp_packet_size);
        let head_alone = |rcode: u8| {
            let mut head = [bytes[0], bytes[1], 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
            if rcode != 1 {
                head[5] = 1;
                head.extend_from_slice(&bytes[12..bytes.len() - if payload.is_some() { 11 } else { 0 }]);
            }
            head
        };
        if behaviour.is_old && payload.is_some() {
            return (head_alone(1), false);
        }
        if self.chance(behaviour.refuses) {
            return (head_alone([2, 4, 5][self.rng.below(3) as usize]), false);
        }
        let mut style = behaviour.style;
        if !is_tcp {
            style.size_max = style.size_max.min(payload.map_or(512, usize::from));
        }
        let mut answer = self.zone.answer(bytes, style, &mut self.rng);
        if self.chance(behaviour.babbles) {
            // What follows the question is anything; there is less of it than the counts say.
            let question = 12 + bytes[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
            answer.truncate(question);
            answer[2] &= !0x02;
            answer[3] &= 0xf0;
            answer[7] = 9;
            answer.extend((0..self.rng.below(40)).map(|_| (self.rng.next_u64() >> 56) as u8));
            return (answer, false);
        }
        let is_whole = answer[2] & 0x02 == 0;
        (answer, is_whole)
    }

    /// An answer over TCP: in pieces, at times broken off.
    fn trickle(&mut self, exchange: Exchange, answer: &[u8], is_good: bool, delay: Duration) {
        let behaviour = self.servers[&self.open[&exchange].server];
        let mut bytes = (answer.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(answer);
        let breaks_off = self.chance(behaviour.fails);
        if breaks_off {
            bytes.truncate(self.rng.below(bytes.len() as u64) as usize);
        }
        let mut at = delay;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = 1 + self.rng.below(rest.len().min(2_000) as u64) as usize;
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            self.after(at, exchange, Owned::Bytes(piece.to_vec(), is_good && !breaks_off && rest.is_empty()));
            at += Duration::from_micros(10);
        }
        if breaks_off {
            self.after(at, exchange, Owned::Closed);
        }
    }

    /// Somebody else answers: with a wrong number, from elsewhere, or to another question.
    fn forge(&mut self, exchange: Exchange, server: SocketAddr, bytes: &[u8], delay: Duration) {
        let mut lie = Zone::new();
        let asked = simple_dns::Packet::parse(bytes).unwrap();
        let owner = crate::discovery::domain::DomainName::from_message(&asked.questions[0].qname);
        lie.host(&owner.to_string(), 60, &["6.6.6.6", "2001:db8::6"]);
        lie.service(&owner.to_string(), 60, (0, 1, 666), "evil.test");
        let mut lying = lie.answer(bytes, Style::HONEST, &mut self.rng);
        let mut from = server;
        match self.rng.below(4) {
            0 => lying[0] ^= 1 + (self.rng.below(255) as u8),
            1 => from.set_port(54),
            2 => from.set_ip([10, 9, 9, 9].into()),
            _ => lying[13] ^= 0x01,
        }
        if self.open[&exchange].is_tcp {
            // Only the resolver itself can say something there: what it was not asked.
            lying[13] ^= 0x02;
            let mut framed = (lying.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&lying);
            self.after(delay, exchange, Owned::Bytes(framed, false));
        } else {
            self.after(delay, exchange, Owned::Datagram { from, bytes: lying, is_good: false });
        }
    }
}
