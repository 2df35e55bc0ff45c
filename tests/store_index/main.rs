//! The index, from outside: against a model, against itself on another node, read by threads while it is
//! written, and watched.

mod commands;
mod evicting;
mod harness;
mod model;
mod operations;
mod recalling;
mod recorded;
mod snapshots;
mod threads;
mod watching;
