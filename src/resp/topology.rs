//! [`Topology`]: what Redis clients may be told of the cluster that a store is in: who is primary, who follows, where
//! clients reach them, and how far they are.
//!
//! It is what one node knows at one moment. The hub of each loop has one, and holds each new one against the one before: what
//! has changed is told to those who have subscribed to the channels of Sentinel ([`Topology::news`]).

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::time::Instant;

/// Where clients reach a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientAddress {
    /// An address, or a name; without brackets.
    pub host: String,
    /// The port; 0 for a socket in the file system, whose path is the host.
    pub port: u16,
}

impl ClientAddress {
    /// Reads `host:port`, `[host]:port`, or the path of a socket.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(Self { host: path.to_owned(), port: 0 });
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty() && !host.contains(char::is_whitespace))
            .then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ClientAddress {
    /// As Redis writes it, without brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A node, as another one or it itself sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where clients reach it; `None`: nobody said, and it is told to no client.
    pub address: Option<ClientAddress>,
    /// Where other nodes reach it, where that is a name.
    pub reached_at: Option<ClientAddress>,
    /// It is a voter: it counts for the quorum, and may become primary.
    pub is_voter: bool,
    /// It is one, and as far as the node knows that tells this it would vote: it does not while it is taken in again. Only a
    /// primary has heard of each.
    pub has_vote: bool,
    /// There is a link to it, or it is this node.
    pub is_linked: bool,
    /// Who feeds it instead of the primary, by its name, as far as this node knows.
    pub source: Option<String>,
    /// The last entry known to be on its disk.
    pub sequence: Option<u64>,
    /// How far it is, as it has said; `None`: it has not, or is not asked.
    pub freshness: Option<Freshness>,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// As of when what it shows was all there was; `None`: that is not known.
    pub fresh_since: Option<Instant>,
    /// How many entries it lacked.
    pub behind: u64,
    /// When it said so.
    pub heard_at: Instant,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: String,
    /// Counts promotions by force.
    pub generation: u64,
    /// The epoch of the last primary.
    pub epoch: u64,
    /// All nodes, this one too, in an order of their own that is the same everywhere.
    pub nodes: Vec<Node>,
    /// Which of them is this one.
    pub own: usize,
    /// Which of them is primary and, as far as this node can tell, holds its quorum; `None`: there is none at present.
    pub primary: Option<usize>,
    /// What is written here goes to the primary by itself.
    pub forwards: bool,
    /// This primary answers writes with fewer nodes than they asked for.
    pub is_degraded: bool,
    /// How many it has so answered.
    pub degraded_writes: u64,
    /// Why this node is of no cluster any more, if so: it was removed, or put out.
    pub fenced: Option<String>,
}

/// What is told to subscribers: a channel, and the message.
pub(super) type News = Vec<(&'static str, String)>;

impl Topology {
    /// This node.
    pub fn own(&self) -> &Node {
        &self.nodes[self.own]
    }

    /// Whether this node is primary and holds its quorum.
    pub fn is_primary(&self) -> bool {
        self.primary == Some(self.own)
    }

    /// The primary, if there is one.
    pub fn primary(&self) -> Option<&Node> {
        self.primary.map(|at| &self.nodes[at])
    }

    /// Whether another node is primary.
    pub fn follows(&self) -> bool {
        self.primary.is_some_and(|primary| primary != self.own)
    }

    /// Of how many other nodes one that is not primary knows at most that they have something: what is committed is on more
    /// than half of the voters.
    pub fn known_elsewhere(&self) -> u64 {
        (self.quorum() - usize::from(self.own().is_voter)) as u64
    }

    /// How many voters have to be there.
    pub fn quorum(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_voter).count() / 2 + 1
    }

    /// How many are there that vote, this node among them.
    pub fn voters_linked(&self) -> usize {
        self.nodes.iter().filter(|node| node.has_vote && node.is_linked).count()
    }

    /// All that are not primary and that clients can reach.
    pub(super) fn replicas(&self) -> impl Iterator<Item = (&Node, &ClientAddress)> {
        let others = self.nodes.iter().enumerate().filter(|(at, _)| self.primary != Some(*at));
        others.filter_map(|(_, node)| Some((node, node.address.as_ref()?)))
    }

    /// All but this node that clients can reach.
    pub(super) fn others(&self) -> impl Iterator<Item = (&Node, &ClientAddress)> {
        let others = self.nodes.iter().enumerate().filter(|(at, _)| self.own != *at);
        others.filter_map(|(_, node)| Some((node, node.address.as_ref()?)))
    }

    /// 40 hexadecimal digits that name a node, the same on all nodes and after each start.
    pub(super) fn run_id(&self, node: &Node) -> String {
        digits(&format!("{}\0{}", self.cluster, node.name), 1)
    }

    /// 40 hexadecimal digits that name the history of the store: others after a promotion by force.
    pub(super) fn history_id(&self) -> String {
        digits(&self.cluster, 2 + self.generation)
    }

    /// What changed since `before`, as Sentinel tells it. `last` is where the last primary was that was told of, which may
    /// be longer ago than `before`; it is brought up to date.
    pub(super) fn news(&self, before: Option<&Self>, set: &str, last: &mut Option<ClientAddress>) -> News {
        let mut news = News::new();
        let primary = self.primary().and_then(|node| node.address.clone());
        if let Some(new) = &primary {
            if let Some(old) = last.as_ref().filter(|old| *old != new) {
                let text = format!("{set} {} {} {} {}", old.host, old.port, new.host, new.port);
                news.push(("+switch-master", text));
            }
            *last = Some(new.clone());
        }
        // What is told of a primary and by a replica has where that is, or was.
        let Some(at) = last.clone() else { return news };
        let Some(before) = before else { return news };
        let down = format!("master {set} {} {}", at.host, at.port);
        if self.primary.is_none() && before.primary.is_some() {
            let there = format!("{down} #quorum {}/{}", self.voters_linked(), self.quorum());
            news.push(("+sdown", down));
            news.push(("+odown", there));
        } else if self.primary.is_some() && before.primary.is_none() {
            news.push(("-sdown", down.clone()));
            news.push(("-odown", down));
        }
        for (node, address) in self.replicas().filter(|(_, address)| **address != at) {
            let known = before.nodes.iter().find(|old| old.name == node.name);
            let instance = |kind: &str| {
                let who = if kind == "sentinel" { self.run_id(node) } else { address.to_string() };
                format!("{kind} {who} {} {} @ {set} {} {}", address.host, address.port, at.host, at.port)
            };
            match known {
                Some(old) if old.address.is_some() => {
                    if old.is_linked != node.is_linked {
                        let channel = if node.is_linked { "-sdown" } else { "+sdown" };
                        news.push((channel, instance("slave")));
                    }
                }
                _ => {
                    news.push(("+slave", instance("slave")));
                    news.push(("+sentinel", instance("sentinel")));
                }
            }
        }
        news
    }
}

fn digits(text: &str, seed: u64) -> String {
    format!(
        "{:032x}{:08x}",
        xxh3_128_with_seed(text.as_bytes(), seed),
        xxh3_64_with_seed(text.as_bytes(), !seed) >> 32
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Nodes a, b and c, the last without a vote, seen by the one numbered `own`.
    pub(in crate::resp) fn three(own: usize, primary: Option<usize>) -> Topology {
        let node = |(at, name): (u16, &str)| Node {
            name: name.into(),
            address: Some(ClientAddress { host: "10.0.0.1".into(), port: 7_001 + at }),
            reached_at: None,
            is_voter: at < 2,
            has_vote: at < 2,
            is_linked: true,
            source: None,
            sequence: Some(100 + u64::from(at)),
            freshness: None,
        };
        Topology {
            cluster: "c".into(),
            generation: 1,
            epoch: 5,
            nodes: (0..).zip(["a", "b", "c"]).map(node).collect(),
            own,
            primary,
            forwards: false,
            is_degraded: false,
            degraded_writes: 0,
            fenced: None,
        }
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let read = |text: &str| ClientAddress::parse(text).map(|it| (it.host, it.port));
        assert_eq!(read("10.0.0.1:6379"), Some(("10.0.0.1".into(), 6_379)));
        assert_eq!(read("[fd00::1]:6379"), Some(("fd00::1".into(), 6_379)));
        assert_eq!(read("db-1.example:1"), Some(("db-1.example".into(), 1)));
        assert_eq!(read("unix:/run/s.sock"), Some(("/run/s.sock".into(), 0)));
        for wrong in ["", "10.0.0.1", ":1", "a:0", "a:70000", "a b:1", "a:x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_frozen_and_each_is_its_own() {
        let topology = three(0, None);
        let id = |at: usize| topology.run_id(&topology.nodes[at]);
        assert_eq!(id(0), three(2, Some(1)).run_id(&topology.nodes[0]));
        assert!(id(0) != id(1) && id(0) != topology.history_id() && id(0).len() == 40);
        assert_eq!(id(0), FROZEN);
        assert_ne!(Topology { generation: 2, ..three(0, None) }.history_id(), topology.history_id());
    }

    const FROZEN: &str = "05a47ed855385494e7cce5cfcbeda3e029cac963";

    #[test]
    fn news_are_those_of_sentinel() {
        let mut last = None;
        let mut seen = three(2, Some(0));
        assert_eq!(seen.news(None, "set", &mut last), [], "nothing is new to who has just come");
        let told = |now: &Topology, before: &Topology, last: &mut Option<ClientAddress>| {
            let news = now.news(Some(before), "set", last).into_iter();
            news.map(|(channel, text)| format!("{channel} {text}")).collect::<Vec<_>>()
        };
        // The primary is lost, another one takes over, and it comes back.
        let mut lost = three(2, None);
        lost.nodes[0].is_linked = false;
        assert_eq!(
            told(&lost, &seen, &mut last),
            ["+sdown master set 10.0.0.1 7001", "+odown master set 10.0.0.1 7001 #quorum 1/2"]
        );
        let mut switched = Topology { epoch: 6, ..three(2, Some(1)) };
        switched.nodes[0].is_linked = false;
        assert_eq!(
            told(&switched, &lost, &mut last),
            [
                "+switch-master set 10.0.0.1 7001 10.0.0.1 7002",
                "-sdown master set 10.0.0.1 7002",
                "-odown master set 10.0.0.1 7002"
            ]
        );
        let back = Topology { epoch: 6, ..three(2, Some(1)) };
        assert_eq!(
            told(&back, &switched, &mut last),
            ["-sdown slave 10.0.0.1:7001 10.0.0.1 7001 @ set 10.0.0.1 7002"]
        );
        assert_eq!(told(&back, &back, &mut last), [""; 0]);
        // At once, without a moment in which nobody was seen to be primary.
        assert_eq!(
            told(&three(2, Some(0)), &back, &mut last),
            ["+switch-master set 10.0.0.1 7002 10.0.0.1 7001"]
        );
        // Somebody comes, and says where it is only later.
        seen = three(0, Some(0));
        seen.nodes[2].address = None;
        let all = three(0, Some(0));
        let id = all.run_id(&all.nodes[2]);
        assert_eq!(
            told(&all, &seen, &mut last),
            [
                "+slave slave 10.0.0.1:7003 10.0.0.1 7003 @ set 10.0.0.1 7001".to_owned(),
                format!("+sentinel sentinel {id} 10.0.0.1 7003 @ set 10.0.0.1 7001")
            ]
        );
    }
}
