//! The store: its engine driven by hand on real files, and the handle with its threads and without.

mod backup;
#[path = "../shared/bad_disk.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod bad_disk;
mod calls;
mod child;
mod crash;
mod engine;
mod faults;
mod fork;
mod held;
mod hosted;
#[path = "../shared/memory.rs"]
mod memory;
mod queue;
mod room;
mod scrub;
mod support;
mod watching;
