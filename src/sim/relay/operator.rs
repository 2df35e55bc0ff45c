//! What an operator orders and checks observe, and the cutting of sessions that follows.

use crate::balance::{Admin, Observed};
use crate::sim::relay::{SESSIONS_MAX, WORKERS, World};

impl World {
    /// An operator changes something.
    pub(super) fn operate(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.backends.len() as u64) as usize;
        let id = self.backends[at].0;
        let done = match self.rng.below(3) {
            0 => {
                self.maxconns[at] = self.rng.below(5) as u32;
                self.pool.set_maxconn(id, self.maxconns[at])
            }
            1 => {
                let admins = [Admin::Ready, Admin::Ready, Admin::Drain, Admin::Maintenance];
                self.admins[at] = admins[self.rng.below(4) as usize];
                self.pool.set_admin(id, self.admins[at])
            }
            _ => {
                let observed = [Observed::Up, Observed::Up, Observed::Down, Observed::Ejected];
                self.observed[at] = observed[self.rng.below(4) as usize];
                self.pool.set_observed(id, self.observed[at])
            }
        };
        done.map_err(|error| error.to_string())?;
        for change in std::mem::take(&mut *self.seen.changes.lock()) {
            if !self.on_down.cuts(change.kind) {
                continue;
            }
            if !matches!((self.admins[at], self.observed[at]), (Admin::Maintenance, _) | (_, Observed::Down))
            {
                return Err(format!("{change:?} is no reason to cut sessions"));
            }
            let until = self.moment;
            self.moment.0 += 1;
            self.cuts.iter_mut().for_each(|cuts| cuts.order(0, id, until));
            let address = &self.backends[at].1;
            for live in self.live.values_mut().filter(|live| live.address.as_ref() == Some(address)) {
                live.is_doomed = true;
            }
        }
        Ok(())
    }

    /// A worker goes on with cutting sessions whose backends went down.
    pub(super) fn cut(&mut self) -> Result<(), String> {
        let worker = self.rng.below(WORKERS as u64) as usize;
        for _ in 0..self.rng.below(2 * SESSIONS_MAX as u64) {
            let Some(key) = self.cuts[worker].next(self.next as usize) else {
                let _ = self.cuts[worker].finish();
                if !self.cuts[worker].is_ordered()
                    && self.live.values().any(|live| live.worker == worker && live.is_doomed)
                {
                    return Err("a session of a backend that went down was not cut".into());
                }
                return Ok(());
            };
            let key = key as u64;
            let Some(live) = self.live.get(&key).filter(|live| live.worker == worker) else { continue };
            let Some(backend) = live.session.backend() else { continue };
            if self.cuts[worker].takes(0, backend, live.picked) {
                if !live.is_doomed {
                    return Err("a session is cut that need not be".into());
                }
                let next = self.try_another(key, |session, context| session.handle_backend_down(context))?;
                self.follow(key, next)?;
            }
        }
        Ok(())
    }
}
