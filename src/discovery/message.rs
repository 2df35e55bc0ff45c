//! Questions and answers as bytes. `simple-dns` writes the ones and reads the others, once `tame` has taken out
//! what the library should not see. Nothing here keeps a state.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Packet, PacketFlag, ResourceRecord, TYPE};

use crate::discovery::domain::DomainName;
use crate::discovery::tame::{
    FLAG_AUTHORITATIVE, FLAG_RECURSION_AVAILABLE, FLAG_REPLY, FLAG_TRUNCATED, HEAD, Head, MASK_OPCODE,
    MASK_RCODE, Names, POINTERS_MAX, RCODE_GOOD, RCODE_NO_NAME, tame,
};

/// The largest answer asked for over UDP, in bytes: what passes every usual path unfragmented (DNS flag day
/// 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// The largest message, in bytes: what TCP's length can say.
pub const MESSAGE_MAX: usize = 65_535;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Where a service is offered.
    Srv,
}

impl Kind {
    fn of_message(self) -> TYPE {
        match self {
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
            Kind::Srv => TYPE::SRV,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Srv => "SRV",
        })
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// Whose records.
    pub name: DomainName,
    /// Of which type.
    pub kind: Kind,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

/// What a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records, in the order of the message.
    pub records: Records,
    /// For how many seconds this holds: the least of all records that led to it, and where there is nothing of
    /// what the zone says for that; `u32::MAX` when nothing says so.
    pub ttl: u32,
    /// Addresses of the targets of services that came with them.
    pub additional: Vec<Additional>,
}

/// The records of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Addresses; at least one.
    Addresses(Vec<IpAddr>),
    /// Services; at least one.
    Services(Vec<Service>),
    /// There are none.
    None(Negative),
}

/// How there can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negative {
    /// The name does not exist (NXDOMAIN).
    NoName,
    /// The name exists and has no such records.
    NoData,
}

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Negative::NoName => "the name does not exist (NXDOMAIN)",
            Negative::NoData => "the name has no such records",
        })
    }
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Lower ones are used first.
    pub priority: u16,
    /// The host; the root when the service is not offered.
    pub target: DomainName,
    /// The port.
    pub port: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// An address that came with an answer without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Additional {
    /// Whose.
    pub name: DomainName,
    /// The address.
    pub address: IpAddr,
    /// For how many seconds.
    pub ttl: u32,
}

/// What a resolver says instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u16);

impl Rcode {
    pub(super) const FORMERR: Rcode = Rcode(1);
    pub(super) const BADVERS: Rcode = Rcode(16);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("FORMERR"),
            2 => f.write_str("SERVFAIL"),
            4 => f.write_str("NOTIMP"),
            5 => f.write_str("REFUSED"),
            16 => f.write_str("BADVERS"),
            other => write!(f, "the error {other}"),
        }
    }
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before what it announces.
    Cut,
    /// A label is neither a length nor a pointer.
    Label,
    /// A name has more than 255 bytes.
    NameLong,
    /// A pointer within a name does not lead back: a loop.
    Pointer,
    /// More than [`POINTERS_MAX`] pointers were followed.
    Pointers,
    /// A record has not the length that its type has.
    RecordLength,
    /// It has records, and none that answers the question.
    OtherRecords,
    /// It was cut short although it came over TCP.
    CutOverTcp,
    /// The library refused it, with these words.
    Unreadable(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Cut => f.write_str("it ends before what it announces"),
            Malformed::Label => f.write_str("a label in it is neither a length nor a pointer"),
            Malformed::NameLong => f.write_str("a name in it has more than 255 bytes"),
            Malformed::Pointer => f.write_str("a pointer in one of its names does not lead back"),
            Malformed::Pointers => write!(f, "its names have more than {POINTERS_MAX} pointers"),
            Malformed::RecordLength => f.write_str("a record in it has a length that its type has not"),
            Malformed::OtherRecords => f.write_str("none of its records answers the question"),
            Malformed::CutOverTcp => f.write_str("it is cut short, and came over TCP"),
            Malformed::Unreadable(words) => write!(f, "it cannot be read: {words}"),
        }
    }
}

/// A message as [`read`] understands it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// What was asked for.
    Answer(Answer),
    /// Cut short: to be asked for over TCP.
    Truncated,
    /// The name is another name for this one, `hops` further on, whose records are not in the message.
    Elsewhere { name: DomainName, ttl: u32, hops: usize },
    /// The chain of names has more than the hops allowed.
    ChainLong,
    /// An error instead of an answer.
    Refused(Rcode),
    /// Whom to ask instead: a server that does not look for others.
    Referral,
}

/// The message that asks `question`.
pub(super) fn write(id: u16, question: &Question, edns: bool) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let kind = question.kind.of_message().into();
    packet.questions.push(simple_dns::Question::new(
        question.name.to_message(),
        kind,
        CLASS::IN.into(),
        false,
    ));
    if edns {
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_PAYLOAD, version: 0 });
    }
    packet.build_bytes_vec().expect("memory takes whatever is written to it")
}

/// Whether `message` answers `asked`, which [`write`] made: the same number, the same question. An error may
/// come without the question, for who cannot read it cannot repeat it.
pub(super) fn is_answer(message: &[u8], asked: &[u8]) -> bool {
    let Some(head) = Head::read(message) else { return false };
    let is_reply = message[..2] == asked[..2] && head.flags & (FLAG_REPLY | MASK_OPCODE) == FLAG_REPLY;
    let question = question_of(asked);
    let repeats = |message: &[u8]| {
        message.get(HEAD..HEAD + question.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(question))
    };
    match head.counts[0] {
        // Lengths, types and classes are no letters, so that only names lose their case.
        1 => is_reply && repeats(message),
        0 => is_reply && !matches!(head.flags & MASK_RCODE, RCODE_GOOD | RCODE_NO_NAME),
        _ => false,
    }
}

/// Reads `message`, which [`is_answer`] to `question`. At most `hops_max` names are followed from one to the
/// next.
pub(super) fn read(message: &[u8], question: &Question, hops_max: usize) -> Result<Reading, Malformed> {
    let head = Head::read(message).ok_or(Malformed::Cut)?;
    let rcode = head.flags & MASK_RCODE;
    if !matches!(rcode, RCODE_GOOD | RCODE_NO_NAME) {
        // Beyond the error nothing in it matters.
        let high = tame(message).map_or(0, |tamed| tamed.rcode_high);
        return Ok(Reading::Refused(Rcode(rcode | high)));
    }
    if head.flags & FLAG_TRUNCATED != 0 {
        return Ok(Reading::Truncated);
    }
    let tamed = tame(message)?;
    if tamed.rcode_high != 0 {
        return Ok(Reading::Refused(Rcode(rcode | tamed.rcode_high)));
    }
    let packet = Packet::parse(&tamed.bytes).map_err(|error| Malformed::Unreadable(error.to_string()))?;
    Chain { packet: &packet, question, is_name_gone: rcode == RCODE_NO_NAME, flags: head.flags }
        .follow(hops_max)
}

/// A message in which the names are followed from the one that was asked for.
struct Chain<'m> {
    packet: &'m Packet<'m>,
    question: &'m Question,
    is_name_gone: bool,
    flags: u16,
}

impl Chain<'_> {
    fn follow(&self, hops_max: usize) -> Result<Reading, Malformed> {
        let mut name = self.question.name.clone();
        let mut ttl = u32::MAX;
        for hops in 0..=hops_max {
            let owner = name.to_message();
            let own = || {
                let answers = self.packet.answers.iter();
                answers.filter(|record| record.name == owner && record.class == CLASS::IN)
            };
            if let Some((records, least)) = self.records(own()).filter(|_| !self.is_name_gone) {
                let additional = self.additional(&records);
                return Ok(Reading::Answer(Answer { records, ttl: ttl.min(least), additional }));
            }
            let alias = own().find_map(|record| match &record.rdata {
                RData::CNAME(target) => Some((DomainName::from_message(target), seconds(record))),
                _ => None,
            });
            let Some((target, least)) = alias else { return self.nothing(name, ttl, hops) };
            ttl = ttl.min(least);
            name = target;
        }
        Ok(Reading::ChainLong)
    }

    /// The records asked for among `own`, and the least of their times to live.
    fn records<'r>(&self, own: impl Iterator<Item = &'r ResourceRecord<'r>>) -> Option<(Records, u32)> {
        let mut addresses = Vec::new();
        let mut services = Vec::new();
        let mut ttl = u32::MAX;
        for record in own {
            match (&record.rdata, self.question.kind) {
                (RData::A(a), Kind::A) => addresses.push(Ipv4Addr::from(a.address).into()),
                (RData::AAAA(a), Kind::Aaaa) => addresses.push(Ipv6Addr::from(a.address).into()),
                (RData::SRV(srv), Kind::Srv) => services.push(Service {
                    priority: srv.priority,
                    target: DomainName::from_message(&srv.target),
                    port: srv.port,
                    weight: srv.weight,
                }),
                _ => continue,
            }
            ttl = ttl.min(seconds(record));
        }
        match (addresses.is_empty(), services.is_empty()) {
            (false, _) => Some((Records::Addresses(addresses), ttl)),
            (true, false) => Some((Records::Services(services), ttl)),
            (true, true) => None,
        }
    }

    /// The addresses that came with `records`.
    fn additional(&self, records: &Records) -> Vec<Additional> {
        let Records::Services(services) = records else { return Vec::new() };
        let targets: std::collections::BTreeSet<&DomainName> =
            services.iter().map(|service| &service.target).collect();
        let given = self.packet.additional_records.iter().filter(|record| record.class == CLASS::IN);
        given
            .filter_map(|record| {
                let address = match &record.rdata {
                    RData::A(a) => Ipv4Addr::from(a.address).into(),
                    RData::AAAA(a) => Ipv6Addr::from(a.address).into(),
                    _ => return None,
                };
                let name = DomainName::from_message(&record.name);
                targets.contains(&name).then(|| Additional { name, address, ttl: seconds(record) })
            })
            .collect()
    }

    /// What it means that the chain ends at `name`, which has no records in the message.
    fn nothing(&self, name: DomainName, ttl: u32, hops: usize) -> Result<Reading, Malformed> {
        // RFC 2308, 5: the lesser of the SOA record's own time and the last of its fields.
        let zone = self.packet.name_servers.iter().find_map(|record| match &record.rdata {
            RData::SOA(soa) => Some(seconds(record).min(soa.minimum)),
            _ => None,
        });
        let none = |negative, least: Option<u32>| {
            let ttl = ttl.min(least.unwrap_or(u32::MAX));
            Ok(Reading::Answer(Answer { records: Records::None(negative), ttl, additional: Vec::new() }))
        };
        if self.is_name_gone {
            return none(Negative::NoName, zone);
        }
        if zone.is_some() {
            return none(Negative::NoData, zone);
        }
        if hops > 0 {
            return Ok(Reading::Elsewhere { name, ttl, hops });
        }
        if !self.packet.answers.is_empty() {
            return Err(Malformed::OtherRecords);
        }
        let knows = FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE;
        if self.flags & knows == 0 && !self.packet.name_servers.is_empty() {
            return Ok(Reading::Referral);
        }
        none(Negative::NoData, None)
    }
}

/// The time to live of a record. With the highest bit it means 0 (RFC 2181, 8).
fn seconds(record: &ResourceRecord<'_>) -> u32 {
    if record.ttl > i32::MAX as u32 { 0 } else { record.ttl }
}

/// The question within `asked`, from the name to the class.
fn question_of(asked: &[u8]) -> &[u8] {
    let mut names = Names::new(asked);
    let end = names.end(HEAD).expect("it was written here");
    &asked[HEAD..end + 4]
}
