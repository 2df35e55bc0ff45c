//! The course of a server: its workers begin, run and end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::{Inner, NO_DEADLINE, State};
use crate::driver::conversation::Conversation;
use crate::driver::event::EventKind;
use crate::driver::shared::Shared;
use crate::driver::worker::Worker;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::embedded::Store;
use crate::error::{Error, Result};
use crate::server::admin::Dialogue;
use crate::server::assembly;
#[cfg(feature = "store")]
use crate::server::store;
use crate::sys;
use crate::time::Instant;

impl Inner {
    /// Binds and makes the workers.
    pub(super) fn open(self: &Arc<Self>, is_hosted: bool) -> Result<Vec<Worker>> {
        self.check_process()?;
        sys::fork::watch();
        let mut life = self.life.lock();
        self.expect_new()?;
        let adopted = life
            .adopted
            .iter()
            .map(|(index, socket)| Ok((*index, socket.try_clone()?)))
            .collect::<std::io::Result<_>>()
            .map_err(|error| Error::io("copy an adopted socket", &error))?;
        let weak = Arc::downgrade(self);
        let make = move |reach| -> Box<dyn Conversation> { Box::new(Dialogue::new(weak.clone(), reach)) };
        #[cfg(feature = "store")]
        let store =
            self.config.store.as_ref().map(|from| store::open(&self.config, from, is_hosted)).transpose()?;
        let assembly = assembly::assemble(
            &self.config,
            &self.pools,
            adopted,
            &self.sink,
            make,
            is_hosted,
            #[cfg(feature = "store")]
            store.as_ref(),
        )?;
        life.adopted.clear();
        self.journal.attach(assembly.bell);
        life.shared = Some(assembly.shared);
        life.addresses = assembly.addresses;
        life.admin = assembly.admin;
        #[cfg(feature = "store")]
        {
            life.store = store;
            life.resp = assembly.resp;
            life.health = assembly.health;
            life.clients = assembly.clients;
            life.lowered = assembly.lowered;
        }
        #[cfg(feature = "replication")]
        {
            life.splits = assembly.splits;
        }
        life.files = assembly.files;
        life.is_hosted = is_hosted;
        life.running = assembly.workers.len();
        life.workers = if is_hosted { 0 } else { life.running as u32 };
        self.set_state(State::Running);
        Ok(assembly.workers)
    }

    /// The body of a worker's thread.
    pub(super) fn run(&self, mut worker: Worker) {
        // Whatever a panic left half done goes with the worker, which nobody else sees.
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
            while !worker.is_over() {
                if let Err(error) = worker.turn(None) {
                    worker.end();
                    return Some(error.to_string());
                }
            }
            None
        }));
        drop(worker);
        match ran {
            Ok(None) => {}
            Ok(Some(why)) => self.tell(EventKind::WorkerFailed, &why),
            Err(_) => self.tell(EventKind::WorkerFailed, "a bug in trimtab: a worker panicked"),
        }
        self.worker_ended();
    }

    /// A store that is primary of its cluster hands over before its clients are ended: what they send meanwhile is passed on,
    /// and who follows the primary has gone by then. `false`: it does not, and nothing is waited for.
    #[cfg(all(feature = "store", feature = "replication"))]
    pub(super) fn drains_behind_a_handover(&self, shared: &Arc<Shared>, until: Instant) -> bool {
        let Some(store) = self.life.lock().store.clone().filter(Store::is_member) else { return false };
        let shared = Arc::clone(shared);
        // The host's threads take its signals, not ours.
        let masked = sys::signal::mask_all();
        let thread = std::thread::Builder::new().name("trimtab-handover".into()).spawn(move || {
            store.hand_over();
            shared.order_drain(until);
        });
        drop(masked);
        thread.is_ok()
    }

    #[cfg(not(all(feature = "store", feature = "replication")))]
    pub(super) fn drains_behind_a_handover(&self, _: &Arc<Shared>, _: Instant) -> bool {
        false
    }

    pub(super) fn worker_ended(&self) {
        let mut life = self.life.lock();
        life.poll_fd = None;
        life.running -= 1;
        if life.running > 0 {
            return;
        }
        let files = std::mem::take(&mut life.files);
        #[cfg(feature = "store")]
        let store = life.store.take();
        drop(life);
        drop(files);
        #[cfg(feature = "store")]
        self.backups.forbid();
        #[cfg(all(feature = "store", feature = "replication"))]
        self.changes.forbid();
        // Last of all: what was answered is on disk behind this, whatever durability it asked for.
        #[cfg(feature = "store")]
        if let Some(store) = store
            && let Err(error) = store.close()
        {
            let lost = store.not_durable().map_or_else(
                || "all that was written is on disk".to_owned(),
                |(first, last)| {
                    format!("writes {first} to {last} are not known to be on disk, those answered at memory among them")
                },
            );
            let why = format!("{error}; {lost}");
            self.tell(EventKind::StoreFailed, &why);
            #[cfg(feature = "cli")]
            {
                self.life.lock().store_failure = Some(why);
            }
        }
        #[cfg(feature = "store")]
        self.backups.end();
        #[cfg(all(feature = "store", feature = "replication"))]
        self.changes.end();
        self.tell(EventKind::Stopped, "");
        let life = self.life.lock();
        self.set_state(State::Stopped);
        self.ended.notify_all();
        drop(life);
    }

    /// Remembers when a hosted worker's next turn is due, for who asks meanwhile.
    pub(super) fn note_deadline(&self, worker: Option<&Worker>) {
        let deadline = worker.and_then(Worker::next_deadline).map_or(NO_DEADLINE, Instant::as_nanos);
        self.hosted_deadline.store(deadline, Ordering::Release);
    }

    /// Lets a hosted worker go that has ended.
    pub(super) fn reap(&self, mut hosted: MutexGuard<'_, Option<Worker>>) {
        if hosted.as_ref().is_some_and(Worker::is_over) {
            let worker = hosted.take();
            drop(hosted);
            drop(worker);
            self.worker_ended();
        }
    }
}
