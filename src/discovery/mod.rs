//! Where members come from when they are not written down: DNS, the hosts file, a file of members. State
//! machines without I/O: no socket, no clock, no file, no thread.
//!
//! | file | owns |
//! |---|---|
//! | `name`, `domain` | what a member's address may be; names and their limits |
//! | `options` | what a watched name is told, with units, ranges, defaults |
//! | `resolv_conf`, `hosts` | what the system's files say |
//! | `exchange` | what passes between a question and the sockets, and what the driver owes |
//! | `message`, `tame` | questions and answers as bytes |
//! | `query` | one question over several resolvers |
//! | `lookup`, `found` | from a name to its addresses, once |
//! | `watch` | keeps one name fresh |
//! | `members`, `apply` | names of members, what changed in a pool, and changing it so |
//! | `file` | the members that a file lists |
//!
//! Who drives it makes one [`watch::Watch`] for each name. It is told what happened on its exchanges
//! (`handle_event`), what time it is (`handle_timeout`, at `next_deadline`) and what the system's files say
//! (`handle_environment`); after each of these `poll_action` is called until there is nothing left. What comes
//! out is a datagram to send, a connection to open or close, a set of members, or what is wrong. A
//! [`members::Roster`] for each pool turns the sets of its sources into changes.
//!
//! ```
//! use trimtab::discovery::lookup::Environment;
//! use trimtab::discovery::name::Source;
//! use trimtab::discovery::options::Options;
//! use trimtab::discovery::watch::{Action, Watch};
//! use trimtab::rng::Rng;
//! use trimtab::time::Clock;
//!
//! // In earnest it is seeded from the system's randomness: see `exchange`.
//! let mut rng = Rng::new(7);
//! let Source::Watched(name) = "localhost:8080".parse()? else { unreachable!("it is a name") };
//! let mut watch = Watch::new(name, Environment::default(), Options::default(), Clock.now(), &mut rng)?;
//! while let Some(action) = watch.poll_action() {
//!     match action {
//!         Action::Io(io) => println!("a driver does this: {io:?}"),
//!         Action::Members(members) => println!("the members are {members:?}"),
//!         Action::Trouble(trouble) => println!("an operator may act on this: {trouble}"),
//!     }
//! }
//! assert_eq!(watch.members().len(), 2);
//! # Ok::<(), trimtab::Error>(())
//! ```
//!
//! Not looked at: `nsswitch.conf`, multicast DNS, DNSSEC. An answer is believed when it is the resolver's; a
//! path to the resolver that others can write to needs a resolver on this machine that validates.

mod apply;
pub mod domain;
pub mod exchange;
pub mod file;
pub mod found;
pub mod hosts;
pub mod lookup;
pub mod members;
pub mod message;
pub mod name;
pub mod options;
pub mod query;
pub mod resolv_conf;
pub mod tame;
#[cfg(test)]
mod tests;
pub mod watch;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the simulator needs less of it than the tests"))]
pub(crate) mod zone;
