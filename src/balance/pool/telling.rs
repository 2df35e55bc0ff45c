//! What a pool tells of itself: what it counted, and why a pick goes where it goes. Reading takes no lock and
//! stops nobody.

use std::sync::Arc;

use super::{Avoid, Pool, key_too_long};
use crate::balance::backend::{Admin, BackendId, Listed, Observed};
use crate::balance::explain::{Explained, ExplainedTier, Explanation, Notes, Verdict};
use crate::balance::lane::{self, Lane};
use crate::balance::limit::Most;
use crate::balance::member::Member;
use crate::balance::options::KEY_MAX;
use crate::balance::pick::Request;
use crate::balance::slow_start::Start;
use crate::balance::statistics::{BackendStatistics, PoolStatistics, Totals};
use crate::balance::table::Table;
use crate::balance::tier::{Health, Tier, WHOLE};
use crate::error::{Error, Result};
use crate::time::Instant;

impl Pool {
    /// What the backend is called, if it is there.
    pub fn name_of(&self, id: BackendId) -> Option<Arc<str>> {
        self.table.load().member(id).ok().map(|member| Arc::clone(&member.name))
    }

    /// Every backend as it was ordered, in the order added.
    pub fn members(&self) -> Vec<Listed> {
        let list = |member: &Arc<Member>| Listed {
            id: member.id,
            name: Arc::clone(&member.name),
            address: member.address.clone(),
            weight: member.weight,
            admin: member.admin,
        };
        self.table.load().members().iter().map(list).collect()
    }

    /// What the next pick like `request` would come to, and why. Nothing is counted, and other threads'
    /// picks may come between.
    pub fn explain(&self, request: &Request<'_>) -> Result<Explanation> {
        if request.key.len() > KEY_MAX {
            return Err(key_too_long(request.key.len()));
        }
        let table = self.table.load();
        let index = self.lane_index(request.lane);
        let ask = self.ask(&table, request, index, self.lanes[index].peek_turn());
        let mut notes = Notes::default();
        let chosen = self.choose(&table, &ask, request.avoid, Avoid::IfOthersHaveRoom, &mut notes);
        // Nobody was chosen: then the tier that was drawn is what there is to tell of.
        let drawn = || table.tiers_from(self.fraction(&ask)).next();
        let tier = chosen.map(|(tier, _)| tier).or_else(drawn).filter(|tier| !tier.serving.is_empty());
        // A backend considered twice keeps the later score.
        let mut scores = vec![None; tier.map_or(0, |tier| tier.serving.len())];
        for (at, score) in notes.scores {
            scores[at as usize] = Some(score);
        }
        let picked = chosen.map(|(tier, at)| tier.serving[at as usize].id);
        let is_closed = self.is_gated && self.gate.closed(request.now).is_some();
        let backends = table.members().iter().map(|member| {
            let place = table.place_of(member);
            let score_of = |at: u32| scores.get(at as usize).copied().flatten();
            let is_in = |(of, _): &(&Tier, u32)| tier.is_some_and(|tier| tier.number == of.number);
            Explained {
                id: member.id,
                name: member.name.to_string(),
                verdict: match place {
                    None => why_not(member),
                    Some(_) if picked == Some(member.id) => Verdict::Picked,
                    Some((tier, at))
                        if is_closed
                            || !self.has_room(&tier.serving[at as usize], member.slot, request.now) =>
                    {
                        Verdict::Full
                    }
                    Some(_) if request.avoid.contains(&member.id) => Verdict::Avoided,
                    Some(_) => Verdict::Passed,
                },
                observed_since_ns: member.observation.since.map(Instant::as_nanos),
                reason: member.observation.reason.as_deref().map(String::from),
                score: place.filter(is_in).and_then(|(_, at)| score_of(at)),
                in_flight: lane::in_flight(&self.lanes, member.slot),
                share: place.map_or(0.0, |(tier, at)| tier.share(at)),
            }
        });
        Ok(Explanation {
            policy: self.options.policy.name(),
            picked,
            refused: chosen.is_none().then(|| {
                Error::NoBackend(self.why_nobody(&table, request, Avoid::IfOthersHaveRoom)).to_string()
            }),
            tier: tier.map(|tier| tier.number),
            panic: tier.is_some_and(|tier| tier.is_panicking),
            tiers: explain_tiers(&table),
            backends: backends.collect(),
            draws: notes.draws,
        })
    }

    /// What the pool counted.
    pub fn statistics(&self) -> PoolStatistics {
        let table = self.table.load();
        let mut statistics = PoolStatistics {
            backends: table.members().len() as u32,
            serving: table.serving(),
            panic: table.tiers().any(|tier| tier.is_panicking),
            refused: self.lanes.iter().map(Lane::refused).sum(),
            limit: self.gate.maxconn(),
            pending: self.pending() as u64,
            retries: self.retries.in_flight(),
            retries_refused: self.retries.refused(),
            ejections: table.judge().map_or(0, |judge| judge.detector().statistics().ejections),
            ..PoolStatistics::default()
        };
        for member in table.members() {
            let totals = self.totals(member);
            statistics.picks += totals.picks;
            statistics.in_flight += totals.picks.saturating_sub(totals.dones);
            statistics.ejected += u32::from(member.observation.observed == Observed::Ejected);
        }
        statistics
    }

    /// What was counted of one backend.
    pub fn backend(&self, id: BackendId) -> Result<BackendStatistics> {
        let table = self.table.load();
        Ok(self.backend_statistics(&table, table.member(id)?))
    }

    /// What was counted of every backend, in the order added.
    pub fn backends(&self) -> Vec<BackendStatistics> {
        let table = self.table.load();
        table.members().iter().map(|member| self.backend_statistics(&table, member)).collect()
    }

    fn backend_statistics(&self, table: &Table, member: &Member) -> BackendStatistics {
        let totals = self.totals(member);
        let place = table.place_of(member);
        BackendStatistics {
            id: member.id,
            name: member.name.to_string(),
            address: member.address_text.to_string(),
            weight: member.weight,
            maxconn: member.maxconn,
            limit: self.shared.at(member.slot).places.most(Most::of(member.maxconn)).maxconn(),
            connection_rate: member.connection_rate,
            connection_burst: member.connection_burst,
            tier: member.tier,
            tag: member.tag,
            admin: member.admin,
            observed: member.observation.observed,
            observed_since_ns: member.observation.since.map(Instant::as_nanos),
            reason: member.observation.reason.as_deref().map(String::from),
            serving: place.is_some(),
            slow_start: member.start.map_or(1.0, Start::part),
            consecutive_errors: self.outliers.as_ref().map_or(0, |outliers| outliers.errors(member.slot)),
            picks: totals.picks,
            in_flight: totals.picks.saturating_sub(totals.dones),
            outcomes: totals.outcomes(),
            response_mean_ns: totals.response_mean_ns(),
            share: place.map_or(0.0, |(tier, at)| tier.share(at)),
        }
    }

    fn totals(&self, member: &Member) -> Totals {
        let shared = self.shared.at(member.slot);
        Totals::read(&self.lanes, member.slot, &shared.unsuccessful).since(member.base)
    }
}

/// Why `member` may not be picked.
fn why_not(member: &Member) -> Verdict {
    match (member.admin, member.observation.observed) {
        (Admin::Drain, _) => Verdict::Drain,
        (Admin::Maintenance, _) => Verdict::Maintenance,
        (_, Observed::Down) => Verdict::Down,
        (_, Observed::Ejected) => Verdict::Ejected,
        _ => Verdict::Standby,
    }
}

fn explain_tiers(table: &Table) -> Vec<ExplainedTier> {
    let explain = |Health { number, ready, usable }| {
        let serving = table.tiers().find(|tier| tier.number == number && tier.part > 0);
        ExplainedTier {
            tier: number,
            ready,
            usable,
            load: serving.map_or(0.0, |tier| f64::from(tier.part) / f64::from(WHOLE)),
            panic: serving.is_some_and(|tier| tier.is_panicking),
        }
    };
    Health::survey(table.members()).into_iter().map(explain).collect()
}
