mod fences;
mod framing;
mod own;
mod refused;
mod scans;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::resp::HubOptions;

/// A listener, its connections as they were asked for, and what was sent.
struct Bench {
    split: Split,
    now: Instant,
    /// The port of each connection that is open.
    links: BTreeMap<LinkId, u16>,
    cut: Vec<ClientId>,
}

fn topology(epoch: u64, primary: Option<u64>, nodes: u64) -> Topology {
    let view = |id: u64| NodeView {
        id,
        name: format!("n{id}").into(),
        address: Some(Address::Inet(([127, 0, 0, 1], id as u16).into())),
        is_own: id == 2,
        is_out: false,
    };
    Topology { epoch, primary, nodes: (1..=nodes).map(view).collect(), fenced: None }
}

impl Bench {
    fn with(options: Options) -> Self {
        let split = Split::new(options, Timestamp::from_millis(1), Rng::new(3));
        let mut bench =
            Self { split, now: Instant::from_millis(10), links: BTreeMap::new(), cut: Vec::new() };
        bench.split.handle_topology(&topology(1, Some(1), 2), bench.now);
        bench
    }

    /// Node 1 is primary, and node 2 reads.
    fn new() -> Self {
        Self::with(Options { reads: Reads::Replicas, ..Options::default() })
    }

    fn client(&mut self) -> ClientId {
        self.split.open_client("10.0.0.1:5", "10.0.0.9:6400", Timestamp::from_millis(1))
    }

    fn act(&mut self) {
        self.split.finish();
        while let Some(action) = self.split.poll_action() {
            match action {
                Action::Connect { link, address: Address::Inet(address) } => {
                    self.links.insert(link, address.port());
                }
                Action::CloseLink(link) | Action::ResetLink(link) => {
                    self.links.remove(&link);
                }
                Action::CutClient(client) => self.cut.push(client),
                _ => {}
            }
        }
    }

    fn say(&mut self, client: ClientId, lines: &str) {
        for line in lines.split('\n') {
            self.split.handle_client_bytes(client, format!("{line}\r\n").as_bytes(), self.now);
        }
        self.act();
    }

    /// What a client was told, and takes it away.
    fn told(&mut self, client: ClientId) -> String {
        self.act();
        let output = self.split.client_output(client).to_vec();
        self.split.consume_client_output(client, output.len(), self.now);
        String::from_utf8(output).unwrap()
    }

    /// The connection that has something to send, or is to be established, to the node of this port; it is established,
    /// greeted, and gives what it has to send as words.
    fn sent(&mut self, port: u16) -> (LinkId, String) {
        self.act();
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, to)| **to == port).map(|(link, _)| *link).collect();
        for link in links {
            self.split.handle_link_up(link, self.now);
            let mut all = String::new();
            loop {
                self.act();
                let output = String::from_utf8(self.split.link_output(link).to_vec()).unwrap();
                if output.is_empty() {
                    break;
                }
                self.split.consume_link_output(link, output.len(), self.now);
                let said = words(&output);
                // A greeting is answered at once.
                if said.starts_with("TRIMTAB BOUND") {
                    self.split.handle_link_bytes(link, b"+OK\r\n", self.now);
                } else {
                    all.push_str(&said);
                }
            }
            if !all.is_empty() {
                return (link, all);
            }
        }
        panic!("nothing is sent to {port}");
    }

    fn is_silent(&mut self, port: u16) -> bool {
        self.act();
        let split = &self.split;
        self.links.iter().filter(|(_, to)| **to == port).all(|(link, _)| split.link_output(*link).is_empty())
    }

    fn answer(&mut self, link: LinkId, answer: &str) {
        self.split.handle_link_bytes(link, answer.as_bytes(), self.now);
        self.act();
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.split.handle_timeout(self.now);
        self.act();
    }
}

/// Requests as words, `;` between them.
fn words(bytes: &str) -> String {
    let mut all = Vec::new();
    let mut rest = bytes;
    let mut parser = crate::resp::Parser::new(crate::resp::Limits::default());
    while !rest.is_empty() {
        match parser.parse(rest.as_bytes()).unwrap() {
            crate::resp::Parsed::Request(request, len) => {
                let words: Vec<_> =
                    request.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                all.push(words.join(" "));
                rest = &rest[len..];
            }
            other => panic!("{other:?}"),
        }
    }
    all.join("; ")
}

#[test]
fn a_client_sees_its_own_write_on_a_replica() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1\nGET a");
    let (primary, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; TRIMTAB POSITION", "the read waits for the write");
    bench.answer(primary, "+OK\r\n*2\r\n:3\r\n:17\r\n");
    assert_eq!(bench.told(client), "+OK\r\n");
    // The connection for reads comes first, and one that has to catch up behind it.
    let (strong, said) = bench.sent(1);
    assert_eq!(
        said, "TRIMTAB AFTER 3 17 1000 WAIT 0 0; GET a; TRIMTAB POSITION",
        "there is no connection to the replica yet"
    );
    bench.answer(strong, ":0\r\n$1\r\n1\r\n*2\r\n:3\r\n:18\r\n");
    assert_eq!(bench.told(client), "$1\r\n1\r\n");
    let other = bench.client();
    bench.say(other, "GET b");
    let (read, said) = bench.sent(2);
    assert_eq!(said, "GET b");
    bench.answer(read, "$-1\r\n");
    bench.say(client, "GET a");
    let (after, said) = bench.sent(2);
    assert_eq!(said, "TRIMTAB AFTER 3 18 50 GET a");
    assert_ne!(after, read);
    bench.answer(after, "$1\r\n1\r\n");
    assert_eq!(bench.told(client), "$1\r\n1\r\n");
    // From now on the node is known to have it.
    bench.say(client, "GET a");
    assert_eq!(bench.sent(2), (read, "GET a".to_owned()));
}

#[test]
fn who_leaves_a_replica_reads_from_the_primary_first() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "GET a\nGET b");
    let (read, said) = bench.sent(2);
    assert_eq!(said, "GET a; GET b");
    bench.answer(read, "$1\r\n1\r\n-BEHIND this node is not as fresh as was asked; nothing was done\r\n");
    assert_eq!(bench.told(client), "$1\r\n1\r\n");
    let (strong, said) = bench.sent(1);
    assert_eq!(said, "GET b; TRIMTAB POSITION");
    bench.answer(strong, "$1\r\n2\r\n");
    assert_eq!(bench.told(client), "$1\r\n2\r\n");
    // As long as the position has not come, it goes on there.
    bench.say(client, "GET c");
    assert_eq!(bench.sent(1), (strong, "GET c; TRIMTAB POSITION".to_owned()));
    assert_eq!(bench.split.counters().behind, 1);
}

#[test]
fn a_write_that_may_be_done_is_told_and_one_that_has_not_left_is_sent_again() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    let (link, _) = bench.sent(1);
    // This one does not leave.
    bench.say(client, "SET b 1");
    bench.split.handle_link_down(link, bench.now);
    assert!(bench.told(client).starts_with("-INDOUBT "));
    let (_, said) = bench.sent(1);
    assert_eq!(said, "SET b 1; TRIMTAB POSITION");
    assert_eq!(bench.split.counters().in_doubt, 1);
}

#[test]
fn a_primary_of_before_has_time_to_answer_and_is_cut_then() {
    let mut bench = Bench::new();
    let (one, two) = (bench.client(), bench.client());
    bench.say(one, "SET a 1");
    bench.say(two, "HSET h f v");
    let (light, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; TRIMTAB POSITION");
    let (heavy, said) = bench.sent(1);
    assert_eq!(said, "HSET h f v; TRIMTAB POSITION");
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    bench.act();
    bench.answer(light, "+OK\r\n*2\r\n:1\r\n:4\r\n");
    assert_eq!(bench.told(one), "+OK\r\n");
    assert!(!bench.links.contains_key(&light), "nothing is left to wait for");
    assert!(bench.links.contains_key(&heavy));
    bench.later(Duration::from_secs(1));
    assert!(!bench.links.contains_key(&heavy));
    assert!(bench.told(two).starts_with("-INDOUBT "));
    // What was written at the old one is in the token.
    bench.say(one, "SET a 2");
    let (new, said) = bench.sent(2);
    assert_eq!(said, "SET a 2; TRIMTAB POSITION");
    bench.answer(new, "+OK\r\n*2\r\n:2\r\n:9\r\n");
    assert_eq!(bench.told(one), "+OK\r\n");
}

#[test]
fn who_is_primary_again_is_asked_anew() {
    let mut bench = Bench::new();
    let (one, two) = (bench.client(), bench.client());
    bench.say(one, "SET a 1");
    let (light, _) = bench.sent(1);
    bench.say(two, "GET a");
    let (read, _) = bench.sent(2);
    bench.split.handle_topology(&topology(2, None, 2), bench.now);
    bench.split.handle_topology(&topology(3, Some(1), 2), bench.now);
    bench.say(one, "SET a 2");
    assert!(bench.is_silent(1), "by that one it is refused");
    bench.answer(light, "+OK\r\n*2\r\n:1\r\n:4\r\n");
    assert_eq!(bench.told(one), "+OK\r\n");
    let (new, said) = bench.sent(1);
    assert_eq!(said, "SET a 2; TRIMTAB POSITION");
    assert!(!bench.links.contains_key(&light) && bench.links.contains_key(&read));
    // Told once more what is known it goes on.
    bench.split.handle_topology(&topology(3, None, 2), bench.now);
    bench.split.handle_topology(&topology(3, Some(1), 2), bench.now);
    bench.answer(new, "+OK\r\n*2\r\n:3\r\n:9\r\n");
    bench.say(one, "SET a 3");
    assert_eq!(bench.sent(1), (new, "SET a 3; TRIMTAB POSITION".to_owned()));
}

#[test]
fn a_connection_that_owes_answers_is_reset() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    let (link, _) = bench.sent(1);
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    bench.now = bench.now.saturating_add(Duration::from_secs(1));
    bench.split.handle_timeout(bench.now);
    let closed = std::iter::from_fn(|| bench.split.poll_action())
        .find(|action| matches!(action, Action::CloseLink(_) | Action::ResetLink(_)));
    assert_eq!(closed, Some(Action::ResetLink(link)));
    assert!(bench.told(client).starts_with("-INDOUBT "));
}

#[test]
fn without_a_primary_writes_wait_and_are_told_in_the_end() {
    let mut bench = Bench::with(Options { queue_max: 1, ..Options::default() });
    bench.split.handle_topology(&topology(1, None, 2), bench.now);
    let (one, two) = (bench.client(), bench.client());
    bench.say(one, "SET a 1");
    assert_eq!(bench.told(one), "");
    bench.say(two, "SET a 2");
    assert!(bench.told(two).starts_with("-TRYAGAIN there is no primary, and too many"));
    // Who only reads does not need one.
    bench.say(two, "GET a");
    assert_eq!((bench.links.len(), bench.split.held()), (1, 1));
    bench.split.close_client(two, bench.now);
    bench.later(Duration::from_secs(5));
    assert!(bench.told(one).starts_with("-TRYAGAIN there was no primary for 5s"));
    assert_eq!(bench.split.held(), 0);
}

#[test]
fn where_the_node_is_out_who_waits_for_a_primary_is_told_at_once() {
    let mut bench = Bench::with(Options::default());
    bench.split.handle_topology(&topology(1, None, 2), bench.now);
    let client = bench.client();
    bench.say(client, "SET a 1");
    assert_eq!(bench.told(client), "");
    let fenced = Some("was removed from the cluster".into());
    bench.split.handle_topology(&Topology { fenced, ..topology(1, None, 2) }, bench.now);
    bench.act();
    assert_eq!(bench.told(client), "-ERR the node was removed from the cluster\r\n");
    bench.say(client, "SET a 2");
    assert_eq!(bench.told(client), "-ERR the node was removed from the cluster\r\n");
    assert_eq!(bench.split.held(), 0);
}

#[test]
fn a_transaction_goes_as_one_piece() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "MULTI\nSET a 1\nNOPE\nINCR b");
    let told = bench.told(client);
    assert!(told.starts_with("+OK\r\n+QUEUED\r\n-ERR unknown command 'NOPE'"), "{told}");
    bench.say(client, "EXEC");
    assert!(bench.told(client).ends_with("-EXECABORT Transaction discarded because of previous errors.\r\n"));
    bench.say(client, "MULTI\nSET a 1\nINCR b\nEXEC");
    let (link, said) = bench.sent(1);
    assert_eq!(said, "MULTI; SET a 1; INCR b; EXEC; TRIMTAB POSITION");
    bench.answer(link, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n*2\r\n:1\r\n:5\r\n");
    assert_eq!(bench.told(client), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n");
    for (lines, error) in [
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI\nMULTI", "-ERR MULTI calls can not be nested"),
        ("SUBSCRIBE c", "-ERR SUBSCRIBE inside MULTI is not allowed"),
        ("DISCARD", "+OK"),
    ] {
        bench.say(client, lines);
        let told = bench.told(client);
        assert!(told.contains(error), "{lines}: {told}");
    }
}

#[test]
fn a_transaction_of_which_a_part_is_refused_is_sent_again() {
    let refused = "+OK\r\n-READONLY You can't write against a read only replica.\r\n+QUEUED\r\n\
                   -EXECABORT Transaction discarded because of previous errors.\r\n*2\r\n:1\r\n:1\r\n";
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "MULTI\nSET a 1\nGET a\nEXEC");
    let (old, _) = bench.sent(1);
    bench.answer(old, refused);
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    let (new, said) = bench.sent(2);
    assert_eq!(said, "TRIMTAB AFTER 1 1 1000 WAIT 0 0; MULTI; SET a 1; GET a; EXEC; TRIMTAB POSITION");
    // Refused for good, and nothing is left of the refusal before.
    let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let discarded = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    bench.answer(new, &format!(":0\r\n+OK\r\n{full}+QUEUED\r\n{discarded}*2\r\n:2\r\n:2\r\n"));
    assert_eq!(bench.told(client), format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n{discarded}"));
    // With a watch it counts as changed.
    bench.say(client, "WATCH a");
    let (own, _) = bench.sent(2);
    bench.answer(own, ":0\r\n+OK\r\n*2\r\n:2\r\n:2\r\n");
    bench.say(client, "MULTI\nSET a 1\nGET a\nEXEC");
    bench.sent(2);
    bench.answer(own, refused);
    assert_eq!(bench.told(client), "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n");
}

#[test]
fn what_is_watched_counts_as_changed_when_its_connection_is_gone() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "WATCH a");
    let (own, said) = bench.sent(1);
    assert_eq!(said, "WATCH a; TRIMTAB POSITION");
    bench.answer(own, "+OK\r\n*2\r\n:1\r\n:1\r\n");
    bench.say(client, "GET a");
    assert_eq!(bench.sent(1), (own, "GET a; TRIMTAB POSITION".to_owned()), "by the same connection");
    bench.answer(own, "$1\r\n1\r\n*2\r\n:1\r\n:1\r\n");
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    bench.say(client, "MULTI\nSET a 2\nEXEC");
    assert_eq!(bench.told(client), "+OK\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n*-1\r\n");
    assert!(!bench.links.contains_key(&own));
    // Nothing is left of it.
    bench.say(client, "MULTI\nSET a 2\nEXEC");
    let (new, _) = bench.sent(2);
    bench.answer(new, ":0\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(bench.told(client), "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
}

#[test]
fn a_subscriber_is_joined_to_the_primary_and_parted_from_it() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SUBSCRIBE c\nPING");
    let (own, said) = bench.sent(1);
    assert_eq!(said, "SUBSCRIBE c; PING");
    bench.answer(own, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert!(bench.told(client).ends_with("$4\r\npong\r\n$0\r\n\r\n"));
    bench.answer(own, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n");
    assert!(bench.told(client).ends_with("$2\r\nhi\r\n"));
    assert!(!bench.split.is_client_finished(client));
    bench.split.handle_topology(&topology(2, Some(2), 2), bench.now);
    bench.act();
    assert!(bench.split.is_client_finished(client), "it has to subscribe anew");
    assert!(!bench.links.contains_key(&own));
}

#[test]
fn wait_is_for_the_clients_own_writes() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1\nWAIT 1 100");
    let (link, _) = bench.sent(1);
    bench.answer(link, "+OK\r\n*2\r\n:1\r\n:7\r\n");
    let (own, said) = bench.sent(1);
    assert!(said.starts_with("TRIMTAB AFTER 1 7 10000 WAIT 1 100"), "{said}");
    bench.answer(own, ":1\r\n");
    assert_eq!(bench.told(client), "+OK\r\n:1\r\n");
}

#[test]
fn a_frozen_replica_is_left_and_what_it_was_asked_is_asked_elsewhere() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "GET a");
    let (read, _) = bench.sent(2);
    bench.later(Duration::from_secs(1));
    assert!(!bench.links.contains_key(&read));
    let (_, said) = bench.sent(1);
    assert_eq!(said, "GET a; TRIMTAB POSITION");
}

#[test]
fn a_node_that_cannot_be_reached_is_tried_again_later() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    let link = *bench.links.keys().next().unwrap();
    bench.split.handle_link_down(link, bench.now);
    bench.act();
    assert!(bench.links.is_empty());
    assert_eq!(bench.split.held(), 1);
    bench.later(Duration::from_millis(30));
    let (_, said) = bench.sent(1);
    assert_eq!(said, "SET a 1; TRIMTAB POSITION");
}

#[test]
fn who_has_not_logged_in_is_told_so_and_nodes_are_logged_in_to() {
    let hub = HubOptions { password: Some(b"pw".to_vec()), ..HubOptions::default() };
    let mut bench = Bench::with(Options { hub, ..Options::default() });
    let client = bench.client();
    bench.say(client, "GET a");
    assert_eq!(bench.told(client), "-NOAUTH Authentication required.\r\n");
    bench.say(client, "AUTH pw\nHELLO 3\nSET a 1");
    assert!(bench.told(client).starts_with("+OK\r\n%7\r\n"));
    let link = *bench.links.keys().next().unwrap();
    bench.split.handle_link_up(link, bench.now);
    let output = String::from_utf8(bench.split.link_output(link).to_vec()).unwrap();
    assert_eq!(
        words(&output),
        "AUTH pw; HELLO 3; TRIMTAB BOUND 0",
        "nothing is sent before that is answered"
    );
    bench.split.consume_link_output(link, output.len(), bench.now);
    bench.answer(link, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    assert!(bench.links.is_empty());
    let problem = bench.split.nodes().find_map(|node| node.problem.map(str::to_owned)).unwrap();
    assert!(problem.starts_with("WRONGPASS"), "{problem}");
    assert_eq!(bench.split.held(), 1);
    bench.now = bench.now.saturating_add(Options::default().hold);
    bench.split.handle_timeout(bench.now);
    bench.act();
    let told = bench.told(client);
    let expected = "-TRYAGAIN n1 is primary and did not let this listener in for 5s, with \"WRONGPASS ";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn who_waits_for_a_primary_that_is_not_to_be_reached_is_told_which() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    let link = *bench.links.keys().next().unwrap();
    bench.split.handle_link_down(link, bench.now);
    bench.now = bench.now.saturating_add(Options::default().hold);
    bench.split.handle_timeout(bench.now);
    bench.act();
    let told = bench.told(client);
    assert!(told.starts_with("-TRYAGAIN n1 is primary and was not to be reached for 5s: "), "{told}");
}

#[test]
fn who_could_not_write_reads_on_at_a_replica() {
    for says in ["", "-ERR max number of clients reached\r\n"] {
        let mut bench = Bench::new();
        let client = bench.client();
        bench.say(client, "SET a 1");
        let refused = |bench: &mut Bench| {
            let found = bench.links.iter().find(|(_, port)| **port == 1).map(|(link, _)| *link);
            let Some(link) = found else { return };
            bench.split.handle_link_up(link, bench.now);
            bench.split.handle_link_bytes(link, says.as_bytes(), bench.now);
            bench.split.handle_link_down(link, bench.now);
            bench.act();
        };
        for _ in 0..100 {
            refused(&mut bench);
            bench.later(Duration::from_millis(50));
        }
        assert!(bench.told(client).starts_with("-TRYAGAIN n1 is primary and "));
        refused(&mut bench);
        bench.say(client, "GET a");
        let (read, said) = bench.sent(2);
        assert_eq!(said, "GET a", "no write of it was sent, so there is nothing more to see");
        bench.answer(read, "$-1\r\n");
        assert_eq!(bench.told(client), "$-1\r\n");
    }
}

#[test]
fn who_waits_for_a_primary_that_serves_no_clients_is_told_so() {
    let mut bench = Bench::new();
    let mut without = topology(2, Some(1), 2);
    without.nodes[0].address = None;
    bench.split.handle_topology(&without, bench.now);
    let client = bench.client();
    bench.say(client, "SET a 1");
    bench.later(Options::default().hold);
    let told = bench.told(client);
    assert!(told.starts_with("-TRYAGAIN n1 is primary and has no address for clients"), "{told}");
}

#[test]
fn a_long_answer_is_passed_on_as_it_comes_and_cut_with_its_node() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "GET a");
    let (read, _) = bench.sent(2);
    bench.answer(read, &format!("$200000\r\n{}", "x".repeat(70_000)));
    assert_eq!(bench.told(client).len(), 70_009);
    bench.split.handle_link_down(read, bench.now);
    bench.act();
    assert_eq!(bench.cut, [client]);
}

#[test]
fn who_does_not_read_is_cut() {
    let options = Options { output_max: 100_000, output_pause: 10_000, ..Options::default() };
    let mut bench = Bench::with(options);
    bench.split.handle_topology(&topology(1, Some(1), 1), bench.now);
    let client = bench.client();
    bench.say(client, "GET a\nGET a");
    let (read, _) = bench.sent(1);
    let value = format!("$60000\r\n{}\r\n", "x".repeat(60_000));
    bench.answer(read, &value);
    assert!(!bench.split.wants_client_bytes(client), "there is enough to read");
    bench.answer(read, &value);
    assert_eq!(bench.cut, [client]);
    assert_eq!(bench.split.counters().slow, 1);
}

#[test]
fn a_client_that_ends_is_answered_what_it_has_asked() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "SET a 1");
    bench.split.handle_client_end(client, bench.now);
    assert!(!bench.split.is_client_finished(client));
    let (link, _) = bench.sent(1);
    bench.answer(link, "+OK\r\n");
    assert!(bench.split.is_client_finished(client));
    assert_eq!(bench.told(client), "+OK\r\n");
    bench.split.close_client(client, bench.now);
    assert_eq!(bench.split.client_output(client), b"");
}

/// A cursor that the node of this number has given, of `nodes`.
#[test]
fn a_request_of_http_is_cut_without_a_word() {
    let mut bench = Bench::new();
    bench.split.handle_topology(&topology(1, Some(1), 1), bench.now);
    let client = bench.client();
    bench.say(client, "POST / HTTP/1.1\nHost: x\nSET pwned yes");
    assert_eq!(bench.cut, [client]);
    assert_eq!((bench.split.counters().protocol_errors, bench.split.counters().writes), (1, 0));
}

/// Not who goes by himself.
#[test]
fn who_is_closed_for_what_it_sent_may_send_on_and_nobody_else() {
    let mut bench = Bench::new();
    let [bad, quits, ended] = [(); 3].map(|()| bench.client());
    bench.say(bad, "*1\r\n$16777217");
    bench.say(quits, "QUIT");
    bench.say(ended, "*1\r\n$16777217");
    bench.split.handle_client_end(ended, bench.now);
    for client in [bad, quits, ended] {
        assert!(bench.split.is_client_finished(client));
        assert_eq!(bench.split.may_client_send_on(client), client == bad);
    }
}

/// A node does not cut the connection that its client shares with others for what is too long, and no other one is asked.
#[test]
fn who_asks_for_too_much_is_cut_and_nobody_else() {
    let mut bench = Bench::new();
    let (one, other) = (bench.client(), bench.client());
    bench.say(one, "MGET a a");
    bench.say(other, "GET b");
    let (read, said) = bench.sent(2);
    assert_eq!(said, "MGET a a; GET b");
    bench.answer(read, "-TOOLONG this answer has more than 100 bytes\r\n$1\r\n1\r\n");
    assert_eq!(bench.told(other), "$1\r\n1\r\n");
    assert_eq!(bench.cut, [one]);
    let counters = bench.split.counters();
    assert_eq!((counters.slow, counters.retries, counters.link_errors), (1, 0, 0));
    assert!(bench.links.contains_key(&read) && bench.is_silent(1));
}

/// It may be why they broke.
#[test]
fn a_read_whose_answer_was_next_each_time_is_given_up_soon() {
    let mut bench = Bench::new();
    let (one, other) = (bench.client(), bench.client());
    bench.say(one, "GET a");
    bench.say(other, "GET b");
    for round in 0..4 {
        let port = if round == 0 { 2 } else { 1 };
        let (link, said) = bench.sent(port);
        assert!(said.starts_with("GET a; GET b"), "{said}");
        bench.split.handle_link_down(link, bench.now);
    }
    assert_eq!(bench.told(one), "-TRYAGAIN every node that was asked broke off\r\n");
    let (link, said) = bench.sent(1);
    assert_eq!(said, "GET b; TRIMTAB POSITION");
    bench.answer(link, "$1\r\n1\r\n*2\r\n:3\r\n:1\r\n");
    assert_eq!(bench.told(other), "$1\r\n1\r\n");
}

/// As on a node.
#[test]
fn an_exec_that_is_refused_ends_its_transaction() {
    let mut bench = Bench::new();
    let client = bench.client();
    bench.say(client, "MULTI\nSET q 1\nEXEC x");
    let aborted =
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n";
    assert_eq!(bench.told(client), format!("+OK\r\n+QUEUED\r\n{aborted}"));
    bench.say(client, "EXEC\nEXEC x\nGET a");
    assert_eq!(bench.told(client), format!("-ERR EXEC without MULTI\r\n{aborted}"));
    let (read, _) = bench.sent(2);
    bench.say(client, "exec x");
    assert_eq!(bench.told(client), "", "what was asked for before it comes first");
    bench.answer(read, "$1\r\n1\r\n");
    assert_eq!(bench.told(client), format!("$1\r\n1\r\n{aborted}"));
    // What was watched is not any more.
    bench.say(client, "WATCH a");
    let (own, _) = bench.sent(1);
    bench.answer(own, "+OK\r\n");
    bench.say(client, "MULTI\nEXEC x");
    assert_eq!(bench.told(client), format!("+OK\r\n+OK\r\n{aborted}"));
    assert!(!bench.links.contains_key(&own));
    let hub = HubOptions { password: Some(b"secret".to_vec()), ..HubOptions::default() };
    let mut bench = Bench::with(Options { hub, ..Options::default() });
    let client = bench.client();
    bench.say(client, "EXEC");
    assert_eq!(
        bench.told(client),
        "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n"
    );
}
