//! [`Found`]: what a lookup found, kept in parts, so that a part that failed can be taken from the time before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::balance::options::WEIGHT_MAX;
use crate::discovery::domain::DomainName;
use crate::discovery::members::Endpoint;
use crate::discovery::message::Service;
use crate::discovery::options::{Families, Family};
use crate::discovery::query::Failure;

/// What a lookup found: at least one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the service is offered; of a host, itself.
    pub targets: Vec<Target>,
    /// The addresses of the targets' hosts.
    pub hosts: BTreeMap<DomainName, Host>,
    /// For how long this holds, within the options' bounds.
    pub ttl: Duration,
    /// The first of the parts that failed.
    pub failure: Option<Failure>,
    /// How many addresses came that nobody can connect to.
    pub unusable: usize,
}

/// One place where a service is offered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// 0 for the least priority there is, 1 for the next, and so on; at most 255.
    pub tier: u8,
    /// Its host.
    pub host: DomainName,
    /// The port.
    pub port: u16,
    /// Its share: 1 to 65,535.
    pub weight: u32,
}

/// The addresses of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// IPv4.
    pub v4: Part,
    /// IPv6.
    pub v6: Part,
}

/// The addresses of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// They were not asked for.
    #[default]
    Unasked,
    /// These, perhaps none.
    Known(BTreeSet<IpAddr>),
    /// It could not be found out.
    Failed,
}

impl Part {
    /// The addresses that are known.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let known = if let Part::Known(addresses) = self { Some(addresses) } else { None };
        known.into_iter().flatten().copied()
    }

    fn is_known(&self) -> bool {
        self.addresses().next().is_some()
    }
}

impl Host {
    pub(super) fn part_mut(&mut self, family: Family) -> &mut Part {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The addresses that `families` makes members.
    fn addresses(&self, families: Families) -> BTreeSet<IpAddr> {
        let parts: &[&Part] = match families {
            Families::Both => &[&self.v4, &self.v6],
            Families::V4 => &[&self.v4],
            Families::V6 => &[&self.v6],
            Families::PreferV4 if self.v4.is_known() => &[&self.v4],
            Families::PreferV6 if self.v6.is_known() => &[&self.v6],
            Families::PreferV4 => &[&self.v6],
            Families::PreferV6 => &[&self.v4],
        };
        parts.iter().flat_map(|part| part.addresses()).collect()
    }
}

impl Found {
    /// Takes the parts that failed from `before`, where that has them.
    pub(super) fn complete_from(&mut self, before: &Found) {
        for (name, host) in &mut self.hosts {
            let Some(before) = before.hosts.get(name) else { continue };
            for (part, before) in [(&mut host.v4, &before.v4), (&mut host.v6, &before.v6)] {
                if *part == Part::Failed {
                    *part = before.clone();
                }
            }
        }
    }

    /// The members this makes, in their order and each address once: of `max` and more the first, and how many
    /// were left out.
    ///
    /// Where two targets have an address and port in common, the one of the lower tier counts; in the same
    /// tier each adds its share.
    pub fn endpoints(&self, families: Families, max: usize) -> (Vec<Endpoint>, usize) {
        let mut members: BTreeMap<SocketAddr, (u8, u32)> = BTreeMap::new();
        for target in &self.targets {
            let Some(host) = self.hosts.get(&target.host) else { continue };
            for ip in host.addresses(families) {
                let (tier, weight) =
                    members.entry(SocketAddr::new(ip, target.port)).or_insert((target.tier, 0));
                match target.tier.cmp(tier) {
                    std::cmp::Ordering::Less => (*tier, *weight) = (target.tier, target.weight),
                    std::cmp::Ordering::Equal => *weight = (*weight + target.weight).min(WEIGHT_MAX),
                    std::cmp::Ordering::Greater => {}
                }
            }
        }
        let mut endpoints: Vec<Endpoint> =
            members.into_iter().map(|(address, (tier, weight))| Endpoint { tier, address, weight }).collect();
        endpoints.sort_unstable();
        let dropped = endpoints.len().saturating_sub(max);
        endpoints.truncate(max);
        (endpoints, dropped)
    }
}

/// The targets of `services`, in their order and each once. Those with port 0 or without a host are none.
///
/// Priorities become tiers by their rank, so that 10 and 20 mean what 0 and 1 do. A weight of 0, which stands
/// for a very small share (RFC 2782), is served as 1.
pub(super) fn targets(mut services: Vec<Service>) -> Vec<Target> {
    services.retain(|service| service.port != 0 && !service.target.is_root());
    services.sort_unstable();
    services.dedup();
    let mut tier = 0u8;
    let mut last = services.first().map(|service| service.priority);
    let target = |service: Service| {
        if last != Some(service.priority) {
            last = Some(service.priority);
            tier = tier.saturating_add(1);
        }
        let weight = u32::from(service.weight).max(1);
        Target { tier, host: service.target, port: service.port, weight }
    };
    services.into_iter().map(target).collect()
}

/// The address that a record's address stands for, when one can connect to it: none that is unspecified (which
/// would be this machine), for many, or of a link that the record cannot name.
pub(super) fn usable(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let is_good = match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_broadcast() && !v4.is_multicast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    };
    is_good.then_some(address)
}
