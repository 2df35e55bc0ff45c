//! [`Descriptors`]: for how many Redis clients the descriptors suffice that the process may have open. With more of them, clients who do
//! no more than connect would take those that the log needs for its next file, and no write would be taken any more.

use crate::driver::conversation::CONVERSATIONS_MAX;
use crate::driver::resp::farewell::STRANGERS_MAX;
use crate::error::{Error, Result};
use crate::server::config::{CLIENTS_MAX, Config, Store};
use crate::sys;

/// For the log's files, snapshots, backups, reading the disk again, finding members, and what a program opens beside.
const BESIDES: u64 = 32;
/// A worker's loop, its waker, and what the store wakes it with; those whom it turns away; and its listening sockets of the store
/// and of each splitting listener, which are counted for themselves.
const WORKER: u64 = 4 + STRANGERS_MAX as u64;
/// Of the admin, whom nobody comes to who is not trusted.
const ADMIN: u64 = 16;
/// Links to and from another node, old ones and new.
#[cfg(feature = "replication")]
const NODE: u64 = 4;
/// Nodes that are reckoned with where fewer are named: others come later.
#[cfg(feature = "replication")]
const NODES: u64 = 8;
/// Backends that are checked beside those in the configuration: names may come to more.
const FOUND: u64 = 32;

/// The descriptors for Redis clients, which the store's own address and the splitting listeners share.
pub(super) struct Descriptors {
    limit: u64,
    /// Those for all but Redis clients.
    needed: u64,
    /// The most clients of one address: who asks for fewer has them, and the others have as many each.
    share: u64,
}

impl Descriptors {
    /// What there is now: the store is open, and nothing yet of where Redis clients come in.
    pub(super) fn measure(config: &Config, store: &Store, workers: usize) -> Result<Self> {
        let failed = |error| Error::io("ask the system how many descriptors may be open", &error);
        let limit = sys::limits::descriptors().map_err(failed)?;
        // Where the system does not tell, there are few.
        let open = sys::limits::open_descriptors().unwrap_or(0);
        let needed = open + needed(config, store, workers as u64);
        let own = store.resp.as_ref().map(|_| store.maxclients);
        let asked = config.splits.iter().map(|split| split.maxconn).chain(own).collect();
        Ok(Self { limit, needed, share: share(limit.saturating_sub(needed), asked) })
    }

    /// How many of these clients may come.
    ///
    /// - `what`: what asks for them, and `key` how the configuration names their number.
    ///
    /// # Errors
    ///
    /// `Io` when it would be none.
    pub(super) fn grant(&self, what: &str, key: &str, wanted: u32) -> Result<Granted> {
        let Self { limit, needed, share } = *self;
        let clients = u32::try_from(share).unwrap_or(u32::MAX).min(wanted);
        if clients == wanted {
            return Ok(Granted { clients, lowered: None });
        }
        let why =
            format!("of {limit} descriptors that the process may have open {needed} are for other things");
        let help = "raise the limit (`ulimit -n`, `LimitNOFILE=`)";
        if clients == 0 {
            let what = format!("serve any of {key} = {wanted} clients of {what}");
            let detail = format!("{why}; {help}, or lower `maxconn` of other listeners");
            return Err(Error::Io { what, code: libc::EMFILE, detail });
        }
        let lowered =
            format!("{key} of {what} is {clients} instead of {wanted}: {why}; {help}, or lower {key}");
        // Who has no limit of his own does not miss what he is not given.
        Ok(Granted { clients, lowered: (wanted < CLIENTS_MAX).then_some(lowered) })
    }
}

/// The most that each may have of what is left, so that it suffices.
fn share(mut left: u64, mut asked: Vec<u32>) -> u64 {
    asked.sort_unstable();
    for (at, asks) in asked.iter().enumerate() {
        let share = left / (asked.len() - at) as u64;
        if u64::from(*asks) > share {
            return share;
        }
        left -= u64::from(*asks);
    }
    u64::MAX
}

/// What [`Descriptors::grant`] gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) clients: u32,
    /// That it is fewer than were asked for, and why.
    pub(super) lowered: Option<String>,
}

/// What is still to be opened, or comes and goes, for all but Redis clients. Pipes are not counted: they are given back where
/// descriptors are short. Nor are sessions of listeners without a `maxconn`, which has no number.
fn needed(config: &Config, store: &Store, workers: u64) -> u64 {
    let sessions = config.listeners.iter().map(|listener| 2 * u64::from(listener.maxconn)).sum::<u64>();
    let checked = config.pools.iter().filter(|pool| pool.check.is_some());
    let probes = checked.map(|pool| pool.backends.len() as u64 + FOUND).sum::<u64>();
    let conversations = match (&store.health, &config.admin) {
        (Some(_), _) => CONVERSATIONS_MAX as u64,
        (None, Some(_)) => ADMIN,
        (None, None) => 0,
    };
    let doors = u64::from(store.resp.is_some()) + config.splits.len() as u64;
    #[cfg(feature = "replication")]
    let nodes = {
        let nodes = store.cluster.as_ref().map_or(0, |cluster| NODES.max(cluster.members.len() as u64));
        // To each node, and to the primary for each write that holds up others.
        let heavy = crate::split::Options::default().heavy_max as u64;
        NODE * nodes + config.splits.len() as u64 * workers * (nodes + heavy)
    };
    #[cfg(not(feature = "replication"))]
    let nodes = 0;
    let probes = probes.min(u64::from(config.runtime.probes_max));
    BESIDES + workers * (WORKER + doors) + sessions + probes + conversations + nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: u64, needed: u64, asked: &[u32]) -> Descriptors {
        Descriptors { limit, needed, share: share(limit.saturating_sub(needed), asked.to_vec()) }
    }

    #[test]
    fn what_fits_is_granted_as_it_was_asked_for() {
        let granted = of(1_000, 100, &[900]).grant("the store", "maxclients", 900).unwrap();
        assert_eq!(granted, Granted { clients: 900, lowered: None });
    }

    #[test]
    fn who_asks_for_more_shares_what_there_is_and_takes_nothing_of_who_asks_for_little() {
        let asked = [10_000, 100, CLIENTS_MAX];
        let descriptors = of(1_000, 100, &asked);
        let grant = |wanted| descriptors.grant("the store", "maxclients", wanted).unwrap();
        assert_eq!(asked.map(|wanted| grant(wanted).clients), [400, 100, 400]);
        assert_eq!(asked.map(|wanted| grant(wanted).lowered.is_some()), [true, false, false]);
        let told = grant(10_000).lowered.unwrap();
        assert!(told.starts_with("maxclients of the store is 400 instead of 10000: of 1000 "), "{told}");
        assert!(told.contains(" 100 are for other things; raise the limit"), "{told}");
    }

    #[test]
    fn what_would_serve_nobody_is_refused() {
        for needed in [100, 101] {
            let refused = of(100, needed, &[10]).grant("the store", "maxclients", 10).unwrap_err();
            assert!(matches!(refused, Error::Io { code: libc::EMFILE, .. }), "{refused:?}");
        }
    }
}
