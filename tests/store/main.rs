//! The store: its engine driven by hand on real files, and the handle with its threads.

mod backup;
mod calls;
mod child;
mod crash;
mod engine;
mod faults;
mod fork;
#[path = "../shared/memory.rs"]
mod memory;
mod queue;
mod scrub;
mod support;
mod watching;
