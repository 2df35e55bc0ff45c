//! The other driver: the same state machines over simulated sockets and simulated time, from one seed.
//!
//! A run plays a random workload with random faults and checks what must always hold; what it finds wrong comes
//! back with the step it happened at. `tests/sim_relay.rs` and `tests/sim_health.rs` run many seeds;
//! `TRIMTAB_SIM_SEED` replays one.
//!
//! | file | owns |
//! |---|---|
//! | `socket` | one end of a simulated connection: bounded, torn into pieces, ended, reset |
//! | `health` | checks, a pool and discovery under a random world, and what is checked |
//! | `limits` | what a world's pool is limited to, and what follows from it |
//! | `relay` | sessions, flows and the wait queue under a random world, and what is checked |

pub mod health;
mod limits;
pub mod relay;
mod socket;
