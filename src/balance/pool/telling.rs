//! What a pool tells of itself: what it counted, and why a pick goes where it goes. Reading takes no lock and
//! stops nobody.

use super::{Pool, key_too_long, why_nobody};
use crate::balance::backend::{Admin, BackendId, Observed};
use crate::balance::explain::{Explained, Explanation, Notes, Verdict};
use crate::balance::lane::{self, Lane};
use crate::balance::member::Member;
use crate::balance::options::KEY_MAX;
use crate::balance::pick::Request;
use crate::balance::slow_start::Start;
use crate::balance::statistics::{BackendStatistics, PoolStatistics, Totals};
use crate::balance::table::Table;
use crate::error::{Error, Result};
use crate::time::Instant;

impl Pool {
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
        let chosen = self.choose(&table, &ask, request.avoid, &mut notes);
        let tier = &table.front;
        // A backend considered twice keeps the later score.
        let mut scores = vec![None; tier.serving.len()];
        for (at, score) in notes.scores {
            scores[at as usize] = Some(score);
        }
        let backends = table.members.iter().map(|member| {
            let place = tier.place_of(member);
            Explained {
                id: member.id,
                name: member.name.to_string(),
                verdict: self.verdict(member, place, chosen, request.avoid),
                observed_since_ns: member.observation.since.map(Instant::as_nanos),
                reason: member.observation.reason.as_deref().map(String::from),
                score: place.and_then(|at| scores[at as usize]),
                in_flight: lane::in_flight(&self.lanes, member.slot),
                share: place.map_or(0.0, |at| tier.share(at)),
            }
        });
        Ok(Explanation {
            policy: self.options.policy.name(),
            picked: chosen.map(|at| tier.serving[at as usize].id),
            refused: chosen.is_none().then(|| Error::NoBackend(why_nobody(&table)).to_string()),
            tier: table.tier(),
            panic: tier.is_panicking,
            backends: backends.collect(),
            draws: notes.draws,
        })
    }

    /// What the pool counted.
    pub fn statistics(&self) -> PoolStatistics {
        let table = self.table.load();
        let mut statistics = PoolStatistics {
            backends: table.members.len() as u32,
            serving: table.front.serving.len() as u32,
            panic: table.front.is_panicking,
            refused: self.lanes.iter().map(Lane::refused).sum(),
            ..PoolStatistics::default()
        };
        for member in &table.members {
            let totals = self.totals(member);
            statistics.picks += totals.picks;
            statistics.in_flight += totals.picks.saturating_sub(totals.dones);
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
        table.members.iter().map(|member| self.backend_statistics(&table, member)).collect()
    }

    fn backend_statistics(&self, table: &Table, member: &Member) -> BackendStatistics {
        let totals = self.totals(member);
        let place = table.front.place_of(member);
        BackendStatistics {
            id: member.id,
            name: member.name.to_string(),
            address: member.address_text.to_string(),
            weight: member.weight,
            maxconn: member.maxconn,
            tier: member.tier,
            tag: member.tag,
            admin: member.admin,
            observed: member.observation.observed,
            observed_since_ns: member.observation.since.map(Instant::as_nanos),
            reason: member.observation.reason.as_deref().map(String::from),
            serving: place.is_some(),
            slow_start: member.start.map_or(1.0, Start::part),
            picks: totals.picks,
            in_flight: totals.picks.saturating_sub(totals.dones),
            outcomes: totals.outcomes(),
            response_mean_ns: totals.response_mean_ns(),
            share: place.map_or(0.0, |at| table.front.share(at)),
        }
    }

    fn totals(&self, member: &Member) -> Totals {
        let shared = self.shared.at(member.slot);
        Totals::read(&self.lanes, member.slot, &shared.unsuccessful).since(member.base)
    }

    fn verdict(
        &self,
        member: &Member,
        place: Option<u32>,
        chosen: Option<u32>,
        avoid: &[BackendId],
    ) -> Verdict {
        match (place, member.admin, member.observation.observed) {
            (None, Admin::Drain, _) => Verdict::Drain,
            (None, Admin::Maintenance, _) => Verdict::Maintenance,
            (None, _, Observed::Down) => Verdict::Down,
            (None, _, Observed::Ejected) => Verdict::Ejected,
            (None, ..) => Verdict::Standby,
            _ if place == chosen => Verdict::Picked,
            _ if member.is_limited && !self.shared.at(member.slot).has_room(member.maxconn) => Verdict::Full,
            _ if avoid.contains(&member.id) => Verdict::Avoided,
            _ => Verdict::Passed,
        }
    }
}
