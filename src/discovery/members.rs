//! From what names and files give to the members of a pool: names, merging, and what changed.
//!
//! A member that stays keeps its counters, health and place for keys, for nothing is done to it. Who is who is
//! told by the address alone, so neither the order of an answer nor a record that is there twice matters.
//!
//! - **Name**: a member found under a name is called `NAME/ADDRESS`, where `NAME` is the configured name of the
//!   backend, or the address it was given: `app/10.0.0.7:80`, `app.example:80/[2001:db8::7]:80`. What is too long
//!   for a name has its first part cut, and a checksum put in the place: the same in every process and release.
//! - **Weight** is the configured one times the record's, at most 65,535. **Tier** is the configured one plus
//!   that of the record's priority, at most 255.
//! - **Duplicates**: an address that two sources of a pool have is one member, which belongs to the first that
//!   had it for as long as that has it. Then it goes over to another that has it too, and keeps its name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::balance::backend::NAME_MAX;
use crate::balance::options::WEIGHT_MAX;
use crate::balance::{Address, Admin, Backend};

/// A member as a name gives it. Ordered by tier, then by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// 0 serves; 1 and up stand by: the rank of an SRV record's priority.
    pub tier: u8,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share: 1 to 65,535.
    pub weight: u32,
}

/// What the members found under one name have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// What their names begin with: the backend's configured name, or the address it was given.
    pub name: String,
    /// What their weights are multiplied by: 1 to 65,535.
    pub weight: u32,
    /// What is added to their tiers.
    pub tier: u8,
    /// The most picks in flight for each; 0 for no limit.
    pub maxconn: u32,
    /// The most picks a second for each; 0 for no limit.
    pub connection_rate: u32,
    /// How many of them may come at once; 0 for one second's.
    pub connection_burst: u32,
    /// What the operator ordered for each.
    pub admin: Admin,
}

impl Template {
    /// The members that `endpoints` are.
    pub fn members(&self, endpoints: &[Endpoint]) -> Vec<Backend> {
        let member = |endpoint: &Endpoint| Backend {
            name: Some(member_name(&self.name, endpoint.address)),
            weight: self.weight.saturating_mul(endpoint.weight).clamp(1, WEIGHT_MAX),
            tier: self.tier.saturating_add(endpoint.tier),
            maxconn: self.maxconn,
            connection_rate: self.connection_rate,
            connection_burst: self.connection_burst,
            admin: self.admin,
            ..Backend::new(endpoint.address.into())
        };
        endpoints.iter().map(member).collect()
    }
}

/// The name of the member at `address` that was found under `name`; at most [`NAME_MAX`] bytes.
pub fn member_name(name: &str, address: SocketAddr) -> String {
    let address = address.to_string();
    let room = NAME_MAX - 1 - address.len();
    if name.len() <= room {
        return format!("{name}/{address}");
    }
    let sum = format!("~{:016x}", xxh3_64(name.as_bytes()));
    let mut end = room - sum.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{sum}/{address}", &name[..end])
}

/// What to do to a pool. Removals come first: an address or a name may be given anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Who goes.
    pub removed: Vec<Backend>,
    /// Who comes.
    pub added: Vec<Backend>,
    /// Who stays with another weight, tier, `maxconn`, rate or order. What an operator set beside stays as it was set.
    pub changed: Vec<Change>,
}

/// A member that stays as who it is, and is to be otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As the sources had it.
    pub before: Backend,
    /// As they have it now.
    pub after: Backend,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.changed.is_empty()
    }
}

/// The members of one pool, and which of its sources each belongs to.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// What each source has, by its number.
    sources: BTreeMap<usize, BTreeMap<Key, Backend>>,
    members: BTreeMap<Key, Member>,
}

#[derive(Clone, Debug)]
struct Member {
    source: usize,
    backend: Backend,
    /// It came over from another source, whose name for it stays.
    is_inherited: bool,
}

impl Roster {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The source numbered `source` has these members now and no others. Sources with smaller numbers come
    /// first where a member that goes is to go over to another. Of members with the same address the last
    /// counts.
    pub fn set(&mut self, source: usize, members: Vec<Backend>) -> Changes {
        let members: BTreeMap<Key, Backend> =
            members.into_iter().map(|backend| (Key::of(&backend.address), backend)).collect();
        let before = self.sources.insert(source, members).unwrap_or_default();
        let mut changes = Changes::default();
        for key in before.keys() {
            self.leave(source, key, &mut changes);
        }
        for (key, backend) in &self.sources[&source] {
            match self.members.get_mut(key) {
                None => {
                    changes.added.push(backend.clone());
                    let member = Member { source, backend: backend.clone(), is_inherited: false };
                    self.members.insert(key.clone(), member);
                }
                Some(member) if member.source == source => renew(member, backend, &mut changes),
                Some(_) => {}
            }
        }
        changes
    }

    /// Everybody, in the order of their addresses.
    pub fn members(&self) -> impl Iterator<Item = &Backend> {
        self.members.values().map(|member| &member.backend)
    }

    /// Sees to a member that `source` had, and may have no more.
    fn leave(&mut self, source: usize, key: &Key, changes: &mut Changes) {
        let Some(member) = self.members.get_mut(key).filter(|member| member.source == source) else { return };
        if self.sources[&source].contains_key(key) {
            return;
        }
        let heir = self.sources.iter().find_map(|(&heir, members)| Some((heir, members.get(key)?)));
        let Some((heir, backend)) = heir else {
            changes.removed.extend(self.members.remove(key).map(|member| member.backend));
            return;
        };
        member.source = heir;
        member.is_inherited = true;
        renew(member, backend, changes);
    }
}

/// `member` is to be as `backend` is, but for a name that it brought with it.
fn renew(member: &mut Member, backend: &Backend, changes: &mut Changes) {
    let mut backend = backend.clone();
    if member.is_inherited {
        backend.name.clone_from(&member.backend.name);
    }
    if member.backend == backend {
        return;
    }
    let before = std::mem::replace(&mut member.backend, backend.clone());
    if before.name == backend.name {
        changes.changed.push(Change { before, after: backend });
    } else {
        changes.removed.push(before);
        changes.added.push(backend);
    }
}

/// An address with an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Inet(SocketAddr),
    Unix(std::sync::Arc<str>),
}

impl Key {
    fn of(address: &Address) -> Self {
        match address {
            Address::Inet(address) => Key::Inet(*address),
            Address::Unix(path) => Key::Unix(path.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(name: &str) -> Template {
        let name = name.to_string();
        let (connection_rate, connection_burst) = (30, 5);
        Template {
            name,
            weight: 1,
            tier: 0,
            maxconn: 0,
            connection_rate,
            connection_burst,
            admin: Admin::Ready,
        }
    }

    fn backend(address: &str, weight: u32) -> Backend {
        Backend { weight, ..Backend::parse(address).unwrap() }
    }

    fn named(name: &str, address: &str) -> Backend {
        Backend { name: Some(name.to_string()), ..backend(address, 1) }
    }

    fn addresses(backends: &[Backend]) -> Vec<String> {
        backends.iter().map(|backend| backend.address.to_string()).collect()
    }

    fn after(changes: &Changes) -> Vec<Backend> {
        changes.changed.iter().map(|change| change.after.clone()).collect()
    }

    #[test]
    fn names_are_made_of_the_name_and_the_address() {
        let v4: SocketAddr = "10.0.0.7:80".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::7]:80".parse().unwrap();
        assert_eq!(member_name("app", v4), "app/10.0.0.7:80");
        assert_eq!(member_name("app.example:80", v6), "app.example:80/[2001:db8::7]:80");
        assert_eq!(member_name("srv:_http._tcp.example", v4), "srv:_http._tcp.example/10.0.0.7:80");
    }

    #[test]
    fn names_that_are_too_long_are_cut_the_same_way_for_ever() {
        let v4: SocketAddr = "10.0.0.7:80".parse().unwrap();
        let longest = "n".repeat(NAME_MAX - 12);
        assert_eq!(member_name(&longest, v4), format!("{longest}/10.0.0.7:80"));
        let long = member_name(&format!("{longest}n"), v4);
        assert_eq!(long.len(), NAME_MAX);
        assert_eq!(long, format!("{}~d7f784ac3858d806/10.0.0.7:80", "n".repeat(NAME_MAX - 29)));
        assert_ne!(long, member_name(&format!("{longest}m"), v4));
        let wide = member_name(
            &"é".repeat(NAME_MAX / 2),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
        );
        assert!(wide.len() <= NAME_MAX && wide.starts_with("éé") && wide.contains("é~"), "{wide}");
    }

    #[test]
    fn a_template_gives_what_its_members_have_in_common() {
        let endpoint = |tier, weight| Endpoint { tier, address: "10.0.0.1:80".parse().unwrap(), weight };
        let template = Template { weight: 3, tier: 2, maxconn: 500, admin: Admin::Drain, ..template("app") };
        let members = template.members(&[endpoint(1, 5), endpoint(254, 65_535), endpoint(0, 21_845)]);
        let numbers: Vec<(u8, u32)> = members.iter().map(|member| (member.tier, member.weight)).collect();
        assert_eq!(numbers, [(3, 15), (255, 65_535), (2, 65_535)]);
        for member in members {
            assert_eq!((member.maxconn, member.admin), (500, Admin::Drain));
            assert_eq!((member.connection_rate, member.connection_burst), (30, 5));
            assert_eq!(member.name.as_deref(), Some("app/10.0.0.1:80"));
        }
    }

    #[test]
    fn changes_are_what_differs() {
        let mut roster = Roster::new();
        let all = [backend("10.0.0.1:80", 1), backend("10.0.0.2:80", 1), backend("unix:/a", 1)];
        let changes = roster.set(0, all.to_vec());
        assert_eq!((changes.added, changes.removed.len(), changes.changed.len()), (all.to_vec(), 0, 0));
        assert!(roster.set(0, all.iter().rev().cloned().collect()).is_empty());
        let next = [backend("10.0.0.3:80", 1), backend("10.0.0.2:80", 7), backend("unix:/a", 1)];
        let changes = roster.set(0, next.to_vec());
        assert_eq!(addresses(&changes.added), ["10.0.0.3:80"]);
        assert_eq!(addresses(&changes.removed), ["10.0.0.1:80"]);
        assert_eq!(after(&changes), [backend("10.0.0.2:80", 7)]);
        let changes = roster.set(0, Vec::new());
        assert_eq!(changes.removed.len(), 3);
        assert_eq!(roster.members().count(), 0);
    }

    #[test]
    fn another_name_is_another_member() {
        let mut roster = Roster::new();
        roster.set(0, vec![named("a", "10.0.0.1:80")]);
        let changes = roster.set(0, vec![named("b", "10.0.0.1:80")]);
        assert_eq!(changes.removed, [named("a", "10.0.0.1:80")]);
        assert_eq!((changes.added, changes.changed), (vec![named("b", "10.0.0.1:80")], vec![]));
    }

    #[test]
    fn what_two_sources_have_is_one_member_of_the_first_that_had_it() {
        let mut roster = Roster::new();
        let shared = |name: &str, weight| Backend { weight, ..named(name, "10.0.0.1:80") };
        assert_eq!(roster.set(5, vec![shared("five", 5)]).added, [shared("five", 5)]);
        assert!(roster.set(1, vec![shared("one", 1)]).is_empty());
        assert!(roster.set(9, vec![shared("nine", 9)]).is_empty());
        assert!(roster.set(1, vec![shared("one", 2)]).is_empty());
        // It goes over to the first there is, and is who it was.
        assert_eq!(after(&roster.set(5, vec![])), [shared("five", 2)]);
        assert_eq!(after(&roster.set(1, vec![shared("one", 3)])), [shared("five", 3)]);
        assert!(roster.set(5, vec![shared("five", 5)]).is_empty());
        assert_eq!(after(&roster.set(1, vec![])), [shared("five", 5)]);
        assert!(roster.set(9, vec![]).is_empty());
        assert_eq!(roster.set(5, vec![]).removed, [shared("five", 5)]);
    }

    /// What a pool would have after these changes.
    fn apply(pool: &mut BTreeMap<Key, Backend>, changes: Changes) {
        for backend in changes.removed {
            assert_eq!(pool.remove(&Key::of(&backend.address)), Some(backend));
        }
        for backend in changes.added {
            assert_eq!(pool.insert(Key::of(&backend.address), backend), None);
        }
        for Change { before, after } in changes.changed {
            assert!(before.name == after.name && before != after);
            assert_eq!(pool.insert(Key::of(&after.address), after), Some(before));
        }
    }

    proptest! {
        /// Whatever order sets come in and have, changes lead a pool to the union of the sources, and nobody
        /// who stays is taken out.
        #[test]
        fn changes_lead_to_the_union(
            sets in prop::collection::vec(
                (0usize..3, prop::collection::vec((1u8..8, 1u32..3), 0..8)),
                1..20,
            ),
        ) {
            let mut roster = Roster::new();
            let mut pool = BTreeMap::new();
            let mut sources: BTreeMap<usize, BTreeMap<String, u32>> = BTreeMap::new();
            for (source, set) in sets {
                let backends = |order: &mut dyn Iterator<Item = &(u8, u32)>| -> Vec<Backend> {
                    order.map(|(host, weight)| Backend {
                        name: Some(format!("s{source}/{host}")),
                        ..backend(&format!("10.0.0.{host}:80"), *weight)
                    }).collect()
                };
                let unique: BTreeMap<u8, u32> = set.iter().copied().collect();
                let unique: Vec<(u8, u32)> = unique.into_iter().collect();
                let changes = roster.set(source, backends(&mut set.iter()));
                prop_assert!(roster.clone().set(source, backends(&mut unique.iter().rev())).is_empty());
                let stays: Vec<Key> = changes.removed.iter().map(|it| Key::of(&it.address)).collect();
                apply(&mut pool, changes);
                let now = unique.iter().map(|(host, weight)| (format!("10.0.0.{host}:80"), *weight));
                sources.insert(source, now.collect());
                let union: BTreeMap<&String, Vec<u32>> = sources.values().flatten().fold(
                    BTreeMap::new(),
                    |mut union, (address, weight)| {
                        union.entry(address).or_insert_with(Vec::new).push(*weight);
                        union
                    },
                );
                prop_assert_eq!(pool.len(), union.len());
                for (key, backend) in &pool {
                    prop_assert!(union[&backend.address.to_string()].contains(&backend.weight));
                    prop_assert!(!stays.contains(key));
                }
                prop_assert!(roster.members().eq(pool.values()));
            }
        }
    }
}
