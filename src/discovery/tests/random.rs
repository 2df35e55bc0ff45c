//! Random worlds: whatever is lost, delayed, repeated, forged, refused or made up, what is found is what the
//! zone has, or it is a failure that something caused.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::lookup::{environment, resolvers, watched};
use super::world::{Behaviour, World};
use crate::discovery::domain::DomainName;
use crate::discovery::lookup::{Lookup, LookupError, Outcome, QUERIES_MAX};
use crate::discovery::members::Endpoint;
use crate::discovery::message::{Kind, Question, Records};
use crate::discovery::name::WatchedName;
use crate::discovery::options::{Families, Hold, Options};
use crate::discovery::query::Query;
use crate::discovery::resolv_conf::Resolvers;
use crate::discovery::watch::{Action, Watch};
use crate::discovery::zone::{Style, Zone, name};
use crate::rng::Rng;

/// How bad a world is: 0 means honest resolvers on a good network.
fn behaviour(rng: &mut Rng, badness: f64) -> Behaviour {
    let mut share = |most: f64| if rng.below(2) == 0 { 0.0 } else { rng.unit() * most * badness };
    let (loss, repeats, forges) = (share(0.6), share(1.0), share(1.0));
    let (refuses, babbles, fails) = (share(0.5), share(0.5), share(0.5));
    let most = Duration::from_millis(1 + rng.below(if badness > 0.0 { 9_000 } else { 900 }));
    let style = Style {
        follows: rng.below(3) > 0,
        adds: rng.below(2) == 0,
        size_max: if rng.below(4) == 0 { 12 + rng.below(400) as usize } else { 65_535 },
        shuffles: rng.below(2) == 0,
    };
    // Who is cut short over TCP too answers nothing long; that is a fault, and honest ones have none.
    let style = if badness > 0.0 { style } else { Style { size_max: 65_535, ..style } };
    Behaviour {
        style,
        loss,
        delay: (Duration::from_millis(1), most),
        repeats,
        forges,
        refuses,
        babbles,
        fails,
        is_old: rng.below(4) == 0,
        drops_edns: badness > 0.0 && rng.below(6) == 0,
        is_tcp_refused: badness > 0.0 && rng.below(6) == 0,
    }
}

/// A zone around `app.test`, reached by aliases, and `_s._tcp.test`.
fn zone(rng: &mut Rng) -> Zone {
    let mut zone = Zone::new();
    zone.minimum = [None, Some(0), Some(15), Some(4_000)][rng.below(4) as usize];
    let address = |rng: &mut Rng| -> IpAddr {
        match rng.below(2) {
            0 => Ipv4Addr::new(10, 1, 0, 1 + rng.below(200) as u8).into(),
            _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + rng.below(200) as u16).into(),
        }
    };
    let hosts = 1 + rng.below(12);
    for host in 0..hosts {
        let count = [0, 1, 2, 5, 60, 150][rng.below(6) as usize];
        let all: Vec<String> = (0..count).map(|_| address(rng).to_string()).collect();
        let ttl = rng.below(90) as u32;
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        zone.host(&format!("h{host}.test"), ttl, &all);
    }
    let mut target = format!("h{}.test", rng.below(hosts + 1));
    for alias in 0..rng.below(5) {
        zone.alias(&format!("alias{alias}.test"), rng.below(90) as u32, &target);
        target = format!("alias{alias}.test");
    }
    zone.alias("app.test", 60, &target);
    let services = [0, 1, 3, 30][rng.below(4) as usize];
    for _ in 0..services {
        let at = (rng.below(4) as u16 * 10, rng.below(4) as u16, 80 + rng.below(3) as u16);
        // The same target at the same place with another weight would be two records of one.
        let target = format!("h{}.test", rng.below(hosts + 1));
        let node = zone.nodes.get(&name("_s._tcp.test"));
        let is_there = |node: &crate::discovery::zone::Node| {
            node.services.iter().any(|it| (it.0, it.2, &it.3) == (at.0, at.2, &name(&target)))
        };
        if !node.is_some_and(is_there) {
            zone.service("_s._tcp.test", rng.below(90) as u32, at, &target);
        }
    }
    zone
}

fn expected(zone: &Zone, watched: &WatchedName, families: Families) -> Vec<Endpoint> {
    match watched {
        WatchedName::Host { name, port } => zone.host_members(name.name(), *port, families),
        WatchedName::Service { name } => zone.service_members(name.name(), families),
    }
}

fn world(seed: u64, badness: f64) -> World {
    let mut rng = Rng::new(seed);
    let servers: Vec<Behaviour> = (0..1 + rng.below(4)).map(|_| behaviour(&mut rng, badness)).collect();
    World::new(seed, zone(&mut rng), &servers)
}

fn any_resolvers(world: &World, rng: &mut Rng) -> Resolvers {
    Resolvers {
        rotate: rng.below(2) == 0,
        tcp: rng.below(6) == 0,
        attempts: 1 + rng.below(5) as u8,
        edns: rng.below(4) > 0,
        ..resolvers(world)
    }
}

fn any_families(rng: &mut Rng) -> Families {
    Families::NAMES[rng.below(5) as usize].1
}

const NAMES: [&str; 3] = ["app.test:80", "srv:_s._tcp.test", "h0.test:80"];

fn lookup(world: &mut World, rng: &mut Rng) -> (WatchedName, Families, Result<Outcome, LookupError>) {
    let watched = watched(NAMES[rng.below(3) as usize]);
    let families = any_families(rng);
    let options = Options { families, lookup_max: Duration::from_secs(600), ..Options::default() };
    let environment = environment(any_resolvers(world, rng), "");
    let now = world.now;
    let mut lookup = Lookup::new(&watched, environment, options, 0, now, &mut world.machine_rng);
    let outcome = world.finish(&mut lookup);
    (watched, families, outcome)
}

proptest! {
    /// Order, repetition, aliases that are left to follow, additional records, EDNS or not, truncation: none of
    /// that matters to what is found.
    #[test]
    fn honest_resolvers_lead_to_what_there_is(seed: u64) {
        let mut world = world(seed, 0.0);
        let (watched, families, outcome) = lookup(&mut world, &mut Rng::new(seed ^ 3));
        let expected = expected(&world.zone, &watched, families);
        match outcome {
            Ok(Outcome::Found(found)) => {
                prop_assert_eq!(found.endpoints(families, 10_000), (expected, 0));
                prop_assert_eq!(found.failure, None);
                prop_assert!((1..=3600).contains(&found.ttl.as_secs()));
            }
            Ok(Outcome::Nothing { ttl, .. }) => {
                prop_assert_eq!(expected, []);
                prop_assert!((1..=30).contains(&ttl.as_secs()));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    /// In any world what is found is right, in parts that did not fail; and a failure is told in one line.
    #[test]
    fn whatever_happens_nothing_wrong_is_found(seed: u64) {
        let mut world = world(seed, 1.0);
        let (watched, families, outcome) = lookup(&mut world, &mut Rng::new(seed ^ 3));
        let all = expected(&world.zone, &watched, Families::Both);
        match outcome {
            Ok(Outcome::Found(found)) => {
                let (endpoints, dropped) = found.endpoints(families, 10_000);
                prop_assert_eq!(dropped, 0);
                match &found.failure {
                    None => prop_assert_eq!(endpoints, expected(&world.zone, &watched, families)),
                    Some(failure) => {
                        prop_assert_eq!(failure.to_string().lines().count(), 1);
                        let all: BTreeSet<_> = all.iter().map(|endpoint| endpoint.address).collect();
                        prop_assert!(endpoints.iter().all(|endpoint| all.contains(&endpoint.address)));
                    }
                }
            }
            Ok(Outcome::Nothing { .. }) => prop_assert_eq!(expected(&world.zone, &watched, families), []),
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
        }
        prop_assert!(world.open_max <= QUERIES_MAX * 4 * 5 * 2, "{}", world.open_max);
    }

    /// A question fails only when no answer that was whole and right came while it was open.
    #[test]
    fn a_question_fails_only_without_a_good_answer(seed: u64) {
        let mut world = world(seed, 1.0);
        world.servers.values_mut().for_each(|server| server.style.follows = true);
        let mut rng = Rng::new(seed ^ 3);
        let (text, kind) = [("h0.test", Kind::A), ("h1.test", Kind::Aaaa), ("_s._tcp.test", Kind::Srv)]
            [rng.below(3) as usize];
        let question = Question { name: name(text), kind };
        let resolvers = any_resolvers(&world, &mut rng);
        let bound = resolvers.timeout * u32::from(resolvers.attempts) * 4 * 2 + Duration::from_secs(60);
        let start = world.now;
        let mut query = Query::new(0, question, Arc::new(resolvers), start, &mut world.machine_rng);
        match world.finish(&mut query) {
            Ok(answer) => {
                let node = world.zone.nodes.get(&name(text)).cloned().unwrap_or_default();
                let found: BTreeSet<String> = match answer.records {
                    Records::Addresses(all) => all.iter().map(ToString::to_string).collect(),
                    Records::Services(all) => all.iter().map(|it| format!("{} {}", it.port, it.target)).collect(),
                    Records::None(_) => BTreeSet::new(),
                };
                let there: BTreeSet<String> = match kind {
                    Kind::Srv => node.services.iter().map(|it| format!("{} {}", it.2, it.3)).collect(),
                    _ => (node.addresses.iter())
                        .filter(|address| address.is_ipv4() == (kind == Kind::A))
                        .map(ToString::to_string)
                        .collect(),
                };
                prop_assert_eq!(found, there);
            }
            Err(failure) => {
                prop_assert_eq!(world.good, 0);
                prop_assert!(!failure.tries.is_empty());
            }
        }
        prop_assert!(world.now.duration_since(start) <= bound);
    }

    /// The same seed, the same run.
    #[test]
    fn a_run_can_be_repeated(seed: u64) {
        let run = || {
            let mut world = world(seed, 1.0);
            let outcome = lookup(&mut world, &mut Rng::new(seed));
            let asked: Vec<Vec<u8>> = world.asked.iter().map(|asked| asked.bytes.clone()).collect();
            (outcome, asked, world.now)
        };
        prop_assert_eq!(run(), run());
    }

    /// Any bytes at all, in any pieces, with the right number and question or without.
    #[test]
    fn any_bytes_lead_to_an_answer_or_a_failure(
        seed: u64,
        tcp: bool,
        messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
    ) {
        let mut world = World::new(seed, Zone::new(), &[Behaviour::SILENT; 2]);
        let resolvers = Resolvers { tcp, ..resolvers(&world) };
        let question = Question { name: DomainName::parse("app.test").unwrap(), kind: Kind::Srv };
        let now = world.now;
        let mut query = Query::new(0, question, Arc::new(resolvers), now, &mut world.machine_rng);
        let until = now.saturating_add(Duration::from_millis(10));
        prop_assert!(world.run(&mut query, until).is_empty());
        let mut done = None;
        for (is_matched, bytes) in messages {
            if done.is_none() {
                world.inject(&mut query, is_matched, bytes);
                let now = world.now;
                done = world.run(&mut query, now).pop().map(|(_, result)| result);
            }
        }
        match done.unwrap_or_else(|| world.finish(&mut query)) {
            Ok(answer) => prop_assert!(answer.additional.len() < 200),
            Err(failure) => prop_assert_eq!(failure.to_string().lines().count(), 1),
        }
    }
}

proptest! {
    // A run is half an hour of simulated time.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..Default::default() })]

    /// Over time: a set is told only when it is another, has only what was there at some time, and is what is
    /// there soon after the faults are over.
    #[test]
    fn a_watch_comes_to_what_there_is_once_faults_are_over(seed: u64) {
        let mut world = world(seed, 1.0);
        let mut rng = Rng::new(seed ^ 3);
        let watched = watched(NAMES[rng.below(3) as usize]);
        let families = any_families(&mut rng);
        let hold = [Hold::For(Duration::ZERO), Hold::For(Duration::from_secs(40))][rng.below(2) as usize];
        let (ttl_min, ttl_max) = (Duration::from_secs(20), Duration::from_secs(120));
        let options = Options { families, hold, ttl_min, ttl_max, ..Options::default() };
        let environment = environment(any_resolvers(&world, &mut rng), "");
        let mut watch =
            Watch::new(watched.clone(), environment, options, world.now, &mut world.machine_rng).unwrap();
        // A lookup may fall on both sides of a change, and a part that failed is older still.
        let mut ever: BTreeSet<IpAddr> = BTreeSet::new();
        let mut last: Vec<Endpoint> = Vec::new();
        for _ in 0..4 {
            world.zone = zone(&mut rng);
            ever.extend(world.zone.nodes.values().flat_map(|node| &node.addresses));
            for server in world.servers.values_mut() {
                *server = behaviour(&mut rng, 1.0);
            }
            let until = world.now.saturating_add(Duration::from_secs(rng.below(200)));
            for (_, action) in world.run(&mut watch, until) {
                let Action::Members(members) = action else { continue };
                prop_assert_ne!(&members, &last);
                prop_assert!(members.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(members.iter().all(|endpoint| ever.contains(&endpoint.address.ip())));
                last = members;
            }
            prop_assert_eq!(watch.members(), &last[..]);
        }
        for server in world.servers.values_mut() {
            *server = behaviour(&mut rng, 0.0);
        }
        // A lookup under way may take its time; then the longest life or back-off, a lookup, and the hold.
        let settled = world.now.saturating_add(Duration::from_secs(60 + 132 + 60 + 132 + 60 + 40));
        world.run(&mut watch, settled);
        prop_assert_eq!(watch.members(), expected(&world.zone, &watched, families));
    }
}
