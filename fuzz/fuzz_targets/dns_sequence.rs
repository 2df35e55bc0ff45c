//! A watched name under any sequence of events, waits and changed files: a set is told only when it is
//! another, in its order and within its bound; there is always something it waits for, until it is cancelled;
//! and exchanges are opened and closed in pairs.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::balance::Admin;
use trimtab::discovery::hosts::Hosts;
use trimtab::discovery::lookup::{Environment, QUERIES_MAX};
use trimtab::discovery::members::{Endpoint, Roster, Template};
use trimtab::discovery::name::Source;
use trimtab::discovery::options::{Families, Hold, Options};
use trimtab::discovery::resolv_conf::Resolvers;
use trimtab::discovery::watch::{Action, Watch};
use trimtab::rng::Rng;
use trimtab::time::Instant;

#[path = "support/dns.rs"]
mod dns;

#[derive(Arbitrary, Debug)]
struct Run {
    name: u8,
    families: u8,
    hold: Option<u8>,
    endpoints_max: u16,
    seed: u64,
    files: Files,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
struct Files {
    servers: u8,
    attempts: u8,
    is_tcp: bool,
    has_search: bool,
    has_hosts: bool,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Tell(u8, dns::Happening),
    Wait(u16),
    /// Until the next deadline.
    Next,
    Files(Files),
    Cancel(u8),
}

impl Files {
    fn environment(&self) -> Environment {
        let search = if self.has_search { "search test example.test\n" } else { "" };
        let mut text = format!("{search}options attempts:{}\n", self.attempts % 6);
        (0..self.servers % 3).for_each(|n| text.push_str(&format!("nameserver 10.0.0.{}\n", n + 1)));
        let resolvers = Resolvers { tcp: self.is_tcp, ..Resolvers::parse(text.as_bytes(), |_| None) };
        let hosts = if self.has_hosts { "10.9.9.9 app.test b.test\n::1 app.test\n" } else { "" };
        Environment { resolvers: Arc::new(resolvers), hosts: Arc::new(Hosts::parse(hosts.as_bytes())) }
    }
}

fuzz_target!(|run: Run| {
    let name = ["app.test:80", "srv:_s._tcp.test", "app:80", "srv:_s._tcp"][usize::from(run.name) % 4];
    let Ok(Source::Watched(name)) = name.parse() else { panic!("it is a name") };
    let options = Options {
        families: Families::NAMES[usize::from(run.families) % 5].1,
        hold: run.hold.map_or(Hold::Forever, |seconds| Hold::For(Duration::from_secs(seconds.into()))),
        endpoints_max: usize::from(run.endpoints_max).clamp(1, 10_000),
        ..Options::default()
    };
    let endpoints_max = options.endpoints_max;
    let mut rng = Rng::new(run.seed);
    let mut now = Instant::from_millis(1);
    let mut watch =
        Watch::new(name, run.files.environment(), options, now, &mut rng).expect("the options are in range");
    let mut links = dns::Links::default();
    let mut roster = Roster::new();
    let (connection_rate, connection_burst) = (0, 0);
    let (weight, tier, maxconn, admin) = (1, 0, 0, Admin::Ready);
    let name = "app".into();
    let template = Template { name, weight, tier, maxconn, connection_rate, connection_burst, admin };
    let mut last: Vec<Endpoint> = Vec::new();
    let mut is_cancelled = false;
    for step in run.steps.into_iter().take(300) {
        while let Some(action) = watch.poll_action() {
            match action {
                Action::Io(io) => links.act(io),
                Action::Members(members) => {
                    assert!(members != last && members.len() <= endpoints_max);
                    assert!(members.windows(2).all(|pair| pair[0] < pair[1]));
                    let changes = roster.set(0, template.members(&members));
                    assert!(!changes.is_empty());
                    assert!(roster.members().count() == members.len());
                    last = members;
                }
                Action::Trouble(trouble) => assert_eq!(trouble.to_string().lines().count(), 1),
            }
        }
        assert_eq!(watch.members(), last);
        assert_eq!(watch.next_deadline().is_none(), is_cancelled);
        // Two resolvers in five rounds, with a connection at the end of it.
        assert!(links.len() <= QUERIES_MAX * (2 * 5 + 1));
        match step {
            Step::Tell(at, happening) => {
                links.tell(at, &happening, |exchange, event| {
                    watch.handle_event(exchange, event, now, &mut rng)
                });
            }
            Step::Wait(millis) => {
                now = now.saturating_add(Duration::from_millis(u64::from(millis)));
                watch.handle_timeout(now, &mut rng);
            }
            Step::Next => {
                now = now.max(watch.next_deadline().unwrap_or(now));
                watch.handle_timeout(now, &mut rng);
                assert!(watch.next_deadline().is_none_or(|next| next > now));
            }
            Step::Files(files) => watch.handle_environment(files.environment(), now, &mut rng),
            Step::Cancel(0) => {
                watch.cancel();
                is_cancelled = true;
            }
            Step::Cancel(_) => {}
        }
    }
    watch.cancel();
    while let Some(action) = watch.poll_action() {
        if let Action::Io(io) = action {
            links.act(io);
        }
    }
    assert!(links.len() == 0 && watch.next_deadline().is_none());
});
