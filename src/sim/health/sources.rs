//! [`Sources`]: where the world's members come from: a configuration, a name that is watched, a file, an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::balance::{Admin, Backend, BackendId};
use crate::discovery::exchange::{Exchange, Io};
use crate::discovery::file::MembersFile;
use crate::discovery::members::{Roster, Template};
use crate::discovery::options::{Families, Hold, Options};
use crate::discovery::watch::{self, Trouble, Watch};
use crate::rng::Rng;
use crate::sim::health::Mutant;
use crate::sim::health::names::{self, FORGED, Owned, Resolver};
use crate::sim::health::world::{Arrival, World, inet, ms};
use crate::time::Instant;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Sources {
    resolver: Resolver,
    watch: Watch,
    hold: Duration,
    exchanges: BTreeSet<Exchange>,
    /// When a true answer said that there is nothing, since the last lookup that found something.
    negative_at: Option<Instant>,
    found: u64,
    ever: BTreeSet<IpAddr>,
    roster: Roster,
    file: MembersFile,
    /// What the file says, and which members that means; none when it is no whole file.
    text: (String, Option<BTreeSet<SocketAddr>>),
    is_text_new: bool,
    look: Instant,
    fixed: BTreeSet<SocketAddr>,
    listed: BTreeSet<SocketAddr>,
    extras: BTreeSet<SocketAddr>,
}

impl Sources {
    pub(super) fn new(fixed: BTreeSet<SocketAddr>, roster: Roster, now: Instant, rng: &mut Rng) -> Self {
        let resolver = Resolver::new(rng);
        let hold = ms([0, 2_000, 5_000][rng.below(3) as usize]);
        let options = Options {
            families: Families::V4,
            ttl_max: Duration::from_secs(10),
            ttl_negative_max: Duration::from_secs(4),
            hold: Hold::For(hold),
            retry_min: ms(500),
            retry_max: ms(3_000),
            lookup_max: Duration::from_secs(8),
            ..Options::default()
        };
        let watch = Watch::new(resolver.name.clone(), resolver.environment(), options, now, rng)
            .expect("these options are in range");
        let mut sources = Self {
            resolver,
            watch,
            hold,
            exchanges: BTreeSet::new(),
            negative_at: None,
            found: 0,
            ever: BTreeSet::new(),
            roster,
            file: MembersFile::new("members"),
            text: ("empty\n".to_string(), Some(BTreeSet::new())),
            is_text_new: true,
            look: now,
            fixed,
            listed: BTreeSet::new(),
            extras: BTreeSet::new(),
        };
        sources.remember_zone();
        sources
    }

    /// When one of them is next to be asked.
    pub(super) fn next_deadline(&self) -> Instant {
        self.watch.next_deadline().map_or(self.look, |due| due.min(self.look))
    }

    /// The zone has other records.
    pub(super) fn change_records(&mut self, rng: &mut Rng) {
        self.resolver.change(rng);
        self.remember_zone();
    }

    /// A resolver fails, or lies.
    pub(super) fn break_something(&mut self, rng: &mut Rng) {
        self.resolver.break_something(rng);
    }

    /// From now on resolvers tell what the zone has.
    pub(super) fn heal(&mut self) {
        self.resolver.heal();
    }

    /// Whether the name has the members that the zone has.
    pub(super) fn check_truth(&self) -> Result<(), String> {
        let truth = self.resolver.truth();
        if self.watch.members() != truth {
            let is_service = self.resolver.is_service();
            let members = self.watch.members();
            return Err(format!(
                "members in the end: {members:?}, the zone has {truth:?} (service: {is_service})"
            ));
        }
        Ok(())
    }

    /// Who should be in the pool.
    pub(super) fn expected_members(&self) -> BTreeSet<SocketAddr> {
        let named = self.watch.members().iter().map(|endpoint| endpoint.address);
        let mut all: BTreeSet<SocketAddr> = named.collect();
        all.extend(self.fixed.iter().chain(&self.listed).chain(&self.extras));
        all
    }

    /// Whether a name may have no members any more.
    fn may_empty(&self, now: Instant) -> Result<(), String> {
        let ends = self.negative_at.map(|at| at.saturating_add(self.hold));
        match ends {
            None => Err("the members went, though no answer said that there are none".to_string()),
            Some(ends) if now < ends => Err(format!("the members went before the hold of {:?}", self.hold)),
            Some(_) => Ok(()),
        }
    }

    fn remember_zone(&mut self) {
        self.ever.extend(self.resolver.zone.nodes.values().flat_map(|node| &node.addresses));
        assert!(!self.ever.contains(&FORGED));
    }
}

impl World {
    /// Asks those that are due.
    pub(super) fn ask_sources(&mut self) -> Result<(), String> {
        if self.sources.watch.next_deadline().is_some_and(|due| due <= self.now) {
            self.sources.watch.handle_timeout(self.now, &mut self.rng);
            self.follow_watch()?;
        }
        if self.now >= self.sources.look {
            self.sources.look = self.now.saturating_add(LOOK_EVERY);
            self.look_at_file()?;
        }
        Ok(())
    }

    /// Something comes from a resolver.
    pub(super) fn hear_answer(
        &mut self,
        exchange: Exchange,
        event: &Owned,
        is_negative: bool,
    ) -> Result<(), String> {
        if !self.sources.exchanges.contains(&exchange) {
            return Ok(());
        }
        if is_negative {
            self.sources.negative_at.get_or_insert(self.now);
        }
        self.sources.watch.handle_event(exchange, event.event(), self.now, &mut self.rng);
        self.follow_watch()
    }

    /// An operator adds a backend, or takes one of their own out again.
    pub(super) fn add_or_remove(&mut self) -> Result<(), String> {
        let address = SocketAddr::from(([10, 3, 0, self.rng.below(3) as u8], 80));
        let done = match self.ids.get(&address) {
            Some(&id) => {
                self.sources.extras.remove(&address);
                self.pool.remove(id)
            }
            None => {
                self.sources.extras.insert(address);
                let tier = self.rng.below(3) as u8 / 2;
                self.pool.add(Backend { tier, ..Backend::new(address.into()) }).map(drop)
            }
        };
        done.map_err(|error| error.to_string())?;
        self.take_in_members()
    }

    /// A source has these members now.
    fn set(&mut self, source: usize, members: Vec<Backend>) -> Result<(), String> {
        let changes = self.sources.roster.set(source, members);
        if changes.is_empty() {
            return Ok(());
        }
        self.summary.refreshes += 1;
        changes.apply(&self.pool).map_err(|error| error.to_string())?;
        if self.mutant == Some(Mutant::LosesIdentity) {
            for member in self.sources.roster.members().cloned().collect::<Vec<_>>() {
                let id = self.pool.find(&member.name.clone().unwrap_or(member.address.to_string()));
                let _ = id.and_then(|id| self.pool.remove(id)).and_then(|()| self.pool.add(member));
            }
        }
        self.take_in_members()
    }

    /// Who is in the pool has changed. Whoever was there and is there is who it was.
    pub(super) fn take_in_members(&mut self) -> Result<(), String> {
        let members = self.pool.members();
        let ids: BTreeMap<SocketAddr, BackendId> =
            members.iter().map(|member| (inet(&member.address), member.id)).collect();
        for (address, id) in &self.ids {
            if ids.get(address).is_some_and(|now| now != id) {
                return Err(format!("{address} was backend {id} and is {}", ids[address]));
            }
        }
        self.admins.retain(|id, _| members.iter().any(|member| member.id == *id));
        for member in &members {
            self.admins.entry(member.id).or_insert(Admin::Ready);
        }
        self.ids = ids;
        self.tell();
        Ok(())
    }

    /// Does what the watch says.
    pub(super) fn follow_watch(&mut self) -> Result<(), String> {
        let found = self.sources.watch.statistics().found;
        if found > self.sources.found {
            (self.sources.found, self.sources.negative_at) = (found, None);
        }
        while let Some(action) = self.sources.watch.poll_action() {
            match action {
                watch::Action::Io(io) => {
                    let exchange = names::exchange(&io);
                    if matches!(io, Io::Close { .. }) {
                        self.sources.exchanges.remove(&exchange);
                    } else {
                        self.sources.exchanges.insert(exchange);
                    }
                    for coming in self.sources.resolver.act(&io, &mut self.rng) {
                        self.later(coming.after, Arrival::Dns(exchange, coming.event, coming.is_negative));
                    }
                }
                watch::Action::Members(endpoints) => {
                    if let Some(other) =
                        endpoints.iter().find(|it| !self.sources.ever.contains(&it.address.ip()))
                    {
                        return Err(format!("{} was never in the zone", other.address));
                    }
                    if endpoints.is_empty() {
                        self.summary.emptied += 1;
                        self.sources.may_empty(self.now)?;
                    }
                    let template = Template {
                        name: "app".to_string(),
                        weight: 2,
                        tier: 0,
                        maxconn: 0,
                        connection_rate: 0,
                        connection_burst: 0,
                        admin: Admin::Ready,
                    };
                    self.set(1, template.members(&endpoints))?;
                }
                watch::Action::Trouble(trouble) => {
                    if trouble.to_string().is_empty() || trouble.to_string().contains('\n') {
                        return Err(format!("trouble that nobody can read: {trouble:?}"));
                    }
                    if matches!(trouble, Trouble::Failed { .. }) && !self.sources.watch.members().is_empty() {
                        self.summary.held += 1;
                        if self.mutant == Some(Mutant::ForgetsMembers) {
                            self.set(1, Vec::new())?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The file of members says something else.
    pub(super) fn write_file(&mut self) {
        let mut members = BTreeSet::new();
        for _ in 0..self.rng.below(4) {
            // Some of them the name has too.
            let net = if self.rng.below(3) == 0 { 1 } else { 4 };
            members.insert(SocketAddr::from(([10, net, 0, 1 + self.rng.below(4) as u8], 80)));
        }
        let lines: Vec<String> = members.iter().map(|member| format!("{member} weight=3\n")).collect();
        let mut text = if lines.is_empty() { "empty\n".to_string() } else { lines.concat() };
        let mut means = Some(members);
        match self.rng.below(6) {
            0 => {
                // Only begun, or cut within the last line.
                text.truncate(self.rng.below(5) as usize);
                means = None;
            }
            1 => {
                text.push_str("app.example:80 wheight=1\n");
                means = None;
            }
            _ => {}
        }
        self.sources.text = (text, means);
        self.sources.is_text_new = true;
    }

    fn look_at_file(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.sources.is_text_new) {
            return Ok(());
        }
        let (text, means) = self.sources.text.clone();
        match (self.sources.file.handle_text(&text), means) {
            (Ok(_), Some(members)) => {
                self.sources.listed = members;
                self.set(2, self.sources.file.members().to_vec())
            }
            (Err(_), None) => {
                self.summary.bad_files += 1;
                Ok(())
            }
            (said, means) => Err(format!("the file {text:?}, which means {means:?}, came to {said:?}")),
        }
    }
}
