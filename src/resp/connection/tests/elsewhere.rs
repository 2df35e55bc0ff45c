//! Connections of a replica whose view is too old, and the primary that they ask.

use super::*;
use crate::resp::reply::Protocol;
use crate::store::index::Outcome;

const OLD: Sight = Sight::Past(Some(Duration::from_secs(6)));
const FRESH: Sight = Sight::Past(Some(Duration::from_secs(1)));
const STALE: &str = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

impl World {
    /// A replica with `k` and the hash `h`, on which nothing is fresh enough, and a primary.
    fn behind(connections: usize) -> Self {
        let options = Options { age_max: Some(Duration::from_secs(5)), ..Options::default() };
        let mut world = World::new(HubOptions::default(), options, connections);
        assert_eq!(world.ask(0, "SET k old\nHSET h f v"), "+OK :1");
        let topology = crate::resp::topology::tests::three(1, Some(0));
        world.hub.set_topology(Arc::new(Topology { forwards: true, ..topology }));
        (world.store.sight, world.store.has_primary) = (OLD, true);
        world
    }

    /// The oldest question to the primary that was not answered.
    fn asked(&mut self) -> Asked {
        self.store.asked.pop_front().expect("the primary is asked")
    }

    fn hear(&mut self, at: usize, ticket: Ticket, told: Result<Told, Error>) {
        self.connections[at].take_told(ticket, told, &mut self.hub, &mut self.store, self.now);
        self.advance(at);
    }
}

/// What the primary has written as of its entry `sequence`.
fn answer(text: &str, sequence: u64) -> Result<Told, Error> {
    let position = Position { epoch: 3, sequence };
    Ok(Told { position, answer: Some(text.replace(' ', "\r\n").into_bytes()) })
}

/// What is here has all, or the primary does not do the errand.
const NO_ANSWER: Result<Told, Error> =
    Ok(Told { position: Position { epoch: 0, sequence: 2 }, answer: None });

fn words(errand: Option<&Errand>) -> String {
    let arguments = &errand.expect("an errand").arguments;
    arguments.iter().map(|it| String::from_utf8_lossy(it)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_read_is_answered_by_the_primary_in_its_turn() {
    let mut world = World::behind(2);
    let commands = world.hub.counters().commands;
    world.send(0, "PING\nGET k\nSET n 1\nMGET k n\nPING");
    assert_eq!(world.told(0), "+PONG", "what is behind it waits");
    assert!(world.connections[0].is_at_work(&world.hub) && world.store.log.is_empty());
    let (ticket, errand, position) = world.asked();
    assert_eq!((words(errand.as_ref()).as_str(), position), ("GET k", None));
    assert_eq!(errand.unwrap().protocol, Protocol::Resp2);
    // Others do not wait for it.
    assert_eq!(world.ask(1, "PING"), "+PONG");
    world.hear(1, ticket, answer("$3 new ", 9));
    assert_eq!(world.told(1), "", "it is none of theirs");
    world.hear(0, ticket, answer("$3 new ", 9));
    assert_eq!(world.told(0), "$3 new");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    let (ticket, errand, _) = world.asked();
    assert_eq!(words(errand.as_ref()), "MGET k n");
    world.hear(0, ticket, answer("*2 $3 new $1 1 ", 10));
    assert_eq!(world.told(0), "*2 $3 new $1 1 +PONG");
    assert_eq!(
        world.hub.counters().commands - commands,
        6,
        "each counts once, and so does that of the other"
    );
    assert!(!world.connections[0].is_at_work(&world.hub));

    world.ask(0, "HELLO 3");
    let errors = world.hub.counters().errors;
    world.send(0, "HGET k f");
    let (ticket, errand, _) = world.asked();
    assert_eq!(errand.unwrap().protocol, Protocol::Resp3);
    world.hear(0, ticket, answer("-WRONGTYPE ", 10));
    assert_eq!(world.told(0), "-WRONGTYPE");
    assert_eq!(world.hub.counters().errors - errors, 1);
    // What is fresh is answered here, and so is what may be old.
    assert_eq!(world.ask(1, "READONLY\nGET k\nREADWRITE"), "+OK $3 old +OK");
    world.store.sight = FRESH;
    assert_eq!(world.ask(1, "GET k"), "$3 old");
    assert!(world.store.asked.is_empty());
}

#[test]
fn what_the_primary_does_not_do_is_done_here_once_all_is_here() {
    let mut world = World::behind(1);
    // It was passed on, and is too long or too much, or not known there, or the answer did not come.
    for told in [NO_ANSWER, Err(Error::TimedOut { what: "read" })] {
        world.send(0, "GET k\nPING");
        let (ticket, errand, _) = world.asked();
        assert!(errand.is_some());
        world.hear(0, ticket, told);
        let (ticket, errand, _) = world.asked();
        assert_eq!((errand, world.told(0).as_str()), (None, ""));
        world.hear(0, ticket, NO_ANSWER);
        assert_eq!(world.told(0), "$3 old +PONG");
    }
    for (line, told) in [
        ("KEYS *", "*2 $1 h $1 k"),
        ("DBSIZE", ":2"),
        ("SCAN 0", "*2 $1 0 *2 $1 h $1 k"),
        ("LCS k k", "$3 old"),
        ("MULTI\nGET k\nHGET h f\nEXEC", "+OK +QUEUED +QUEUED *2 $3 old $1 v"),
        ("DEL none nor", ":0"),
        ("HDEL h none", ":0"),
    ] {
        world.send(0, &format!("{line}\nPING"));
        let (ticket, errand, _) = world.asked();
        assert_eq!(errand, None, "{line}");
        world.hear(0, ticket, NO_ANSWER);
        assert_eq!(world.told(0), format!("{told} +PONG"));
        assert!(world.store.asked.is_empty() && world.store.log.is_empty(), "{line}");
    }
    // What has come meanwhile makes a write of it.
    world.send(0, "DEL none nor");
    let (ticket, ..) = world.asked();
    world.store.sight = Sight::Whole;
    let set = Command {
        time: world.now,
        request: None,
        operation: Operation::Step(crate::store::index::Step::Put {
            key: b"nor",
            value: b"1",
            condition: crate::store::index::Condition::Always,
            lifetime: crate::store::index::Lifetime::Unbounded,
            previous: false,
        }),
    };
    world.store.submit(&set, Durability::Local, false, None).unwrap();
    world.apply();
    world.hear(0, ticket, NO_ANSWER);
    assert_eq!(world.told(0), "");
    assert!(world.apply());
    assert_eq!(world.told(0), ":1");
}

#[test]
fn without_a_primary_to_be_asked_it_is_as_before() {
    let mut world = World::behind(2);
    let transaction = "MULTI\nGET k\nEXEC";
    for line in ["GET k", "SCAN 0", "KEYS *", transaction] {
        world.store.has_primary = false;
        assert!(world.ask(0, line).ends_with(STALE), "{line}: at once");
        // None of the answers come.
        world.store.has_primary = true;
        world.send(0, &format!("{line}\nPING"));
        while let Some((ticket, ..)) = world.store.asked.pop_front() {
            assert!(!world.told(0).contains(STALE));
            world.hear(0, ticket, Err(Error::NoQuorum));
        }
        assert!(world.told(0).ends_with(&format!("{STALE} +PONG")), "{line}");
        // It goes away in between.
        world.send(0, &format!("{line}\nPING"));
        world.store.has_primary = false;
        let (ticket, ..) = world.asked();
        world.hear(0, ticket, Err(Error::NoQuorum));
        assert!(world.told(0).ends_with(&format!("{STALE} +PONG")), "{line}");
    }
    // Who has lost its quorum asks nobody, and neither does a balancer, which goes to the primary by itself.
    world.store.has_primary = true;
    assert!(world.ask(1, "TRIMTAB BOUND -1\nGET k").ends_with(STALE));
    assert!(world.ask(1, "TRIMTAB BOUND 10\nGET k").contains("-BEHIND "));
    assert!(world.ask(1, "TRIMTAB AFTER 0 99 0 GET k").starts_with("-BEHIND "));
    world.store.sight = Sight::Lapsed;
    world.send(0, "GET k");
    world.now = world.now.saturating_add(3_000);
    world.advance(0);
    assert!(world.told(0).starts_with("-CLUSTERDOWN "));
    assert!(world.store.asked.is_empty());
    // Whoever is to go is not kept by it, and is told nothing more.
    world.store.sight = OLD;
    world.send(0, "GET k");
    let (ticket, ..) = world.asked();
    world.connections[0].dismiss(&mut world.hub);
    assert!(world.connections[0].is_finished());
    world.hear(0, ticket, answer("$3 new ", 9));
    assert_eq!(world.told(0), "");
}

#[test]
fn nobody_is_told_what_is_older_than_what_the_primary_told_before() {
    let mut world = World::behind(2);
    world.send(0, "GET k");
    let (ticket, ..) = world.asked();
    world.hear(0, ticket, answer("$3 new ", 3));
    assert_eq!(world.told(0), "$3 new");
    // Fresh enough for others, but not for who has seen more.
    world.store.sight = FRESH;
    assert_eq!(world.ask(1, "GET k"), "$3 old");
    world.send(0, "GET k");
    let (ticket, ..) = world.asked();
    world.hear(0, ticket, answer("$3 new ", 3));
    assert_eq!(world.told(0), "$3 new");
    world.store.has_primary = false;
    assert_eq!(world.ask(0, "GET k"), STALE);
    assert_eq!(world.ask(1, "SET k new"), "+OK");
    assert_eq!(world.ask(0, "GET k"), "$3 new", "it has come here");
    // A position is behind what was read.
    (world.store.sight, world.store.has_primary) = (OLD, true);
    world.send(0, "GET k");
    let (ticket, ..) = world.asked();
    world.hear(0, ticket, answer("$5 newer ", 7));
    assert_eq!(world.ask(0, "TRIMTAB POSITION"), "$5 newer *2 :3 :7");
}

#[test]
fn a_read_behind_a_position_waits_its_time_and_goes_to_the_primary() {
    let mut world = World::behind(1);
    let position = Some(Position { epoch: 0, sequence: 9 });
    world.send(0, "TRIMTAB AFTER 0 9 100 GET k\nPING");
    assert!(world.connections[0].waits_for_log() && world.store.asked.is_empty());
    world.now = world.now.saturating_add(100);
    world.advance(0);
    let (ticket, errand, told) = world.asked();
    assert_eq!((words(errand.as_ref()).as_str(), told), ("GET k", position));
    world.hear(0, ticket, answer("$3 new ", 9));
    assert_eq!(world.told(0), "$3 new +PONG");
    // What it does not do, and that does not come here, is not known to be behind the position.
    world.send(0, "TRIMTAB AFTER 0 9 0 KEYS *\nPING");
    let (ticket, errand, told) = world.asked();
    assert_eq!((errand, told), (None, position));
    world.hear(0, ticket, Err(Error::NoQuorum));
    assert_eq!(world.told(0), "-BEHIND this node is not as fresh as was asked; nothing was done +PONG");
    // WAIT is about this node.
    assert!(world.ask(0, "TRIMTAB AFTER 0 9 0 WAIT 1 10").starts_with("-BEHIND "));
    assert!(world.store.asked.is_empty());
}

/// A replica that comes and goes with what the primary writes, and one client of it.
struct Voyage {
    world: World,
    rng: Rng,
    primary: Index,
    log: Vec<Vec<u8>>,
    /// When each number came to be.
    written: Vec<Timestamp>,
    fresh_at: Timestamp,
    is_slow: bool,
    /// Questions on their way: until when, and up to where a bare one has to wait.
    under_way: Vec<(Timestamp, Asked, Option<u64>)>,
    /// What was asked, and the least number that may be told.
    expected: VecDeque<(usize, u64)>,
    last: u64,
    here: u64,
    elsewhere: u64,
    refused: u64,
}

const ASKED: [&str; 5] = ["GET n", "MGET n n", "MULTI\nGET n\nEXEC", "KEYS n", "SCAN 0"];
const AGE_MAX: u64 = 20;

impl Voyage {
    fn new(seed: u64) -> Self {
        let options = Options { age_max: Some(Duration::from_millis(AGE_MAX)), ..Options::default() };
        let world = World::new(HubOptions::default(), options, 1);
        let mut voyage = Self {
            fresh_at: world.now,
            world,
            rng: Rng::new(seed),
            primary: Index::new(&index::Options::default()),
            log: Vec::new(),
            written: Vec::new(),
            is_slow: false,
            under_way: Vec::new(),
            expected: VecDeque::new(),
            last: 0,
            here: 0,
            elsewhere: 0,
            refused: 0,
        };
        voyage.write();
        voyage.follow(1, 0);
        voyage
    }

    /// The primary writes the next number.
    fn write(&mut self) {
        use crate::store::index::{Condition, Lifetime, Step};
        let value = (self.log.len() + 1).to_string();
        let (condition, lifetime) = (Condition::Always, Lifetime::Unbounded);
        let put = Step::Put { key: b"n", value: value.as_bytes(), condition, lifetime, previous: false };
        let command = Command { time: self.world.now, request: None, operation: Operation::Step(put) };
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        self.primary.apply(self.log.len() as u64 + 1, &bytes).unwrap();
        self.log.push(bytes);
        self.written.push(self.world.now);
    }

    /// The replica hears how the log was `delay` milliseconds ago, and applies so many entries at most.
    fn follow(&mut self, most: u64, delay: u64) {
        let as_of = Timestamp::from_millis(self.world.now.as_millis() - delay);
        let end = self.written.iter().filter(|at| **at <= as_of).count() as u64;
        let store = &mut self.world.store;
        let to = end.min(store.applied.saturating_add(most));
        while store.applied < to {
            let bytes = &self.log[store.applied as usize];
            store.applied += 1;
            store.index.apply(store.applied, bytes).unwrap();
        }
        store.index.publish();
        if store.applied >= end {
            // What comes later at the same time is not among it.
            let as_of = Timestamp::from_millis(as_of.as_millis() - 1);
            self.fresh_at = self.fresh_at.max(as_of);
        }
    }

    fn step(&mut self) {
        self.world.now = self.world.now.saturating_add(self.rng.below(4));
        if self.rng.below(3) == 0 {
            self.write();
        }
        if self.rng.below(60) == 0 {
            self.is_slow = !self.is_slow;
        }
        if !self.is_slow || self.rng.below(40) == 0 {
            let most = if self.is_slow { u64::MAX } else { self.rng.below(6) };
            let delay = self.rng.below(15);
            self.follow(most, delay);
        }
        if self.rng.below(40) == 0 {
            self.world.store.has_primary = self.rng.below(4) > 0;
        }
        let age = self.world.now.as_millis() - self.fresh_at.as_millis();
        self.world.store.sight = Sight::Past(Some(Duration::from_millis(age)));
        if self.expected.len() < 4 && self.rng.below(3) == 0 {
            let kind = self.rng.below(ASKED.len() as u64) as usize;
            let oldest = self.world.now.as_millis() - AGE_MAX;
            let least = self.written.iter().filter(|at| at.as_millis() < oldest).count() as u64;
            self.expected.push_back((kind, least));
            self.world.send(0, ASKED[kind]);
        }
        self.world.advance(0);
        self.tell();
        self.hear();
    }

    /// The primary answers what has arrived, or something comes between.
    fn tell(&mut self) {
        while let Some(asked) = self.world.store.asked.pop_front() {
            let due = self.world.now.saturating_add(self.rng.below(10));
            self.under_way.push((due, asked, None));
        }
        for (due, (ticket, errand, position), up_to) in std::mem::take(&mut self.under_way) {
            let committed = self.log.len() as u64;
            if due > self.world.now || up_to.is_some_and(|up_to| up_to > self.world.store.applied) {
                self.under_way.push((due, (ticket, errand, position), up_to));
                continue;
            }
            let fails = up_to.is_none() && self.rng.below(10) == 0;
            let told = match &errand {
                _ if fails => Err(Error::NoQuorum),
                // It is granted, and waited for here.
                None if up_to.is_none() => {
                    self.under_way.push((due, (ticket, errand, position), Some(committed)));
                    continue;
                }
                Some(errand) if self.rng.below(8) > 0 => {
                    self.elsewhere += 1;
                    let position = Position { epoch: 1, sequence: committed };
                    Ok(Told { position, answer: errand.answer(self.primary.state(), self.world.now) })
                }
                _ => Ok(Told { position: Position::default(), answer: None }),
            };
            self.world.hear(0, ticket, told);
        }
    }

    /// Checks what the client is told.
    fn hear(&mut self) {
        let output = String::from_utf8(self.world.connections[0].output().to_vec()).unwrap();
        self.world.connections[0].consume_output(output.len());
        let mut lines = output.split_terminator("\r\n").peekable();
        // A transaction's end may come later than its beginning.
        while lines.peek().is_some() {
            let (kind, least) = self.expected.pop_front().expect("nothing is said twice");
            let mut next = || lines.next().expect("it is whole");
            let mut first = next();
            if kind == 2 && first == "+OK" {
                assert_eq!(next(), "+QUEUED");
                match lines.next() {
                    Some(line) => first = line,
                    None => {
                        self.expected.push_front((kind, least));
                        return;
                    }
                }
            }
            let mut next = || lines.next().expect("it is whole");
            if first == STALE {
                self.refused += 1;
                continue;
            }
            let told = match (kind, first) {
                (0, _) => next(),
                (1, "*2") => {
                    let (_, one, _, other) = (next(), next(), next(), next());
                    assert_eq!(one, other);
                    one
                }
                (2, "*1") => [next(), next()][1],
                (3, "*1") => {
                    assert_eq!([next(), next()], ["$1", "n"]);
                    continue;
                }
                (4, "*2") => {
                    assert_eq!([next(), next(), next(), next(), next()], ["$1", "0", "*1", "$1", "n"]);
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let told: u64 = told.parse().unwrap();
            assert!(told >= least, "{told} is older than {AGE_MAX} ms, which {least} was already");
            assert!(told >= self.last, "{told} after {}", self.last);
            self.last = told;
            self.here += 1;
        }
    }
}

#[test]
fn in_any_order_of_events_answers_are_in_turn_not_too_old_and_never_go_back() {
    let (mut here, mut elsewhere, mut refused) = (0, 0, 0);
    for seed in 0..64 {
        let mut voyage = Voyage::new(seed);
        for _ in 0..1_000 {
            voyage.step();
        }
        // When all is well everything is answered.
        (voyage.is_slow, voyage.world.store.has_primary) = (false, true);
        for _ in 0..500 {
            voyage.follow(u64::MAX, 0);
            voyage.step();
        }
        for _ in 0..100 {
            voyage.world.now = voyage.world.now.saturating_add(1);
            voyage.follow(u64::MAX, 0);
            voyage.world.store.sight = Sight::Past(Some(Duration::ZERO));
            voyage.world.advance(0);
            voyage.tell();
            voyage.hear();
        }
        assert_eq!(voyage.expected, [], "seed {seed}");
        here += voyage.here;
        elsewhere += voyage.elsewhere;
        refused += voyage.refused;
    }
    assert!(elsewhere > 200 && here > 5_000 && refused > 500, "{here} {elsewhere} {refused}");
}

/// The primary's clock may stand still, or go slower than this node's.
#[test]
fn a_replica_shows_a_key_until_the_log_says_that_it_has_expired() {
    let mut world = World::behind(1);
    world.store.sight = Sight::Whole;
    assert_eq!(world.ask(0, "SET k v PX 1000\nSET later v PX 5000"), "+OK +OK");
    (world.store.sight, world.store.follows) = (FRESH, true);
    let asks = "GET k\nPTTL k\nPTTL later\nDBSIZE\nMULTI\nGET k\nEXEC";
    world.now = world.now.saturating_add(400);
    assert_eq!(world.ask(0, asks), "$1 v :600 :4600 :3 +OK +QUEUED *1 $1 v");
    world.now = world.now.saturating_add(10_000);
    assert_eq!(world.ask(0, asks), "$1 v :1 :4001 :3 +OK +QUEUED *1 $1 v");
    // One that is primary goes by its clock, as a store of its own does.
    (world.store.sight, world.store.follows) = (Sight::Whole, false);
    assert_eq!(world.ask(0, "GET k\nPTTL later\nDBSIZE"), "$-1 :-2 :1");
}

#[test]
fn a_client_that_was_answered_what_this_node_has_not_come_to_reads_at_the_primary() {
    let mut world = World::behind(2);
    world.store.sight = FRESH;
    world.send(0, "SET k new");
    let ticket = Ticket(world.store.submitted);
    let outcome = Outcome { sequence: 9, is_repeated: false, answer: Ok(Answer::Put { previous: None }) };
    let done = Done { outcome, epoch: 1 };
    world.connections[0].take_completion(ticket, Ok(done), &mut world.hub, &mut world.store, world.now);
    world.advance(0);
    assert_eq!(world.told(0), "+OK");
    world.send(0, "GET k");
    let (ticket, errand, _) = world.asked();
    assert_eq!(words(errand.as_ref()), "GET k");
    world.hear(0, ticket, answer("$3 new ", 9));
    assert_eq!(world.told(0), "$3 new");
    assert_eq!(world.ask(1, "GET k"), "$3 old", "others see what is here");
}
