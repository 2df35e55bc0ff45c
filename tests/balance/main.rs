//! What a pool promises, seen through its public interface. One program, so that it links once.

mod adaptive;
mod changes;
mod hashed;
mod limits;
mod measured;
mod misuse;
mod model;
mod observed;
mod order;
mod outlier;
mod panic;
mod slow_start;
mod spill;
mod support;
mod threads;
mod tiers;
mod two_choices;
