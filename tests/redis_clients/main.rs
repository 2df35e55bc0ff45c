//! Redis clients on the server's loop: what they are answered, what they cannot do to it, and what is there after a
//! crash. Clients of other makes are used as they are; one that is not there fails the test.

#![cfg(target_os = "linux")]

#[path = "../shared/bad_disk.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod bad_disk;
mod channels;
mod clients;
mod crash;
mod disk;
mod eviction;
mod farewell;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod health;
mod hostile;
mod library;
mod life;
mod opening;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod process;
mod rot;
mod scans;
mod support;
mod told;
mod tools;
mod unix;
