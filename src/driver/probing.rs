//! [`Probing`]: the active checks of a server, on one worker. Which probe begins when, and what its verdict means, is
//! said by the [`Checks`]; this connects, reads and writes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use slab::Slab;
use socket2::Socket;

use crate::balance::{Address, Pool};
use crate::checks::{self, Action, Checks};
use crate::driver::net::{self, Outgoing};
use crate::driver::standing::Standing;
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Timer};
use crate::health::options::Settings;
use crate::health::{CheckId, Entropy, Kind, ProbeId, Progress, Verdict};
use crate::sys::fork::Moment;

/// The checks of one server.
pub(crate) struct Probing {
    checks: Checks,
    /// What is known of each pool's backends, for who asks.
    standings: Vec<Arc<Standing>>,
    table: Slab<Talk>,
    /// The connection of each check that has one.
    talks: BTreeMap<CheckId, usize>,
    generation: u32,
    timer: Option<TimerId>,
}

/// One pool, and how its backends are checked; `None` for not at all.
pub(crate) struct Checked {
    pub(crate) pool: Arc<Pool>,
    pub(crate) settings: Option<Arc<Settings>>,
    pub(crate) standing: Arc<Standing>,
}

/// The connection of a probe under way.
struct Talk {
    socket: Socket,
    check: CheckId,
    probe: ProbeId,
    target: Address,
    /// Before it was made.
    since: Moment,
    out: Outgoing,
    is_connected: bool,
    generation: u32,
}

impl Probing {
    /// The checks of these pools, `probes_max` at once at most. `seed` spreads them; `entropy` goes into what
    /// logins must not repeat.
    pub(crate) fn new(
        pools: Vec<Checked>,
        probes_max: u32,
        seed: u64,
        entropy: [u8; 32],
    ) -> crate::error::Result<Self> {
        let standings = pools.iter().map(|checked| Arc::clone(&checked.standing)).collect();
        let pools = pools.into_iter().map(|checked| (checked.pool, checked.settings)).collect();
        Ok(Self {
            checks: Checks::new(pools, probes_max, seed, Entropy::new(entropy))?,
            standings,
            table: Slab::new(),
            talks: BTreeMap::new(),
            generation: 0,
            timer: None,
        })
    }

    /// Takes in who is in the pools now.
    pub(crate) fn begin(&mut self, core: &mut Core) {
        for pool in 0..self.standings.len() {
            self.checks.handle_pool_changed(pool, core.now);
        }
        self.run(core);
    }

    /// A pool has changed: who came is checked from now on, who went no longer, and who is in maintenance is left
    /// alone.
    pub(crate) fn handle_pool_changed(&mut self, core: &mut Core, pool: usize) {
        self.checks.handle_pool_changed(pool, core.now);
        self.run(core);
    }

    /// Sessions could not reach some backends of this pool: their next probes are not to wait for their beats.
    pub(crate) fn handle_suspects(&mut self, core: &mut Core, pool: usize) {
        for backend in self.standings[pool].take_suspects() {
            self.checks.handle_suspicion(pool, backend, core.now);
        }
        self.run(core);
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core) {
        self.timer = None;
        self.run(core);
    }

    /// Something happened to the connection of a probe.
    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key, event: &Event) {
        let index = key.index as usize;
        let Some(talk) = self.table.get_mut(index).filter(|talk| talk.generation == key.generation) else {
            return;
        };
        if !talk.is_connected {
            match talk.socket.take_error() {
                Ok(None) if event.is_writable() && !event.is_error() => {}
                Ok(None) if !event.is_error() => return,
                Ok(error) => return self.fail(core, index, error),
                Err(error) => return self.fail(core, index, Some(error)),
            }
        }
        self.talk(core, index);
        self.run(core);
    }

    /// Ends every probe. Nothing is told.
    pub(crate) fn close_all(&mut self, core: &mut Core) {
        for talk in self.table.drain() {
            net::close(talk.socket, talk.since);
        }
        self.talks.clear();
        if let Some(timer) = self.timer.take() {
            core.wheel.cancel(timer);
        }
    }

    /// Does what is due, and what the checks say.
    fn run(&mut self, core: &mut Core) {
        self.checks.handle_timeout(core.now);
        while let Some(action) = self.checks.poll_action(core.now) {
            match action {
                Action::Start { check, probe, target } => self.start(core, check, probe, target),
                Action::Close { check, .. } => {
                    if let Some(index) = self.talks.remove(&check) {
                        let talk = self.table.remove(index);
                        net::close(talk.socket, talk.since);
                    }
                }
                Action::Known { check, pool, backend } => {
                    if let Some(check) = self.checks.check(check) {
                        self.standings[pool].note(backend, check);
                    }
                }
                Action::Forget { pool, backend } => self.standings[pool].forget(backend),
            }
        }
        match self.checks.next_deadline() {
            Some(deadline) => core.set_timer(&mut self.timer, deadline, Timer::Probing),
            None => {
                if let Some(timer) = self.timer.take() {
                    core.wheel.cancel(timer);
                }
            }
        }
    }

    fn start(&mut self, core: &mut Core, check: CheckId, probe: ProbeId, target: Address) {
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let since = Moment::now();
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        let opened = net::connect(&target).and_then(|socket| {
            core.register(&socket, Source::Probe(key))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                let index = self.table.insert(Talk {
                    socket,
                    check,
                    probe,
                    target,
                    since,
                    out: Outgoing::default(),
                    is_connected: false,
                    generation: self.generation,
                });
                self.talks.insert(check, index);
            }
            // Our own want is not the backend's fault.
            Err(error) if net::is_starved(&error) => self.checks.handle_abandoned(check, probe, core.now),
            Err(error) => {
                let verdict = checks::unreachable(&target, &error);
                self.checks.handle_verdict(check, probe, verdict, core.now);
            }
        }
    }

    /// The connection broke, or was never made.
    fn fail(&mut self, core: &mut Core, index: usize, error: Option<io::Error>) {
        let talk = &self.table[index];
        let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
        let verdict = match talk.is_connected {
            true => checks::broken(&error),
            false => checks::unreachable(&talk.target, &error),
        };
        self.finish(core, index, verdict);
        self.run(core);
    }

    /// Sends, reads and hands over as far as it goes.
    fn talk(&mut self, core: &mut Core, index: usize) {
        let talk = &mut self.table[index];
        if !talk.is_connected {
            self.checks.handle_connected(talk.check, talk.probe);
        }
        let Some(dialogue) = self.checks.dialogue(talk.check) else { return };
        let mut progress = Progress::More;
        if !talk.is_connected {
            talk.is_connected = true;
            progress = dialogue.begin(&mut talk.out.bytes);
        }
        loop {
            if let Err(error) = talk.out.send(&talk.socket)
                && progress == Progress::More
            {
                return self.fail(core, index, Some(error));
            }
            if let Some(verdict) = Verdict::of(progress) {
                return self.finish(core, index, verdict);
            }
            progress = match net::read(&talk.socket, &mut core.buffer) {
                Ok(None) => return,
                Ok(Some(0)) => dialogue.handle_end(),
                Ok(Some(bytes)) => dialogue.handle_bytes(&core.buffer[..bytes], &mut talk.out.bytes),
                Err(error) => return self.fail(core, index, Some(error)),
            };
        }
    }

    fn finish(&mut self, core: &mut Core, index: usize, verdict: Verdict) {
        let talk = self.table.remove(index);
        self.talks.remove(&talk.check);
        let check = self.checks.check(talk.check);
        if check.is_some_and(|check| matches!(check.settings().options().kind, Kind::Tcp)) {
            // Nothing was said that could be lost, and thousands of connections a second would otherwise each
            // hold a port for a minute.
            let _ = talk.socket.set_linger(Some(Duration::ZERO));
        }
        net::close(talk.socket, talk.since);
        self.checks.handle_verdict(talk.check, talk.probe, verdict, core.now);
    }
}

impl Checked {
    pub(crate) fn new(pool: Arc<Pool>, settings: Option<Arc<Settings>>, standing: Arc<Standing>) -> Self {
        Self { pool, settings, standing }
    }
}
