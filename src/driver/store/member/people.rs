//! [`People`]: what the nodes of the cluster are called, and where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::options::{ClusterOptions, number_of};
use crate::driver::peer::{PeerAddress, Secured};
use crate::error::{Error, Result};
use crate::peer::NodeName;
use crate::replication::{ABOUT_BYTES_MAX, Membership};

/// What is known of a node beside what consensus knows.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: NodeName,
    /// Where it listens; `None`: nowhere.
    pub(super) address: Option<SocketAddr>,
    /// Where its clients reach it, as it says.
    pub(super) client_address: Option<String>,
    /// Where nodes do, where that is a name.
    pub(super) reached_at: Option<String>,
    /// The process at the other end of the link that is up.
    pub(super) linked: Option<u64>,
    /// Why there is no link, or what was refused last; `None` once a link has come up since.
    pub(super) trouble: Option<String>,
    /// How often in a row it was refused since another process is linked under its name.
    pub(super) doubles: u32,
    /// The configuration says where it is, whatever the log says.
    is_configured: bool,
}

/// What is to change with the links.
#[derive(Debug)]
pub(super) enum Order {
    Add(PeerAddress),
    Remove(NodeName),
    /// It was put out by a promotion by force, and is to be told.
    PutOut(NodeName),
    /// All that were taken out.
    Removed(Vec<u64>),
    /// Counts promotions by force.
    Generation(u64),
    /// New links are made with this.
    Secure(Box<Secured>),
}

/// By number; this node too.
#[derive(Debug, Default)]
pub(super) struct People {
    own: u64,
    by_number: BTreeMap<u64, Person>,
    /// Taken out of the cluster, and linked still, so that they are told; whether by a promotion by force.
    leaving: BTreeMap<u64, bool>,
    /// Taken out, with those that are linked still.
    removed: BTreeSet<u64>,
    /// That of the cluster; 0 until it is known.
    generation: u64,
    /// The one that the links tell others of.
    told_generation: u64,
    pub(super) orders: Vec<Order>,
}

impl People {
    pub(super) fn new(options: &ClusterOptions) -> Self {
        let person = |it: &super::options::MemberOptions| Person {
            name: it.name.clone(),
            address: it.address,
            client_address: None,
            reached_at: None,
            linked: None,
            trouble: None,
            doubles: 0,
            is_configured: true,
        };
        let mut by_number: BTreeMap<u64, Person> =
            options.members.iter().map(|it| (number_of(&it.name), person(it))).collect();
        let own = number_of(&options.node);
        if let Some(own) = by_number.get_mut(&own) {
            own.client_address.clone_from(&options.client_address);
        }
        Self { own, by_number, ..Self::default() }
    }

    /// Everybody else, for the links to begin with.
    pub(super) fn peers(&self) -> Vec<PeerAddress> {
        let others = self.by_number.iter().filter(|(number, _)| **number != self.own);
        others.map(|(number, it)| peer(*number, it)).collect()
    }

    /// Why `number` cannot be reached at `address`, if so.
    pub(super) fn check_address(&self, number: u64, address: SocketAddr) -> Result<()> {
        if address.port() == 0 {
            let why = format!("{address} has port 0, where nobody would find it; choose a port, as 7400");
            return Err(Error::invalid("address", why));
        }
        if address.ip().is_unspecified() {
            let why = format!(
                "{address} is no address to reach a node at; give the one at which the others reach it"
            );
            return Err(Error::invalid("address", why));
        }
        let others = self.by_number.iter().filter(|(it, _)| **it != number && !self.removed.contains(it));
        match others.into_iter().find(|(_, it)| it.address == Some(address)) {
            Some((_, other)) => {
                let why =
                    format!("{} is at {address} already; give each node an address of its own", other.name);
                Err(Error::invalid("address", why))
            }
            None => Ok(()),
        }
    }

    /// Who is in the cluster has changed.
    pub(super) fn take(&mut self, members: &Membership) {
        for number in members.nodes() {
            let about = members.about.get(&number).and_then(|about| read_about(about));
            let is_new = !self.by_number.contains_key(&number);
            let Some((name, address)) = about else { continue };
            if number == self.own && !is_new {
                continue;
            }
            let person = self.by_number.entry(number).or_insert(Person {
                name,
                address,
                client_address: None,
                reached_at: None,
                linked: None,
                trouble: None,
                doubles: 0,
                is_configured: false,
            });
            let has_moved = !person.is_configured && person.address != address;
            if has_moved {
                person.address = address;
            }
            let is_back = self.leaving.remove(&number).is_some();
            if number != self.own && (is_new || has_moved || is_back) {
                self.orders.push(Order::Add(peer(number, person)));
            }
        }
        // Who was promoted knows no generation before its own: all that are out may be so since then.
        let is_put_out = members.generation > self.generation.max(1);
        self.generation = members.generation;
        let gone = self.by_number.keys().filter(|it| members.removed.contains(it) && **it != self.own);
        let gone: Vec<u64> = gone.copied().collect();
        for number in gone {
            match self.by_number.get(&number).and_then(|it| it.linked) {
                Some(_) => {
                    self.leaving.entry(number).or_insert(is_put_out);
                }
                None => self.forget(number, is_put_out),
            }
        }
        if self.removed != members.removed {
            self.removed.clone_from(&members.removed);
            self.order_removed();
        }
    }

    /// Those that are linked still are not refused yet, should they connect anew.
    fn order_removed(&mut self) {
        let removed = self.removed.iter().filter(|it| !self.leaving.contains_key(it) && **it != self.own);
        self.orders.push(Order::Removed(removed.copied().collect()));
    }

    /// The generation that a crash cannot take back.
    pub(super) fn note_generation(&mut self, generation: u64) {
        if std::mem::replace(&mut self.told_generation, generation) != generation {
            self.orders.push(Order::Generation(generation));
        }
    }

    /// A link is up, to the process `boot`. Gives the number of the node, and whether there was a link to it as far as is known.
    pub(super) fn rise(&mut self, name: &NodeName, boot: u64) -> (u64, bool) {
        let number = number_of(name);
        let mut had_another = false;
        if let Some(person) = self.by_number.get_mut(&number) {
            had_another = person.linked.replace(boot).is_some();
            person.trouble = None;
            person.doubles = 0;
        }
        (number, had_another)
    }

    /// A link is over.
    pub(super) fn fall(&mut self, name: &NodeName) -> u64 {
        let number = number_of(name);
        if let Some(person) = self.by_number.get_mut(&number) {
            person.linked = None;
        }
        if let Some(is_put_out) = self.leaving.remove(&number) {
            self.forget(number, is_put_out);
            self.order_removed();
        }
        number
    }

    fn forget(&mut self, number: u64, is_put_out: bool) {
        if let Some(person) = self.by_number.remove(&number) {
            self.orders.push(match is_put_out {
                true => Order::PutOut(person.name),
                false => Order::Remove(person.name),
            });
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Person> {
        self.by_number.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Person> {
        self.by_number.get_mut(&number)
    }

    /// The others to whom there is a link.
    pub(super) fn linked(&self) -> impl Iterator<Item = u64> {
        let linked = self.by_number.iter().filter(|(number, it)| **number != self.own && it.linked.is_some());
        linked.map(|(number, _)| *number)
    }

    pub(super) fn is_linked(&self, number: u64) -> bool {
        self.get(number).is_some_and(|it| it.linked.is_some())
    }

    /// Its name, or its number where that has none.
    pub(super) fn name(&self, number: u64) -> String {
        self.get(number).map_or_else(|| number.to_string(), |it| it.name.to_string())
    }

    /// The number of a node of the cluster.
    pub(super) fn number(&self, name: &str) -> Result<u64> {
        let name: NodeName = name.parse()?;
        let number = number_of(&name);
        if !self.by_number.contains_key(&number) {
            return Err(Error::NotFound { what: "node", value: name.to_string() });
        }
        Ok(number)
    }
}

fn peer(number: u64, person: &Person) -> PeerAddress {
    PeerAddress { name: person.name.clone(), address: person.address, number }
}

/// What the log says about a node: 1, its name and where it listens, each behind its length.
pub(super) fn about(name: &NodeName, address: Option<SocketAddr>) -> Vec<u8> {
    let address = address.map(|it| it.to_string()).unwrap_or_default();
    let mut to = vec![1];
    for text in [name.as_str(), &address] {
        to.push(text.len() as u8);
        to.extend_from_slice(text.as_bytes());
    }
    debug_assert!(to.len() <= ABOUT_BYTES_MAX);
    to
}

/// The name in what is said about a node.
pub(super) fn name_in(about: &[u8]) -> Option<String> {
    read_about(about).map(|(name, _)| name.as_str().to_owned())
}

/// `None` for what no release has written. What a later one adds is left.
fn read_about(about: &[u8]) -> Option<(NodeName, Option<SocketAddr>)> {
    let rest = about.strip_prefix(&[1])?;
    let (len, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*len))?;
    let (len, rest) = rest.split_first()?;
    let (address, _) = rest.split_at_checked(usize::from(*len))?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let address = match text(address)? {
        "" => None,
        address => Some(address.parse().ok()?),
    };
    Some((text(name)?.parse().ok()?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_about_a_node_reads_back() {
        let name: NodeName = "db-1.rack-2".parse().unwrap();
        for address in [None, Some("10.0.0.1:7400".parse().unwrap()), Some("[fd00::1]:7400".parse().unwrap())]
        {
            let bytes = about(&name, address);
            assert_eq!(read_about(&bytes), Some((name.clone(), address)));
            assert_eq!(read_about(&[&bytes[..], b"later"].concat()), Some((name.clone(), address)));
            for len in 0..bytes.len() {
                assert_eq!(read_about(&bytes[..len]), None);
            }
        }
        assert_eq!(read_about(&[2, 0, 0]), None);
    }
}
