//! Clusters of real processes: `trimtab run` three times from configuration files, clients of Redis on them, and nodes that
//! are killed and stopped.

#![cfg(target_os = "linux")]

#[path = "../shared/address.rs"]
mod address;
mod adopt;
mod balancers;
#[path = "../shared/certificates.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod certificates;
mod clients;
mod command;
mod events;
mod failover;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod late;
mod lost;
mod pools;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod process;
mod rot;
mod secured;
mod split;
mod stale;
mod support;
mod told;
