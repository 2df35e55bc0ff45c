//! [`SharedClients`]: what the loops share of Redis clients: how many there are, and what was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::driver::resp::exchange::Exchange;
use crate::driver::resp::scans::SharedScans;
use crate::resp;
use crate::rng::Rng;

/// How Redis clients are served, by every loop alike.
#[derive(Clone, Debug)]
pub(crate) struct ClientOptions {
    /// The most clients over all loops.
    pub(crate) clients_max: u32,
    /// How long a client may say nothing; zero: for ever.
    pub(crate) idle: Duration,
    /// What one connection may take.
    pub(crate) connection: resp::Options,
    /// What connections have in common.
    pub(crate) hub: resp::HubOptions,
    /// Classes of notifications that are published from the start.
    pub(crate) notify: Vec<u8>,
}

impl ClientOptions {
    /// Takes this for the most clients, of whom it is told to who asks.
    pub(crate) fn limit(&mut self, clients_max: u32) {
        self.clients_max = clients_max;
        self.hub.clients_max = u64::from(clients_max);
    }
}

pub(crate) struct SharedClients {
    /// What events call it.
    pub(crate) name: Arc<str>,
    pub(crate) options: ClientOptions,
    /// Clients at present, over all loops.
    present: CachePadded<AtomicU32>,
    /// Whether some loop is paused for want of descriptors, which is told once.
    starved: AtomicU32,
    counters: Box<[CachePadded<Counters>]>,
    /// What they had come to when a client last had them reset: what clients are told counts from there.
    pub(super) base: Mutex<resp::Counters>,
    pub(super) exchange: Exchange,
    pub(super) scans: SharedScans,
    /// For each loop, whether it has a message of the store's on its way: one is enough.
    is_told: Box<[AtomicBool]>,
}

/// What one loop counted. Only that loop writes.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    /// Turned away, for there were as many as may be.
    pub(crate) refused: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    /// Ended for having said nothing for too long.
    pub(crate) idle: AtomicU64,
    /// Cut for not reading what they had asked for.
    pub(crate) slow: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) left_out: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) messages: AtomicU64,
    /// Clients at present.
    pub(crate) present: AtomicU64,
}

impl SharedClients {
    /// `seed` is another one in each run: numbers of scans are drawn from it.
    pub(crate) fn new(name: &str, options: ClientOptions, workers: usize, seed: u64) -> Self {
        let hub = &options.hub;
        let scans = resp::ScanTable::new(hub.scans_max, hub.scan_bytes_max, Rng::new(seed));
        Self {
            name: name.into(),
            options,
            present: CachePadded::new(AtomicU32::new(0)),
            starved: AtomicU32::new(0),
            counters: (0..workers).map(|_| CachePadded::new(Counters::default())).collect(),
            base: Mutex::new(resp::Counters::default()),
            exchange: Exchange::new(workers),
            scans: SharedScans::new(scans),
            is_told: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Takes a client's place; `false`: there is none.
    pub(crate) fn try_enter(&self) -> bool {
        let room = |present: u32| (present < self.options.clients_max).then_some(present + 1);
        self.present.fetch_update(Ordering::AcqRel, Ordering::Relaxed, room).is_ok()
    }

    /// Gives it back.
    pub(crate) fn leave(&self) {
        self.present.fetch_sub(1, Ordering::AcqRel);
    }

    /// Clients at present.
    pub(crate) fn present(&self) -> u32 {
        self.present.load(Ordering::Acquire)
    }

    pub(crate) fn counters(&self, worker: usize) -> &Counters {
        &self.counters[worker]
    }

    /// What all loops counted together.
    pub(crate) fn sum(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.counters.iter().map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
    }

    /// How many clients the loops beside `worker` have, and what they have counted.
    pub(super) fn others(&self, worker: usize) -> (u64, resp::Counters) {
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            let others = self.counters.iter().enumerate().filter(|(at, _)| *at != worker);
            others.map(|(_, counters)| counter(counters).load(Ordering::Relaxed)).sum()
        };
        let counters = resp::Counters {
            connections: sum(|counters| &counters.accepted),
            commands: sum(|counters| &counters.commands),
            errors: sum(|counters| &counters.errors),
            hits: sum(|counters| &counters.hits),
            misses: sum(|counters| &counters.misses),
            slow_readers: sum(|counters| &counters.slow),
            protocol_errors: sum(|counters| &counters.protocol_errors),
            left_out: sum(|counters| &counters.left_out),
            retries: sum(|counters| &counters.retries),
            messages: sum(|counters| &counters.messages),
        };
        (sum(|counters| &counters.present), counters)
    }

    /// The loop is to be sent a message; `false`: one is on its way.
    pub(crate) fn begin_tell(&self, worker: usize) -> bool {
        !self.is_told[worker].swap(true, Ordering::AcqRel)
    }

    /// The loop has taken it, and looks after this.
    pub(crate) fn told(&self, worker: usize) {
        self.is_told[worker].swap(false, Ordering::AcqRel);
    }

    /// A loop has no descriptor for another client. `true` for the first.
    pub(crate) fn starve(&self) -> bool {
        self.starved.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// A loop accepts again. `true` for the last.
    pub(crate) fn recover(&self) -> bool {
        self.starved.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
