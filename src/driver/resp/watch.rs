//! [`StoreWatch`]: tells the owner when the store stops taking writes, and when it takes them again; what was found damaged on
//! its disk, and that it is mended; and what happens to its cluster.

use std::time::Duration;

#[cfg(feature = "replication")]
use super::cluster_watch::ClusterWatch;
use crate::driver::event::{Event, EventKind};
use crate::driver::store::{ScrubStatus, Store};
use crate::driver::worker::{Core, Timer};
use crate::error::Result;

/// How often it is looked at: as often as the store looks whether there is room again.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Good,
    Full,
    Failed,
}

/// On one worker of a server.
pub(crate) struct StoreWatch {
    store: Store,
    told: Told,
    /// What was told of damage; `None`: the cluster tells of it.
    damage: Option<Damage>,
    #[cfg(feature = "replication")]
    cluster: Option<ClusterWatch>,
}

/// How much damage, and how much mended, was told.
#[derive(Clone, Copy, Default)]
struct Damage {
    found: u64,
    mended: u64,
}

impl StoreWatch {
    /// # Errors
    ///
    /// Those of [`Store::cluster_events`].
    pub(crate) fn new(store: Store) -> Result<Self> {
        #[cfg(feature = "replication")]
        let cluster = ClusterWatch::new(&store)?;
        #[cfg(feature = "replication")]
        let is_member = cluster.is_some();
        #[cfg(not(feature = "replication"))]
        let is_member = false;
        Ok(Self {
            store,
            told: Told::Good,
            damage: (!is_member).then(Damage::default),
            #[cfg(feature = "replication")]
            cluster,
        })
    }

    /// # Errors
    ///
    /// `Io`, when the system does not register a descriptor.
    pub(crate) fn begin(&self, core: &mut Core) -> Result<()> {
        self.wait(core);
        #[cfg(feature = "replication")]
        if let Some(cluster) = &self.cluster {
            cluster.begin(core)?;
        }
        Ok(())
    }

    fn wait(&self, core: &mut Core) {
        core.wheel.insert(core.now.saturating_add(INTERVAL), Timer::Store);
    }

    /// Something happened to the cluster.
    #[cfg(feature = "replication")]
    pub(crate) fn handle_event(&mut self, core: &Core) {
        if let Some(cluster) = &mut self.cluster {
            cluster.handle_event(&core.shared.sink, core.now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core) {
        // Somebody else has closed it, who will know.
        let Ok(status) = self.store.status() else { return };
        let (now, why) = match (&status.failure, &status.problem) {
            (Some(failure), _) => (Told::Failed, failure.to_string()),
            (None, Some(problem)) => (Told::Full, problem.to_string()),
            (None, None) => (Told::Good, String::new()),
        };
        if now != self.told {
            self.told = now;
            let kind = match now {
                Told::Good => EventKind::StoreRecovered,
                Told::Full => EventKind::StoreFull,
                Told::Failed => EventKind::StoreFailed,
            };
            (core.shared.sink)(&Event::of_server(kind, why));
        }
        if let Some(damage) = &mut self.damage {
            for event in damage.news(&status.scrub, status.snapshot) {
                (core.shared.sink)(&event);
            }
        }
        if now != Told::Failed {
            self.wait(core);
        }
    }
}

impl Damage {
    /// What is new.
    fn news(&mut self, scrub: &ScrubStatus, snapshot: u64) -> Vec<Event> {
        let before = std::mem::replace(self, Self { found: scrub.damages, mended: scrub.mended });
        let mut news = Vec::new();
        if scrub.damages > before.found {
            let mends = "a snapshot of what is in memory takes its place";
            let detail = match &scrub.damage {
                Some(found) => format!("{found}; {mends}"),
                // A later pass has found everything good.
                None => format!("what was found is not there any more: {mends}"),
            };
            news.push(Event::of_server(EventKind::StoreDamaged, detail));
        }
        if scrub.mended > before.mended {
            news.push(Event::of_server(EventKind::StoreMended(snapshot), ""));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn damage_is_told_once_and_so_is_its_end() {
        let mut damage = Damage::default();
        let mut told =
            |scrub: &ScrubStatus| damage.news(scrub, 9).iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut scrub = ScrubStatus::default();
        assert_eq!(told(&scrub), [""; 0]);
        scrub.damages = 1;
        scrub.damage = Some(Error::TimedOut { what: "read" });
        let lines = told(&scrub);
        assert!(lines.len() == 1 && lines[0].starts_with("store-damaged detail="), "{lines:?}");
        assert_eq!(told(&scrub), [""; 0]);
        scrub.mended = 1;
        assert_eq!(told(&scrub), ["store-mended value=9"]);
        // Both, and a good pass, between two looks.
        (scrub.damages, scrub.mended, scrub.damage) = (2, 2, None);
        let lines = told(&scrub);
        assert!(lines.len() == 2 && lines[1] == "store-mended value=9", "{lines:?}");
    }
}
