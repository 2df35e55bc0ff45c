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
    assert_eq!(bench.sent(1).1, "SUBSCRIBE c");
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
