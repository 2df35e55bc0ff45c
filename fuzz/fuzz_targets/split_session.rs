//! A listener that splits reads from writes, with clients that send anything, nodes that answer anything, and everything that
//! can happen to both in any order: it goes on, and what it says can be done.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::balance::Address;
use trimtab::rng::Rng;
use trimtab::split::{Action, ClientId, LinkId, NodeView, Options, Split, Topology};
use trimtab::store::index::Timestamp;
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
enum Step {
    Open,
    Close(u8),
    End(u8),
    Say(u8, Said),
    Up(u8),
    Down(u8),
    Answer(u8, Answered),
    Time(u16),
    Nodes { epoch: u8, primary: Option<u8>, count: u8, out: u8 },
    Read(u8, u8),
    Send(u8, u8),
}

#[derive(Arbitrary, Debug)]
enum Said {
    Bytes(Vec<u8>),
    Line(u8),
}

#[derive(Arbitrary, Debug)]
enum Answered {
    Bytes(Vec<u8>),
    Line(u8),
}

const LINES: [&str; 18] = [
    "GET a\r\n",
    "SET a 1\r\n",
    "MULTI\r\n",
    "EXEC\r\n",
    "WATCH a\r\n",
    "UNWATCH\r\n",
    "DISCARD\r\n",
    "HSET h f v\r\n",
    "SCAN 0\r\n",
    "SCAN 5\r\n",
    "WAIT 1 0\r\n",
    "SUBSCRIBE c\r\n",
    "HELLO 3\r\n",
    "RESET\r\n",
    "INFO\r\n",
    "QUIT\r\n",
    "CLIENT LIST\r\n",
    "CLIENT KILL TYPE normal\r\n",
];
const ANSWERS: [&str; 10] = [
    "+OK\r\n",
    "$1\r\n1\r\n",
    "*2\r\n:1\r\n:7\r\n",
    "-READONLY no\r\n",
    "-BEHIND no\r\n",
    "-ERR no\r\n",
    "$-1\r\n",
    "+QUEUED\r\n",
    "*1\r\n+OK\r\n",
    "_\r\n",
];

fuzz_target!(|run: (u64, Vec<Step>)| {
    let (seed, steps) = run;
    let options = Options {
        pending_max: 4,
        output_pause: 200,
        output_max: 2_000,
        whole_max: 20,
        heavy_max: 2,
        link_output_max: 100,
        queue_max: 2,
        ..Options::default()
    };
    let mut split = Split::new(options, Timestamp::from_millis(1), Rng::new(seed));
    let mut now = Instant::from_millis(1);
    let (mut clients, mut links): (Vec<ClientId>, Vec<LinkId>) = Default::default();
    let mut open: BTreeMap<LinkId, bool> = BTreeMap::new();
    let mut cut: BTreeSet<ClientId> = BTreeSet::new();
    for step in steps.into_iter().take(300) {
        let client = |at: u8| clients.get(usize::from(at) % clients.len().max(1)).copied();
        let link = |at: u8| links.get(usize::from(at) % links.len().max(1)).copied();
        match step {
            Step::Open if clients.len() < 8 => {
                clients.push(split.open_client("c", "l", Timestamp::from_millis(1)));
            }
            Step::Open => {}
            Step::Close(at) => {
                if let Some(id) = client(at) {
                    split.close_client(id, now);
                    clients.retain(|client| *client != id);
                }
            }
            Step::End(at) => client(at).into_iter().for_each(|id| split.handle_client_end(id, now)),
            Step::Say(at, said) => {
                if let Some(id) = client(at).filter(|id| split.wants_client_bytes(*id)) {
                    let bytes = match &said {
                        Said::Bytes(bytes) => &bytes[..],
                        Said::Line(line) => LINES[usize::from(*line) % LINES.len()].as_bytes(),
                    };
                    split.handle_client_bytes(id, bytes, now);
                }
            }
            Step::Up(at) => {
                if let Some(id) = link(at) {
                    open.insert(id, true);
                    split.handle_link_up(id, now);
                }
            }
            Step::Down(at) => {
                if let Some(id) = link(at) {
                    links.retain(|link| *link != id);
                    split.handle_link_down(id, now);
                }
            }
            Step::Answer(at, answered) => {
                if let Some(id) = link(at).filter(|id| open.get(id) == Some(&true)) {
                    let bytes = match &answered {
                        Answered::Bytes(bytes) => &bytes[..],
                        Answered::Line(line) => ANSWERS[usize::from(*line) % ANSWERS.len()].as_bytes(),
                    };
                    split.handle_link_bytes(id, bytes, now);
                }
            }
            Step::Time(millis) => {
                now = now.saturating_add(Duration::from_millis(u64::from(millis)));
                split.handle_timeout(now);
                assert!(split.next_deadline().is_none_or(|at| at > now));
            }
            Step::Nodes { epoch, primary, count, out } => {
                let view = |id: u64| NodeView {
                    id,
                    name: id.to_string().into(),
                    address: (id != 3).then(|| Address::Inet(([127, 0, 0, 1], id as u16).into())),
                    is_own: id == 1,
                    is_out: id == u64::from(out),
                };
                let nodes = (1..=u64::from(count % 5)).map(view).collect();
                let primary = primary.map(|at| u64::from(at % 5) + 1);
                split.handle_topology(
                    &Topology { epoch: u64::from(epoch), primary, nodes, fenced: None },
                    now,
                );
            }
            Step::Read(at, len) => {
                if let Some(id) = client(at) {
                    let len = usize::from(len).min(split.client_output(id).len());
                    split.consume_client_output(id, len, now);
                }
            }
            Step::Send(at, len) => {
                if let Some(id) = link(at) {
                    let len = usize::from(len).min(split.link_output(id).len());
                    split.consume_link_output(id, len, now);
                }
            }
        }
        split.finish();
        while let Some(action) = split.poll_action() {
            match action {
                Action::Connect { link, .. } => {
                    assert!(open.insert(link, false).is_none(), "a number is given once");
                    links.push(link);
                }
                Action::CloseLink(id) | Action::ResetLink(id) => links.retain(|link| *link != id),
                Action::CutClient(id) => {
                    cut.insert(id);
                    split.close_client(id, now);
                    clients.retain(|client| *client != id);
                }
                Action::SendLink(_) | Action::SendClient(_) => {}
            }
            split.finish();
        }
        assert_eq!(split.links(), links.len());
    }
});
