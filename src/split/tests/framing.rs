//! Requests in other forms than that in which programs write them.

use super::*;

/// `GET` of a key with a request in it, which looks like the end of an `AFTER` to who looks for `\n`.
const ODD: &str = "*2\rX$3\rYGET\r\r$41\rZ\n$3\r\nGET\r\n$1\r\nb\r\n*2\r\n$4\r\nECHO\r\n$6\r\nPWNED!\r\n";

/// The same as words.
const ODD_WORDS: &str = "GET \n$3\r\nGET\r\n$1\r\nb\r\n*2\r\n$4\r\nECHO\r\n$6\r\nPWNED!";

impl Bench {
    fn say_raw(&mut self, client: ClientId, bytes: &str) {
        self.split.handle_client_bytes(client, bytes.as_bytes(), self.now);
        self.act();
    }

    /// A client that has written at 1:7, and a connection for reads to node 2 that is not known to have that.
    fn writer(&mut self) -> ClientId {
        let client = self.client();
        self.say(client, "GET a");
        let (read, _) = self.sent(2);
        self.answer(read, "$-1\r\n");
        self.say(client, "SET b 1");
        let (light, _) = self.sent(1);
        self.answer(light, "+OK\r\n*2\r\n:1\r\n:7\r\n");
        assert_eq!(self.told(client), "$-1\r\n+OK\r\n");
        client
    }
}

#[test]
fn a_request_is_cut_nowhere_but_where_it_was_found_to_end() {
    let mut bench = Bench::new();
    let client = bench.writer();
    bench.say_raw(client, ODD);
    let (after, said) = bench.sent(2);
    assert_eq!(said, format!("TRIMTAB AFTER 1 7 50 {ODD_WORDS}"));
    bench.answer(after, "$-1\r\n");
    assert_eq!(bench.told(client), "$-1\r\n");
}

#[test]
fn nodes_get_requests_in_their_one_form() {
    let expected = format!("*2\r\n$3\r\nGET\r\n$41\r\n{}\r\n", &ODD_WORDS[4..]);
    for end in ["\r\n", "ab"] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.say_raw(client, &format!("{}{end}", &ODD[..ODD.len() - 2]));
        bench.act();
        let link = *bench.links.keys().next().unwrap();
        bench.split.handle_link_up(link, bench.now);
        let greeting = bench.split.link_output(link).len();
        bench.split.consume_link_output(link, greeting, bench.now);
        bench.answer(link, "+OK\r\n");
        assert_eq!(bench.split.link_output(link), expected.as_bytes());
    }
    // In a transaction too, and for who subscribes.
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "MULTI");
    bench.say_raw(client, ODD);
    bench.say(client, "EXEC");
    let (link, said) = bench.sent(1);
    assert_eq!(said, format!("MULTI; {ODD_WORDS}; EXEC; TRIMTAB POSITION"));
    bench.answer(link, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n*2\r\n:1\r\n:1\r\n");
    assert_eq!(bench.told(client), "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    bench.say_raw(client, "*2\r-$9\r-SUBSCRIBE--$1\r-c--");
    assert_eq!(bench.sent(1).1, "TRIMTAB AFTER 1 1 1000 WAIT 0 0; SUBSCRIBE c");
}
