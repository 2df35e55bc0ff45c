//! [`Traffic`]: picks of the world's pool, how they end, and what is tried again.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::balance::{Admin, BackendId, Lane, Outcome, Request, Retry, Timings, Token};
use crate::error::Error;
use crate::sim::health::Mutant;
use crate::sim::health::model;
use crate::sim::health::servers::Mode;
use crate::sim::health::world::{World, inet};
use crate::time::Instant;

/// Simulated threads with lanes of their own.
pub(super) const LANES: u32 = 3;
/// Picks in flight at once.
const LIVE_MAX: usize = 40;

#[derive(Default)]
pub(super) struct Traffic {
    pub(super) counts: BTreeMap<BackendId, Counted>,
    pub(super) live: Vec<Live>,
    pub(super) retries: u64,
}

/// What was counted of one backend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) picks: u64,
    pub(super) in_flight: u64,
    pub(super) successes: u64,
    pub(super) streak: u32,
    /// The longest row of errors since it was last ejected.
    pub(super) most: u32,
    pub(super) ejected: Option<Instant>,
}

/// A pick in flight.
pub(super) struct Live {
    token: Token,
    pub(super) backend: BackendId,
    address: SocketAddr,
    retry: Option<Retry>,
}

impl World {
    /// Asks for a backend; its place among those in flight.
    pub(super) fn pick(&mut self, avoid: &[BackendId]) -> Result<Option<usize>, String> {
        if self.traffic.live.len() >= LIVE_MAX {
            return Ok(None);
        }
        let lane = self.lane();
        let key = self.rng.next_u64().to_le_bytes();
        // Another thread read the clock a little earlier.
        let now = Instant::from_nanos(self.now.as_nanos().saturating_sub(self.rng.below(3_000_000)));
        let picked = self.pool.pick(&Request { lane, key: &key, now, avoid });
        let (serving, _) = model::serving(&self.options, &self.pool.backends());
        match picked {
            Ok(mut pick) => {
                let drained = self.admins.iter().find(|(_, admin)| **admin == Admin::Drain);
                if let Some((&drained, _)) = drained.filter(|_| self.mutant == Some(Mutant::PicksDrained)) {
                    pick.backend = drained;
                }
                if !serving.contains(&pick.backend) {
                    return Err(format!("backend {} was picked; {serving:?} serve", pick.backend));
                }
                let counted = self.traffic.counts.entry(pick.backend).or_default();
                counted.picks += 1;
                counted.in_flight += 1;
                self.summary.picks += 1;
                let address = inet(&pick.address);
                self.traffic.live.push(Live {
                    token: pick.token,
                    backend: pick.backend,
                    address,
                    retry: None,
                });
                Ok(Some(self.traffic.live.len() - 1))
            }
            Err(Error::NoBackend(_)) if serving.is_empty() => {
                self.summary.refused += 1;
                Ok(None)
            }
            Err(error) => Err(format!("no pick, though {serving:?} serve: {error}")),
        }
    }

    fn lane(&mut self) -> Lane {
        match self.rng.below(u64::from(LANES) + 1) as u32 {
            LANES => Lane::Shared,
            lane => Lane::Own(lane),
        }
    }

    /// A pick comes to its end, and may be tried again elsewhere.
    pub(super) fn finish_one(&mut self) -> Result<(), String> {
        if self.traffic.live.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.traffic.live.len() as u64) as usize;
        let Live { token, backend, address, retry } = self.traffic.live.swap_remove(at);
        let mode = self.probes.servers.get(&address).map_or(Mode::Fine, |server| server.mode);
        let outcome = match mode {
            _ if self.rng.below(30) == 0 => Outcome::Cancelled,
            Mode::Fine => Outcome::Success,
            Mode::Refuses | Mode::Lost => Outcome::ConnectFailed,
            Mode::Frozen | Mode::Slow | Mode::Trickles => Outcome::TimedOut,
            _ => Outcome::Failed,
        };
        let counted = self.traffic.counts.entry(backend).or_default();
        counted.in_flight -= 1;
        match outcome {
            Outcome::Success => {
                counted.successes += 1;
                counted.streak = 0;
            }
            Outcome::Cancelled => {}
            _ => {
                counted.streak += 1;
                counted.most = counted.most.max(counted.streak);
            }
        }
        let timings = Timings { first_byte: Some(1 + self.rng.below(1 << 24)), ..Timings::default() };
        let lane = self.lane();
        self.pool.done(lane, token, outcome, &timings, self.now).map_err(|error| error.to_string())?;
        if let Some(retry) = retry {
            self.end_retry(retry)?;
        }
        if matches!(outcome, Outcome::ConnectFailed | Outcome::Failed) {
            self.probes.checks.handle_suspicion(0, backend, self.now);
            self.follow_checks()?;
            self.try_again(backend)?;
        }
        Ok(())
    }

    fn try_again(&mut self, failed: BackendId) -> Result<(), String> {
        let is_there = |live: &&Live| self.admins.contains_key(&live.backend);
        let in_flight = self.traffic.live.iter().filter(is_there).count() as u64;
        let most = model::retries_max(&self.options, in_flight);
        match self.pool.retry_begin(self.now) {
            Ok(retry) => {
                if self.traffic.retries >= most {
                    return Err(format!("a retry beside {} others, {most} may be", self.traffic.retries));
                }
                self.traffic.retries += 1;
                self.summary.retries += 1;
                match self.pick(&[failed])? {
                    Some(at) => self.traffic.live[at].retry = Some(retry),
                    None => self.end_retry(retry)?,
                }
            }
            Err(Error::Capacity { .. }) if self.traffic.retries >= most => self.summary.retries_refused += 1,
            Err(error) => return Err(format!("no retry beside {} of {most}: {error}", self.traffic.retries)),
        }
        Ok(())
    }

    fn end_retry(&mut self, retry: Retry) -> Result<(), String> {
        self.traffic.retries -= 1;
        self.pool.retry_end(retry).map_err(|error| error.to_string())
    }
}
