//! What must hold after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::balance::{BackendId, BackendStatistics, Observed};
use crate::health::State;
use crate::sim::health::model;
use crate::sim::health::world::World;

impl World {
    /// Looks at everything. An error says what does not hold.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let members = self.pool.backends();
        self.check_members(&members)?;
        self.check_checks(&members)?;
        self.check_serving(&members)?;
        self.check_ejections(&members)
    }

    /// Who is in the pool, what was ordered, what was counted.
    fn check_members(&self, members: &[BackendStatistics]) -> Result<(), String> {
        let addresses: BTreeSet<SocketAddr> =
            members.iter().map(|member| member.address.parse().expect("it is an address")).collect();
        let expected = self.sources.expected_members();
        if addresses != expected {
            return Err(format!("in the pool are {addresses:?}, its sources have {expected:?}"));
        }
        for member in members {
            if self.admins.get(&member.id) != Some(&member.admin) {
                return Err(format!("{:?} was ordered of {member:?}", self.admins.get(&member.id)));
            }
            let counted = self.traffic.counts.get(&member.id).copied().unwrap_or_default();
            let is = (member.picks, member.in_flight, member.outcomes.success);
            if is != (counted.picks, counted.in_flight, counted.successes) {
                return Err(format!("backend {} counts {is:?}, it is {counted:?}", member.id));
            }
        }
        let retries = u64::from(self.pool.statistics().retries);
        if retries != self.traffic.retries {
            return Err(format!("{retries} retries are counted, {} are in flight", self.traffic.retries));
        }
        Ok(())
    }

    /// Every check is as the model has it, and the pool knows.
    fn check_checks(&self, members: &[BackendStatistics]) -> Result<(), String> {
        let by_id: BTreeMap<BackendId, &BackendStatistics> =
            members.iter().map(|member| (member.id, member)).collect();
        let (mut followed, mut probing) = (BTreeSet::new(), 0);
        for (&id, follow) in &self.probes.follows.all {
            let check = self.probes.checks.check(id).ok_or_else(|| format!("a check is gone: {follow:?}"))?;
            let is = (check.state(), check.in_a_row(), check.probe());
            let should = (follow.state, (follow.good, follow.bad), follow.probe.map(|probe| probe.id));
            if is != should {
                return Err(format!("a check is {is:?}, should be {should:?}"));
            }
            probing += u32::from(follow.probe.is_some());
            followed.insert(follow.backend);
            // Its check may not have heard yet that it is gone.
            let Some(member) = by_id.get(&follow.backend) else { continue };
            let agrees = matches!(
                (follow.state, member.observed),
                (State::Down, Observed::Down)
                    | (State::Up, Observed::Up | Observed::Ejected)
                    | (State::Unknown, Observed::Unknown | Observed::Ejected)
            );
            if !agrees {
                return Err(format!("a check is {:?}, the pool has {member:?}", follow.state));
            }
            let reason = member.reason.as_deref().unwrap_or_default();
            if follow.state == State::Down && (reason.is_empty() || !reason.contains(follow.why)) {
                return Err(format!("backend {} is down by {reason:?}, not by {:?}", member.id, follow.why));
            }
            let address: SocketAddr = member.address.parse().expect("it is an address");
            if let Some(server) = self.probes.servers.get(&address)
                && server.mode.fault(&self.probes.follows.options.kind).is_some()
                && follow.state != State::Down
                && !follow.is_paused
                && self.probes.follows.probes_max >= members.len()
            {
                // A probe that is under way when the clock jumps may take its timeout anew.
                let jumped = self.jumped.saturating_add(self.probes.follows.options.timeout);
                let since = server.since.max(follow.since).max(jumped);
                let due = since.saturating_add(self.probes.follows.bound());
                if self.now > due {
                    let late = self.now.duration_since(since);
                    return Err(format!("{address} is {:?} for {late:?} and not down", server.mode));
                }
            }
        }
        let statistics = self.probes.checks.statistics(self.now);
        if statistics.probing != probing {
            return Err(format!("{} probes are counted, {probing} are under way", statistics.probing));
        }
        // Whoever is not checked yet is unknown.
        match members.iter().find(|member| {
            !followed.contains(&member.id)
                && !matches!(member.observed, Observed::Unknown | Observed::Ejected)
        }) {
            Some(member) => Err(format!("nobody checked {member:?}")),
            None => Ok(()),
        }
    }

    /// Who serves is who should.
    fn check_serving(&mut self, members: &[BackendStatistics]) -> Result<(), String> {
        let (serving, panics) = model::serving(&self.options, members);
        let statistics = self.pool.statistics();
        if statistics.panic != panics {
            return Err(format!("panic is {}, should be {panics}: {members:?}", statistics.panic));
        }
        for member in members {
            if member.serving != serving.contains(&member.id) {
                return Err(format!("{serving:?} should serve, not so: {member:?}"));
            }
            if !(member.slow_start > 0.0 && member.slow_start <= 1.0) {
                return Err(format!("a part of the weight that is none: {member:?}"));
            }
        }
        self.summary.panics += u64::from(panics);
        Ok(())
    }

    /// Nobody is ejected who should not be, nor for too long, nor too many.
    fn check_ejections(&mut self, members: &[BackendStatistics]) -> Result<(), String> {
        let ejected = members.iter().filter(|member| member.observed == Observed::Ejected).count();
        let Some(outlier) = &self.options.outlier else {
            return if ejected == 0 { Ok(()) } else { Err(format!("somebody is ejected: {members:?}")) };
        };
        let most = model::ejected_max(outlier.ejection_percent_max, members);
        if ejected > most {
            return Err(format!("{ejected} are ejected, {most} may be: {members:?}"));
        }
        self.summary.capped += u64::from(ejected > 0 && ejected == most);
        let limit = outlier.consecutive_errors.expect("every world has it");
        let longest = outlier.ejection_time_max + outlier.ejection_jitter;
        for member in members {
            let counted = self.traffic.counts.entry(member.id).or_default();
            match (member.observed == Observed::Ejected, counted.ejected) {
                (true, None) => {
                    let reason = member.reason.as_deref().unwrap_or_default();
                    if counted.most < limit || !reason.contains("errors in a row") {
                        return Err(format!("{} errors in a row eject: {member:?}", counted.most));
                    }
                    counted.ejected = Some(self.now);
                    self.summary.ejections += 1;
                }
                (true, Some(since)) => {
                    if self.now > since.saturating_add(longest) {
                        return Err(format!("ejected since {since:?}, {longest:?} at most: {member:?}"));
                    }
                }
                (false, Some(_)) => {
                    counted.ejected = None;
                    (counted.streak, counted.most) = (0, 0);
                }
                (false, None) => {}
            }
        }
        Ok(())
    }
}
