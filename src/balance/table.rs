//! The member table: one immutable view of a pool, built whole and swapped whole.
//!
//! Pickers read a [`Tier`]; writers copy the list of members, change the copy
//! ([`Edit`]) and publish a new table. Nothing in a table changes after it is published, apart from the
//! weights that fastest, observed and predictive measure, which are atomics of their plan.

use std::sync::Arc;

use crate::balance::backend::BackendId;
use crate::balance::edit::{Counters, Edit};
use crate::balance::member::Member;
use crate::balance::options::{Backups, Options};
use crate::balance::outlier::Judge;
use crate::balance::panic;
use crate::balance::spill::{self, Spill};
use crate::balance::tier::{Health, Tier, WHOLE};
use crate::error::{Error, Result};

/// A published view.
#[derive(Debug)]
pub(crate) struct Table {
    /// One more than that of the table before.
    pub(crate) generation: u64,
    roster: Roster,
    /// The tier that serves, the lowest where several do; an empty one when none does.
    pub(crate) front: Tier,
    /// The other tiers that serve.
    pub(crate) spill: Option<Spill>,
    /// Whether a pick that avoids nobody may take whomever the front's policy chooses.
    pub(crate) is_plain: bool,
    /// Whether some serving backend, or the pool, has a `maxconn` or a rate.
    pub(crate) is_limited: bool,
    /// Whether some backend starts slowly.
    pub(crate) is_starting: bool,
}

/// What a pool knows of its backends, whoever serves.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// Every backend, in the order added, which is the order of their ids.
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) slots: Slots,
    pub(crate) next_id: u64,
    /// Who judges by outcomes, where that is wanted.
    pub(crate) judge: Option<Arc<Judge>>,
}

/// Which counter slots are in use. A removed backend's slot waits until its last pick is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    pub(crate) used: u32,
    pub(crate) waiting: Vec<u32>,
}

impl Table {
    pub(crate) fn empty(options: &Options) -> Self {
        let judge = Judge::new(options).map(Arc::new);
        let roster = Roster { members: Vec::new(), slots: Slots::default(), next_id: 1, judge };
        Self::build(0, roster, options, &[], &|_| 1.0)
    }

    /// Works out who serves. `before` lend their plans where they fit.
    pub(crate) fn build(
        generation: u64,
        roster: Roster,
        options: &Options,
        before: &[&Tier],
        measured_share: &dyn Fn(u32) -> f64,
    ) -> Self {
        let (front, spill) = serve(&roster.members, options, before, measured_share);
        let others = spill.as_ref().map_or(&[][..], |spill| &spill.others);
        let is_limited = std::iter::once(&front)
            .chain(others)
            .flat_map(|tier| &tier.serving)
            .any(|serving| serving.most.is_some() || serving.pace.is_some());
        let is_limited = is_limited || options.is_gated();
        let is_plain = !is_limited && spill.is_none();
        let is_starting = roster.members.iter().any(|member| member.start.is_some());
        Self { generation, roster, front, spill, is_plain, is_limited, is_starting }
    }

    /// Every backend, in the order added, which is the order of their ids.
    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.roster.members
    }

    /// Who judges by outcomes, where that is wanted.
    pub(crate) fn judge(&self) -> Option<&Judge> {
        self.roster.judge.as_deref()
    }

    /// The tiers that serve, the lowest first; an empty one when none does.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &Tier> + Clone {
        std::iter::once(&self.front).chain(self.others())
    }

    /// The tiers that serve, first the one that the pick at `fraction` of the load goes to, then the others from
    /// the lowest on, for when it has no room.
    pub(crate) fn tiers_from(&self, fraction: u64) -> impl Iterator<Item = &Tier> + Clone {
        let drawn = self.spill.as_ref().map_or(0, |spill| spill.draw(fraction));
        let rest = self.tiers().enumerate().filter(move |(at, _)| *at != drawn);
        self.tiers().skip(drawn).take(1).chain(rest.map(|(_, tier)| tier))
    }

    fn others(&self) -> &[Tier] {
        self.spill.as_ref().map_or(&[], |spill| &spill.others)
    }

    /// How many backends may be picked.
    pub(crate) fn serving(&self) -> u32 {
        self.tiers().map(|tier| tier.serving.len() as u32).sum()
    }

    /// In which tier `member` may be picked, and where it stands there.
    pub(crate) fn place_of(&self, member: &Member) -> Option<(&Tier, u32)> {
        let tier = self.tiers().find(|tier| tier.number == member.tier)?;
        tier.place_of(member).map(|place| (tier, place))
    }

    /// The member of this id.
    pub(crate) fn member(&self, id: BackendId) -> Result<&Arc<Member>> {
        let index = index_of(self.members(), id)?;
        Ok(&self.members()[index])
    }

    /// Begins a change.
    pub(crate) fn edit<'a>(&'a self, options: &'a Options, counters: &'a dyn Counters) -> Edit<'a> {
        Edit::new(self, self.roster.clone(), options, counters)
    }
}

/// The tiers that serve: where they spill over those that have a part of the load, else the lowest with a usable
/// backend. A pool without any that fails open takes the lowest with a ready one.
fn serve(
    members: &[Arc<Member>],
    options: &Options,
    before: &[&Tier],
    measured_share: &dyn Fn(u32) -> f64,
) -> (Tier, Option<Spill>) {
    let tiers = Health::survey(members);
    let parts = match options.backups {
        _ if tiers.iter().all(|tier| tier.usable == 0) => {
            vec![WHOLE; usize::from(panic::fails_open(options))]
        }
        Backups::Spill => spill::parts(&tiers),
        Backups::One | Backups::All => {
            tiers.iter().map(|tier| if tier.usable > 0 { WHOLE } else { 0 }).collect()
        }
    };
    let serving = tiers.iter().zip(parts).filter(|(_, part)| *part > 0);
    let count = if options.backups == Backups::Spill { usize::MAX } else { 1 };
    let build = |(tier, part): (&Health, u32)| {
        let takes_one = tier.number > 0 && options.backups == Backups::One;
        // Where one is enough to serve, one that is usable is enough not to panic.
        let is_panicking = panic::is_panicking(tier, &tiers, options) && !(takes_one && tier.usable > 0);
        let mut chosen: Vec<&Member> = members
            .iter()
            .map(|member| &**member)
            .filter(|member| member.tier == tier.number && member.serves(is_panicking))
            .collect();
        if takes_one {
            chosen.truncate(1);
        }
        Tier::build(tier.number, part, is_panicking, &chosen, options, before, measured_share)
    };
    let mut built = serving.take(count).map(build);
    let front = built.next().unwrap_or_else(|| Tier::nobody(0));
    let spill = Spill::new(&front, built.collect());
    (front, spill)
}

/// Where the member of this id stands.
pub(crate) fn index_of(members: &[Arc<Member>], id: BackendId) -> Result<usize> {
    members
        .binary_search_by_key(&id, |m| m.id)
        .map_err(|_| Error::NotFound { what: "backend", value: id.to_string() })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::balance::backend::{Backend, Observed};
    use crate::balance::options::{Hash, Policy};
    use crate::balance::pool::Pool;

    /// A change that leaves who serves in a tier and by which weights as it is takes over the tier's plan: the same
    /// arrays, not others like them, which for Maglev would take a second to fill and for measured weights would forget
    /// them.
    #[test]
    fn a_tier_that_stays_as_it_is_keeps_its_plan() {
        for policy in [Policy::Fastest, Policy::Hash] {
            let options =
                Options { policy, hash: Hash::Maglev, backups: Backups::Spill, ..Options::default() };
            // Only for its counters.
            let pool = Pool::new(options.clone()).unwrap();
            let after = |table: &Table, change: &dyn Fn(&mut Edit<'_>) -> Result<()>| {
                let mut edit = table.edit(&options, &pool);
                change(&mut edit).unwrap();
                edit.finish()
            };
            let kept = |table: &Table, next: &Table| -> Vec<bool> {
                table
                    .tiers()
                    .zip(next.tiers())
                    .map(|(tier, next)| next.plan.is_clone_of(&tier.plan))
                    .collect()
            };
            let table = after(&Table::empty(&options), &|edit| {
                for (n, tier) in [0, 0, 0, 0, 1, 1].into_iter().enumerate() {
                    let backend = Backend::parse(&format!("10.0.0.{n}:80"))?;
                    edit.add(Backend { tier, weight: 1 + n as u32, ..backend })?;
                }
                // So that both tiers serve.
                edit.set_observed(BackendId::from_u64(1), Observed::Down)?;
                edit.set_observed(BackendId::from_u64(2), Observed::Down)
            });
            let id = BackendId::from_u64(4);
            type Change = fn(&mut Edit<'_>, BackendId) -> Result<()>;
            let cases: [(&str, Change, [bool; 2]); 7] = [
                ("observed", |edit, id| edit.set_observed(id, Observed::Up), [true, true]),
                ("tag", |edit, id| edit.set_tag(id, 7), [true, true]),
                ("maxconn", |edit, id| edit.set_maxconn(id, 7), [true, true]),
                ("rate", |edit, id| edit.set_connection_rate(id, 7, 7), [true, true]),
                ("weight", |edit, id| edit.set_weight(id, 7), [false, true]),
                ("weight above", |edit, _| edit.set_weight(BackendId::from_u64(5), 7), [true, false]),
                (
                    "another one on the same slot",
                    |edit, id| {
                        edit.remove(id)?;
                        edit.add(Backend { weight: 4, ..Backend::parse("10.0.0.9:80")? }).map(drop)
                    },
                    [false, true],
                ),
            ];
            assert_eq!(table.tiers().count(), 2);
            for (what, change, expected) in cases {
                let next = after(&table, &|edit| change(edit, id));
                assert_eq!(kept(&table, &next), expected, "{what} under {policy:?}");
                if what.starts_with("another") {
                    assert_eq!(next.front.hot, table.front.hot, "only the id tells them apart");
                }
            }
        }
    }
}
