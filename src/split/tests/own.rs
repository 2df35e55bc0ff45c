//! What a client's own connection is for, one after the other.

use super::*;

const BOUND: &str = "TRIMTAB BOUND -1";

/// A client that watches, and its connection.
fn watching(bench: &mut Bench) -> (ClientId, LinkId) {
    let client = bench.client();
    bench.say(client, "WATCH a");
    let (own, said) = bench.sent(1);
    assert_eq!(said, "WATCH a; TRIMTAB POSITION");
    bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "+OK\r\n");
    (client, own)
}

impl Bench {
    /// What is sent by this connection now, whole.
    fn sent_by(&mut self, link: LinkId) -> String {
        self.act();
        let output = String::from_utf8(self.split.link_output(link).to_vec()).unwrap();
        self.split.consume_link_output(link, output.len(), self.now);
        words(&output)
    }
}

#[test]
fn who_subscribes_is_joined_by_the_connection_that_watches() {
    let mut bench = Bench::new();
    let (client, own) = watching(&mut bench);
    bench.say(client, "SUBSCRIBE c\nUNSUBSCRIBE c\nMULTI\nSET a 1\nEXEC");
    assert_eq!(
        bench.sent_by(own),
        format!("{BOUND}; SUBSCRIBE c; UNSUBSCRIBE c; MULTI; SET a 1; EXEC"),
        "the node knows what is watched"
    );
    bench.answer(own, "+OK\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_eq!(bench.told(client), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    bench.answer(own, "*-1\r\n");
    assert_eq!(bench.told(client), "*-1\r\n");
    assert_eq!(bench.links.len(), 1);
}

/// The node may have told it why, and that it is to read.
#[test]
fn whom_the_node_has_ended_may_send_on() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SUBSCRIBE c");
    let (own, _) = bench.sent(1);
    bench.answer(own, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    bench.split.handle_client_bytes(client, b"*1\r\n$16777217\r\n", bench.now);
    bench.answer(own, "-ERR Protocol error: invalid bulk length\r\n");
    bench.split.handle_link_down(own, bench.now);
    assert!(bench.told(client).ends_with("\r\n-ERR Protocol error: invalid bulk length\r\n"));
    assert!(bench.split.is_client_finished(client) && bench.split.may_client_send_on(client));
}

#[test]
fn a_watch_is_lost_with_the_reign_and_a_subscription_is_not() {
    let mut bench = Bench::new();
    let (client, own) = watching(&mut bench);
    let subscriber = bench.client();
    bench.say(subscriber, "SUBSCRIBE c");
    let (joined, _) = bench.sent(1);
    bench.split.handle_topology(&topology(2, Some(1), 2), bench.now);
    bench.act();
    assert!(!bench.links.contains_key(&own) && bench.links.contains_key(&joined));
    bench.say(client, "MULTI\nSET a 1\nEXEC");
    assert_eq!(bench.told(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn who_has_lost_what_is_watched_does_not_subscribe_before_that_is_told() {
    let mut bench = Bench::new();
    let (client, own) = watching(&mut bench);
    bench.split.handle_link_down(own, bench.now);
    bench.say(client, "SUBSCRIBE c");
    assert!(bench.told(client).starts_with("-TRYAGAIN what was watched is lost"));
    bench.say(client, "MULTI\nSET a 1\nEXEC");
    assert_eq!(bench.told(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
    bench.say(client, "SUBSCRIBE c");
    assert_eq!(bench.sent(1).1, "TRIMTAB AFTER 1 1 1000 WAIT 0 0; SUBSCRIBE c");
}

#[test]
fn a_watch_lost_while_there_is_no_primary_to_subscribe_at_stays_lost() {
    let mut bench = Bench::new();
    let (client, _) = watching(&mut bench);
    bench.split.handle_topology(&topology(1, None, 2), bench.now);
    bench.say(client, "SUBSCRIBE c");
    assert_eq!(bench.told(client), "");
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    assert!(bench.told(client).starts_with("-TRYAGAIN what was watched is lost"));
}

#[test]
fn its_protocol_is_that_of_its_client() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "WAIT 0 0");
    let (own, said) = bench.sent(1);
    assert_eq!(said, "TRIMTAB AFTER 0 0 10000 WAIT 0 0; TRIMTAB POSITION");
    bench.answer(own, ":0\r\n*2\r\n:1\r\n:1\r\n");
    bench.told(client);
    bench.say(client, "HELLO 3");
    assert!(bench.told(client).starts_with("%7\r\n"));
    bench.say(client, "WATCH a\nHGETALL h");
    assert_eq!(bench.sent_by(own), "HELLO 3; WATCH a; TRIMTAB POSITION");
    bench.answer(own, "%1\r\n+server\r\n+x\r\n+OK\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.sent_by(own), "HGETALL h; TRIMTAB POSITION");
    bench.answer(own, "%0\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "+OK\r\n%0\r\n");
    // Back, without an end to what is watched.
    bench.say(client, "HELLO 2");
    assert!(bench.told(client).starts_with("*14\r\n"));
    bench.say(client, "GET a");
    assert_eq!(bench.sent_by(own), "HELLO 2; GET a; TRIMTAB POSITION");
    bench.answer(own, "*0\r\n$-1\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "$-1\r\n");
    // And on the way to being joined.
    bench.say(client, "HELLO 3\nSUBSCRIBE c");
    assert_eq!(bench.sent_by(own), format!("HELLO 3; {BOUND}; SUBSCRIBE c"));
}

#[test]
fn it_is_left_when_its_node_is_silent() {
    let mut bench = Bench::new();
    let (client, own) = watching(&mut bench);
    bench.say(client, "GET a");
    bench.sent_by(own);
    bench.later(Duration::from_secs(10));
    assert!(!bench.links.contains_key(&own));
    let (strong, said) = bench.sent(1);
    assert_eq!(said, "TRIMTAB AFTER 1 1 1000 WAIT 0 0; GET a; TRIMTAB POSITION", "asked anew");
    // What it watched is lost with it.
    bench.say(client, "MULTI\nSET a 1\nEXEC");
    bench.answer(strong, ":0\r\n$-1\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "$-1\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    let (client, own) = watching(&mut bench);
    bench.say(client, "MULTI\nSET a 1\nEXEC");
    bench.sent_by(own);
    bench.later(Duration::from_secs(10));
    assert!(bench.told(client).starts_with("+OK\r\n+QUEUED\r\n-INDOUBT "));
}

#[test]
fn it_is_waited_for_as_long_as_its_client_says() {
    let mut bench = Bench::new();
    let client = bench.client();
    let wait = |bench: &mut Bench, line: &str| {
        bench.say(client, line);
        let (own, said) = bench.sent(1);
        assert!(said.ends_with(&format!(" {line}; TRIMTAB POSITION")), "{said}");
        own
    };
    // Ten seconds until it may have what is waited for, a minute, and ten seconds for the answer.
    let own = wait(&mut bench, "WAIT 1 60000");
    bench.later(Duration::from_secs(79));
    assert!(bench.links.contains_key(&own));
    bench.later(Duration::from_secs(1));
    assert!(!bench.links.contains_key(&own), "it is asked anew");
    let (strong, said) = bench.sent(1);
    assert_eq!(said, "TRIMTAB POSITION", "what it has seen is not known any more");
    bench.answer(strong, "*2\r\n:1\r\n:1\r\n");
    let (own, said) = bench.sent(1);
    assert!(said.ends_with(" WAIT 1 60000; TRIMTAB POSITION"), "{said}");
    bench.answer(own, ":1\r\n*2\r\n:1\r\n:1\r\n");
    // Without an end, and what is not answered behind it has one.
    wait(&mut bench, "WAITAOF 0 1 0");
    bench.later(Duration::from_secs(100_000));
    assert!(bench.links.contains_key(&own));
    bench.answer(own, "*2\r\n:1\r\n:1\r\n");
    bench.later(Duration::from_secs(9));
    assert!(bench.links.contains_key(&own));
    bench.later(Duration::from_secs(1));
    assert!(!bench.links.contains_key(&own), "no position has come");
    assert_eq!(bench.told(client), ":1\r\n*2\r\n:1\r\n:1\r\n");
}

#[test]
fn who_has_subscribed_to_nothing_is_not_joined() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "UNSUBSCRIBE\nPUNSUBSCRIBE a* b*\nGET a");
    assert_eq!(
        bench.told(client),
        "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:0\r\n*3\r\n$12\r\n\
         punsubscribe\r\n$2\r\nb*\r\n:0\r\n"
    );
    assert_eq!(bench.sent(2).1, "GET a");
}

#[test]
fn a_joined_client_that_quits_is_not_cut() {
    for (said, cut) in [("QUIT\r\n", 0), ("quit\n", 0), ("*1\r\n$4\r\nQuit\r\n", 0), ("PING quit\r\n", 1)] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.say(client, "SUBSCRIBE c");
        let (own, _) = bench.sent(1);
        bench.split.handle_client_bytes(client, said.as_bytes(), bench.now);
        bench.sent_by(own);
        bench.answer(own, "+OK\r\n");
        bench.split.handle_link_down(own, bench.now);
        bench.act();
        assert!(bench.split.is_client_finished(client));
        assert_eq!(bench.told(client), "+OK\r\n");
        let counters = bench.split.counters();
        assert_eq!((counters.cut, counters.link_errors), (cut, cut), "{said}");
    }
}

/// What is answered without being sent does not hold up what comes behind it.
#[test]
fn a_watch_that_is_ended_twice_holds_nothing_up() {
    for end in ["EXEC", "DISCARD", "UNWATCH"] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.say(client, &format!("WATCH a\nUNWATCH\nUNWATCH\n{end}\nPING"));
        let (own, _) = bench.sent(1);
        bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
        assert!(bench.sent_by(own).starts_with("UNWATCH"));
        bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
        let ended = match end {
            "UNWATCH" => "+OK".to_owned(),
            other => format!("-ERR {other} without MULTI"),
        };
        assert_eq!(bench.told(client), format!("+OK\r\n+OK\r\n+OK\r\n{ended}\r\n+PONG\r\n"), "{end}");
    }
}

/// A client that asks for more than is kept for it, and reads slowly, is answered all the same.
#[test]
fn long_answers_are_asked_for_as_they_are_read() {
    let output_max = 4 << 20;
    let mut bench = Bench::with(Options { output_max, reads: Reads::Replicas, ..Options::default() });
    let client = bench.client();
    bench.say(client, &"GET a\n".repeat(40));
    let long = format!("$400000\r\n{}\r\n", "x".repeat(400_000));
    let (link, said) = bench.sent(2);
    let mut asked = said.matches("GET a").count();
    assert_eq!(asked, 8);
    let mut told = 0;
    for answered in 0..40 {
        assert!(asked > answered, "it goes on");
        bench.answer(link, &long);
        told += bench.told(client).len();
        asked += bench.sent_by(link).matches("GET a").count();
        assert!(asked - answered <= 21, "{asked} of which {answered} are answered");
    }
    assert_eq!((asked, told), (40, 40 * long.len()));
}

/// A client that asks for `line` and ends its half, and the connection by which that was sent.
fn left(bench: &mut Bench, line: &str) -> (ClientId, LinkId) {
    let client = bench.client();
    bench.say(client, line);
    let (own, _) = bench.sent(1);
    bench.split.handle_client_end(client, bench.now);
    bench.act();
    (client, own)
}

#[test]
fn a_wait_without_end_ends_with_the_half_of_its_client() {
    for line in ["WAIT 9 0", "WAITAOF 1 9 0", "WATCH a\nWAIT 9 0", "WAIT 9 0\nWAIT 9 0\nGET a"] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.say(client, line);
        let (own, mut said) = bench.sent(1);
        if line.starts_with("WATCH") {
            bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
            said = bench.sent_by(own);
        }
        assert!(said.ends_with(" 0; TRIMTAB POSITION"), "{said}");
        bench.told(client);
        bench.later(Duration::from_secs(1_000));
        assert!(!bench.links.is_empty(), "as long as its client is there: {line}");
        // What comes behind is not read.
        bench.split.handle_client_leaving(client, bench.now);
        bench.act();
        bench.later(Duration::from_millis(249));
        assert!(!bench.split.is_client_finished(client), "{line}");
        bench.later(Duration::from_millis(1));
        assert!(bench.split.is_client_finished(client), "{line}");
        assert_eq!(bench.told(client), "", "{line}");
        assert!(bench.links.is_empty() && bench.split.links() == 0, "{line}");
        let counters = bench.split.counters();
        assert_eq!((counters.cut, counters.link_errors, counters.retries), (0, 0, 0), "{line}");
    }
}

#[test]
fn who_breaks_off_is_waited_for_no_longer() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "WAIT 9 0");
    bench.sent(1);
    bench.split.close_client(client, bench.now);
    bench.act();
    assert!(bench.links.is_empty() && bench.split.links() == 0);
}

#[test]
fn a_wait_without_end_that_is_answered_at_once_is() {
    let mut bench = Bench::new();
    let (client, own) = watching(&mut bench);
    bench.say(client, "WAIT 0 0\nMULTI\nSET a 1\nEXEC");
    bench.sent_by(own);
    bench.split.handle_client_end(client, bench.now);
    bench.answer(own, ":0\r\n*2\r\n:1\r\n:1\r\n");
    assert!(bench.sent_by(own).starts_with("MULTI; SET a 1; EXEC"), "what is watched stays watched");
    bench.later(Duration::from_secs(9));
    bench.answer(own, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), ":0\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert!(bench.split.is_client_finished(client));
}

#[test]
fn who_sends_a_wait_without_end_and_an_end_together_does_not_stay_either() {
    for stands in [true, false] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.split.handle_client_bytes(client, b"WAIT 9 0\r\n", bench.now);
        bench.split.handle_client_end(client, bench.now);
        if stands {
            let (_, said) = bench.sent(1);
            assert!(said.ends_with(" WAIT 9 0; TRIMTAB POSITION"), "{said}");
        }
        bench.act();
        // It is asked anew as long as a connection does not stand, and told then that none does.
        for _ in 0..10_000 {
            if bench.split.is_client_finished(client) {
                break;
            }
            bench.later(Duration::from_millis(10));
        }
        assert!(bench.split.is_client_finished(client), "{stands}");
        assert_eq!(bench.told(client).is_empty(), stands);
        assert!(bench.links.is_empty(), "{stands}");
    }
}

#[test]
fn what_was_not_sent_is_asked_of_the_next_primary_though_its_client_has_ended() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "WAIT 0 0");
    bench.split.handle_client_end(client, bench.now);
    bench.act();
    let (&connecting, _) = bench.links.first_key_value().unwrap();
    bench.split.handle_link_down(connecting, bench.now);
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    let (own, said) = bench.sent(2);
    assert!(said.ends_with(" WAIT 0 0; TRIMTAB POSITION"), "{said}");
    bench.answer(own, ":0\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), ":0\r\n");
    assert!(bench.split.is_client_finished(client));
}

#[test]
fn a_wait_that_has_an_end_is_answered_to_who_has_ended() {
    let mut bench = Bench::new();
    let (client, own) = left(&mut bench, "WAIT 9 60000");
    bench.later(Duration::from_secs(60));
    bench.answer(own, ":1\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), ":1\r\n");
    assert!(bench.split.is_client_finished(client));
}

#[test]
fn who_subscribes_and_ends_is_answered_before_it_is_over() {
    let told = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    let mut bench = Bench::new();
    let client = bench.client();
    bench.split.handle_client_bytes(client, b"SUBSCRIBE c\r\n", bench.now);
    bench.split.handle_client_end(client, bench.now);
    let (own, said) = bench.sent(1);
    assert_eq!(said, "SUBSCRIBE c");
    assert!(bench.split.is_link_said(own), "its node hears of it");
    assert!(!bench.split.is_client_finished(client));
    bench.answer(own, &told[..10]);
    bench.answer(own, &told[10..]);
    assert_eq!(bench.told(client), told);
    // As nodes do.
    bench.split.handle_link_down(own, bench.now);
    bench.act();
    assert!(bench.split.is_client_finished(client) && bench.links.is_empty());
    let counters = bench.split.counters();
    assert_eq!((counters.cut, counters.link_errors), (0, 0));
    // One that watches is a listener's for its node until that has heard otherwise.
    let (client, own) = watching(&mut bench);
    bench.say(client, "SUBSCRIBE c");
    bench.split.handle_client_end(client, bench.now);
    assert_eq!(bench.sent_by(own), format!("{BOUND}; SUBSCRIBE c"));
    assert!(!bench.split.is_link_said(own));
    bench.answer(own, "+OK\r\n");
    assert!(bench.split.is_link_said(own));
    bench.split.close_client(client, bench.now);
    // One whose node says nothing more is not kept.
    let (client, own) = left(&mut bench, "SUBSCRIBE c");
    assert!(bench.split.is_link_said(own));
    bench.later(Duration::from_secs(10));
    assert!(bench.split.is_client_finished(client) && bench.links.is_empty());
}
