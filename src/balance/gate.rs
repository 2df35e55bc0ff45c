//! The limits of a pool as a whole, beside those of its backends: picks in flight and picks a second. Only pools
//! that have one pay for it.

use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::balance::gradient::Scope;
use crate::balance::limit::{Most, Places};
use crate::balance::options::Options;
use crate::balance::pace::{Bucket, Pace};
use crate::error::NoBackend;
use crate::time::Instant;

/// What the lanes share about the pool.
#[derive(Debug)]
pub(crate) struct Gate {
    most: Most,
    /// Whether the most picks in flight are found by response times.
    is_adaptive: bool,
    rate: u32,
    pace: Option<Pace>,
    shared: CachePadded<(Places, Bucket)>,
}

impl Gate {
    pub(crate) fn new(options: &Options) -> Self {
        let pace = Pace::new(options.connection_rate, options.connection_burst);
        let shared: CachePadded<(Places, Bucket)> = CachePadded::default();
        let adaptive = options.adaptive.filter(|adaptive| adaptive.scope == Scope::Pool);
        if let Some(adaptive) = adaptive {
            shared.0.set_ceiling(adaptive.min);
        }
        let is_adaptive = adaptive.is_some();
        Self { most: Most::of(options.maxconn), is_adaptive, rate: options.connection_rate, pace, shared }
    }

    /// Why no pick may come now, when none may.
    pub(crate) fn closed(&self, now: Instant) -> Option<NoBackend> {
        let (places, bucket) = &*self.shared;
        if !places.has_room(self.most) {
            return Some(NoBackend::PoolFull { maxconn: self.maxconn() });
        }
        let wait = bucket.wait(self.pace?, now);
        (wait > Duration::ZERO).then_some(NoBackend::PoolRateLimited { rate: self.rate, wait })
    }

    /// Takes a place and counts against the rate, or does neither.
    pub(crate) fn enter(&self, now: Instant) -> bool {
        let (places, bucket) = &*self.shared;
        if self.counts() && !places.reserve(self.most) {
            return false;
        }
        let is_in_time = self.pace.is_none_or(|pace| bucket.take(pace, now));
        if !is_in_time {
            self.leave();
        }
        is_in_time
    }

    /// Gives the place back.
    pub(crate) fn leave(&self) {
        if self.counts() {
            self.shared.0.release();
        }
    }

    /// Undoes what `enter` counted against the rate.
    pub(crate) fn put_back(&self) {
        if let Some(pace) = self.pace {
            self.shared.1.put_back(pace);
        }
    }

    /// Whether picks are counted here. Then every backend counts its own as well, so that each pick in flight
    /// knows that it holds a place.
    fn counts(&self) -> bool {
        self.most != Most::of(0) || self.is_adaptive
    }

    /// The most picks in flight, 0 for no limit.
    pub(crate) fn maxconn(&self) -> u32 {
        self.shared.0.most(self.most).maxconn()
    }

    /// Where they are counted.
    pub(crate) fn places(&self) -> &Places {
        &self.shared.0
    }
}
