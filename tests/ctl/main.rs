//! `trimtab ctl` and the admin interface: a server in a process of its own, asked by the command, by curl and by
//! clients that misbehave.

#![cfg(feature = "cli")]

mod backup;
mod clients;
mod events;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod http;
mod life;
mod strangers;
mod support;
mod verbs;
