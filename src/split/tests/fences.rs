//! What the primary has answered, and does not show yet.

use super::*;

const BEHIND: &str = "-BEHIND this node is not as fresh as was asked; nothing was done\r\n";
const FENCE: &str = "TRIMTAB AFTER 1 7 1000 WAIT 0 0";

impl Bench {
    /// A client that has written at 1:7, all of whose reads go to the primary.
    fn at_primary() -> (Self, ClientId) {
        let mut bench = Self::with(Options { reads: Reads::Primary, ..Options::default() });
        let client = bench.client();
        bench.wrote(client, 7);
        (bench, client)
    }

    fn wrote(&mut self, client: ClientId, sequence: u64) {
        self.say(client, "SET a 1");
        let (light, said) = self.sent(1);
        assert_eq!(said, "SET a 1; TRIMTAB POSITION", "nothing is before what reads nothing");
        self.answer(light, &format!("+OK\r\n*2\r\n:1\r\n:{sequence}\r\n"));
        assert_eq!(self.told(client), "+OK\r\n");
    }
}

#[test]
fn what_is_read_at_the_primary_is_behind_ones_own_writes() {
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "GET a\nGET b");
    let (strong, said) = bench.sent(1);
    assert_eq!(said, format!("{FENCE}; GET a; GET b; TRIMTAB POSITION"), "once for all that goes together");
    bench.answer(strong, ":0\r\n$1\r\n1\r\n$-1\r\n*2\r\n:1\r\n:9\r\n");
    assert_eq!(bench.told(client), "$1\r\n1\r\n$-1\r\n");
    // It is known to have that from now on.
    bench.say(client, "GET a");
    assert_eq!(bench.sent(1).1, "GET a; TRIMTAB POSITION");
    bench.answer(strong, "$1\r\n1\r\n*2\r\n:1\r\n:9\r\n");
    // And for others: up to there.
    let other = bench.client();
    bench.wrote(other, 8);
    bench.say(other, "GET a");
    assert_eq!(bench.sent(1).1, "GET a; TRIMTAB POSITION");
    for (line, sent) in [
        ("HDEL h f", "HDEL h f"),
        ("MULTI\nGET a\nEXEC", "MULTI; GET a; EXEC"),
        ("WATCH a", "WATCH a"),
        ("DBSIZE", "DBSIZE"),
        ("INFO", "INFO"),
    ] {
        let (mut bench, client) = Bench::at_primary();
        bench.say(client, line);
        assert_eq!(bench.sent(1).1, format!("{FENCE}; {sent}; TRIMTAB POSITION"));
    }
}

#[test]
fn what_was_answered_is_known_before_another_connection_is_read() {
    let mut bench = Bench::with(Options { reads: Reads::Primary, ..Options::default() });
    let client = bench.client();
    bench.say(client, "SET a 1\nGET a");
    let (light, _) = bench.sent(1);
    bench.answer(light, "+OK\r\n");
    assert_eq!(bench.told(client), "+OK\r\n");
    assert!(bench.is_silent(1), "nobody knows yet what to wait for");
    // A write that reads nothing need not.
    let other = bench.client();
    bench.say(other, "SET b 1\nSET b 2");
    bench.sent(1);
    bench.answer(light, "*2\r\n:1\r\n:7\r\n");
    assert_eq!(bench.sent(1).1, format!("{FENCE}; GET a; TRIMTAB POSITION"));
    // By the connection that has answered it need not be known.
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "HSET h f v");
    let (heavy, said) = bench.sent(1);
    assert_eq!(said, format!("{FENCE}; HSET h f v; TRIMTAB POSITION"));
    bench.answer(heavy, ":0\r\n:1\r\n");
    bench.say(client, "HDEL h f");
    assert_eq!(bench.sent(1), (heavy, "HDEL h f; TRIMTAB POSITION".to_owned()));
}

#[test]
fn who_subscribes_sees_what_was_written_before() {
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "SUBSCRIBE c");
    let (own, said) = bench.sent(1);
    assert_eq!(said, format!("{FENCE}; SUBSCRIBE c"));
    bench.answer(own, &format!("{BEHIND}*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"));
    assert_eq!(bench.told(client), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
}

#[test]
fn a_read_that_was_answered_too_soon_is_asked_anew() {
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "GET a\nGET b");
    let (strong, _) = bench.sent(1);
    bench.answer(strong, &format!("{BEHIND}$1\r\n0\r\n$-1\r\n*2\r\n:1\r\n:6\r\n"));
    assert_eq!(bench.told(client), "");
    bench.later(Duration::from_millis(20));
    let (again, said) = bench.sent(1);
    assert_eq!(said, format!("{FENCE}; GET a; GET b; TRIMTAB POSITION"));
    assert_ne!(again, strong, "what is behind that is not waited for");
    bench.answer(again, ":0\r\n$1\r\n1\r\n$-1\r\n*2\r\n:1\r\n:7\r\n");
    assert_eq!(bench.told(client), "$1\r\n1\r\n$-1\r\n");
}

#[test]
fn a_transaction_that_was_done_too_soon_is_in_doubt_and_one_that_was_refused_is_not() {
    let refused = "-READONLY You can't write against a read only replica.\r\n";
    let transaction = "+OK\r\n+QUEUED\r\n*1\r\n$1\r\n0\r\n*2\r\n:1\r\n:6\r\n";
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "MULTI\nGET a\nEXEC");
    let (heavy, _) = bench.sent(1);
    bench.answer(heavy, &format!("{BEHIND}{transaction}"));
    assert!(bench.told(client).starts_with("+OK\r\n+QUEUED\r\n-INDOUBT "));
    assert_eq!(bench.split.counters().in_doubt, 1);
    let (mut bench, client) = Bench::at_primary();
    bench.say(client, "HSET h f v");
    let (heavy, _) = bench.sent(1);
    bench.answer(heavy, &format!("{refused}{refused}*2\r\n:1\r\n:6\r\n"));
    assert_eq!(bench.told(client), "");
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    assert_eq!(bench.sent(2).1, format!("{FENCE}; HSET h f v; TRIMTAB POSITION"));
}

#[test]
fn what_is_lost_with_a_primary_is_not_waited_for_again() {
    let (mut bench, client) = Bench::at_primary();
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    bench.say(client, "GET a");
    let (strong, said) = bench.sent(2);
    assert_eq!(said, format!("{FENCE}; GET a; TRIMTAB POSITION"));
    bench.answer(strong, "-LOST what was written at 1:7 is lost\r\n$-1\r\n*2\r\n:2\r\n:6\r\n");
    assert_eq!(bench.told(client), "$-1\r\n");
    bench.say(client, "MULTI\nGET a\nEXEC");
    assert_eq!(bench.sent(2).1, "TRIMTAB AFTER 2 6 1000 WAIT 0 0; MULTI; GET a; EXEC; TRIMTAB POSITION");
}

#[test]
fn who_waits_for_what_is_lost_is_told_and_not_sent_on() {
    const LOST: &str = "-LOST what was written at 1:7 is lost\r\n";
    for is_known in [false, true] {
        let (mut bench, client) = Bench::at_primary();
        bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
        if is_known {
            bench.say(client, "GET a");
            let (strong, _) = bench.sent(2);
            bench.answer(strong, &format!("{LOST}$-1\r\n*2\r\n:2\r\n:6\r\n"));
            assert_eq!(bench.told(client), "$-1\r\n");
        }
        bench.say(client, "WAIT 1 100");
        if !is_known {
            let (own, said) = bench.sent(2);
            assert!(said.starts_with("TRIMTAB AFTER 1 7 10000 WAIT 1 100"), "{said}");
            bench.answer(own, &format!("{LOST}*2\r\n:2\r\n:6\r\n"));
        }
        assert_eq!(bench.told(client), LOST);
        bench.say(client, "WAITAOF 0 1 100");
        assert_eq!(bench.told(client), LOST, "and again, until it has written something");
        bench.say(client, "SET a 2");
        let (light, _) = bench.sent(2);
        bench.answer(light, "-OOM no\r\n*2\r\n:2\r\n:6\r\n");
        bench.say(client, "WAIT 1 100");
        assert_eq!(bench.told(client), format!("-OOM no\r\n{LOST}"), "it has not");
        bench.say(client, "SET a 2");
        assert_eq!(bench.sent(2), (light, "SET a 2; TRIMTAB POSITION".into()));
        bench.answer(light, "+OK\r\n*2\r\n:2\r\n:8\r\n");
        bench.say(client, "WAIT 1 100");
        let (own, said) = bench.sent(2);
        assert!(said.starts_with("TRIMTAB AFTER 2 8 10000 WAIT 1 100"), "{said}");
        bench.answer(own, ":1\r\n");
        assert_eq!(bench.told(client), "+OK\r\n:1\r\n");
    }
}

#[test]
fn a_write_that_wrote_nothing_does_not_hide_that_the_last_one_is_lost() {
    const LOST: &str = "-LOST what was written at 1:7 is lost\r\n";
    let learns = || {
        let (mut bench, client) = Bench::at_primary();
        bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
        bench.say(client, "GET a");
        let (strong, _) = bench.sent(2);
        bench.answer(strong, &format!("{LOST}$-1\r\n"));
        assert_eq!(bench.told(client), "$-1\r\n");
        (bench, client, strong)
    };
    let waits = |bench: &mut Bench, client: ClientId| {
        bench.say(client, "WAIT 1 100");
        bench.told(client)
    };
    let writes = [
        ("DEL nothing", ":0\r\n"),
        ("SET a 1 NX", "$-1\r\n"),
        ("HDEL h f", ":0\r\n"),
        ("MULTI\nGET a\nEXEC", "*1\r\n$1\r\n1\r\n"),
    ];
    for (line, answer) in writes {
        let is_exec = line.starts_with("MULTI");
        let before = if is_exec { "+OK\r\n+QUEUED\r\n" } else { "" };
        for has_written in [false, true] {
            let (mut bench, client, strong) = learns();
            bench.answer(strong, "*2\r\n:2\r\n:6\r\n");
            bench.say(client, line);
            let (link, said) = bench.sent(2);
            let fence = if said.starts_with("TRIMTAB AFTER") { ":0\r\n" } else { "" };
            bench.answer(link, &format!("{fence}{before}{answer}"));
            assert_eq!(bench.told(client), format!("{before}{answer}"));
            // What the position says, which is waited for, counts.
            assert_eq!(waits(&mut bench, client), "", "{line}");
            let sequence = if has_written { 7 } else { 6 };
            bench.answer(link, &format!("*2\r\n:2\r\n:{sequence}\r\n"));
            if has_written {
                let (own, said) = bench.sent(2);
                assert!(said.starts_with("TRIMTAB AFTER 2 7 10000 WAIT 1 100"), "{said}");
                bench.answer(own, ":1\r\n");
                assert_eq!(bench.told(client), ":1\r\n", "{line}");
            } else {
                assert_eq!(bench.told(client), LOST, "{line}");
                assert_eq!(waits(&mut bench, client), LOST, "{line}");
            }
        }
    }
    // It is not known yet where the log was before.
    for (line, answer, is_lost) in [("DEL nothing", ":0\r\n", true), ("SET a 1", "+OK\r\n", false)] {
        let (mut bench, client, strong) = learns();
        bench.say(client, line);
        let (light, _) = bench.sent(2);
        bench.answer(light, &format!("{answer}*2\r\n:2\r\n:7\r\n"));
        assert_eq!(bench.told(client), answer);
        bench.answer(strong, "*2\r\n:2\r\n:6\r\n");
        let told = waits(&mut bench, client);
        assert_eq!(told == LOST, is_lost, "{line}: {told}");
    }
}

#[test]
fn what_is_too_long_with_a_position_before_it_goes_behind_one() {
    let limits = |arguments_max, request_max| crate::resp::Limits {
        arguments_max,
        request_max,
        ..crate::resp::Limits::default()
    };
    let long = "MGET a b c d";
    for (limits, fits) in [
        (limits(10, 1 << 20), true),
        (limits(9, 1 << 20), false),
        (limits(100, 298), true),
        (limits(100, 297), false),
    ] {
        let mut bench = Bench::with(Options { reads: Reads::Replicas, limits, ..Options::default() });
        let client = bench.client();
        bench.say(client, "GET a");
        let (read, _) = bench.sent(2);
        bench.answer(read, "$-1\r\n");
        bench.told(client);
        bench.wrote(client, 7);
        bench.say(client, long);
        if fits {
            let (after, said) = bench.sent(2);
            assert_eq!(said, format!("TRIMTAB AFTER 1 7 50 {long}"));
            bench.answer(after, "*0\r\n");
        } else {
            let (strong, said) = bench.sent(1);
            assert_eq!(said, format!("{FENCE}; {long}; TRIMTAB POSITION"));
            bench.answer(strong, ":0\r\n*0\r\n");
        }
        assert_eq!(bench.told(client), "*0\r\n");
    }
}
