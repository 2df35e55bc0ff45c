//! Links between nodes on real sockets: what two and three nodes say to each other, whom they refuse and why, and what
//! comes of peers that are slow, silent, hostile or gone.

#[path = "../shared/address.rs"]
mod address;
#[path = "../shared/certificates.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod certificates;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod folder;

mod cluster;
mod hostile;
mod refusals;
mod secured;
mod support;
