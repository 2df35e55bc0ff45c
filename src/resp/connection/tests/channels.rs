//! Channels, notifications and what is asked of other loops.

use super::*;

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
    world.store.submit(&expire, Durability::Memory, false, None).unwrap();
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

/// A loop beside, which is asked and whose answers the test gives.
#[derive(Debug)]
struct Beside(Arc<std::sync::Mutex<Vec<Asked>>>, crate::resp::Counters);

type Asked = (u64, Arc<crate::resp::Question>);

impl crate::resp::Peers for Beside {
    fn subscribed(&mut self, _: &Arc<[u8]>, _: bool, _: u64) {}

    fn publish(&mut self, _: &Arc<[u8]>, _: &Arc<[u8]>) -> u64 {
        0
    }

    fn subscribers_of(&self, _: &[u8]) -> u64 {
        0
    }

    fn names(&self, _: bool) -> usize {
        0
    }

    fn each_channel(&self, _: &mut dyn FnMut(&Arc<[u8]>)) {}

    fn base(&self) -> crate::resp::Counters {
        self.1
    }

    fn set_base(&mut self, base: crate::resp::Counters) {
        self.1 = base;
    }

    fn configure(&mut self, _: &[u8]) {}

    fn totals(&self) -> (u64, crate::resp::Counters) {
        (0, crate::resp::Counters { commands: 1_000, hits: 70, ..Default::default() })
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
    world.hub.set_peers(Box::new(Beside(Arc::clone(&asked), Default::default())));
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
            let client = crate::resp::clients::Client::new("x".into(), "y".into(), true, 0, world.now);
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

/// What the loops have counted goes on for their owner; clients are told what has come since.
#[test]
fn resetstat_is_about_all_loops() {
    for has_others in [true, false] {
        let mut world = World::plain(1);
        if has_others {
            world.hub.set_peers(Box::new(Beside(Default::default(), Default::default())));
        }
        world.ask(0, "SET a 1\nGET a\nGET b");
        let mut told = || world.ask(0, "INFO stats").replace("\r\n", " ");
        let before = told();
        let (commands, hits) = if has_others { (1_004, 71) } else { (4, 1) };
        assert!(before.contains(&format!("total_commands_processed:{commands} ")), "{before}");
        assert!(before.contains(&format!("keyspace_hits:{hits} ")), "{before}");
        assert_eq!(world.ask(0, "CONFIG RESETSTAT"), "+OK");
        let after = world.ask(0, "GET b\nINFO stats");
        for expected in ["total_commands_processed:2 ", "keyspace_hits:0 ", "keyspace_misses:1 "] {
            assert!(after.contains(expected), "{expected} {after}");
        }
        assert_eq!(world.hub.counters().commands, 7);
    }
}

#[test]
fn names_and_patterns_are_bounded() {
    let mut world = World::plain(1);
    world.ask(0, "HSET h f v");
    let long = "a".repeat(4_097);
    let refused = "-ERR a pattern has more than 4096 bytes; use a shorter one";
    for request in ["PSUBSCRIBE b P", "KEYS P", "SCAN 0 MATCH P", "HSCAN h 0 MATCH P", "PUBSUB CHANNELS P"] {
        let words: Vec<&str> =
            request.split(' ').map(|word| if word == "P" { &long } else { word }).collect();
        assert_eq!(world.ask_words(0, &words), refused, "{request}");
        let fits: Vec<&str> =
            words.iter().map(|word| word.strip_prefix("aa").map_or(*word, |_| &long[1..])).collect();
        assert!(request.starts_with('P') || world.ask_words(0, &fits).starts_with('*'), "{request}");
    }
    assert_eq!(world.ask(0, "PUBSUB NUMPAT"), ":0", "all of the request is refused");
    let long = "a".repeat(65_601);
    for words in [["PUBLISH", &long, "x"], ["SUBSCRIBE", "c", &long]] {
        let told = world.ask_words(0, &words);
        assert_eq!(told, "-ERR the name of a channel has more than 65600 bytes; use a shorter one");
    }
    assert_eq!(world.ask_words(0, &["PUBLISH", &long[1..], "x"]), ":0");
}
