//! One question and whatever is said to it: it comes to an answer or a failure in bounded time, opens and
//! closes its exchanges in pairs, and an answer has what messages have room for.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::discovery::domain::DomainName;
use trimtab::discovery::message::{Kind, Question, Records};
use trimtab::discovery::query::{Action, Query};
use trimtab::discovery::resolv_conf::Resolvers;
use trimtab::rng::Rng;
use trimtab::time::Instant;

#[path = "support/dns.rs"]
mod dns;

#[derive(Arbitrary, Debug)]
struct Run {
    kind: u8,
    servers: u8,
    attempts: u8,
    is_tcp: bool,
    is_edns: bool,
    rotates: bool,
    seed: u64,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Tell(u8, dns::Happening),
    Wait(u16),
}

fuzz_target!(|run: Run| {
    let kind = [Kind::A, Kind::Aaaa, Kind::Srv][usize::from(run.kind) % 3];
    let text = if kind == Kind::Srv { "_s._tcp.test" } else { "app.test" };
    let question = Question { name: DomainName::parse(text).expect("it is a name"), kind };
    let resolvers = Resolvers {
        servers: (0..1 + run.servers % 4).map(|n| ([10, 0, 0, 1 + n], 53).into()).collect(),
        attempts: 1 + run.attempts % 3,
        tcp: run.is_tcp,
        edns: run.is_edns,
        rotate: run.rotates,
        ..Resolvers::default()
    };
    resolvers.check().expect("in range");
    let mut rng = Rng::new(run.seed);
    let mut now = Instant::from_millis(1);
    let mut query = Query::new(1, question, Arc::new(resolvers), now, &mut rng);
    let mut links = dns::Links::default();
    let mut done = None;
    let mut poll = |query: &mut Query, links: &mut dns::Links| {
        while let Some(action) = query.poll_action() {
            assert!(done.is_none(), "nothing comes behind the end");
            match action {
                Action::Io(io) => links.act(io),
                Action::Done(result) => done = Some(result),
            }
        }
        done.is_some()
    };
    let mut is_done = poll(&mut query, &mut links);
    for step in run.steps.into_iter().take(200) {
        match step {
            Step::Tell(at, happening) => {
                links.tell(at, &happening, |exchange, event| {
                    query.handle_event(exchange, event, now, &mut rng)
                });
            }
            Step::Wait(millis) => {
                now = now.saturating_add(Duration::from_millis(u64::from(millis)));
                query.handle_timeout(now, &mut rng);
            }
        }
        is_done = poll(&mut query, &mut links);
        assert_eq!(query.next_deadline().is_none(), is_done);
    }
    // In silence it ends after as many tries as there may be, each of them at its time.
    for _ in 0..4 * 3 + 1 {
        let Some(deadline) = query.next_deadline() else { break };
        now = now.max(deadline);
        query.handle_timeout(now, &mut rng);
        is_done = poll(&mut query, &mut links);
    }
    assert!(is_done && query.next_deadline().is_none() && links.len() == 0);
    match done.expect("it is done") {
        Ok(answer) => match answer.records {
            Records::Addresses(addresses) => {
                assert!((1..=4_096).contains(&addresses.len()) && kind != Kind::Srv);
                assert!(addresses.iter().all(|address| address.is_ipv4() == (kind == Kind::A)));
            }
            Records::Services(services) => {
                assert!((1..=3_300).contains(&services.len()) && kind == Kind::Srv);
                assert!(answer.additional.len() <= 4_096);
            }
            Records::None(_) => assert!(answer.additional.is_empty()),
        },
        Err(failure) => {
            assert!((1..=4).contains(&failure.tries.len()));
            assert_eq!(failure.to_string().lines().count(), 1);
        }
    }
});
