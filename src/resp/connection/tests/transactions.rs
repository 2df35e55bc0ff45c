//! MULTI, EXEC and WATCH.

use super::*;

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

/// What a transaction writes again and again is written once, at its last value.
#[test]
fn a_key_that_is_written_often_is_written_once() {
    let mut world = World::plain(1);
    let ask = |world: &mut World, count: usize, line: &dyn Fn(usize) -> String| {
        world.ask(0, "MULTI");
        for number in 0..count {
            assert_eq!(world.ask(0, &line(number)), "+QUEUED");
        }
        world.send(0, "EXEC");
        let bytes = world.store.log.back().map(|(bytes, _)| bytes.len());
        while world.apply() {}
        (world.told(0), bytes)
    };
    // A hash of some 70 KB, field by field: written whole each time these would be over 100 MB.
    let (told, bytes) =
        ask(&mut world, 3_000, &|number| format!("HSET h field-{number:05} value-{number:05}"));
    assert!(told.starts_with("*3000 :1 :1 ") && !told.contains('-'), "{told:.100}");
    assert!(bytes.is_some_and(|bytes| bytes < 100_000), "{bytes:?}");
    assert_eq!(
        world.ask(0, "HLEN h\nHGET h field-02999\nHGET h field-00000"),
        ":3000 $11 value-02999 $11 value-00000"
    );
    // More often than there may be keys.
    let (told, bytes) = ask(&mut world, 10_001, &|_| "INCR n".into());
    assert!(told.ends_with(" :10001") && bytes.is_some_and(|bytes| bytes < 200), "{told:.60} {bytes:?}");
    // What looks at the key in between sees what was done so far.
    let lines = "MULTI\nHSET h field-00000 x\nHGET h field-00000\nHDEL h field-00000\nHLEN h\nHSET h last 1\nPERSIST h\n\
                 HINCRBY h last 5\nHSETNX h last 9\nHINCRBYFLOAT h last 0.5\nHDEL h none\nSTRLEN h\nHGET h last\nEXEC";
    let told = world.ask(0, lines);
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    assert!(told.ends_with(&format!(":0 $1 x :1 :2999 :1 :0 :6 :0 $3 6.5 :0 {wrong} $3 6.5")), "{told}");
    // A hash whose last field goes is gone, whether it was there before or not.
    assert!(
        world.ask(0, "MULTI\nHSET g a 1\nHDEL g a\nEXISTS g\nEXEC\nEXISTS g").ends_with("*3 :1 :1 :0 :0")
    );
    assert!(
        world.ask(0, "HSET g a 1\nMULTI\nHSET g b 1\nHDEL g a b\nEXEC\nEXISTS g").ends_with("*2 :1 :2 :0")
    );
    // Lifetimes, of which the last counts; a value keeps what it had.
    let lines = "MULTI\nSET t 1\nEXPIRE t 100\nEXPIRE t 200\nINCR t\nEXPIRE t 300\nEXEC\nTTL t\nGET t";
    assert!(world.ask(0, lines).ends_with("*5 +OK :1 :1 :2 :1 :300 $1 2"));
    let lines = "MULTI\nSET t 1\nDEL t\nSET t 7\nEXEC\nTTL t\nGET t";
    assert!(world.ask(0, lines).ends_with("*3 +OK :1 +OK :-1 $1 7"));
}

/// A command that fails amidst a transaction has changed nothing, and what went before stays.
#[test]
fn what_is_too_long_is_taken_back_field_by_field() {
    let mut world = World::plain(1);
    let settings = Settings { value_max: 4_000, ..Settings::default() };
    configure(&mut world, settings);
    let long = "x".repeat(1_500);
    world.ask(
        0,
        &format!("MULTI\nHSET h a {long}\nHSET h b {long}\nHSET h a 1 c {long} d {long}\nHSET h e 1"),
    );
    let told = world.ask(0, "EXEC");
    assert!(
        told.starts_with("*4 :1 :1 -ERR string exceeds maximum allowed size") && told.ends_with(" :1"),
        "{told}"
    );
    assert_eq!(world.ask(0, "HKEYS h\nHSTRLEN h a"), "*3 $1 a $1 b $1 e :1500");
    // What comes to too much in all is not done by half.
    world.ask(0, "MULTI");
    for key in 0..12 {
        world.ask(0, &format!("SET k{key} {long}"));
    }
    assert_eq!(world.ask(0, "EXEC"), "-ERR too many bytes are written by one transaction; split it");
    assert_eq!(world.ask(0, "DBSIZE"), ":1");
    // The same of what is replaced again and again.
    world.ask(0, "MULTI");
    for _ in 0..200 {
        world.ask(0, &format!("SET k {long}"));
    }
    assert_eq!(world.ask(0, "EXEC"), "-ERR too many bytes are written by one transaction; split it");
    assert_eq!(world.ask(0, "DBSIZE"), ":1");
}

fn configure(world: &mut World, settings: Settings) {
    let command = Command { time: world.now, request: None, operation: Operation::Configure(settings) };
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    world.store.submitted += 1;
    world.store.log.push_back((bytes, None));
    assert!(world.apply());
}
