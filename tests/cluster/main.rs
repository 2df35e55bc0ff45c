//! Stores that are members of a cluster, on real files and sockets: three nodes and a learner in one process.

#[path = "../shared/address.rs"]
mod address;
#[cfg(feature = "tls")]
#[path = "../shared/certificates.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod certificates;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod folder;

mod adopt;
mod backup;
mod chain;
mod changes;
mod damage;
mod eviction;
mod failover;
mod identity;
mod order;
mod reads;
#[cfg(feature = "tls")]
mod secured;
mod support;
mod writes;
