//! Sessions whose backend went down: found a part in each turn, and cut.

use std::sync::Arc;

use crate::driver::event::{Event, EventKind};
use crate::driver::joint::Joints;
use crate::driver::net;
use crate::driver::token::Key;
use crate::driver::worker::Core;
use crate::proxy::cuts::Cut;

/// How many sessions are looked at in a turn for those to cut, which is a part of a millisecond.
const LOOKS_PER_TURN: usize = 4096;
/// How many are cut in a turn, each of which takes some system calls.
const CUTS_PER_TURN: usize = 64;

impl Joints {
    /// Backends of this pool went down: cuts the sessions that have picked them, a part of them in each turn.
    #[cold]
    pub(crate) fn cut_all_of(&mut self, core: &mut Core, pool: usize) {
        let Some(cutting) = &self.shared.pools[pool].cutting else { return };
        for (backend, until) in cutting.take(core.index) {
            self.cuts.order(pool, backend, until);
        }
        // Not here and now: other messages may order more, and one look at the sessions does for all.
        core.cut_again = true;
    }

    /// Goes on with that.
    #[cold]
    pub(crate) fn cut(&mut self, core: &mut Core) {
        let (mut looked, mut cut) = (0, 0);
        while looked < LOOKS_PER_TURN && cut < CUTS_PER_TURN {
            let Some(place) = self.cuts.next(self.table.capacity()) else {
                self.tell_cut();
                break;
            };
            looked += 1;
            let Some(joint) = self.table.get(place) else { continue };
            let Some(backend) = joint.session.backend() else { continue };
            let pool = self.shared.listeners[joint.listener as usize].pool;
            if self.cuts.takes(pool, backend, joint.picked) {
                cut += 1;
                let key = Key { index: place as u32, generation: joint.generation };
                self.take_from_backend(core, key);
            }
        }
        core.cut_again = self.cuts.is_ordered();
    }

    /// Cuts one session. If its connection does not stand yet it goes elsewhere.
    fn take_from_backend(&mut self, core: &mut Core, key: Key) {
        let joint = &mut self.table[key.index as usize];
        if joint.session.is_connecting()
            && let Some(backend) = joint.backend.take()
        {
            // It goes before its place is given back.
            net::close(backend, joint.since);
        }
        let next = self.decide(core, key, |session, context| session.handle_backend_down(context));
        self.count_retry(core, key, &next);
        self.follow(core, key, next);
    }

    fn tell_cut(&mut self) {
        let shared = &self.shared;
        for Cut { pool, backend, count } in self.cuts.finish().filter(|cut| cut.count > 0) {
            let pool = &shared.pools[pool];
            (shared.sink)(&Event {
                kind: EventKind::SessionsCut(count),
                listener: None,
                pool: Some(Arc::clone(&pool.name)),
                // It may have been removed meanwhile.
                backend: pool.pool.name_of(backend),
                node: None,
                detail: String::new(),
            });
        }
    }
}
