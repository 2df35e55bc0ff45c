//! Writes that a node refuses because it is primary no more, and what was sent behind them.

use super::*;

#[test]
fn what_is_refused_goes_to_the_next_primary_in_its_order() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1\nSET a 2");
    let (old, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; SET a 2; TRIMTAB POSITION");
    bench.answer(old, "-READONLY You can't write against a read only replica.\r\n");
    assert!(bench.is_silent(2), "what becomes of the second is not known yet");
    bench.answer(old, "-READONLY You can't write against a read only replica.\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "");
    assert_eq!(bench.split.held(), 1);
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    let (new, said) = bench.sent(2);
    assert_eq!(said, "SET a 1; SET a 2; TRIMTAB POSITION");
    bench.answer(new, "+OK\r\n+OK\r\n*2\r\n:2\r\n:9\r\n");
    assert_eq!(bench.told(client), "+OK\r\n+OK\r\n");
    assert_eq!((bench.split.held(), bench.split.counters().retries), (0, 2));
}

#[test]
fn what_is_refused_is_not_sent_again_for_who_may_have_left() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    let (old, _) = bench.sent(1);
    bench.split.handle_client_left(client, bench.now);
    bench.answer(old, "-READONLY You can't write against a read only replica.\r\n*2\r\n:1\r\n:1\r\n");
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    assert!(
        bench.told(client).starts_with("-TRYAGAIN its node was not primary then, and its client had ended")
    );
    assert!(bench.is_silent(2));
    assert_eq!((bench.split.held(), bench.split.counters().retries), (0, 0));
    // What it has asked for in time is done.
    bench.say(client, "SET a 2");
    let (new, said) = bench.sent(2);
    assert!(said.starts_with("SET a 2"), "{said}");
    bench.answer(new, "+OK\r\n*2\r\n:2\r\n:9\r\n");
    assert_eq!(bench.told(client), "+OK\r\n");
}

#[test]
fn who_may_have_left_waits_for_no_primary_for_long() {
    for left_first in [true, false] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.split.handle_topology(&topology(1, None, 2), bench.now);
        if left_first {
            bench.split.handle_client_left(client, bench.now);
        }
        bench.say(client, "SET a 1");
        assert_eq!(bench.split.held(), 1);
        bench.split.handle_client_left(client, bench.now);
        bench.later(Duration::from_millis(99));
        assert_eq!((bench.told(client).as_str(), bench.split.held()), ("", 1));
        bench.later(Duration::from_millis(1));
        assert!(bench.told(client).starts_with("-TRYAGAIN there was no primary: nothing was done"));
        assert_eq!(bench.split.held(), 0);
        bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
        assert!(bench.is_silent(2));
    }
}

/// With these options, what a client is told of two writes of which the first was refused and the second done.
fn told_of_a_refused_one_and_one_done(options: Options) -> String {
    let mut bench = Bench::with(options);
    let client = bench.client();
    bench.say(client, "SET a 1\nSET a 2");
    let (old, _) = bench.sent(1);
    bench.answer(old, "-READONLY no\r\n+OK\r\n");
    bench.told(client)
}

#[test]
fn what_was_refused_before_one_that_was_done_is_not_sent_again() {
    let told = told_of_a_refused_one_and_one_done(Options::default());
    // Not READONLY, by which clients leave for another primary.
    assert_eq!(
        told,
        "-TRYAGAIN its node was not primary then, and what was sent behind it is done, or may be: this was not\r\n\
         +OK\r\n"
    );
}

#[test]
fn what_others_send_behind_one_that_was_refused_goes_by_another_connection_in_its_order() {
    const REFUSED: &str = "-READONLY You can't write against a read only replica.\r\n";
    let mut bench = Bench::new();
    let (client, other) = (bench.client(), bench.client());
    bench.say(client, "SET a 1");
    bench.say(other, "SET b 1");
    let (old, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; TRIMTAB POSITION; SET b 1; TRIMTAB POSITION");
    bench.answer(old, REFUSED);
    bench.answer(old, "*2\r\n:1\r\n:1\r\n");
    // The node refuses what is on its way by this connection, and would refuse all the rest.
    bench.say(other, "SET b 2");
    assert!(bench.is_silent(1));
    bench.answer(old, &format!("{REFUSED}*2\r\n:1\r\n:1\r\n"));
    assert!(!bench.links.contains_key(&old), "it is of no more use");
    bench.later(Duration::from_millis(20));
    let (new, said) = bench.sent(1);
    assert_ne!(new, old);
    assert_eq!(said, "SET a 1; SET b 1; SET b 2; TRIMTAB POSITION");
    bench.answer(new, "+OK\r\n+OK\r\n+OK\r\n*2\r\n:1\r\n:4\r\n");
    assert_eq!((bench.told(client), bench.told(other)), ("+OK\r\n".into(), "+OK\r\n+OK\r\n".into()));
}

#[test]
fn a_write_is_sent_again_when_what_was_behind_it_came_to_nothing() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "WATCH k");
    let (own, _) = bench.sent(1);
    bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
    bench.say(client, "SET a 1\nMULTI\nSET k 1\nEXEC");
    let (_, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; MULTI; SET k 1; EXEC; TRIMTAB POSITION");
    bench.answer(own, "-READONLY no\r\n+OK\r\n-READONLY no\r\n-EXECABORT no\r\n*2\r\n:1\r\n:1\r\n");
    bench.later(Duration::from_millis(20));
    let (new, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; TRIMTAB POSITION");
    bench.answer(new, "+OK\r\n");
    assert_eq!(bench.told(client), "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
}

/// With these options, what is asked of the primary when of two reads a replica has refused the first.
fn asked_again_when_the_first_is_refused(options: Options) -> String {
    let mut bench = Bench::with(Options { reads: Reads::Replicas, ..options });
    let client = bench.client();
    bench.say(client, "GET a\nGET b");
    let (read, said) = bench.sent(2);
    assert_eq!(said, "GET a; GET b");
    bench.answer(read, "-BEHIND not as fresh as was asked\r\n$1\r\n1\r\n");
    bench.sent(1).1
}

#[test]
fn a_read_behind_one_that_was_refused_is_not_older_than_that() {
    let asked = asked_again_when_the_first_is_refused(Options::default());
    assert_eq!(asked, "GET a; GET b; TRIMTAB POSITION");
}

/// With these options, which of three nodes is asked first, the first being primary, when a replica that was read from is not
/// fresh enough any more.
fn asked_when_a_replica_is_left(options: Options) -> u16 {
    let mut bench = Bench::with(Options { reads: Reads::Replicas, ..options });
    bench.split.handle_topology(&topology(1, Some(1), 3), bench.now);
    let client = bench.client();
    bench.say(client, "GET a");
    let (read, _) = bench.sent(2);
    bench.answer(read, "$1\r\n1\r\n");
    bench.say(client, "GET a");
    bench.sent(2);
    bench.answer(read, "-BEHIND not as fresh as was asked\r\n");
    let asked = bench.links.iter().find(|(link, _)| **link != read);
    asked.map(|(_, port)| *port).unwrap()
}

#[test]
fn another_replica_is_not_asked_for_less_than_was_seen() {
    assert_eq!(asked_when_a_replica_is_left(Options::default()), 1);
}

#[cfg(feature = "sim")]
#[test]
fn planted_bugs_that_worlds_seldom_meet_are_found() {
    let with = |plant| Options { planted: Some(plant), ..Options::default() };
    // The first one comes to be done behind the second.
    assert_eq!(told_of_a_refused_one_and_one_done(with(planted::Plant::Overtaken)), "");
    let asked = asked_again_when_the_first_is_refused(with(planted::Plant::PassedRead));
    assert_eq!(asked, "GET a; TRIMTAB POSITION");
    assert_eq!(asked_when_a_replica_is_left(with(planted::Plant::WayBack)), 3);
}
