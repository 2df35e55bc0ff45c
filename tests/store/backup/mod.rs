//! Backups: taken beside writers, added to, restored to any point; what stops midway, and what is refused.

#[cfg(feature = "cli")]
mod command;
pub(super) mod crash;
mod golden;
mod histories;
mod points;
mod refusals;

use std::collections::BTreeMap;
use std::path::Path;

use trimtab::backup::{self, Point, RestoreOptions, Restored};
use trimtab::embedded::{Options, Store};
use trimtab::store::engine;
use trimtab::store::index::Range;
use trimtab::store::log;

use crate::support::LONG;

/// What is in a store: keys with their values.
type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// The smallest segments, so that the log lets go of some soon.
fn tiny() -> Options {
    let log = log::Options { segment_bytes: 16 << 10, ..log::Options::default() };
    let engine = engine::Options { snapshot_bytes: 64 << 10, log, ..engine::Options::default() };
    Options { timeout: LONG, engine, ..Options::default() }
}

fn content(store: &Store) -> Content {
    let range = Range { start: b"", end: None };
    let listing = store.range(&range, u64::MAX, u64::MAX, false).expect("the store is open");
    listing.entries.into_iter().map(|(key, found)| (key.to_vec(), found.value.to_vec())).collect()
}

fn restore(from: &Path, to: &Path, point: Point) -> trimtab::Result<Restored> {
    backup::restore(from, to, &RestoreOptions { point, identity: None })
}

/// What a backup gives at a point.
fn restored(from: &Path, point: Point) -> (Content, u64) {
    let to = crate::support::Folder::new("restored");
    let told = restore(from, to.path(), point).expect("it is restored");
    let store = Store::open(to.path(), tiny()).expect("what was restored opens");
    assert_eq!(store.identity(), told.identity);
    assert_eq!(store.status().expect("it is open").applied, told.sequence);
    // Where there is nothing, nothing says so.
    assert!((store.report().log.is_closed || told.sequence == 0) && store.report().log.torn.is_none());
    (content(&store), told.sequence)
}
