use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::error::Error;
use crate::resp::Topology;
use crate::resp::ahead::{Ahead, Leaves, Trace};
use crate::resp::hub::HubOptions;
use crate::resp::keys::{Durability, Sight, Submitted, Ticket};
use crate::rng::Rng;
use crate::store::index::{self, Answer, Index, Operation, Settings, State, View};

/// A store whose writes are applied when the test says so.
struct Store {
    index: Index,
    submitted: u64,
    applied: u64,
    log: VecDeque<(Vec<u8>, Option<Trace>)>,
    ahead: Ahead,
    is_stopped: bool,
    durable: u64,
    replicas: u64,
    sight: Sight,
}

impl Keys for Store {
    type Seen = Arc<View>;

    fn view(&mut self) -> Arc<View> {
        self.index.reader().view()
    }

    fn read_ahead<T>(&mut self, read: impl FnOnce(&State, &Ahead) -> T) -> T {
        read(self.index.state(), &self.ahead)
    }

    fn contest(&mut self, key: &[u8], now: Timestamp) {
        self.ahead.contest(key, now);
    }

    fn is_contested(&mut self, key: &[u8], now: Timestamp) -> bool {
        self.ahead.is_contested(key, now)
    }

    fn submit(
        &mut self,
        command: &Command<'_>,
        _: Durability,
        leaves: Option<Leaves>,
    ) -> Result<Submitted, Error> {
        if self.is_stopped {
            return Err(Error::invalid("log", "stopped"));
        }
        self.submitted += 1;
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let ticket = Ticket(self.submitted);
        self.log.push_back((bytes, leaves.as_ref().map(|leaves| leaves.trace(ticket))));
        if let Some(leaves) = leaves {
            self.ahead.put(ticket, leaves);
        }
        Ok(Submitted::UnderWay(ticket))
    }

    fn sight(&mut self) -> Sight {
        self.sight
    }

    fn durable(&mut self) -> u64 {
        self.durable
    }

    fn replicas_with(&self, _: u64) -> u64 {
        self.replicas
    }
}

struct World {
    store: Store,
    hub: Hub,
    connections: Vec<Connection>,
    now: Timestamp,
}

impl World {
    fn new(hub_options: HubOptions, options: Options, connections: usize) -> Self {
        let index = Index::new(&index::Options::default());
        let store = Store {
            index,
            submitted: 0,
            applied: 0,
            log: VecDeque::new(),
            ahead: Ahead::default(),
            is_stopped: false,
            durable: 0,
            replicas: 0,
            sight: Sight::Whole,
        };
        let now = Timestamp::from_millis(1_000_000);
        let mut hub = Hub::new(hub_options, now, Rng::new(7));
        let connections = (0..connections)
            .map(|_| Connection::new(options, "[::1]:1", "[::1]:6379", &mut hub, now))
            .collect();
        Self { store, hub, connections, now }
    }

    fn plain(connections: usize) -> Self {
        Self::new(HubOptions::default(), Options::default(), connections)
    }

    /// Sends lines; nothing is applied.
    fn send(&mut self, at: usize, lines: &str) {
        for line in lines.lines() {
            self.connections[at].handle_bytes(format!("{}\r\n", line.trim()).as_bytes());
        }
        self.advance(at);
    }

    fn advance(&mut self, at: usize) {
        self.connections[at].advance(&mut self.hub, &mut self.store, self.now);
    }

    /// Applies the oldest write; says whether there was one.
    fn apply(&mut self) -> bool {
        let Some((bytes, trace)) = self.store.log.pop_front() else { return false };
        self.store.applied += 1;
        let outcome = self.store.index.apply(self.store.applied, &bytes).unwrap();
        let is_met = matches!(outcome.answer, Ok(Answer::Transaction { is_met: true, .. }));
        trace.iter().for_each(|trace| self.store.ahead.forget(trace, is_met));
        self.store.index.publish();
        for connection in &mut self.connections {
            let ticket = Ticket(self.store.applied);
            connection.handle_completion(
                ticket,
                Ok(outcome.clone()),
                &mut self.hub,
                &mut self.store,
                self.now,
            );
        }
        true
    }

    fn deliver(&mut self) {
        let view = self.store.view();
        while self.hub.handle_view(&view) {}
        while let Some((id, message)) = self.hub.poll_delivery() {
            let to = self.connections.iter_mut().find(|connection| connection.id() == id).unwrap();
            to.handle_message(&message, &mut self.hub);
        }
    }

    /// What the connection has to send, and takes it away.
    fn told(&mut self, at: usize) -> String {
        let output = String::from_utf8(self.connections[at].output().to_vec()).unwrap();
        self.connections[at].consume_output(output.len());
        output.replace("\r\n", " ").trim_end().to_owned()
    }

    /// What it has to send once everything is done.
    fn ask(&mut self, at: usize, lines: &str) -> String {
        self.send(at, lines);
        while self.apply() {}
        self.told(at)
    }
}

#[test]
fn blind_writes_are_under_way_together_and_answered_in_order() {
    let mut world = World::plain(1);
    world.send(0, "SET a 1\nINCR a\nNOPE\nDEL b\nGET a\nSET c 1");
    assert_eq!(world.store.log.len(), 3, "the read waits, and all behind it");
    assert_eq!(world.told(0), "");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert!(world.apply());
    assert_eq!(world.told(0), ":2 -ERR unknown command 'NOPE', with args beginning with:");
    assert!(world.apply());
    assert_eq!(world.told(0), ":0 $1 2", "the read has seen what was written before it");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert!(!world.apply());
}

#[test]
fn no_more_writes_are_under_way_than_allowed() {
    let options = Options { pending_max: 2, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 1);
    world.send(0, "SET a 1\nSET a 2\nSET a 3");
    assert_eq!(world.store.log.len(), 2);
    assert!(!world.connections[0].wants_bytes(&world.hub));
    while world.apply() {}
    assert_eq!((world.told(0).as_str(), world.ask(0, "GET a").as_str()), ("+OK +OK +OK", "$1 3"));
}

#[test]
fn what_was_read_is_read_again_if_somebody_has_changed_it() {
    let mut world = World::plain(2);
    world.ask(0, "HSET h n 1");
    world.send(0, "HINCRBY h n 10");
    world.send(1, "HINCRBY h n 100");
    while world.apply() {}
    assert_eq!((world.told(0), world.told(1)), (":11".into(), ":111".into()));
    assert_eq!(world.hub.counters().retries, 0, "the second was made up from what the first will have done");
    // A write that nobody reads ahead comes between.
    world.send(0, "SET h x");
    world.send(1, "HINCRBY h n 1");
    while world.apply() {}
    assert_eq!(world.told(1), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(world.hub.counters().retries, 1);
}

#[test]
fn many_who_change_the_same_key_do_not_wait_for_each_other() {
    let mut world = World::plain(50);
    for _ in 0..4 {
        for at in 0..50 {
            world.send(at, "HINCRBY h n 1");
        }
        while world.apply() {}
    }
    assert_eq!(world.ask(0, "HGET h n").rsplit(' ').next(), Some("200"));
    assert_eq!(world.hub.counters().retries, 0);
    // A chain whose first write fails is made up once more, each from the one before.
    world.send(0, "DEL h");
    (1..50).for_each(|at| world.send(at, "HINCRBY h n 1"));
    while world.apply() {}
    assert_eq!(world.ask(0, "HGET h n"), ":1 $2 49");
    assert_eq!(world.hub.counters().retries, 49);
}

#[test]
fn an_answer_does_not_rest_on_what_is_under_way() {
    let mut world = World::plain(2);
    world.send(0, "HSET h f v");
    world.send(1, "HSETNX h f w");
    assert_eq!(world.told(1), "");
    while world.apply() {}
    assert_eq!((world.told(0), world.told(1)), (":1".into(), ":0".into()));
    // Whoever leaves does what it has submitted, and others count on it.
    world.send(0, "HINCRBY h n 1");
    let gone = world.connections.remove(0);
    gone.close(&mut world.hub);
    world.send(0, "HINCRBY h n 1");
    while world.apply() {}
    assert_eq!(world.told(0), ":2");
}

#[test]
fn attempts_are_bounded() {
    let options = Options { attempts_max: 2, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    world.send(1, "SET a x");
    world.send(0, "APPEND a y");
    world.apply();
    // Each of its attempts finds somebody else before it.
    world.send(1, "SET a x");
    while world.apply() {}
    assert_eq!(world.told(0), "-TRYAGAIN others keep changing what this command reads; nothing was done");
    assert_eq!(world.ask(1, "STRLEN a"), "+OK +OK :1");
}

#[test]
fn whoever_has_found_others_before_it_does_not_find_them_again() {
    let mut world = World::plain(3);
    world.send(1, "SET a x");
    world.send(0, "APPEND a y");
    for _ in 0..20 {
        // Some write is always before that of whoever has just read.
        world.send(1, "SET a x");
        world.apply();
        world.send(2, "INCR n\nDEL a");
        world.send(0, "APPEND a y");
    }
    while world.apply() {}
    assert_eq!(world.told(0).matches(':').count(), 21, "each is answered, and none in vain");
    // The first, and what was under way behind it when that was known.
    assert!(world.hub.counters().retries <= 3, "{}", world.hub.counters().retries);
    world.now = world.now.saturating_add(2_000);
    world.send(1, "SET a x\nSET a z\nSET a y");
    assert_eq!(world.store.log.len(), 3, "later they are under way together again");
}

#[test]
fn a_transaction_is_whole_and_watches() {
    let mut world = World::plain(2);
    assert_eq!(
        world.ask(0, "MULTI\nSET a 1\nINCR a\nGET a\nEXEC"),
        "+OK +QUEUED +QUEUED +QUEUED *3 +OK :2 $1 2"
    );
    assert_eq!(world.store.submitted, 1);
    world.ask(0, "WATCH a nothere");
    world.ask(1, "SET nothere 1\nDEL nothere");
    assert_eq!(world.ask(0, "MULTI\nSET a 5\nEXEC"), "+OK +QUEUED *-1", "it came and went");
    // Changed between the attempt and its being applied.
    world.ask(0, "WATCH a\nMULTI\nSET a 5");
    world.send(1, "SET a 7");
    world.send(0, "EXEC");
    while world.apply() {}
    assert_eq!(world.told(0), "*-1");
    assert_eq!(world.ask(0, "GET a\nEXEC\nMULTI\nNOPE\nEXEC").matches("-EXECABORT").count(), 1);
}

#[test]
fn messages_are_published_once_though_the_transaction_is_made_up_twice() {
    let mut world = World::plain(3);
    world.ask(2, "SUBSCRIBE c");
    world.ask(0, "MULTI\nINCR n\nPUBLISH c hi");
    world.send(1, "INCR n");
    world.send(0, "EXEC");
    while world.apply() {}
    world.deliver();
    assert_eq!(world.told(0), "*2 :2 :1");
    assert_eq!(world.told(2), "*3 $7 message $1 c $2 hi");
}

#[test]
fn subscribers_are_told_in_their_protocol_and_may_do_little_else_in_the_old_one() {
    let mut world = World::plain(3);
    assert_eq!(world.ask(0, "SUBSCRIBE a b"), "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2");
    world.ask(1, "HELLO 3\nPSUBSCRIBE a*");
    assert_eq!(
        world.ask(2, "PUBLISH a x\nPUBSUB NUMSUB a\nPUBSUB CHANNELS\nPUBSUB NUMPAT"),
        ":2 *2 $1 a :1 *2 $1 a $1 b :1"
    );
    world.deliver();
    assert_eq!(world.told(0), "*3 $7 message $1 a $1 x");
    assert_eq!(world.told(1), ">4 $8 pmessage $2 a* $1 a $1 x");
    let refused = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    assert_eq!(world.ask(0, "GET a\nPING"), format!("{refused} *2 $4 pong $0"));
    assert_eq!(world.ask(1, "GET a"), "_");
    assert_eq!(
        world.ask(0, "UNSUBSCRIBE\nGET a"),
        "*3 $11 unsubscribe $1 a :1 *3 $11 unsubscribe $1 b :0 $-1"
    );
    let gone = world.connections.remove(1);
    gone.close(&mut world.hub);
    assert_eq!(world.ask(1, "PUBSUB NUMPAT\nPUBLISH a x"), ":0 :0");
}

#[test]
fn keyspace_notifications_tell_what_has_happened() {
    let mut world = World::plain(2);
    world.ask(0, "PSUBSCRIBE __key*");
    world.ask(1, "SET before 1");
    world.deliver();
    assert_eq!(world.told(0), "", "nobody has asked for it");
    world.ask(1, "CONFIG SET notify-keyspace-events K$h");
    world.ask(1, "SET a 1\nHSET h f v\nDEL a");
    world.deliver();
    let pattern = "*4 $8 pmessage $6 __key*";
    assert_eq!(
        world.told(0),
        format!("{pattern} $16 __keyspace@0__:a $3 set {pattern} $16 __keyspace@0__:h $4 hset")
    );
    world.ask(1, "CONFIG SET notify-keyspace-events EA");
    world.ask(1, "SET a 1 PX 10\nDEL h");
    let expire = Command {
        time: world.now.saturating_add(11),
        request: None,
        operation: Operation::Expire { limit: 0 },
    };
    world.store.submit(&expire, Durability::Memory, None).unwrap();
    while world.apply() {}
    world.deliver();
    assert_eq!(
        world.told(0),
        format!(
            "{pattern} $18 __keyevent@0__:set $1 a {pattern} $18 __keyevent@0__:del $1 h \
             {pattern} $22 __keyevent@0__:expired $1 a"
        )
    );
}

#[test]
fn who_does_not_read_is_not_listened_to_and_then_cut() {
    let options = Options { output_pause: 50, output_max: 100, messages_max: 100, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    let long = "x".repeat(40);
    world.send(0, &format!("ECHO {long}\nECHO {long}\nECHO {long}"));
    assert_eq!(world.connections[0].output().len(), 2 * 47, "the third is not taken");
    assert!(!world.connections[0].wants_bytes(&world.hub));
    world.told(0);
    world.advance(0);
    assert_eq!(world.told(0), format!("$40 {long}"));
    world.ask(0, "SUBSCRIBE c");
    world.send(1, &format!("PUBLISH c {long}\nPUBLISH c {long}"));
    world.deliver();
    assert!(world.connections[0].is_cut() && world.connections[0].is_finished());
    assert_eq!(world.hub.counters().slow_readers, 1);
    assert!(world.connections[0].output().is_empty());
    assert_eq!(world.told(1), ":1 :1");
    // One answer that is too long.
    world.ask(1, &format!("SET a {long}"));
    world.send(1, "MGET a a a a a a a");
    assert!(world.connections[1].is_cut());
}

#[test]
fn strangers_log_in_first() {
    let hub_options = HubOptions { password: Some(b"secret".to_vec()), ..HubOptions::default() };
    let mut world = World::new(hub_options, Options::default(), 2);
    let noauth = "-NOAUTH Authentication required.";
    assert_eq!(
        world.ask(0, "GET a\nNOPE"),
        format!("{noauth} -ERR unknown command 'NOPE', with args beginning with:")
    );
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(world.ask(0, "AUTH secre\nAUTH secrets\nAUTH other secret"), [wrong; 3].join(" "));
    assert!(world.ask(0, "HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert_eq!(world.ask(0, "AUTH secret\nGET a\nRESET\nGET a"), format!("+OK $-1 +RESET {noauth}"));
    assert!(world.ask(1, "HELLO 3 AUTH default secret SETNAME me").starts_with("%7 $6 server"));
    assert_eq!(world.ask(1, "CLIENT GETNAME"), "$2 me");
    // Ten arguments at most from a stranger.
    assert_eq!(world.ask(0, "*11"), "-ERR Protocol error: unauthenticated multibulk length");
    assert!(world.connections[0].is_finished() && !world.connections[0].is_cut());
}

#[test]
fn waiting_ends_when_it_is_done_or_too_late() {
    let mut world = World::plain(1);
    assert_eq!(world.ask(0, "SET a 1\nWAITAOF 1 0 0\nPING"), "+OK");
    world.store.durable = 1;
    world.advance(0);
    assert_eq!(world.told(0), "*2 :1 :0 +PONG");
    world.send(0, "WAIT 1 100");
    assert_eq!(world.connections[0].next_deadline(), Some(world.now.saturating_add(100)));
    world.now = world.now.saturating_add(99);
    world.advance(0);
    assert_eq!(world.told(0), "");
    world.now = world.now.saturating_add(1);
    let World { connections, hub, store, now, .. } = &mut world;
    connections[0].handle_timeout(hub, store, *now);
    assert_eq!(world.told(0), ":0");
    world.store.replicas = 2;
    assert_eq!(world.ask(0, "WAIT 1 0"), ":2");
}

#[test]
fn a_stopped_log_refuses_writes_and_keeps_reads() {
    let mut world = World::plain(1);
    world.ask(0, "SET a 1");
    world.store.is_stopped = true;
    let told = world.ask(0, "SET a 2\nAPPEND a x\nGET a");
    assert_eq!(told.matches("-MISCONF the store takes no writes: ").count(), 2);
    assert!(told.ends_with("$1 1"), "{told}");
}

#[test]
fn what_the_index_refuses_is_told_as_redis_does() {
    let mut world = World::plain(1);
    let settings = Settings { memory_max: 65_536, value_max: 100, ..Settings::default() };
    let configure = Command { time: world.now, request: None, operation: Operation::Configure(settings) };
    world.store.submit(&configure, Durability::Memory, None).unwrap();
    world.apply();
    let long = "x".repeat(101);
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(
        world.ask(0, &format!("SET a {long}\nAPPEND a {long}\nHSET h f {long}")),
        [too_long; 3].join(" ")
    );
    let fill: String = (0..700).map(|at| format!("SET key{at} {}\n", "y".repeat(90))).collect();
    let told = world.ask(0, &fill);
    assert!(told.ends_with("-OOM command not allowed when used memory > 'maxmemory'."), "{told}");
    assert_eq!(world.ask(0, "FLUSHALL"), "-ERR FLUSHALL is off; allow it in the configuration");
    assert!(world.ask(0, "DBSIZE") != ":0");
}

#[test]
fn a_scan_tells_each_key_once() {
    let mut world = World::plain(1);
    let keys: String = (0..25).map(|at| format!("SET key{at:02} 1\n")).collect();
    world.ask(0, &keys);
    world.ask(0, "HSET key00 f v\nDEL key00\nHSET hash f v");
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let told = world.ask(0, &format!("SCAN {cursor} COUNT 7 MATCH key* TYPE string"));
        let words: Vec<&str> = told.split(' ').collect();
        cursor = words[2].to_owned();
        found.extend(words[4..].chunks(2).map(|pair| pair[1].to_owned()));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, (1..25).map(|at| format!("key{at:02}")).collect::<Vec<_>>());
    assert!(world.ask(0, "SCAN 999").starts_with("-ERR this scan is forgotten"));
}

#[test]
fn requests_in_pieces_are_answered_as_whole_ones() {
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nxyz\r\nGET a\r\n*1\r\n$4\r\nQUIT\r\nPING\r\n";
    let mut world = World::plain(1);
    for byte in bytes {
        world.connections[0].handle_bytes(&[*byte]);
        world.advance(0);
        while world.apply() {}
    }
    assert_eq!(world.told(0), "+OK $3 xyz +OK");
    assert!(world.connections[0].is_finished());
}

/// Clients that add 1 to few counters, in ways that read first and in ways that do not, while writes are applied at any
/// time: every sum there was is told once.
#[test]
fn no_increment_is_lost_or_told_twice() {
    for seed in 0..32 {
        let mut rng = Rng::new(seed);
        let mut world = World::plain(6);
        let mut asked: Vec<Vec<usize>> = vec![Vec::new(); 6];
        for _ in 0..400 {
            if rng.below(3) == 0 {
                world.apply();
                continue;
            }
            let (at, key) = (rng.below(6) as usize, rng.below(2) as usize);
            asked[at].push(key);
            let lines = match rng.below(4) {
                0 => format!("INCR c{key}"),
                1 => format!("INCRBYFLOAT c{key} 1"),
                2 => format!("MULTI\nINCR c{key}\nEXEC"),
                _ => format!("WATCH other\nMULTI\nINCR c{key}\nEXEC"),
            };
            world.send(at, &lines);
        }
        while world.apply() {}
        let mut sums: [Vec<u64>; 2] = Default::default();
        for (at, keys) in asked.iter().enumerate() {
            let told = world.told(at);
            let told: Vec<u64> = told
                .split(' ')
                .filter_map(|word| word.strip_prefix(':').unwrap_or(word).parse().ok())
                .collect();
            assert_eq!(told.len(), keys.len(), "seed {seed}");
            keys.iter().zip(told).for_each(|(key, sum)| sums[*key].push(sum));
        }
        for sums in &mut sums {
            sums.sort_unstable();
            assert_eq!(*sums, (1..=sums.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

/// A loop beside, which is asked and whose answers the test gives.
#[derive(Debug)]
struct Beside(Arc<std::sync::Mutex<Vec<Asked>>>);

type Asked = (u64, Arc<crate::resp::Question>);

impl crate::resp::Peers for Beside {
    fn subscribed(&mut self, _: &[u8], _: bool, _: u64) {}

    fn publish(&mut self, _: &Arc<[u8]>, _: &Arc<[u8]>) -> u64 {
        0
    }

    fn add_channels(&self, _: &mut BTreeMap<Vec<u8>, u64>) {}

    fn add_patterns(&self, _: &mut BTreeMap<Vec<u8>, u64>) {}

    fn configure(&mut self, _: &[u8]) {}

    fn totals(&self) -> (u64, crate::resp::Counters) {
        (0, crate::resp::Counters::default())
    }

    fn ask(&mut self, number: u64, question: &Arc<crate::resp::Question>) -> usize {
        self.0.lock().unwrap().push((number, Arc::clone(question)));
        1
    }

    fn answer(&mut self, _: usize, _: u64, _: crate::resp::Part) {}

    fn leave(&mut self) {}
}

#[test]
fn an_answer_that_others_have_a_part_in_comes_whole_and_in_its_place() {
    let mut world = World::plain(2);
    let asked = Arc::default();
    world.hub.set_peers(Box::new(Beside(Arc::clone(&asked))));
    world.send(0, "HELLO 3\nSUBSCRIBE news\nSET a 1");
    while world.apply() {}
    world.told(0);
    world
        .send(0, "MULTI\nPING\nCLIENT KILL TYPE normal\nINCR a\nCLIENT KILL ID 99\nGET a\nEXEC\nPING behind");
    while world.apply() {}
    assert!(!world.told(0).contains("behind") && world.connections[0].is_at_work(&world.hub));
    // Both questions are about clients here and elsewhere, and messages come in between.
    for killed in [3, 0] {
        let (number, question) = asked.lock().unwrap().pop().expect("it was asked");
        world.send(1, "PUBLISH news x");
        world.deliver();
        assert!(world.told(0).starts_with(">3 $7 message"), "nothing of the answer is there yet");
        let clients = (0..killed).map(|id| {
            let client = crate::resp::clients::Client::new("x".into(), "y".into(), true, world.now);
            (id, client)
        });
        let mut clients: Vec<_> = clients.collect();
        let all = clients.iter_mut().map(|(id, client)| (1_000 + *id, client));
        let (part, gone) = question.answer(all, world.now);
        assert_eq!(gone.len() as u64, killed);
        world.hub.handle_part(number, part);
        assert_eq!(world.hub.poll_answered(), Some(world.connections[0].id()));
        world.advance(0);
    }
    assert_eq!(world.told(0), "*5 +PONG :4 :2 :0 $1 2 $6 behind");
    // The other one here was told to go with the first.
    assert_eq!(world.hub.poll_killed(), Some(world.connections[1].id()));
    world.connections[1].kill(&mut world.hub);
    assert!(world.connections[1].is_cut() && world.hub.counters().slow_readers == 0);
    // What comes for a question that nobody waits for any more is of no consequence.
    world.send(0, "CLIENT LIST");
    let (number, _) = asked.lock().unwrap().pop().unwrap();
    world.connections.remove(0).close(&mut world.hub);
    world.hub.handle_part(number, crate::resp::Part::default());
    assert_eq!(world.hub.poll_answered(), None);
}

/// Nodes a, b and c, the last without a vote: as the one numbered `own` sees them.
fn in_cluster(world: &mut World, own: usize, primary: Option<usize>) {
    let topology = crate::resp::topology::tests::three(own, primary);
    world.hub.set_topology(Arc::new(topology), world.now);
}

#[test]
fn a_replica_answers_reads_and_refuses_writes() {
    const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
    let options = Options { age_max: Some(Duration::from_secs(5)), ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 2);
    assert_eq!(world.ask(0, "READONLY"), "-ERR This instance has cluster support disabled");
    assert_eq!(world.ask(0, "SET k v"), "+OK");
    in_cluster(&mut world, 1, Some(0));
    world.store.sight = Sight::Past(Some(Duration::from_secs(1)));
    for write in ["SET k w", "INCR n", "DEL k", "HSET h a b", "FLUSHALL", "COPY k l"] {
        assert_eq!(world.ask(0, write), READ_ONLY, "{write}");
    }
    assert!(world.store.log.is_empty());
    assert_eq!(world.ask(0, "GET k\nMULTI\nGET k\nEXEC"), "$1 v +OK +QUEUED *1 $1 v");
    assert_eq!(
        world.ask(0, "MULTI\nSET k w\nGET k\nEXEC"),
        format!("+OK {READ_ONLY} +QUEUED -EXECABORT Transaction discarded because of previous errors.")
    );
    assert!(world.ask(0, "WAIT 1 10").starts_with("-ERR WAIT cannot be used with replica instances."));
    // Too old, or nobody knows how old: unless it was said that this does not matter.
    for sight in [Sight::Past(Some(Duration::from_secs(6))), Sight::Past(None)] {
        world.store.sight = sight;
        for read in ["GET k", "EXISTS k", "SCAN 0", "DBSIZE"] {
            let told = world.ask(0, read);
            assert!(told.starts_with("-MASTERDOWN Link with MASTER is down"), "{read}: {told}");
        }
        let told = world.ask(0, "MULTI\nGET k\nEXEC");
        assert!(told.starts_with("+OK +QUEUED -MASTERDOWN"), "{told}");
        assert_eq!(world.ask(0, "PING\nMULTI\nPING\nEXEC"), "+PONG +OK +QUEUED *1 +PONG");
        assert_eq!(world.ask(0, "READONLY\nGET k\nREADWRITE"), "+OK $1 v +OK");
    }
    assert!(world.ask(0, "CLIENT INFO").contains("flags=N"));
    assert!(world.ask(0, "READONLY\nCLIENT INFO").contains("flags=r"));
    // One that passes writes on takes them.
    let forwarding = Topology { forwards: true, ..crate::resp::topology::tests::three(1, Some(0)) };
    world.hub.set_topology(Arc::new(forwarding), world.now);
    assert_eq!(world.ask(0, "SET k w\nHSET h a b"), "+OK :1");
    // A primary without its quorum.
    in_cluster(&mut world, 0, None);
    world.store.sight = Sight::Lapsed;
    assert_eq!(world.ask(1, "SET k x"), READ_ONLY);
    let lapsed = "-CLUSTERDOWN this primary has lost its quorum; ask again, or another node";
    for read in ["GET k", "SCAN 0", "MULTI\nGET k\nEXEC"] {
        world.send(1, read);
        assert!(world.connections[1].waits_for_log(), "{read}");
        world.store.sight = Sight::Whole;
        world.advance(1);
        assert!(world.told(1).contains('k') || read != "SCAN 0", "{read}");
        world.store.sight = Sight::Lapsed;
        let commands = world.hub.counters().commands;
        world.send(1, read);
        world.now = world.now.saturating_add(2_999);
        world.advance(1);
        assert!(!world.told(1).contains(lapsed), "{read}");
        world.now = world.now.saturating_add(1);
        world.advance(1);
        assert!(world.told(1).ends_with(lapsed), "{read}");
        // What is queued counts with its EXEC.
        let count = if read.contains("EXEC") { 2 } else { 1 };
        assert_eq!(world.hub.counters().commands - commands, count, "{read} counts once");
    }
    // Whoever takes anything does not wait, and nobody does for a node that is not primary any more.
    assert_eq!(world.ask(0, "GET k"), "$1 w");
    world.send(1, "GET k");
    assert_eq!(world.told(1), "");
    world.store.sight = Sight::Past(Some(Duration::ZERO));
    world.advance(1);
    assert_eq!(world.told(1), "$1 w");
}

#[test]
fn clients_find_the_primary_and_are_told_when_it_is_another() {
    let mut world = World::plain(3);
    assert_eq!(world.ask(0, "ROLE"), "*3 $6 master :0 *0");
    assert!(world.ask(0, "SENTINEL masters").starts_with("-ERR unknown command 'SENTINEL', with args"));
    in_cluster(&mut world, 0, Some(0));
    assert_eq!(
        world.ask(0, "ROLE"),
        "*3 $6 master :0 *2 *3 $8 10.0.0.1 $4 7002 $3 101 *3 $8 10.0.0.1 $4 7003 $3 102"
    );
    let info = world.ask(0, "INFO replication");
    for line in
        ["role:master", "connected_slaves:2", "slave1:ip=10.0.0.1,port=7003,state=online,offset=102,lag=0"]
    {
        assert!(info.contains(line), "{info}");
    }
    assert!(world.ask(0, "HELLO 2").contains("$4 role $6 master"));
    assert_eq!(world.ask(0, "SENTINEL get-master-addr-by-name trimtab"), "*2 $8 10.0.0.1 $4 7001");
    assert_eq!(world.ask(0, "SENTINEL GET-MASTER-ADDR-BY-NAME other"), "*-1");
    for sub in ["master", "replicas", "slaves", "sentinels", "ckquorum", "failover"] {
        let told = world.ask(0, &format!("SENTINEL {sub} other"));
        assert_eq!(told, "-ERR No such master with that name", "{sub}");
    }
    let masters = world.ask(0, "SENTINEL masters");
    assert!(masters.starts_with("*1 *20 $4 name $7 trimtab $2 ip $8 10.0.0.1 $4 port $4 7001"), "{masters}");
    assert!(masters.contains("$5 flags $6 master ") && masters.contains("$19 num-other-sentinels $1 2"));
    assert_eq!(masters[3..], world.ask(0, "SENTINEL master trimtab"));
    let replicas = world.ask(0, "SENTINEL replicas trimtab");
    assert!(replicas.starts_with("*2 *24 ") && replicas.contains("$13 10.0.0.1:7003"), "{replicas}");
    assert_eq!(replicas.matches("$14 slave-priority $3 100").count(), 1);
    assert_eq!(world.ask(0, "SENTINEL sentinels trimtab").matches("$8 sentinel").count(), 2);
    let told = world.ask(0, "SENTINEL ckquorum trimtab");
    assert_eq!(told, "+OK 2 usable Sentinels. Quorum and failover authorization can be reached");
    assert_eq!(world.ask(0, "SENTINEL reset trim*\nSENTINEL reset x"), ":1 :0");
    assert_eq!(world.ask(0, "SENTINEL is-master-down-by-addr 10.0.0.1 7001 0 *"), "*3 :0 $1 * :0");
    assert_eq!(world.ask(0, "SENTINEL is-master-down-by-addr 10.0.0.1 7002 0 *"), "*3 :1 $1 * :0");
    assert_eq!(world.ask(0, "SENTINEL failover trimtab"), "+OK");
    assert_eq!(world.hub.poll_order(), Some(crate::resp::Order::HandOver("b".into())));
    assert_eq!(world.ask(0, "SENTINEL NOPE"), "-ERR unknown subcommand 'NOPE'. Try SENTINEL HELP.");

    // The next one is primary: subscribers are told, and clients that write are cut.
    world.ask(1, "HELLO 3\nSUBSCRIBE +switch-master\nPSUBSCRIBE *down");
    in_cluster(&mut world, 0, None);
    assert_eq!(world.hub.poll_killed(), None, "it may be primary again in a moment");
    assert_eq!(world.ask(2, "SENTINEL get-master-addr-by-name trimtab"), "*-1");
    assert!(world.ask(2, "SENTINEL masters").contains("$20 master,s_down,o_down"));
    assert!(world.ask(2, "SENTINEL ckquorum trimtab").starts_with("-NOQUORUM 2 usable Sentinels."));
    assert_eq!(world.ask(2, "ROLE"), "*5 $5 slave $8 10.0.0.1 :7001 $7 connect :0");
    in_cluster(&mut world, 0, Some(1));
    world.deliver();
    let told = world.told(1);
    for part in [
        ">4 $8 pmessage $5 *down $6 +sdown $28 master trimtab 10.0.0.1 7001",
        ">3 $7 message $14 +switch-master $35 trimtab 10.0.0.1 7001 10.0.0.1 7002",
        ">4 $8 pmessage $5 *down $6 -odown $28 master trimtab 10.0.0.1 7002",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let killed: Vec<u64> = std::iter::from_fn(|| world.hub.poll_killed()).collect();
    assert_eq!(killed, [world.connections[0].id(), world.connections[2].id()]);
    assert!(
        world
            .ask(2, "INFO replication")
            .contains("role:slave\nmaster_host:10.0.0.1".replace('\n', " ").as_str())
    );
    assert!(world.ask(2, "HELLO 2").contains("$4 role $7 replica"));
    assert_eq!(world.ask(2, "SENTINEL failover trimtab"), "-ERR this node is not primary; ask 10.0.0.1:7002");
    // One that passes writes on keeps its clients.
    let three = crate::resp::topology::tests::three;
    for primary in [Some(0), Some(2)] {
        let topology = Topology { forwards: true, ..three(0, primary) };
        world.hub.set_topology(Arc::new(topology), world.now);
    }
    assert_eq!(world.hub.poll_killed(), None);
}

#[test]
fn a_position_is_behind_all_that_was_answered_before() {
    let mut world = World::plain(2);
    assert_eq!(world.ask(0, "TRIMTAB POSITION"), "*2 :0 :0");
    world.ask(1, "SET other 1");
    assert_eq!(world.ask(0, "TRIMTAB POSITION"), "*2 :0 :1", "what it may have read counts");
    world.send(0, "SET a 1\nSET b 1\nTRIMTAB POSITION\nSET c 1");
    assert_eq!(world.store.log.len(), 3, "nothing waits behind it");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK *2 :0 :3");
    assert!(world.apply());
    assert_eq!(world.told(0), "+OK");
    assert_eq!(
        world.ask(0, "MULTI\nTRIMTAB POSITION\nEXEC").matches("inside MULTI is not allowed").count(),
        1
    );
}

#[test]
fn a_read_waits_for_a_position_and_is_told_when_it_does_not_come() {
    let mut world = World::plain(2);
    world.ask(1, "SET a 1");
    assert_eq!(world.ask(0, "TRIMTAB AFTER 0 1 0 GET a"), "$1 1");
    assert!(world.ask(0, "TRIMTAB AFTER 0 2 0 GET a").starts_with("-BEHIND "));
    world.send(0, "TRIMTAB AFTER 0 2 100 GET a\nPING");
    assert_eq!(world.told(0), "");
    assert!(world.connections[0].waits_for_log() && world.connections[0].is_at_work(&world.hub));
    assert_eq!(world.connections[0].next_deadline(), Some(world.now.saturating_add(100)));
    world.send(1, "SET a 2");
    world.apply();
    world.advance(0);
    assert_eq!(world.told(0), "$1 2 +PONG", "and what is behind it goes on");
    world.send(0, "TRIMTAB AFTER 0 9 100 GET a\nPING");
    world.now = world.now.saturating_add(99);
    world.advance(0);
    assert_eq!(world.told(0), "");
    world.now = world.now.saturating_add(1);
    world.advance(0);
    let told = world.told(0);
    assert!(told.starts_with("-BEHIND ") && told.ends_with("+PONG"), "{told}");
    for (line, error) in [
        ("TRIMTAB AFTER 0 1 0 SET a 1", "-ERR TRIMTAB AFTER takes a command that only reads, or WAIT"),
        ("TRIMTAB AFTER 0 x 0 GET a", "-ERR the sequence is no whole number from 0 on"),
        ("TRIMTAB AFTER 0 1 0 GET", "-ERR wrong number of arguments for 'get' command"),
        ("TRIMTAB AFTER 0 1 0", "-ERR wrong number of arguments for 'trimtab|after' command"),
        ("TRIMTAB NOPE", "-ERR unknown subcommand 'NOPE'. Try TRIMTAB HELP."),
    ] {
        assert_eq!(world.ask(0, line), error, "{line}");
    }
    // What WAIT waits for is what was written elsewhere.
    world.store.replicas = 1;
    assert_eq!(world.ask(0, "TRIMTAB AFTER 0 1 0 WAIT 1 10"), ":1");
}

#[test]
fn a_bound_holds_for_all_reads_of_a_connection() {
    let mut world = World::plain(2);
    world.ask(1, "SET a 1");
    world.store.sight = Sight::Past(Some(Duration::from_millis(70)));
    assert_eq!(world.ask(0, "TRIMTAB BOUND 100\nGET a\nSCAN 0"), "+OK $1 1 *2 $1 0 *1 $1 a");
    assert!(world.ask(0, "TRIMTAB BOUND 50\nGET a").starts_with("+OK -BEHIND "));
    assert!(world.ask(0, "SCAN 0").starts_with("-BEHIND "));
    assert_eq!(world.ask(0, "PING"), "+PONG", "it reads no key");
    assert_eq!(world.ask(1, "GET a"), "$1 1", "the bound is the other's");
    world.send(0, "TRIMTAB BOUND 50 20\nGET a");
    assert_eq!(world.told(0), "+OK");
    world.store.sight = Sight::Past(Some(Duration::from_millis(50)));
    world.advance(0);
    assert_eq!(world.told(0), "$1 1", "it has become fresh enough");
    // 0: nothing may be missing.
    world.store.sight = Sight::Past(Some(Duration::ZERO));
    assert!(world.ask(0, "TRIMTAB BOUND 0\nGET a").starts_with("+OK -BEHIND "));
    world.store.sight = Sight::Whole;
    assert_eq!(world.ask(0, "GET a"), "$1 1");
    assert_eq!(world.ask(0, "TRIMTAB BOUND -1"), "+OK");
    world.store.sight = Sight::Past(None);
    assert_eq!(world.ask(0, "GET a"), "$1 1");
    assert!(world.ask(0, "TRIMTAB BOUND x").starts_with("-ERR TRIMTAB BOUND takes milliseconds"));
}
