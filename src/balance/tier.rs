//! Tiers: how many of each may be picked, and one tier as picks see it.

use std::sync::Arc;

use crate::balance::backend::Admin;
use crate::balance::member::{Hot, Member, Serving};
use crate::balance::options::Options;
use crate::balance::policy::Plan;
use crate::balance::slow_start;

/// A tier that serves: what a pick reads of it.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) number: u8,
    /// Its part of the pool's picks, in parts of [`WHOLE`].
    pub(crate) part: u32,
    /// Those that may be picked.
    pub(crate) serving: Box<[Serving]>,
    /// What policies read of them, kept small so that many fit the cache.
    pub(crate) hot: Box<[Hot]>,
    pub(crate) total_weight: u64,
    pub(crate) plan: Plan,
    /// Whether it serves whatever was observed of its backends.
    pub(crate) is_panicking: bool,
    /// Whether one of its backends starts slowly.
    pub(crate) is_starting: bool,
}

impl Tier {
    /// A tier in which nobody serves.
    pub(crate) fn nobody(number: u8) -> Self {
        let (serving, hot) = (Box::default(), Box::default());
        Self {
            number,
            part: 0,
            serving,
            hot,
            total_weight: 0,
            plan: Plan::Nobody,
            is_panicking: false,
            is_starting: false,
        }
    }

    /// The tier in which `chosen` serve, in the order added. One of `before` in which the same serve by the same
    /// weights lends its plan, which is what takes time.
    pub(crate) fn build(
        number: u8,
        part: u32,
        is_panicking: bool,
        chosen: &[&Member],
        options: &Options,
        before: &[&Tier],
        measured_share: &dyn Fn(u32) -> f64,
    ) -> Self {
        let serving = chosen.iter().map(|member| Serving::of(member)).collect();
        let hot: Box<[Hot]> = chosen
            .iter()
            .map(|member| Hot {
                slot: member.slot,
                weight: slow_start::weight(options, member.weight, member.start),
            })
            .collect();
        let total_weight = hot.iter().map(|backend| u64::from(backend.weight)).sum();
        let is_starting = chosen.iter().any(|member| member.start.is_some());
        let is_like = |tier: &&&Tier| {
            let is_same = |(serving, member): (&Serving, &&Member)| serving.id == member.id;
            !is_starting
                && !tier.is_starting
                && tier.hot == hot
                && tier.serving.iter().zip(chosen).all(is_same)
        };
        // What plans are made of beside ids and weights is fixed for a pool or a backend.
        let plan = match before.iter().find(is_like) {
            Some(tier) => tier.plan.clone(),
            None => Plan::build(options, chosen, &hot, measured_share),
        };
        Self { number, part, serving, hot, total_weight, plan, is_panicking, is_starting }
    }

    /// Where `member` stands among those that may be picked.
    pub(crate) fn place_of(&self, member: &Member) -> Option<u32> {
        self.serving.binary_search_by_key(&member.id, |serving| serving.id).ok().map(|place| place as u32)
    }

    /// The part of the pool's picks that the one at `place` is due.
    pub(crate) fn share(&self, place: u32) -> f64 {
        let within = self.plan.share(place, self.hot[place as usize].weight, self.total_weight);
        within * f64::from(self.part) / f64::from(WHOLE)
    }

    /// What its weights would add up to if it had all of the pool's picks.
    pub(crate) fn weight_of_all(&self) -> u64 {
        let weight = u128::from(self.total_weight) * u128::from(WHOLE);
        (weight / u128::from(self.part.max(1))) as u64
    }
}

/// How one tier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) number: u8,
    /// How many of its backends the operator has ready.
    pub(crate) ready: u32,
    /// How many of these are observed up or unknown.
    pub(crate) usable: u32,
}

impl Health {
    /// Every tier that has a ready backend, the lowest first.
    pub(crate) fn survey(members: &[Arc<Member>]) -> Vec<Health> {
        let mut tiers = [(0, 0); u8::MAX as usize + 1];
        for member in members.iter().filter(|member| member.admin == Admin::Ready) {
            let (ready, usable) = &mut tiers[usize::from(member.tier)];
            *ready += 1;
            *usable += u32::from(member.is_usable());
        }
        (0..=u8::MAX)
            .zip(tiers)
            .filter(|(_, (ready, _))| *ready > 0)
            .map(|(number, (ready, usable))| Health { number, ready, usable })
            .collect()
    }

    /// How much of the pool's load it can carry, in parts of [`WHOLE`]. A tier is taken to be built for
    /// [`OVERPROVISIONED_PERCENT`] of its load, as Envoy takes it: with 72 % of its backends it carries all.
    pub(crate) fn capacity(&self) -> u32 {
        let capacity = u64::from(self.usable) * u64::from(WHOLE) * OVERPROVISIONED_PERCENT;
        // Up: thirds that make a whole are one.
        let capacity = capacity.div_ceil(u64::from(self.ready.max(1)) * 100);
        capacity.min(u64::from(WHOLE)) as u32
    }
}

/// All of the load.
pub(crate) const WHOLE: u32 = 1_000_000;
/// Envoy's default `overprovisioning_factor`.
const OVERPROVISIONED_PERCENT: u64 = 140;
