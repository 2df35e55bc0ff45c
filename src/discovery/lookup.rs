//! [`Lookup`]: from a name to its addresses, once, by as many questions as it takes.
//!
//! ```text
//! host:     hosts file ─► candidate: A and AAAA at once ─► addresses
//!                            ▲  │ none of either
//!                            └──┘ the next candidate
//! service:  candidate: SRV ─► targets ─► each: hosts file, additional records, or A and AAAA ─► addresses
//! ```
//!
//! - At most [`QUERIES_MAX`] questions are asked at once; the rest wait. All together have `lookup_max`.
//! - A candidate of the search list that failed ends the lookup: the next one might be another host.
//! - Of a host with an answer for one family and a failure for the other, and of a service of whose targets
//!   some failed, what was found is given, and what failed is marked as such.
//! - Addresses of a target that came with the SRV records are taken for all it has, if there are any of a
//!   family that is enough.
//! - The time to live is the least of all records that led to an address, those of SRV and CNAME too; that
//!   there are none of one family does not shorten it.
//!
//! The order of families and of questions is fixed, but the order of answers is not: what is found does not
//! depend on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::domain::DomainName;
use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::found::{Found, Host, Part, Target, targets, usable};
use crate::discovery::hosts::Hosts;
use crate::discovery::message::{Additional, Answer, Kind, Negative, Question, Records};
use crate::discovery::name::WatchedName;
use crate::discovery::options::{Families, Family, Options};
use crate::discovery::query::{self, Failure, Query};
use crate::discovery::resolv_conf::Resolvers;
use crate::rng::Rng;
use crate::time::Instant;

/// The most questions of one lookup under way at once.
pub const QUERIES_MAX: usize = 16;
/// The most addresses of one lookup, all targets together; above it is a failure. A pool takes no more.
pub const ADDRESSES_MAX: usize = 65_536;
/// For how many seconds what the hosts file says is taken to hold.
pub const HOSTS_TTL: u32 = 10;

/// What the system's files say.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Who is asked.
    pub resolvers: Arc<Resolvers>,
    /// Which names need not be asked for.
    pub hosts: Arc<Hosts>,
}

/// What to do next for a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something with the network.
    Io(Io),
    /// It is over; nothing comes behind this.
    Done(Result<Outcome, LookupError>),
}

/// Why a lookup found nothing out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// A question without whose answer nothing can be said failed.
    Unanswered(Failure),
    /// There are more than [`ADDRESSES_MAX`] addresses.
    TooMany,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupError::Unanswered(failure) => failure.fmt(f),
            LookupError::TooMany => write!(f, "there are more than {ADDRESSES_MAX} addresses"),
        }
    }
}

/// How a lookup ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There are addresses.
    Found(Found),
    /// There are none, and that is certain.
    Nothing {
        /// How so.
        negative: Negative,
        /// For how long this holds, within the options' bounds.
        ttl: Duration,
    },
}

/// One lookup.
#[derive(Debug)]
pub struct Lookup {
    environment: Environment,
    options: Options,
    /// The families to ask for.
    wanted: &'static [Family],
    /// The port of a host; `None` for a service.
    port: Option<u16>,
    candidates: std::vec::IntoIter<DomainName>,
    running: Vec<Running>,
    waiting: VecDeque<(Question, Purpose)>,
    next_query: u64,
    targets: Vec<Target>,
    hosts: BTreeMap<DomainName, Host>,
    /// The least time to live of what was found.
    ttl: u32,
    /// How many addresses came, and how many of them nobody can connect to.
    addresses: usize,
    unusable: usize,
    /// SRV records came, perhaps such that say that the service is not offered.
    is_service_known: bool,
    failure: Option<Failure>,
    negative: Option<Negative>,
    negative_ttl: u32,
    /// `None` once it is over.
    deadline: Option<Instant>,
    actions: VecDeque<Action>,
    ignored: u64,
}

#[derive(Debug)]
struct Running {
    query: Query,
    purpose: Purpose,
}

/// What a question is for.
#[derive(Clone, Debug)]
enum Purpose {
    /// The targets of the service.
    Targets,
    /// The addresses of this host.
    Addresses(DomainName, Family),
}

impl Lookup {
    /// Begins to look for `name`. Its questions are numbered from `first_query` on.
    pub fn new(
        name: &WatchedName,
        environment: Environment,
        options: Options,
        first_query: u64,
        now: Instant,
        rng: &mut Rng,
    ) -> Self {
        let resolvers = &environment.resolvers;
        let (given, port) = match name {
            WatchedName::Host { name, port } => (name, Some(*port)),
            WatchedName::Service { name } => (name, None),
        };
        let candidates = given.candidates(&resolvers.search, resolvers.ndots).into_iter();
        let wanted = match options.families {
            Families::V6 => Families::V6.wanted(),
            _ if resolvers.no_aaaa => Families::V4.wanted(),
            families => families.wanted(),
        };
        let mut lookup = Self {
            deadline: Some(now.saturating_add(options.lookup_max)),
            environment,
            options,
            wanted,
            port,
            candidates,
            running: Vec::new(),
            waiting: VecDeque::new(),
            next_query: first_query,
            targets: Vec::new(),
            hosts: BTreeMap::new(),
            ttl: u32::MAX,
            addresses: 0,
            unusable: 0,
            is_service_known: false,
            failure: None,
            negative: None,
            negative_ttl: u32::MAX,
            actions: VecDeque::new(),
            ignored: 0,
        };
        match port {
            Some(port) if lookup.take_from_hosts(given.name()) => {
                lookup.targets = vec![host(given.name(), port)];
                // Were nothing there to connect to, the file would still have the last word.
                lookup.candidates = Vec::new().into_iter();
            }
            _ => lookup.ask_next_candidate(),
        }
        lookup.settle(now, rng);
        lookup
    }

    /// Takes what happened on an exchange of one of its questions.
    pub fn handle_event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        let running = self.running.iter_mut().find(|running| running.query.number() == exchange.query);
        let Some(running) = running else {
            self.ignored += 1;
            return;
        };
        running.query.handle_event(exchange, event, now, rng);
        self.settle(now, rng);
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            for (question, purpose) in std::mem::take(&mut self.waiting) {
                self.take(purpose, Err(Failure { question, tries: Vec::new() }));
            }
            self.running.iter_mut().for_each(|running| running.query.cancel());
        } else {
            self.running.iter_mut().for_each(|running| running.query.handle_timeout(now, rng));
        }
        self.settle(now, rng);
    }

    /// Ends it at once, without an outcome: only its exchanges are still closed.
    pub fn cancel(&mut self) {
        self.waiting.clear();
        self.deadline = None;
        for mut running in self.running.drain(..) {
            running.query.cancel();
            self.ignored += running.query.ignored();
            while let Some(action) = running.query.poll_action() {
                if let query::Action::Io(io) = action {
                    self.actions.push_back(Action::Io(io));
                }
            }
        }
    }

    /// The oldest action not yet taken, or `None` when the driver may wait.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` is next needed; `None` once it is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        let queries = self.running.iter().filter_map(|running| running.query.next_deadline());
        queries.chain(self.deadline).min()
    }

    /// The number its next question would have.
    pub fn next_query(&self) -> u64 {
        self.next_query
    }

    /// How much came that was none of its own.
    pub fn ignored(&self) -> u64 {
        self.ignored + self.running.iter().map(|running| running.query.ignored()).sum::<u64>()
    }

    /// Takes what its questions came to, asks those that wait, and ends when there are none.
    fn settle(&mut self, now: Instant, rng: &mut Rng) {
        if self.deadline.is_none() {
            return;
        }
        loop {
            self.collect();
            while self.running.len() < QUERIES_MAX
                && let Some((question, purpose)) = self.waiting.pop_front()
            {
                let resolvers = self.environment.resolvers.clone();
                let query = Query::new(self.next_query, question, resolvers, now, rng);
                self.next_query += 1;
                self.running.push(Running { query, purpose });
            }
            self.collect();
            if self.addresses > ADDRESSES_MAX {
                self.cancel();
                self.actions.push_back(Action::Done(Err(LookupError::TooMany)));
                return;
            }
            if !self.waiting.is_empty() && self.running.len() < QUERIES_MAX {
                continue;
            }
            if !self.running.is_empty() {
                return;
            }
            match self.conclude() {
                Some(result) => {
                    self.deadline = None;
                    self.actions.push_back(Action::Done(result));
                    return;
                }
                None => self.ask_next_candidate(),
            }
        }
    }

    /// Passes on what questions want done, and takes the results of those that are over.
    fn collect(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            match self.running[index].query.poll_action() {
                Some(query::Action::Io(io)) => self.actions.push_back(Action::Io(io)),
                Some(query::Action::Done(result)) => {
                    let Running { query, purpose } = self.running.remove(index);
                    self.ignored += query.ignored();
                    self.take(purpose, result);
                }
                None => index += 1,
            }
        }
    }

    /// Begins with the next name that may be meant. There is one: `conclude` looked.
    fn ask_next_candidate(&mut self) {
        let Some(candidate) = self.candidates.next() else { return };
        match self.port {
            Some(port) => {
                self.hosts.clear();
                self.targets = vec![host(&candidate, port)];
                self.ask_addresses(candidate);
            }
            None => self.waiting.push_back((Question { name: candidate, kind: Kind::Srv }, Purpose::Targets)),
        }
    }

    fn ask_addresses(&mut self, name: DomainName) {
        self.hosts.entry(name.clone()).or_default();
        for &family in self.wanted {
            let kind = match family {
                Family::V4 => Kind::A,
                Family::V6 => Kind::Aaaa,
            };
            let purpose = Purpose::Addresses(name.clone(), family);
            self.waiting.push_back((Question { name: name.clone(), kind }, purpose));
        }
    }

    /// Takes what a question came to.
    fn take(&mut self, purpose: Purpose, result: Result<Answer, Failure>) {
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                self.failure.get_or_insert(failure);
                if let Purpose::Addresses(name, family) = purpose {
                    *self.hosts.entry(name).or_default().part_mut(family) = Part::Failed;
                }
                return;
            }
        };
        match (purpose, answer.records) {
            (Purpose::Targets, Records::Services(services)) => {
                self.ttl = answer.ttl;
                self.is_service_known = true;
                self.targets = targets(services);
                self.ask_targets(&answer.additional);
            }
            (Purpose::Addresses(name, family), Records::Addresses(addresses)) => {
                self.ttl = self.ttl.min(answer.ttl);
                let known = self.usable(addresses);
                *self.hosts.entry(name).or_default().part_mut(family) = Part::Known(known);
            }
            (purpose, records) => {
                if let Purpose::Addresses(name, family) = purpose {
                    *self.hosts.entry(name).or_default().part_mut(family) = Part::Known(BTreeSet::new());
                }
                let negative = match records {
                    Records::None(negative) => negative,
                    // Not what was asked for, which `message` does not let through.
                    Records::Addresses(_) | Records::Services(_) => Negative::NoData,
                };
                // A name that has records of some other kind exists.
                if self.negative != Some(Negative::NoData) {
                    self.negative = Some(negative);
                }
                self.negative_ttl = self.negative_ttl.min(answer.ttl);
            }
        }
    }

    /// Sees to the addresses of the targets.
    fn ask_targets(&mut self, additional: &[Additional]) {
        let mut given: BTreeMap<&DomainName, Vec<&Additional>> = BTreeMap::new();
        for one in additional {
            given.entry(&one.name).or_default().push(one);
        }
        let names: BTreeSet<DomainName> = self.targets.iter().map(|target| target.host.clone()).collect();
        for name in names {
            let came = given.get(&name).map_or(&[][..], |came| came);
            if self.take_from_hosts(&name) || self.take_additional(&name, came) {
                continue;
            }
            self.ask_addresses(name);
        }
    }

    /// Takes the addresses of `name` from the hosts file; `false` when it has none that are wanted.
    fn take_from_hosts(&mut self, name: &DomainName) -> bool {
        let hosts = self.environment.hosts.clone();
        let of = |family: Family| {
            let listed = hosts.lookup(name).iter().copied();
            listed.filter(move |address| address.is_ipv4() == (family == Family::V4))
        };
        let has_none = self.wanted.iter().all(|&family| of(family).next().is_none());
        if has_none && !name.is_localhost() {
            return false;
        }
        for &family in self.wanted {
            let known = self.usable(of(family).collect());
            *self.hosts.entry(name.clone()).or_default().part_mut(family) = Part::Known(known);
        }
        self.ttl = self.ttl.min(HOSTS_TTL);
        true
    }

    /// Takes the addresses of `name` that came with the SRV records; `false` when they are not enough.
    fn take_additional(&mut self, name: &DomainName, came: &[&Additional]) -> bool {
        let of =
            |family: Family| came.iter().filter(move |one| one.address.is_ipv4() == (family == Family::V4));
        let is_enough = |family: Family| {
            let families = self.options.families;
            (families == Families::Both || families.is_enough(family) || self.wanted.len() == 1)
                && of(family).next().is_some()
        };
        if !self.wanted.iter().any(|&family| is_enough(family)) {
            return false;
        }
        for &family in self.wanted {
            let known = self.usable(of(family).map(|one| one.address).collect());
            *self.hosts.entry(name.clone()).or_default().part_mut(family) = Part::Known(known);
            self.ttl = of(family).fold(self.ttl, |ttl, one| ttl.min(one.ttl));
        }
        true
    }

    /// Those of `addresses` that one can connect to; the others are counted.
    fn usable(&mut self, addresses: Vec<IpAddr>) -> BTreeSet<IpAddr> {
        let count = addresses.len();
        let good: Vec<_> = addresses.into_iter().filter_map(usable).collect();
        self.addresses += count;
        self.unusable += count - good.len();
        good.into_iter().collect()
    }

    /// How it ends, now that no question is open; `None` when there is another name to ask for.
    fn conclude(&mut self) -> Option<Result<Outcome, LookupError>> {
        let has_addresses = self
            .hosts
            .values()
            .any(|host| host.v4.addresses().next().is_some() || host.v6.addresses().next().is_some());
        let seconds = |ttl: u32| Duration::from_secs(u64::from(ttl));
        if has_addresses {
            return Some(Ok(Outcome::Found(Found {
                targets: std::mem::take(&mut self.targets),
                hosts: std::mem::take(&mut self.hosts),
                ttl: seconds(self.ttl).clamp(self.options.ttl_min, self.options.ttl_max),
                failure: self.failure.take(),
                unusable: self.unusable,
            })));
        }
        if let Some(failure) = self.failure.take() {
            return Some(Err(LookupError::Unanswered(failure)));
        }
        // A service that says it is not offered is not sought elsewhere.
        if !self.is_service_known && self.candidates.len() > 0 {
            return None;
        }
        let ttl = seconds(self.negative_ttl.min(self.ttl));
        Some(Ok(Outcome::Nothing {
            negative: self.negative.unwrap_or(Negative::NoData),
            ttl: ttl.clamp(self.options.ttl_min, self.options.ttl_negative_max),
        }))
    }
}

fn host(name: &DomainName, port: u16) -> Target {
    Target { tier: 0, host: name.clone(), port, weight: 1 }
}
