//! The store: its engine driven by hand on real files, and the handle with its threads.

mod calls;
mod child;
mod crash;
mod engine;
mod fork;
mod queue;
mod support;
mod watching;
