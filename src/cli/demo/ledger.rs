//! [`Ledger`]: what the clients saw, written down step by step. It knows no clock and no socket; who writes
//! into it holds the lock of the [`Desk`](super::desk::Desk).
//!
//! What is true at a moment cannot be told from figures that several threads are changing, so nothing is
//! judged by the time at which it happened. Every connection bears the [`Mark`] of the moment before it was
//! begun: one begun after a backend was stopped, or drained, cannot have been given to it before.

use hdrhistogram::Histogram;

use super::freshness::Freshness;
use super::plan::STALE_MAX;
use super::tally::Tally;

/// A moment of the demo: which step, and whether what it does was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    step: usize,
    has_acted: bool,
}

/// What happened during one step, or during all of them.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    /// Requests answered.
    pub(super) answered: u64,
    /// Requests that were on their way to a backend when it was stopped.
    pub(super) cut: u64,
    /// Connections without a request on its way that were open to a backend when it was stopped.
    pub(super) closed_idle: u64,
    /// What must not happen: requests without an answer, and idle connections that the other side ended.
    pub(super) failed: u64,
    /// The first of these, in words.
    pub(super) failure: Option<String>,
    /// For each backend the connections it was given, of those begun after the step had acted.
    pub(super) connections: Vec<u64>,
    /// For each backend the requests it answered.
    pub(super) answers: Vec<u64>,
    /// How long answers took, in nanoseconds.
    pub(super) latency: Histogram<u64>,
}

impl Counts {
    pub(super) fn new(backends: usize) -> Self {
        Self {
            answered: 0,
            cut: 0,
            closed_idle: 0,
            failed: 0,
            failure: None,
            connections: vec![0; backends],
            answers: vec![0; backends],
            latency: Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, 3).expect("constants that fit"),
        }
    }

    /// Requests, however they went.
    pub(super) fn requests(&self) -> u64 {
        self.answered + self.cut + self.failed
    }

    pub(super) fn connections_sum(&self) -> u64 {
        self.connections.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.answered += other.answered;
        self.cut += other.cut;
        self.closed_idle += other.closed_idle;
        self.failed += other.failed;
        if self.failure.is_none() {
            self.failure.clone_from(&other.failure);
        }
        let sums = |sums: &mut [u64], others: &[u64]| {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        };
        sums(&mut self.connections, &other.connections);
        sums(&mut self.answers, &other.answers);
        self.latency.add(&other.latency).expect("all have the same bounds");
    }
}

/// A client's connection. A client has one at a time.
#[derive(Clone, Copy)]
struct Connection {
    begun: Mark,
    /// Known from its first answer.
    backend: Option<usize>,
    /// A request is on its way.
    is_asked: bool,
}

pub(super) struct Ledger {
    mark: Mark,
    /// One for each step that has begun.
    steps: Vec<Counts>,
    /// For each client its connection.
    connections: Vec<Option<Connection>>,
    /// The backend whose connections may break during this step, if they were begun before it acted.
    excused: Option<usize>,
    begun: u64,
    backends: usize,
    /// What the store was told of it.
    pub(super) tally: Tally,
    /// What the replica without a vote showed.
    pub(super) freshness: Freshness,
}

/// In nanoseconds; what is beyond counts as this much.
const LATENCY_MIN: u64 = 1_000;
const LATENCY_MAX: u64 = 60_000_000_000;

/// What the clients write.
impl Ledger {
    /// A client is about to connect.
    pub(super) fn open(&mut self, client: usize) {
        self.connections[client] = Some(Connection { begun: self.mark, backend: None, is_asked: false });
    }

    /// A client is about to ask.
    pub(super) fn begin(&mut self, client: usize) {
        self.begun += 1;
        if let Some(connection) = &mut self.connections[client] {
            connection.is_asked = true;
        }
    }

    /// A client was answered by `backend`, after so many nanoseconds.
    pub(super) fn answered(&mut self, client: usize, backend: usize, nanos: u64) {
        let Some(connection) = &mut self.connections[client] else {
            return self.fail("an answer without a connection".into());
        };
        connection.is_asked = false;
        match connection.backend {
            Some(known) if known != backend => {
                return self.fail("another backend answered in the midst of a connection".into());
            }
            Some(_) => {}
            None => {
                connection.backend = Some(backend);
                // One begun before the step acted, or answered after its end, proves nothing about it.
                if self.mark.has_acted && connection.begun == self.mark {
                    self.step().connections[backend] += 1;
                }
            }
        }
        let step = self.step();
        step.answered += 1;
        step.answers[backend] += 1;
        step.latency.saturating_record(nanos.max(LATENCY_MIN));
    }

    /// A client's connection broke with a request on its way.
    pub(super) fn broken(&mut self, client: usize, why: String) {
        if self.end(client) { self.step().cut += 1 } else { self.fail(why) }
    }

    /// The other side ended a client's connection while it was idle.
    pub(super) fn ended_idle(&mut self, client: usize, why: String) {
        if self.end(client) { self.step().closed_idle += 1 } else { self.fail(why) }
    }

    /// A client closed its connection in good order.
    pub(super) fn closed(&mut self, client: usize) {
        self.connections[client] = None;
    }

    /// Something is wrong, whatever was asked.
    pub(super) fn fail(&mut self, why: String) {
        let step = self.step();
        step.failed += 1;
        step.failure.get_or_insert(why);
    }

    /// Takes a client's connection away that broke. Whether that is no surprise.
    fn end(&mut self, client: usize) -> bool {
        let Some(connection) = self.connections[client].take() else { return false };
        let acted = Mark { has_acted: true, ..self.mark };
        self.excused.is_some() && connection.begun < acted && is_on(&connection, self.excused)
    }

    fn step(&mut self) -> &mut Counts {
        &mut self.steps[self.mark.step]
    }
}

/// What who plays the steps writes and reads.
impl Ledger {
    /// The first step has begun.
    pub(super) fn new(clients: usize, backends: usize) -> Self {
        Self {
            mark: Mark::default(),
            steps: vec![Counts::new(backends)],
            connections: vec![None; clients],
            excused: None,
            begun: 0,
            backends,
            tally: Tally::new(backends),
            freshness: Freshness::new(STALE_MAX),
        }
    }

    /// This step is about to stop `backend`: its connections of before may break.
    pub(super) fn excuse(&mut self, backend: usize) {
        self.excused = Some(backend);
    }

    /// What this step does is done: what is begun from now on comes after it for certain.
    pub(super) fn acted(&mut self) {
        self.mark.has_acted = true;
    }

    /// Ends a step and begins the next one. Answers with what happened during the one that ended.
    pub(super) fn next_step(&mut self) -> Counts {
        let counts = self.counts().clone();
        self.steps.push(Counts::new(self.backends));
        self.mark = Mark { step: self.mark.step + 1, has_acted: false };
        self.excused = None;
        counts
    }

    /// What happened during this step so far.
    pub(super) fn counts(&self) -> &Counts {
        &self.steps[self.mark.step]
    }

    /// Requests begun, over all steps.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether a request is on its way on a connection that is known to be open to `backend`.
    pub(super) fn is_asked(&self, backend: usize) -> bool {
        self.connections.iter().flatten().any(|one| one.backend == Some(backend) && one.is_asked)
    }

    /// Whether a connection is open that was begun before this step acted, and is to `backend` or may be.
    pub(super) fn has_older(&self, backend: usize) -> bool {
        let is_older = |connection: &Connection| connection.begun < self.mark;
        self.connections.iter().flatten().any(|one| is_older(one) && is_on(one, Some(backend)))
    }
}

/// Whether a connection is to this backend, or not known to be to another.
fn is_on(connection: &Connection, backend: Option<usize>) -> bool {
    connection.backend.is_none() || connection.backend == backend
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clients, two backends, and a first step that has acted.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(3, 2);
        ledger.acted();
        ledger
    }

    /// A request that begins a connection.
    fn ask_anew(ledger: &mut Ledger, client: usize, backend: usize) {
        ledger.open(client);
        ledger.begin(client);
        ledger.answered(client, backend, 1_000_000);
    }

    #[test]
    fn answers_and_connections_are_counted_each_where_it_belongs() {
        let mut ledger = ledger();
        ask_anew(&mut ledger, 0, 0);
        assert!(!ledger.is_asked(0));
        ledger.begin(0);
        assert!(ledger.is_asked(0) && !ledger.is_asked(1));
        ledger.answered(0, 0, 2_000_000);
        assert!(!ledger.is_asked(0));
        ask_anew(&mut ledger, 1, 1);
        ledger.closed(1);
        let counts = ledger.next_step();
        assert_eq!((counts.answered, counts.requests(), ledger.begun()), (3, 3, 3));
        assert_eq!((&counts.answers[..], &counts.connections[..]), (&[2, 1][..], &[1, 1][..]));
        assert!((990_000..1_010_000).contains(&counts.latency.min()), "{}", counts.latency.min());
        assert_eq!(counts.latency.len(), 3);
        // The next step begins with nothing but the connection that is open.
        assert_eq!(ledger.counts().requests(), 0);
        assert!(ledger.has_older(0) && !ledger.has_older(1));
    }

    #[test]
    fn a_connection_proves_nothing_about_a_step_it_is_not_wholly_in() {
        let mut ledger = ledger();
        // Begun in the first step, answered in the second.
        ledger.open(0);
        ledger.begin(0);
        ledger.next_step();
        // Begun while the second acts.
        ledger.open(1);
        ledger.begin(1);
        ledger.acted();
        ledger.answered(0, 1, 1);
        ledger.answered(1, 1, 1);
        ask_anew(&mut ledger, 2, 0);
        let counts = ledger.next_step();
        assert_eq!((&counts.answers[..], &counts.connections[..]), (&[1, 2][..], &[1, 0][..]));
    }

    #[test]
    fn only_older_connections_to_the_stopped_backend_are_excused() {
        let mut ledger = Ledger::new(6, 2);
        ledger.acted();
        for (client, backend) in [(0, 0), (1, 0), (2, 1), (3, 0)] {
            ask_anew(&mut ledger, client, backend);
        }
        // Whose it is was not said yet.
        ledger.open(4);
        ledger.begin(4);
        ledger.next_step();
        ledger.excuse(0);
        ledger.broken(0, "cut".into());
        ledger.acted();
        assert!(ledger.has_older(0) && ledger.has_older(1), "client 4 may be on either");
        ledger.ended_idle(1, "cut while idle".into());
        ledger.broken(4, "cut before it was answered".into());
        assert_eq!((ledger.counts().cut, ledger.counts().closed_idle, ledger.counts().failed), (2, 1, 0));
        // Another backend's.
        ledger.broken(2, "the first surprise".into());
        // One that was begun afterwards.
        ask_anew(&mut ledger, 5, 0);
        ledger.broken(5, "the second surprise".into());
        assert!(ledger.has_older(0), "client 3 has not noticed yet");
        ledger.broken(3, "cut".into());
        assert!(!ledger.has_older(0) && !ledger.has_older(1));
        let counts = ledger.next_step();
        assert_eq!((counts.cut, counts.failed), (3, 2));
        assert_eq!(counts.failure.as_deref(), Some("the first surprise"));
    }

    #[test]
    fn without_a_stop_nothing_is_excused() {
        let mut ledger = ledger();
        ask_anew(&mut ledger, 0, 0);
        ask_anew(&mut ledger, 1, 0);
        ledger.next_step();
        ledger.broken(0, "a surprise".into());
        ledger.ended_idle(1, "another".into());
        assert_eq!((ledger.counts().cut, ledger.counts().closed_idle, ledger.counts().failed), (0, 0, 2));
        // And what a step excuses is over with it.
        ask_anew(&mut ledger, 2, 0);
        ledger.excuse(0);
        ledger.next_step();
        ledger.broken(2, "a third".into());
        assert_eq!((ledger.counts().cut, ledger.counts().failed), (0, 1));
    }

    #[test]
    fn a_connection_has_one_backend() {
        let mut ledger = ledger();
        ask_anew(&mut ledger, 0, 0);
        ledger.begin(0);
        ledger.answered(0, 1, 1);
        ledger.answered(1, 1, 1);
        assert_eq!((ledger.counts().failed, ledger.counts().answered), (2, 1));
    }

    #[test]
    fn sums_are_of_everything() {
        let mut ledger = ledger();
        ask_anew(&mut ledger, 0, 0);
        ledger.fail("first".into());
        let mut sum = Counts::new(2);
        sum.add(&ledger.next_step());
        ledger.acted();
        ask_anew(&mut ledger, 1, 1);
        ledger.fail("second".into());
        sum.add(&ledger.next_step());
        assert_eq!((sum.requests(), sum.connections_sum(), sum.latency.len()), (4, 2, 2));
        assert_eq!((&sum.answers[..], sum.failure.as_deref()), (&[1, 1][..], Some("first")));
    }
}
