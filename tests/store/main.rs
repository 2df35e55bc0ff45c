//! The store: its engine driven by hand on real files, and the handle with its threads and without.

mod backup;
mod calls;
mod child;
mod crash;
mod engine;
mod faults;
mod fork;
mod hosted;
#[path = "../shared/memory.rs"]
mod memory;
mod queue;
mod scrub;
mod support;
mod watching;
