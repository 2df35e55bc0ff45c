//! [`Roster`]: who belongs to the cluster, who dials whom, and who is linked.
//!
//! Of two nodes that both have an address the one whose name comes first dials; one without an address, as a learner
//! may be, dials everybody. So there is one link for each pair, and both know from whom it comes.
//!
//! Who was removed is refused. One that was put out by a promotion by force and does not know it is told so with the
//! refusal, and is dialled for that where it does not dial itself ([`Roster::put_out`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::error::{Error, Result};
use crate::peer::hello::{self, ClusterId, Hello, PROTOCOL_VERSION, Reason, Refusal};
use crate::peer::{NodeName, Options, Side};

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: NodeName,
    /// Its cluster; `None` until it belongs to one.
    pub cluster: Option<ClusterId>,
    /// Its number in the cluster; 0 until it has one.
    pub number: u64,
    /// A random number, drawn when the process began.
    pub boot: u64,
    /// Where others reach it; `None`: nowhere, so that it dials.
    pub address: Option<SocketAddr>,
}

/// A link that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Which connection, by the owner's number for it.
    pub connection: u64,
    /// The process at the other end.
    pub boot: u64,
    /// Where that listens, as it says.
    pub address: String,
}

/// Who belongs to the cluster, as this node knows it.
#[derive(Debug)]
pub struct Roster {
    own: Identity,
    generation: u64,
    peers: BTreeMap<NodeName, Peer>,
    removed_numbers: BTreeSet<u64>,
    removed_names: BTreeSet<NodeName>,
}

#[derive(Debug)]
struct Peer {
    address: Option<SocketAddr>,
    number: u64,
    linked: Option<Linked>,
}

/// How many names that were removed are remembered; the first in order goes for a new one beyond that.
const REMOVED_MAX: usize = 1_024;

impl Roster {
    /// One that knows nobody else.
    pub fn new(own: Identity) -> Self {
        Self {
            own,
            generation: 0,
            peers: BTreeMap::new(),
            removed_numbers: BTreeSet::new(),
            removed_names: BTreeSet::new(),
        }
    }

    /// Who this node is.
    pub fn own(&self) -> &Identity {
        &self.own
    }

    /// This node belongs to a cluster from now on.
    pub fn set_cluster(&mut self, cluster: ClusterId, number: u64) {
        self.own.cluster = Some(cluster);
        self.own.number = number;
    }

    /// The generation of the cluster, which counts promotions by force; 0, as at first: it is not known.
    pub fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// A node that belongs to the cluster from now on, or its new address or number. `number` is 0 where it is not known.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for this node's own name, and where neither of the two could dial the other.
    pub fn add(&mut self, name: NodeName, address: Option<SocketAddr>, number: u64) -> Result<()> {
        if name == self.own.name {
            return Err(Error::invalid("peer", format!("{name} is this node itself; leave it out")));
        }
        if address.is_none() && self.own.address.is_none() {
            let why = format!("neither {name} nor this node has an address; give one of them one");
            return Err(Error::invalid("peer", why));
        }
        self.removed_names.remove(&name);
        let linked = self.peers.remove(&name).and_then(|peer| peer.linked);
        self.peers.insert(name, Peer { address, number, linked });
        Ok(())
    }

    /// A node that does not belong to the cluster any more; it is refused as such. Gives the link there is to it.
    pub fn remove(&mut self, name: &NodeName) -> Option<Linked> {
        let peer = self.peers.remove(name)?;
        self.note_removed(name, peer.number);
        peer.linked
    }

    /// The same for one that was put out by a promotion by force: it is still dialled where it does not dial itself, so that
    /// it is told.
    pub fn put_out(&mut self, name: &NodeName) -> Option<Linked> {
        let peer = self.peers.get_mut(name)?;
        let (number, linked) = (peer.number, peer.linked.take());
        self.note_removed(name, number);
        linked
    }

    fn note_removed(&mut self, name: &NodeName, number: u64) {
        if number != 0 {
            self.removed_numbers.insert(number);
        }
        while self.removed_names.len() >= REMOVED_MAX {
            self.removed_names.pop_first();
        }
        self.removed_names.insert(name.clone());
    }

    /// Numbers whose nodes were taken out for good.
    pub fn set_removed(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.removed_numbers = numbers.into_iter().collect();
    }

    /// Everybody else, in the order of their names.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.peers.keys()
    }

    /// Where to dial a node: `None` when it is not this node that dials.
    pub fn dials(&self, name: &NodeName) -> Option<SocketAddr> {
        let address = self.peers.get(name)?.address?;
        (self.own.address.is_none() || self.own.name < *name).then_some(address)
    }

    /// Whether a node of that name is known.
    pub fn is_known(&self, name: &NodeName) -> bool {
        self.peers.contains_key(name)
    }

    /// The link that is up to a node.
    pub fn linked(&self, name: &NodeName) -> Option<&Linked> {
        self.peers.get(name)?.linked.as_ref()
    }

    /// A link is up. Gives the one it takes the place of.
    pub fn link(&mut self, name: &NodeName, linked: Linked) -> Option<Linked> {
        self.peers.get_mut(name)?.linked.replace(linked)
    }

    /// A link is over; whether it was the one that counts.
    pub fn unlink(&mut self, name: &NodeName, connection: u64) -> bool {
        let Some(peer) = self.peers.get_mut(name) else { return false };
        let is_it = peer.linked.as_ref().is_some_and(|linked| linked.connection == connection);
        if is_it {
            peer.linked = None;
        }
        is_it
    }

    /// What this node says to `target`.
    pub fn hello(&self, target: &NodeName, options: &Options) -> Hello {
        Hello {
            versions: (PROTOCOL_VERSION, PROTOCOL_VERSION),
            cluster: self.own.cluster,
            number: self.own.number,
            boot: self.own.boot,
            windows: options.window_bytes,
            message_bytes_max: options.message_bytes_max,
            name: self.own.name.clone(),
            target: target.clone(),
            address: self.own.address.map(|address| address.to_string()).unwrap_or_default(),
            generation: self.generation,
        }
    }

    /// Whether the node that said `hello` is taken. `side` is the end of the connection that this node is.
    ///
    /// # Errors
    ///
    /// Why it is refused. With [`Reason::DuplicateName`] it is for the caller to ask the linked one whether it is there:
    /// it may be a process of the past.
    pub fn judge(&self, hello: &Hello, side: Side) -> std::result::Result<(), Refusal> {
        let own = &self.own;
        let Hello { name, .. } = hello;
        let refuse = |reason, detail: String| Err(Refusal::new(reason, detail));
        let (lowest, highest) = hello.versions;
        if lowest > PROTOCOL_VERSION || highest < PROTOCOL_VERSION {
            let detail = format!(
                "{name:.40} speaks versions {lowest} to {highest} and {} speaks {PROTOCOL_VERSION}; update {}",
                own.name,
                if lowest > PROTOCOL_VERSION { &own.name } else { name }
            );
            return refuse(Reason::Version, detail);
        }
        if *name == own.name {
            if hello.boot == own.boot {
                let detail = format!("{name} reached itself; give its peers their own addresses");
                return refuse(Reason::Itself, detail);
            }
            let detail = format!(
                "two nodes are called {name}, one of them at {}; rename one",
                or_nowhere(&hello.address)
            );
            return refuse(Reason::DuplicateName, detail);
        }
        if hello.target != own.name {
            let detail =
                format!("{name} meant to reach {}, and this is {}; check its peers", hello.target, own.name);
            return refuse(Reason::WrongNode, detail);
        }
        if let (Some(theirs), Some(ours)) = (&hello.cluster, &own.cluster)
            && theirs != ours
        {
            let (theirs, ours) = (hello::shown(theirs), hello::shown(ours));
            let detail =
                format!("{name} belongs to the cluster {theirs}, and {} to {ours}; check peers", own.name);
            return refuse(Reason::OtherCluster, detail);
        }
        if self.removed_numbers.contains(&hello.number) || self.removed_names.contains(name) {
            if let Some(cluster) = own.cluster
                && hello.cluster == own.cluster
                && (1..self.generation).contains(&hello.generation)
            {
                let detail = format!(
                    "{name} is of generation {}, and a node was promoted since, which began generation {}; take its \
                     directory away and add it under another name",
                    hello.generation, self.generation
                );
                return refuse(Reason::OldGeneration { cluster, generation: self.generation }, detail);
            }
            let detail = format!(
                "{name} was removed from the cluster; add it under another name, with an empty directory"
            );
            return refuse(Reason::RemovedNode, detail);
        }
        let Some(peer) = self.peers.get(name) else {
            let detail = format!("{} knows no node {name}; add it to the cluster, or to peers", own.name);
            return refuse(Reason::UnknownNode, detail);
        };
        if peer.number != 0 && hello.number != 0 && peer.number != hello.number {
            let detail = format!(
                "{name} is number {} in the cluster and says {}; is it another's directory?",
                peer.number, hello.number
            );
            return refuse(Reason::NumberMismatch, detail);
        }
        if side == Side::Acceptor && self.dials(name).is_some() {
            let detail =
                format!("{} dials {name}, not the other way round; have all nodes the same peers", own.name);
            return refuse(Reason::Direction, detail);
        }
        if let Some(linked) = &peer.linked
            && linked.boot != hello.boot
        {
            let detail = format!(
                "another node {name} is linked already, at {}; this one is at {}; rename one, unless it just restarted",
                or_nowhere(&linked.address),
                or_nowhere(&hello.address)
            );
            return refuse(Reason::DuplicateName, detail);
        }
        Ok(())
    }
}

fn or_nowhere(address: &str) -> &str {
    if address.is_empty() { "no address" } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::hello::tests::hello;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn roster(own: &str) -> Roster {
        let address = "10.0.0.2:7400".parse().ok();
        let own = Identity { name: name(own), cluster: Some([7; 16]), number: 2, boot: 5, address };
        let mut roster = Roster::new(own);
        for (at, peer) in ["db-1", "db-2", "db-3"].iter().enumerate() {
            if *peer != roster.own.name.as_str() {
                let address = format!("10.0.0.{}:7400", at + 1).parse().ok();
                roster.add(name(peer), address, at as u64 + 1).unwrap();
            }
        }
        roster
    }

    #[test]
    fn one_of_two_dials_and_whoever_has_no_address_does() {
        for (a, b) in [("db-1", "db-2"), ("db-1", "db-3"), ("db-2", "db-3")] {
            assert!(roster(a).dials(&name(b)).is_some());
            assert!(roster(b).dials(&name(a)).is_none());
        }
        let mut first = roster("db-1");
        first.add(name("learner"), None, 0).unwrap();
        assert_eq!(first.dials(&name("learner")), None);
        let nowhere = Identity { name: name("learner"), cluster: None, number: 0, boot: 1, address: None };
        let mut learner = Roster::new(nowhere);
        learner.add(name("db-1"), "10.0.0.1:7400".parse().ok(), 0).unwrap();
        assert!(learner.dials(&name("db-1")).is_some());
        assert!(learner.add(name("other"), None, 0).unwrap_err().to_string().contains("neither"));
        assert!(learner.add(name("learner"), None, 0).unwrap_err().to_string().contains("itself"));
    }

    #[test]
    fn each_reason_to_refuse_is_told() {
        let mut roster = roster("db-2");
        roster.set_removed([9]);
        let good = Hello { number: 1, ..hello("db-1", "db-2") };
        assert_eq!(roster.judge(&good, Side::Acceptor), Ok(()));
        let fresh = Hello { cluster: None, number: 0, ..good.clone() };
        assert_eq!(roster.judge(&fresh, Side::Acceptor), Ok(()));
        for (bad, side, reason, told) in [
            (Hello { versions: (2, 3), ..good.clone() }, Side::Acceptor, Reason::Version, "update db-2"),
            (
                Hello { name: name("db-2"), boot: 5, ..good.clone() },
                Side::Acceptor,
                Reason::Itself,
                "reached itself",
            ),
            (
                Hello { name: name("db-2"), ..good.clone() },
                Side::Acceptor,
                Reason::DuplicateName,
                "two nodes are called",
            ),
            (
                Hello { target: name("db-3"), ..good.clone() },
                Side::Acceptor,
                Reason::WrongNode,
                "meant to reach db-3",
            ),
            (Hello { cluster: Some([8; 16]), ..good.clone() }, Side::Acceptor, Reason::OtherCluster, "0808"),
            (Hello { number: 9, ..good.clone() }, Side::Acceptor, Reason::RemovedNode, "was removed"),
            (
                Hello { name: name("db-9"), ..good.clone() },
                Side::Acceptor,
                Reason::UnknownNode,
                "knows no node db-9",
            ),
            (Hello { number: 3, ..good.clone() }, Side::Acceptor, Reason::NumberMismatch, "number 1"),
            (hello("db-3", "db-2"), Side::Acceptor, Reason::Direction, "db-2 dials db-3"),
        ] {
            let refusal = roster.judge(&bad, side).unwrap_err();
            assert_eq!(refusal.reason, reason, "{bad:?}");
            assert!(refusal.detail.contains(told), "{refusal}");
            assert!(refusal.detail.lines().count() == 1 && refusal.detail.len() <= 250, "{refusal}");
        }
        let three = Hello { number: 3, ..hello("db-3", "db-2") };
        assert_eq!(roster.judge(&three, Side::Dialler), Ok(()));
    }

    #[test]
    fn a_second_process_of_a_name_is_refused_and_the_same_one_takes_its_own_place() {
        let mut roster = roster("db-2");
        let db_1 = name("db-1");
        let linked = |connection, boot| Linked { connection, boot, address: "10.0.0.1:7400".into() };
        assert_eq!(roster.link(&db_1, linked(1, 77)), None);
        let again = hello("db-1", "db-2");
        assert_eq!(roster.judge(&again, Side::Acceptor), Ok(()));
        let other = Hello { boot: 78, address: "10.0.0.9:7400".into(), ..again };
        let refusal = roster.judge(&other, Side::Acceptor).unwrap_err();
        assert_eq!(refusal.reason, Reason::DuplicateName);
        assert!(
            refusal.detail.contains("10.0.0.1:7400") && refusal.detail.contains("10.0.0.9:7400"),
            "{refusal}"
        );
        assert!(refusal.reason.is_passing());
        assert_eq!(roster.link(&db_1, linked(2, 77)), Some(linked(1, 77)));
        assert!(!roster.unlink(&db_1, 1), "the one before does not count any more");
        assert!(roster.unlink(&db_1, 2));
        assert_eq!(roster.judge(&other, Side::Acceptor), Ok(()));
    }

    #[test]
    fn who_was_removed_is_told_so_until_added_again() {
        let mut roster = roster("db-2");
        let db_1 = name("db-1");
        roster.remove(&db_1);
        for number in [0, 1] {
            let refusal =
                roster.judge(&Hello { number, ..hello("db-1", "db-2") }, Side::Acceptor).unwrap_err();
            assert_eq!(refusal.reason, Reason::RemovedNode);
        }
        assert_eq!(roster.dials(&db_1), None);
        roster.add(db_1, "10.0.0.1:7400".parse().ok(), 4).unwrap();
        assert_eq!(roster.judge(&Hello { number: 4, ..hello("db-1", "db-2") }, Side::Acceptor), Ok(()));
        let old = roster.judge(&Hello { number: 1, ..hello("db-1", "db-2") }, Side::Acceptor).unwrap_err();
        assert_eq!(old.reason, Reason::RemovedNode);
    }

    #[test]
    fn who_was_put_out_by_force_is_dialled_as_before_and_told_which_generation_counts() {
        let mut roster = roster("db-2");
        let (db_1, db_3) = (name("db-1"), name("db-3"));
        let linked = Linked { connection: 1, boot: 77, address: String::new() };
        roster.link(&db_3, linked.clone());
        assert_eq!(roster.put_out(&db_3), Some(linked));
        assert_eq!(roster.put_out(&db_1), None);
        assert_eq!(roster.linked(&db_3), None);
        assert!(roster.dials(&db_3).is_some() && roster.dials(&db_1).is_none());
        let of = |name: &str, number, generation| Hello { number, generation, ..hello(name, "db-2") };
        // What the generation is here is not known, so nobody is told.
        let refusal = roster.judge(&of("db-3", 3, 1), Side::Dialler).unwrap_err();
        assert_eq!(refusal.reason, Reason::RemovedNode);
        roster.set_generation(3);
        assert_eq!(roster.hello(&db_1, &Options::default()).generation, 3);
        let told = Reason::OldGeneration { cluster: [7; 16], generation: 3 };
        for (generation, reason) in [
            (0, Reason::RemovedNode),
            (1, told),
            (2, told),
            (3, Reason::RemovedNode),
            (4, Reason::RemovedNode),
        ] {
            for (hello, side) in [
                (of("db-1", 1, generation), Side::Acceptor),
                (of("db-1", 0, generation), Side::Acceptor),
                (of("db-3", 3, generation), Side::Dialler),
            ] {
                let refusal = roster.judge(&hello, side).unwrap_err();
                assert_eq!(refusal.reason, reason, "{hello:?}");
                assert!(!refusal.reason.is_passing() && refusal.detail.len() <= 250, "{refusal}");
            }
        }
        let refusal = roster.judge(&of("db-1", 1, 2), Side::Acceptor).unwrap_err();
        assert!(refusal.detail.contains("is of generation 2") && refusal.detail.contains("generation 3"));
        // Who does not say that it is of this cluster is told nothing of it.
        let fresh = Hello { cluster: None, ..of("db-1", 1, 1) };
        assert_eq!(roster.judge(&fresh, Side::Acceptor).unwrap_err().reason, Reason::RemovedNode);
        // Its number is enough, whatever it is called.
        assert_eq!(roster.judge(&of("db-9", 1, 1), Side::Acceptor).unwrap_err().reason, told);
    }
}
