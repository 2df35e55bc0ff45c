//! [`Prober`]: a [`Check`] and its [`Dialogue`] for one backend, for a loop of one's own. The loop owns the socket and
//! the clock: it tells what happened to them, and takes steps until it may wait.
//!
//! ```text
//! take_step ──► Connect ── handle_connected ──► Write ── handle_written ──► Wait ── handle_bytes, handle_end ──► Close
//!                  └────── handle_failed ────────────────────────────────────────────────────────► Change, Wait
//! ```
//!
//! One probe is under way at a time. What is told of a connection that was given up is ignored, so a loop that was late
//! does no harm.

use std::sync::Arc;

use crate::health::check::{Action, Cause, Check, ProbeId, State, Verdict};
use crate::health::options::{Initial, Settings};
use crate::health::probe::{Dialogue, Entropy, Progress};
use crate::health::reason::{Reason, Source};
use crate::rng::Rng;
use crate::time::Instant;

/// What the loop is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until something comes on the connection or [`Prober::next_deadline`] is there.
    Wait,
    /// Connect to the check's target, and tell how that went.
    Connect,
    /// Write [`Prober::outgoing`] as far as the socket takes it, and tell how far.
    Write,
    /// Close the connection. What [`Prober::outgoing`] still has is a farewell: it may be written before, if the socket
    /// takes it at once.
    Close,
    /// The state is another one: [`Prober::state`], [`Prober::why`].
    Change,
    /// A good probe learnt something new: `check().facts()`.
    Learn,
}

/// Checks one backend in the hands of a loop.
#[derive(Debug)]
pub struct Prober {
    check: Check,
    dialogue: Dialogue,
    rng: Rng,
    connection: Connection,
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    /// What was not taken yet, beside what `check` has.
    is_to_close: bool,
    is_to_change: bool,
}

/// The connection of the probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    None,
    /// To be made; the loop has not been told yet.
    Wanted(ProbeId),
    Connecting(ProbeId),
    Open(ProbeId),
}

impl Prober {
    /// The first probe falls due within one `interval` of `now`. `authority` is the backend's address as it was
    /// configured, which HTTP sends as `Host` where no other is given. `seed` spreads probes.
    pub fn new(settings: Arc<Settings>, authority: &str, entropy: Entropy, seed: u64, now: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let dialogue = settings.options().kind.dialogue(authority, entropy);
        let is_to_change = settings.options().initial != Initial::Unknown;
        Self {
            check: Check::new(settings, now, &mut rng),
            dialogue,
            rng,
            connection: Connection::None,
            out: Vec::new(),
            written: 0,
            is_to_close: false,
            is_to_change,
        }
    }

    /// Does what is due at or before `now`, and says what to do next. Take steps until it is [`Step::Wait`], or
    /// [`Step::Write`] and the socket takes nothing more now.
    pub fn take_step(&mut self, now: Instant) -> Step {
        self.check.handle_timeout(now, &mut self.rng);
        if !self.is_to_close {
            while let Some(action) = self.check.poll_action() {
                match action {
                    Action::Start(probe) => self.connection = Connection::Wanted(probe),
                    // Its connection goes, and with it what was to be written.
                    Action::Cancel(_) => {
                        self.forget();
                        self.end_connection();
                    }
                    Action::Change(_) => self.is_to_change = true,
                    Action::Facts => return Step::Learn,
                }
                if self.is_to_close {
                    break;
                }
            }
        }
        if std::mem::take(&mut self.is_to_close) {
            return Step::Close;
        }
        if std::mem::take(&mut self.is_to_change) {
            return Step::Change;
        }
        match self.connection {
            Connection::Wanted(probe) => {
                self.forget();
                self.connection = Connection::Connecting(probe);
                Step::Connect
            }
            Connection::Open(_) if !self.outgoing().is_empty() => Step::Write,
            _ => Step::Wait,
        }
    }

    /// When to take the next step if nothing happens before; `None` while nothing is pending.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.check.next_deadline()
    }

    /// The connection stands.
    pub fn handle_connected(&mut self, now: Instant) {
        let Connection::Connecting(probe) = self.connection else { return };
        self.connection = Connection::Open(probe);
        self.check.handle_connected(probe);
        let progress = self.dialogue.begin(&mut self.out);
        self.settle(probe, progress, now);
    }

    /// The socket took so much of [`Prober::outgoing`].
    pub fn handle_written(&mut self, bytes: usize) {
        self.written = self.out.len().min(self.written.saturating_add(bytes));
        if self.written == self.out.len() {
            self.forget();
        }
    }

    /// This came.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        let Connection::Open(probe) = self.connection else { return };
        let progress = self.dialogue.handle_bytes(bytes, &mut self.out);
        self.settle(probe, progress, now);
    }

    /// The backend ended its half: nothing more will come.
    pub fn handle_end(&mut self, now: Instant) {
        let Connection::Open(probe) = self.connection else { return };
        let progress = self.dialogue.handle_end();
        self.settle(probe, progress, now);
    }

    /// The connection could not be made, or broke. `why` is one line.
    pub fn handle_failed(&mut self, why: &str, now: Instant) {
        let (probe, text) = match self.connection {
            Connection::Connecting(probe) => (probe, format!("cannot connect: {why}")),
            Connection::Open(probe) => (probe, format!("the connection broke: {why}")),
            Connection::None | Connection::Wanted(_) => return,
        };
        self.forget();
        self.end_connection();
        self.check.handle_verdict(probe, Verdict::Bad(Reason::new(Source::Connection, text)), now);
    }

    /// The probe could not be made for a reason of the loop's own, such as a want of descriptors. It is no verdict; the
    /// next one comes at its time.
    pub fn handle_abandoned(&mut self, now: Instant) {
        let (Connection::Connecting(probe) | Connection::Open(probe)) = self.connection else { return };
        self.forget();
        self.end_connection();
        self.check.handle_abandoned(probe, now);
    }

    /// Traffic gave cause for doubt: the next probe comes as soon as `interval_transition` allows.
    pub fn handle_suspicion(&mut self, now: Instant) {
        self.check.handle_suspicion(now);
    }

    /// What is to be written and was not yet.
    pub fn outgoing(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// How the backend stands.
    pub fn check(&self) -> &Check {
        &self.check
    }

    /// What is known of the backend.
    pub fn state(&self) -> State {
        self.check.state()
    }

    /// Why it is in this state, in one line; empty while nothing is known.
    pub fn why(&self) -> String {
        match self.check.last_change() {
            Some(change) => change.cause.to_string(),
            None => match self.check.settings().options().initial {
                Initial::Unknown => String::new(),
                Initial::Up => "up until proven down".to_string(),
                Initial::Down => "down until proven up".to_string(),
            },
        }
    }

    fn settle(&mut self, probe: ProbeId, progress: Progress, now: Instant) {
        if let Some(verdict) = Verdict::of(progress) {
            self.end_connection();
            self.check.handle_verdict(probe, verdict, now);
        }
    }

    /// The loop's connection is of no use any more.
    fn end_connection(&mut self) {
        self.is_to_close |= matches!(self.connection, Connection::Connecting(_) | Connection::Open(_));
        self.connection = Connection::None;
    }

    fn forget(&mut self) {
        self.out.clear();
        self.written = 0;
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Rise(count) => write!(f, "{count} good probes in a row"),
            Cause::Fall(count, reason) => write!(f, "{count} bad probes in a row, the last: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::options::Options;
    use crate::health::probe::{Kind, redis};

    fn prober(kind: Kind, initial: Initial) -> (Prober, Instant) {
        let options = Options { kind, initial, rise: 1, fall: 2, jitter: 0.0, ..Options::default() };
        let now = Instant::from_millis(1_000);
        let entropy = Entropy::seeded(&mut Rng::new(1));
        let settings = Arc::new(options.parse().unwrap());
        (Prober::new(settings, "10.0.0.1:80", entropy, 7, now), now)
    }

    fn redis_kind() -> Kind {
        Kind::Redis(Arc::new(redis::Redis::new(&redis::Options::default()).unwrap()))
    }

    /// Waits until the next probe.
    fn next(prober: &mut Prober) -> Instant {
        let due = prober.next_deadline().unwrap();
        assert_eq!(prober.take_step(due), Step::Connect);
        assert_eq!(prober.take_step(due), Step::Wait);
        due
    }

    #[test]
    fn a_good_answer_brings_up() {
        let (mut prober, now) = prober(redis_kind(), Initial::Unknown);
        assert_eq!(
            (prober.take_step(now), prober.state(), prober.why().as_str()),
            (Step::Wait, State::Unknown, "")
        );
        let now = next(&mut prober);
        prober.handle_connected(now);
        assert_eq!(prober.take_step(now), Step::Write);
        assert!(prober.outgoing().ends_with(b"PING\r\n"), "{:?}", prober.outgoing());
        prober.handle_written(3);
        assert_eq!(prober.take_step(now), Step::Write, "a part is not all");
        prober.handle_written(usize::MAX);
        assert_eq!(prober.take_step(now), Step::Wait);
        prober.handle_bytes(b"+PO", now);
        assert_eq!(prober.take_step(now), Step::Wait);
        prober.handle_bytes(b"NG\r\n", now);
        assert_eq!(prober.take_step(now), Step::Close);
        assert_eq!(prober.take_step(now), Step::Change);
        assert_eq!(prober.take_step(now), Step::Wait);
        assert_eq!((prober.state(), prober.why().as_str()), (State::Up, "1 good probes in a row"));
        // What comes of the connection that was closed is nobody's.
        prober.handle_failed("late", now);
        prober.handle_end(now);
        assert_eq!((prober.take_step(now), prober.check().counts().bad), (Step::Wait, 0));
    }

    #[test]
    fn failures_bring_down_and_say_why() {
        let (mut prober, now) = prober(Kind::Tcp, Initial::Up);
        assert_eq!((prober.take_step(now), prober.state()), (Step::Change, State::Up));
        assert_eq!(prober.why(), "up until proven down");
        let now = next(&mut prober);
        prober.handle_failed("connection refused", now);
        assert_eq!(prober.take_step(now), Step::Close);
        assert_eq!(prober.take_step(now), Step::Wait);
        let now = next(&mut prober);
        // Nothing comes of it until its time is over.
        let late = now.saturating_add(Duration::from_secs(1));
        assert_eq!(prober.next_deadline(), Some(late));
        assert_eq!(prober.take_step(late), Step::Close);
        assert_eq!(prober.take_step(late), Step::Change);
        assert_eq!(prober.state(), State::Down);
        assert!(prober.why().starts_with("2 bad probes in a row, the last: timeout"), "{}", prober.why());
        prober.handle_connected(late);
        assert_eq!((prober.take_step(late), prober.check().counts().good), (Step::Wait, 0), "it came late");
    }

    #[test]
    fn what_the_loop_lacks_is_no_verdict() {
        let (mut prober, _) = prober(Kind::Tcp, Initial::Unknown);
        for _ in 0..5 {
            let now = next(&mut prober);
            prober.handle_abandoned(now);
            assert_eq!(prober.take_step(now), Step::Close);
        }
        assert_eq!((prober.state(), prober.check().counts().bad), (State::Unknown, 0));
    }
}
