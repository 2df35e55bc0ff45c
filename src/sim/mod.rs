//! The other driver: the same state machines over simulated sockets and simulated time, from one seed.
//!
//! A run plays a random workload with random faults and checks what must always hold; what it finds wrong comes
//! back with the step it happened at. `tests/sim_relay.rs`, `tests/sim_health.rs`, `tests/sim_wal.rs`,
//! `tests/sim_store.rs`, `tests/sim_cluster.rs` and `tests/sim_split.rs` run many seeds; `TRIMTAB_SIM_SEED` replays one.
//!
//! | file | owns |
//! |---|---|
//! | `socket` | one end of a simulated connection: bounded, torn into pieces, ended, reset |
//! | `cluster` | nodes of a cluster on such disks and on links, and what is checked |
//! | `disk` | a disk that tears, loses, lies, rots and fills up |
//! | `health` | checks, a pool and discovery under a random world, and what is checked |
//! | `limits` | what a world's pool is limited to, and what follows from it |
//! | `log` | a write-ahead log on such a disk, and what is checked |
//! | `split` | the listener that splits reads from writes, before nodes that fail, and what is checked |
//! | `store` | a store on such a disk, and what is checked |
//! | `relay` | sessions, flows and the wait queue under a random world, and what is checked |

pub mod cluster;
pub mod disk;
pub mod health;
mod limits;
pub mod log;
pub mod relay;
mod socket;
pub mod split;
pub mod store;
