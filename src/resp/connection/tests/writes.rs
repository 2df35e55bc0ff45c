//! Writes: under way together, foreseen, made up anew, refused.

use super::*;

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
    let (few, short) = (
        Options { pending_max: 2, ..Options::default() },
        Options { pending_bytes: 10, ..Options::default() },
    );
    for options in [few, short] {
        let mut world = World::new(HubOptions::default(), options, 1);
        world.send(0, "SET a 1\nSET a 2\nSET a 3");
        assert_eq!(world.store.log.len(), 2);
        assert!(!world.connections[0].wants_bytes(&world.hub));
        while world.apply() {}
        assert_eq!((world.told(0).as_str(), world.ask(0, "GET a").as_str()), ("+OK +OK +OK", "$1 3"));
        assert!(world.connections[0].wants_bytes(&world.hub));
    }
}

#[test]
fn what_a_client_has_asked_for_is_under_way_until_it_is_answered() {
    let mut world = World::plain(2);
    for line in ["SET a 1", "HSET h f v", "MULTI\nSET a 2\nEXEC"] {
        assert!(!world.connections[0].is_under_way());
        world.send(0, line);
        assert!(world.connections[0].is_under_way(), "{line}");
        while world.apply() {}
    }
    world.send(0, "WAIT 1 0");
    assert!(!world.connections[1].is_under_way() && world.connections[0].is_under_way());
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
    world.store.submit(&configure, Durability::Memory, false, None).unwrap();
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

#[test]
fn what_is_no_number_is_told_as_it_was_when_it_was_applied() {
    let mut world = World::plain(1);
    let (wrong, text) = (
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
        "-ERR value is not an integer or out of range",
    );
    world.ask(0, "HSET a x 1");
    world.send(0, "DECRBY a 100\nSET a abc\nINCR a\nDEL a");
    while world.apply() {}
    assert_eq!(world.told(0), format!("{wrong} +OK {text} :1"));
    // The other way round, and a string with the mark.
    world.ask(0, "SET a \"\\xfeTTH\"");
    world.send(0, "INCR a\nSET a 1\nINCR a");
    while world.apply() {}
    assert_eq!(world.told(0), format!("{text} +OK :2"));
}

/// Where nobody foresees what others will have written, each has its turn, and none is refused.
#[test]
fn many_change_one_hash_on_a_replica() {
    let options = Options { attempts_max: 4, ..Options::default() };
    let mut world = World::new(HubOptions::default(), options, 40);
    world.store.follows = true;
    for at in 0..40 {
        world.send(at, "HINCRBY h f 1\nHINCRBY h f 1");
    }
    while world.apply() {
        (0..40).for_each(|at| world.advance(at));
    }
    let mut sums = Vec::new();
    for at in 0..40 {
        let told = world.told(at);
        sums.extend(told.split(' ').map(|sum| sum.strip_prefix(':').unwrap().parse::<u64>().unwrap()));
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=80).collect::<Vec<_>>());
    // Who leaves is no obstacle for longer than it takes to notice that.
    for at in 0..3 {
        world.send(at, "HINCRBY h f 1");
    }
    (0..3).for_each(|_| assert!(world.apply()));
    let gone = world.connections.remove(1);
    gone.close(&mut world.hub);
    while world.apply() {}
    world.advance(1);
    assert_eq!((world.told(0).as_str(), world.told(1).as_str()), (":81", ""));
    let until = world.connections[1].next_deadline().unwrap();
    assert!(until > world.now && world.connections[1].waits_for_log());
    for _ in 0..3 {
        world.now = world.connections[1].next_deadline().unwrap_or(world.now);
        world.advance(1);
    }
    world.apply();
    assert_eq!(world.told(1), ":83");
}

/// What is read and deleted counts twice, and more than half of what may be at once is deleted without being read.
#[test]
fn as_many_keys_are_deleted_as_may_be() {
    let mut world = World::plain(1);
    let keys: Vec<String> = (0..10_001).map(|at| format!("key{at}")).collect();
    for chunk in keys.chunks(5_000) {
        let pairs: String = chunk.iter().map(|key| format!(" {key} 1")).collect();
        assert_eq!(world.ask(0, &format!("MSET{pairs}")), "+OK");
    }
    let del = |keys: &[String]| format!("DEL {}", keys.join(" "));
    let refused =
        "-ERR more than 10000 keys are read and written at once, those that are both counted twice; split it";
    assert_eq!(world.ask(0, &del(&keys)), refused);
    assert_eq!(world.ask(0, &del(&keys[..5_000])), ":5000");
    assert_eq!(world.ask(0, &del(&keys[..10_000])), ":5000");
    assert_eq!(world.ask(0, &del(&keys[..10_000]).replace("DEL", "UNLINK")), ":0");
    assert_eq!(world.ask(0, "DBSIZE"), ":1");
}
