//! [`SharedScans`]: the scans of all loops, so that a client may go on with one by whichever connection it likes.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::resp::{ScanTable, Scans};

/// A table that loops share. Its lock is held for as long as a step is looked up or noted, and with no other.
#[derive(Clone)]
pub(crate) struct SharedScans(Arc<Mutex<ScanTable>>);

impl SharedScans {
    pub(crate) fn new(table: ScanTable) -> Self {
        Self(Arc::new(Mutex::new(table)))
    }
}

impl fmt::Debug for SharedScans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedScans").finish_non_exhaustive()
    }
}

impl Scans for SharedScans {
    fn find(&mut self, number: u64) -> Option<Vec<u8>> {
        self.0.lock().find(number)
    }

    fn step(&mut self, from: Option<u64>, behind: Option<Vec<u8>>) -> u64 {
        self.0.lock().step(from, behind)
    }
}
