//! [`Beats`]: writes times to the store, and reads them of the replica that has no vote.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::counters::{Client, Said, connect_to_one};
use super::desk::Desk;
use super::plan::BEAT_EVERY;
use crate::error::{Error, Result};
use crate::sys;
use crate::time::Clock;

const KEY: &str = "beat";

/// Two threads that go on until the desk says that it is the end.
pub(super) struct Beats {
    threads: Vec<JoinHandle<()>>,
    desk: Arc<Desk>,
}

impl Beats {
    /// `store`: nodes that take writes; `replica`: the one that is read.
    pub(super) fn start(store: &[SocketAddr], replica: SocketAddr, desk: &Arc<Desk>) -> Result<Self> {
        let mut beats = Self { threads: Vec::new(), desk: Arc::clone(desk) };
        let _mask = sys::signal::mask_all();
        let (nodes, told): (Vec<_>, _) = (store.into(), Arc::clone(desk));
        beats.spawn("beat/write", move || write(&nodes, &told))?;
        let told = Arc::clone(desk);
        beats.spawn("beat/read", move || read(replica, &told))?;
        Ok(beats)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(|error| Error::io("make a thread for a client", &error))?);
        Ok(())
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.desk.end();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.desk.write(|ledger| ledger.fail("a client panicked".into()));
            }
        }
    }
}

fn write(nodes: &[SocketAddr], desk: &Desk) {
    let (mut node, mut client, mut beat) = (0, None, 0_u64);
    while desk.wait_for_turn(Clock.now().saturating_add(BEAT_EVERY)) {
        if client.is_none() {
            client = connect_to_one(nodes, &mut node);
        }
        beat += 1;
        match client.as_mut().map(|it: &mut Client| it.ask(&["SET", KEY, &beat.to_string()])) {
            Some(Ok(Said::Text(_))) => {
                let now = Clock.now();
                desk.write(|ledger| ledger.freshness.acknowledge(beat, now));
            }
            // It may be done later: nothing is said of it.
            _ => {
                client = None;
                node = (node + 1) % nodes.len();
            }
        }
    }
}

fn read(replica: SocketAddr, desk: &Desk) {
    let mut client: Option<Client> = None;
    while desk.wait_for_turn(Clock.now().saturating_add(BEAT_EVERY)) {
        let begun = Clock.now();
        if client.is_none() {
            client = Client::connect(replica).ok();
        }
        let said = client.as_mut().map(|it| it.ask(&["GET", KEY]));
        let beat = match &said {
            Some(Ok(Said::Nothing)) => Some(0),
            Some(Ok(Said::Text(text))) => text.parse().ok(),
            _ => None,
        };
        if matches!(said, Some(Err(_))) {
            client = None;
        }
        desk.write(|ledger| match beat {
            Some(beat) => ledger.freshness.read(beat, begun),
            None => ledger.freshness.refuse(),
        });
    }
}
