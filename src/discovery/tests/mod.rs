//! The state machines of discovery in a simulated world: resolvers with a zone, and a network between that
//! loses, delays, repeats and forges.
//!
//! | file | owns |
//! |---|---|
//! | `world` | the network, the resolvers' faults, and how a machine is driven |
//! | `query`, `lookup`, `watch` | behaviour of one machine, at its limits |
//! | `random` | random worlds against the zone |

mod lookup;
mod query;
mod random;
mod watch;
mod world;
