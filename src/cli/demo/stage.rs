//! [`Stage`]: everything that runs, for the steps to act upon: backends, a server in front of them, clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::backend::Backend;
use super::beats::Beats;
use super::desk::{Desk, Waited};
use super::judge::Testimony;
use super::ledger::Ledger;
use super::load::Load;
use super::plan::{BACKENDS, LEARNER, PATIENCE, STALE_MAX, STORE_NODES, WORKERS};
use super::store::Store;
use super::tally::Counted;
use crate::balance::{BackendId, BackendStatistics, Observed, Pool};
use crate::error::{Error, Result};
use crate::server::config::Bind;
use crate::server::{Config, EventKind, Server};
use crate::time::Clock;

pub(super) struct Stage {
    // In this order they go: who asks, who passes on, who answers.
    load: Option<Load>,
    beats: Option<Beats>,
    server: Server,
    /// Counts what the clients were answered.
    pub(super) store: Store,
    pub(super) backends: Vec<Backend>,
    pub(super) pool: Arc<Pool>,
    pub(super) desk: Arc<Desk>,
    /// The configuration that the server runs.
    pub(super) text: String,
    /// Where the server listens.
    pub(super) address: SocketAddr,
}

const LISTENER: &str = "web";
const POOL: &str = "app";

impl Stage {
    /// Starts the backends, the store and the server. Nobody asks yet.
    pub(super) fn set(desk: &Arc<Desk>) -> Result<Self> {
        let backends = BACKENDS.into_iter().map(Backend::start).collect::<Result<Vec<_>>>()?;
        let store = Store::start()?;
        let text = text(backends.iter().map(|backend| (backend.name(), backend.address())));
        let config = Config::parse(&text, "demo.toml")?;
        let sink = Arc::clone(desk);
        let server = Server::with_events(config, move |event| {
            // The others are what the steps order.
            let is_bad = matches!(event.kind, EventKind::WorkerFailed | EventKind::AcceptPaused);
            sink.write(|ledger| {
                // Who waits for a backend's state looks again in any case.
                if is_bad {
                    ledger.fail(format!("the server says {event}"));
                }
            });
        })?;
        server.start()?;
        let Bind::Inet(address) = server.address(LISTENER)? else { unreachable!("bound to an IP address") };
        let pool = server.pool(POOL)?;
        Ok(Self {
            load: None,
            beats: None,
            server,
            store,
            backends,
            pool,
            desk: Arc::clone(desk),
            text,
            address,
        })
    }

    /// Lets the clients ask.
    pub(super) fn start_load(&mut self) -> Result<()> {
        let names = BACKENDS.map(str::to_string);
        self.load = Some(Load::start(self.address, self.store.addresses(), &names, &self.desk)?);
        self.beats = Some(Beats::start(self.store.addresses(), self.store.learner(), &self.desk)?);
        Ok(())
    }

    /// Has the clients finish what they do.
    pub(super) fn end_load(&mut self) {
        self.load = None;
        self.beats = None;
    }

    /// Ends it all at once, whatever is on its way.
    pub(super) fn stop(&mut self) {
        // Who waits for an answer gets an end.
        let _ = self.server.stop();
        self.end_load();
    }

    /// Ends the server in good order, when no client is left, and answers with what it counted.
    pub(super) fn finish(&mut self) -> Result<Testimony> {
        self.server.drain(Some(PATIENCE))?;
        self.server.wait(Some(PATIENCE + Duration::from_secs(5)))?;
        let listener = self.server.listener_statistics(LISTENER)?;
        Ok(Testimony { accepted: listener.accepted, retries: listener.retries, closed: listener.closed })
    }

    /// What the store has counted, beside what it acknowledged and what it was sent.
    pub(super) fn counted(&self) -> Result<Counted> {
        let before = self.desk.ledger().tally.clone();
        let found = self.store.counters()?;
        Ok(Counted::new(&before, found, &self.desk.ledger().tally))
    }

    /// What is wrong with what the replica without a vote has shown so far.
    pub(super) fn stale(&self) -> Option<String> {
        let stale = self.desk.ledger().freshness.stale;
        let bound = STALE_MAX.as_millis();
        (stale > 0)
            .then(|| format!("{} showed what was older than {bound} ms, {stale} times", STORE_NODES[LEARNER]))
    }

    /// The pool's name for a backend.
    pub(super) fn id(&self, backend: usize) -> Result<BackendId> {
        self.pool.find(self.backends[backend].name())
    }

    /// What the pool counted of a backend.
    pub(super) fn statistics(&self, backend: usize) -> Result<BackendStatistics> {
        let id = self.id(backend)?;
        let found = self.pool.backends().into_iter().find(|statistics| statistics.id == id);
        Ok(found.expect("the demo takes no backend out"))
    }

    /// Waits until a check has found out how a backend is.
    pub(super) fn wait_until(&self, backend: usize, observed: Observed) -> Result<()> {
        let id = self.id(backend)?;
        let is_so = |_: &Ledger| self.pool.backend(id).is_ok_and(|found| found.observed == observed);
        match self.desk.wait(Clock.now().saturating_add(PATIENCE), is_so) {
            Waited::TimedOut => Err(Error::TimedOut { what: "a check to find out how its backend is" }),
            // An interruption is met by the wait that follows.
            Waited::Seen | Waited::Interrupted => Ok(()),
        }
    }

    /// Attempts at another backend after one could not be reached.
    pub(super) fn retries(&self) -> Result<u64> {
        Ok(self.server.statistics()?.retries)
    }
}

/// The configuration for these backends.
fn text<'a>(backends: impl Iterator<Item = (&'a str, SocketAddr)>) -> String {
    let mut text = format!(
        "\
[runtime]
workers = {WORKERS}

[[listener]]
name = \"{LISTENER}\"
bind = \"127.0.0.1:0\"       # port 0: the system chooses
pool = \"{POOL}\"

[[pool]]
name = \"{POOL}\"
policy = \"round-robin\"
retry = {{ attempts = 3 }}   # whoever finds a backend gone is sent on to the others
on_down = \"close\"          # whoever hangs at one that its check took out is cut loose
check = {{ kind = \"http\", interval = \"200ms\", interval_down = \"200ms\", timeout = \"500ms\", rise = 1, fall = 2 }}
"
    );
    for (name, address) in backends {
        text += &format!("\n[[pool.backend]]\nname = \"{name}\"\naddress = \"{address}\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_good_and_says_what_the_demo_relies_on() {
        let addresses = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let config = Config::parse(&text(BACKENDS.into_iter().zip(addresses)), "demo.toml").unwrap();
        assert_eq!(config.runtime.workers, WORKERS);
        let pool = &config.pools[config.listeners[0].pool];
        let names: Vec<_> = pool.backends.iter().filter_map(|backend| backend.name.as_deref()).collect();
        assert_eq!(names, BACKENDS);
        // Each backend can be tried, so that one that answers is found.
        assert!(pool.attempts as usize >= BACKENDS.len());
    }
}
