//! [`StoreWatch`]: tells the owner when the store stops taking writes, and when it takes them again.

use std::time::Duration;

use crate::driver::event::{Event, EventKind};
use crate::driver::store::Store;
use crate::driver::worker::{Core, Timer};

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
}

impl StoreWatch {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, told: Told::Good }
    }

    pub(crate) fn begin(&self, core: &mut Core) {
        core.wheel.insert(core.now.saturating_add(INTERVAL), Timer::Store);
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
        if now != Told::Failed {
            self.begin(core);
        }
    }
}
