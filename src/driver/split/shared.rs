//! [`SharedSplit`]: what the loops share of a listener that splits reads from writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::balance::Address;
use crate::driver::resp::shared::SharedClients;
use crate::split::{Counters, Options, Split};

pub(crate) struct SharedSplit {
    /// Who may come in, and what was counted of it.
    pub(crate) clients: Arc<SharedClients>,
    pub(crate) options: Options,
    /// Where this node serves Redis clients; `None`: nowhere.
    pub(crate) own: Option<Address>,
    /// What each loop counted; only that loop writes.
    counters: Box<[CachePadded<[AtomicU64; FIELDS]>]>,
}

/// Of [`Counters`], and two gauges: who waits for a primary, and connections to nodes.
const FIELDS: usize = 14;

impl SharedSplit {
    pub(crate) fn new(
        clients: SharedClients,
        options: Options,
        own: Option<Address>,
        workers: usize,
    ) -> Self {
        let counters = (0..workers).map(|_| CachePadded::new(Default::default())).collect();
        Self { clients: Arc::new(clients), options, own, counters }
    }

    /// Has the others see what a loop counted.
    pub(super) fn count(&self, worker: usize, split: &Split) {
        let Counters {
            replica_reads,
            primary_reads,
            writes,
            retries,
            behind,
            held,
            unserved,
            in_doubt,
            slow,
            cut,
            protocol_errors,
            link_errors,
        } = split.counters();
        let fields = [
            replica_reads,
            primary_reads,
            writes,
            retries,
            behind,
            held,
            unserved,
            in_doubt,
            slow,
            cut,
            protocol_errors,
            link_errors,
            split.held() as u64,
            split.links() as u64,
        ];
        for (to, from) in self.counters[worker].iter().zip(fields) {
            to.store(from, Ordering::Relaxed);
        }
    }

    /// What all loops counted together; and how many wait for a primary, and connections to nodes, at present.
    pub(crate) fn sums(&self) -> (Counters, u64, u64) {
        let sum = |at: usize| self.counters.iter().map(|own| own[at].load(Ordering::Relaxed)).sum();
        let counters = Counters {
            replica_reads: sum(0),
            primary_reads: sum(1),
            writes: sum(2),
            retries: sum(3),
            behind: sum(4),
            held: sum(5),
            unserved: sum(6),
            in_doubt: sum(7),
            slow: sum(8),
            cut: sum(9),
            protocol_errors: sum(10),
            link_errors: sum(11),
        };
        (counters, sum(12), sum(13))
    }
}
