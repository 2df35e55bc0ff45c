//! Stores that are members of a cluster, on real files and sockets: three nodes and a learner in one process.

#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod folder;

mod changes;
mod failover;
mod identity;
mod reads;
mod support;
mod writes;
