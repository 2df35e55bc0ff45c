//! [`Zone`]: what there is to know, and what an honest resolver says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use simple_dns::rdata::{A, AAAA, CNAME, RData, SOA, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use crate::discovery::domain::DomainName;
use crate::discovery::members::Endpoint;
use crate::discovery::message::Kind;
use crate::discovery::options::Families;
use crate::rng::Rng;

/// All names and their records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    pub(crate) nodes: BTreeMap<DomainName, Node>,
    /// The last field of the SOA record; without one none comes with negative answers.
    pub(crate) minimum: Option<u32>,
}

/// The records of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) alias: Option<DomainName>,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Priority, weight, port, target.
    pub(crate) services: Vec<(u16, u16, u16, DomainName)>,
    pub(crate) ttl: u32,
}

/// How a resolver answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether it follows aliases, or leaves that to who asks.
    pub(crate) follows: bool,
    /// Whether it sends the addresses of services along.
    pub(crate) adds: bool,
    /// The longest answer, in bytes; what is longer is cut short.
    pub(crate) size_max: usize,
    /// Whether records come in a random order, some twice.
    pub(crate) shuffles: bool,
}

impl Style {
    pub(crate) const HONEST: Style = Style { follows: true, adds: false, size_max: 65_535, shuffles: false };
}

pub(crate) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

impl Zone {
    pub(crate) fn new() -> Self {
        Self { nodes: BTreeMap::new(), minimum: Some(20) }
    }

    /// Adds addresses to a host.
    pub(crate) fn host(&mut self, host: &str, ttl: u32, addresses: &[&str]) -> &mut Self {
        let node = self.nodes.entry(name(host)).or_default();
        node.ttl = ttl;
        node.addresses.extend(addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()));
        self
    }

    pub(crate) fn alias(&mut self, alias: &str, ttl: u32, target: &str) -> &mut Self {
        self.nodes.insert(name(alias), Node { alias: Some(name(target)), ttl, ..Node::default() });
        self
    }

    /// Adds a service: priority, weight, port.
    pub(crate) fn service(
        &mut self,
        service: &str,
        ttl: u32,
        at: (u16, u16, u16),
        target: &str,
    ) -> &mut Self {
        let target = if target == "." { root() } else { name(target) };
        let node = self.nodes.entry(name(service)).or_default();
        node.ttl = ttl;
        node.services.push((at.0, at.1, at.2, target));
        self
    }

    pub(crate) fn remove(&mut self, host: &str) -> &mut Self {
        self.nodes.remove(&name(host));
        self
    }

    /// The end of the chain of aliases that begins at `host`.
    fn canonical(&self, host: &DomainName) -> Option<&Node> {
        let mut node = self.nodes.get(host)?;
        for _ in 0..32 {
            match &node.alias {
                Some(target) => node = self.nodes.get(target)?,
                None => return Some(node),
            }
        }
        None
    }

    /// The members a host has, by definition.
    pub(crate) fn host_members(&self, host: &DomainName, port: u16, families: Families) -> Vec<Endpoint> {
        self.members(&[(0, 1, port, host.clone())], families)
    }

    /// The members a service has, by definition.
    pub(crate) fn service_members(&self, service: &DomainName, families: Families) -> Vec<Endpoint> {
        let node = self.canonical(service);
        self.members(node.map_or(&[], |node| &node.services), families)
    }

    fn members(&self, services: &[(u16, u16, u16, DomainName)], families: Families) -> Vec<Endpoint> {
        let priorities: BTreeSet<u16> = services.iter().map(|service| service.0).collect();
        let mut members: BTreeMap<SocketAddr, (usize, u32)> = BTreeMap::new();
        for (tier, priority) in priorities.iter().enumerate() {
            let mut shares: BTreeMap<SocketAddr, u32> = BTreeMap::new();
            for (_, weight, port, target) in services.iter().filter(|service| service.0 == *priority) {
                let all = self.canonical(target).map(|node| node.addresses.clone()).unwrap_or_default();
                let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.iter().partition(|address| address.is_ipv4());
                let addresses = match families {
                    Families::Both => [v4, v6].concat(),
                    Families::V4 => v4,
                    Families::V6 => v6,
                    Families::PreferV4 => {
                        if v4.is_empty() {
                            v6
                        } else {
                            v4
                        }
                    }
                    Families::PreferV6 => {
                        if v6.is_empty() {
                            v4
                        } else {
                            v6
                        }
                    }
                };
                for address in addresses {
                    *shares.entry(SocketAddr::new(address, *port)).or_default() += u32::from(*weight).max(1);
                }
            }
            for (address, share) in shares {
                members.entry(address).or_insert((tier, share.min(65_535)));
            }
        }
        let mut endpoints: Vec<Endpoint> = members
            .into_iter()
            .map(|(address, (tier, weight))| Endpoint { tier: tier as u8, address, weight })
            .collect();
        endpoints.sort();
        endpoints
    }

    /// What a resolver says to the message `asked`.
    pub(crate) fn answer(&self, asked: &[u8], style: Style, rng: &mut Rng) -> Vec<u8> {
        let asked = Packet::parse(asked).unwrap();
        let question = asked.questions[0].clone().into_owned();
        let kind = match question.qtype {
            QTYPE::TYPE(TYPE::A) => Kind::A,
            QTYPE::TYPE(TYPE::AAAA) => Kind::Aaaa,
            QTYPE::TYPE(TYPE::SRV) => Kind::Srv,
            other => panic!("{other:?} is not asked for"),
        };
        let mut reply: Packet<'static> = Packet::new_reply(asked.id());
        reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
        let mut owner = DomainName::from_message(&question.qname);
        reply.questions.push(question);
        let mut is_known = true;
        let mut node = self.nodes.get(&owner);
        let mut aliases = 0;
        while let Some(Node { alias: Some(target), ttl, .. }) = node {
            let rdata = RData::CNAME(CNAME(target.to_message().into_owned()));
            reply.answers.push(record(&owner, *ttl, rdata));
            aliases += 1;
            if !style.follows || aliases > 20 {
                is_known = false;
                break;
            }
            owner = target.clone();
            node = self.nodes.get(&owner);
        }
        if let Some(node) = node.filter(|_| is_known) {
            let aliases = reply.answers.len();
            reply.answers.extend(node.records(&owner, kind));
            if style.shuffles {
                shuffle(&mut reply.answers, rng);
            }
            if style.adds && kind == Kind::Srv {
                for (_, _, _, target) in &node.services {
                    let Some(node) = self.nodes.get(target) else { continue };
                    let both = [Kind::A, Kind::Aaaa].into_iter().flat_map(|kind| node.records(target, kind));
                    reply.additional_records.extend(both);
                }
            }
            if reply.answers.len() == aliases
                && let Some(minimum) = self.minimum
            {
                reply.name_servers.push(soa(minimum));
            }
        } else if is_known {
            *reply.rcode_mut() = RCODE::NameError;
            reply.name_servers.extend(self.minimum.map(soa));
        }
        let whole = reply.build_bytes_vec_compressed().unwrap();
        if whole.len() <= style.size_max {
            return whole;
        }
        // Cut in the middle of a record, as some do; the counts still tell of all.
        let mut cut = whole[..style.size_max.max(12)].to_vec();
        cut[2] |= 0x02;
        cut
    }
}

impl Node {
    fn records(&self, owner: &DomainName, kind: Kind) -> Vec<ResourceRecord<'static>> {
        let rdata: Vec<RData<'static>> = match kind {
            Kind::Srv => (self.services.iter())
                .map(|(priority, weight, port, target)| {
                    let target = target.to_message().into_owned();
                    RData::SRV(SRV { priority: *priority, weight: *weight, port: *port, target })
                })
                .collect(),
            Kind::A => self
                .addresses
                .iter()
                .filter_map(|address| match address {
                    IpAddr::V4(v4) => Some(RData::A(A::from(*v4))),
                    IpAddr::V6(_) => None,
                })
                .collect(),
            Kind::Aaaa => self
                .addresses
                .iter()
                .filter_map(|address| match address {
                    IpAddr::V6(v6) => Some(RData::AAAA(AAAA::from(*v6))),
                    IpAddr::V4(_) => None,
                })
                .collect(),
        };
        rdata.into_iter().map(|rdata| record(owner, self.ttl, rdata)).collect()
    }
}

pub(crate) fn record(owner: &DomainName, ttl: u32, rdata: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(owner.to_message().into_owned(), CLASS::IN, ttl, rdata)
}

/// A SOA record that itself lives for an hour.
pub(crate) fn soa(minimum: u32) -> ResourceRecord<'static> {
    let place = Name::new("ns.test").unwrap();
    let soa = SOA { mname: place.clone(), rname: place, serial: 1, refresh: 1, retry: 1, expire: 1, minimum };
    record(&name("test"), 3600, RData::SOA(soa))
}

pub(crate) fn root() -> DomainName {
    DomainName::from_message(&Name::new_with_labels(&[]))
}

fn shuffle(records: &mut Vec<ResourceRecord<'static>>, rng: &mut Rng) {
    for _ in 0..rng.below(3) {
        if !records.is_empty() {
            records.push(records[rng.below(records.len() as u64) as usize].clone());
        }
    }
    for last in (1..records.len()).rev() {
        records.swap(last, rng.below(last as u64 + 1) as usize);
    }
}
