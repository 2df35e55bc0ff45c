//! From a name to its addresses.

use std::sync::Arc;
use std::time::Duration;

use super::world::{Behaviour, World, server};
use crate::discovery::domain::DomainName;
use crate::discovery::found::{Found, Part};
use crate::discovery::hosts::Hosts;
use crate::discovery::lookup::{ADDRESSES_MAX, Environment, Lookup, LookupError, Outcome, QUERIES_MAX};
use crate::discovery::members::Endpoint;
use crate::discovery::message::{Kind, Negative};
use crate::discovery::name::{Source, WatchedName};
use crate::discovery::options::{Families, Options};
use crate::discovery::resolv_conf::Resolvers;
use crate::discovery::zone::{Style, Zone, name};

pub(super) fn watched(text: &str) -> WatchedName {
    match text.parse() {
        Ok(Source::Watched(name)) => name,
        other => panic!("{text}: {other:?}"),
    }
}

pub(super) fn environment(resolvers: Resolvers, hosts: &str) -> Environment {
    Environment { resolvers: Arc::new(resolvers), hosts: Arc::new(Hosts::parse(hosts.as_bytes())) }
}

pub(super) fn resolvers(world: &World) -> Resolvers {
    Resolvers { servers: world.servers.keys().copied().collect(), ..Resolvers::default() }
}

fn look_in(
    world: &mut World,
    environment: Environment,
    options: &Options,
    text: &str,
) -> Result<Outcome, LookupError> {
    let first = world.query + 1;
    let mut lookup =
        Lookup::new(&watched(text), environment, options.clone(), first, world.now, &mut world.machine_rng);
    let outcome = world.finish(&mut lookup);
    world.query = lookup.next_query();
    outcome
}

fn look(world: &mut World, text: &str) -> Result<Outcome, LookupError> {
    let environment = environment(resolvers(world), "");
    look_in(world, environment, &Options::default(), text)
}

fn found(outcome: Result<Outcome, LookupError>) -> Found {
    match outcome {
        Ok(Outcome::Found(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn endpoints(found: &Found) -> Vec<Endpoint> {
    found.endpoints(Families::Both, 10_000).0
}

/// Tier, address and weight of each.
fn shown(endpoints: &[Endpoint]) -> Vec<String> {
    let show = |endpoint: &Endpoint| format!("{} {} {}", endpoint.tier, endpoint.address, endpoint.weight);
    endpoints.iter().map(show).collect()
}

fn nothing(negative: Negative, seconds: u64) -> Result<Outcome, LookupError> {
    Ok(Outcome::Nothing { negative, ttl: Duration::from_secs(seconds) })
}

fn zone() -> Zone {
    let mut zone = Zone::new();
    zone.host("app.test", 60, &["10.1.0.2", "10.1.0.1", "2001:db8::1"]);
    zone.host("four.test", 50, &["10.1.0.4"]).host("six.test", 40, &["2001:db8::6"]);
    zone.host("bare.test", 40, &[]);
    zone.alias("www.test", 30, "app.test");
    zone
}

#[test]
fn a_host_has_both_kinds_of_addresses_asked_for_at_once() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    let start = world.now;
    let app = found(look(&mut world, "app.test:80"));
    assert_eq!(world.now.duration_since(start), Duration::from_millis(1));
    assert_eq!(world.questions(), ["app.test A", "app.test AAAA"]);
    let expected = ["0 10.1.0.1:80 1", "0 10.1.0.2:80 1", "0 [2001:db8::1]:80 1"];
    assert_eq!(shown(&endpoints(&app)), expected);
    assert_eq!((app.ttl, app.failure.clone()), (Duration::from_secs(60), None));
    // By another name the same, for as long as that lives.
    let www = found(look(&mut world, "www.test:80"));
    assert_eq!((shown(&endpoints(&www)), www.ttl), (shown(&endpoints(&app)), Duration::from_secs(30)));
    // That there are none of one kind does not shorten what there is of the other.
    world.zone.minimum = Some(1);
    assert_eq!(found(look(&mut world, "four.test:80")).ttl, Duration::from_secs(50));
}

#[test]
fn families_decide_what_is_asked_for_and_taken() {
    let v4 = "0 10.1.0.4:80 1";
    let v6 = "0 [2001:db8::6]:80 1";
    for (families, asked, four, six, both) in [
        (Families::Both, 2, vec![v4], vec![v6], vec![v4, v6]),
        (Families::V4, 1, vec![v4], vec![], vec![v4]),
        (Families::V6, 1, vec![], vec![v6], vec![v6]),
        (Families::PreferV4, 2, vec![v4], vec![v6], vec![v4]),
        (Families::PreferV6, 2, vec![v4], vec![v6], vec![v6]),
    ] {
        let mut zone = zone();
        zone.host("both.test", 60, &["10.1.0.4", "2001:db8::6"]);
        let mut world = World::new(1, zone, &[Behaviour::HONEST]);
        let options = Options { families, ..Options::default() };
        for (text, expected) in [("four.test:80", four), ("six.test:80", six), ("both.test:80", both)] {
            let environment = environment(resolvers(&world), "");
            let outcome = look_in(&mut world, environment, &options, text);
            let taken = match outcome.unwrap() {
                Outcome::Found(found) => shown(&found.endpoints(families, 10_000).0),
                Outcome::Nothing { .. } => Vec::new(),
            };
            assert_eq!(taken, expected, "{families:?} {text}");
        }
        assert_eq!(world.asked.len(), 3 * asked);
    }
}

#[test]
fn no_aaaa_leaves_them_alone() {
    for (families, expected) in [
        (Families::Both, "app.test A"),
        (Families::PreferV6, "app.test A"),
        (Families::V4, "app.test A"),
        (Families::V6, "app.test AAAA"),
    ] {
        let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
        let resolvers = Resolvers { no_aaaa: true, ..resolvers(&world) };
        let options = Options { families, ..Options::default() };
        let outcome = look_in(&mut world, environment(resolvers, ""), &options, "app.test:80");
        assert!(!found(outcome).endpoints(families, 10).0.is_empty());
        assert_eq!(world.questions(), [expected]);
    }
}

#[test]
fn the_hosts_file_comes_first() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    let hosts = "10.9.0.1 app.test short\n::1 app.test\n0.0.0.0 blocked.test\n10.9.0.2 target.test\n";
    let look = |world: &mut World, text: &str, families| {
        let options = Options { families, ..Options::default() };
        look_in(world, environment(resolvers(world), hosts), &options, text)
    };
    let app = found(look(&mut world, "app.test:80", Families::Both));
    assert_eq!(shown(&endpoints(&app)), ["0 10.9.0.1:80 1", "0 [::1]:80 1"]);
    assert_eq!(app.ttl, Duration::from_secs(10));
    assert_eq!(shown(&endpoints(&found(look(&mut world, "SHORT:80", Families::V4)))), ["0 10.9.0.1:80 1"]);
    let local = found(look(&mut world, "localhost:80", Families::Both));
    assert_eq!(shown(&endpoints(&local)), ["0 127.0.0.1:80 1", "0 [::1]:80 1"]);
    assert_eq!(look(&mut world, "blocked.test:80", Families::Both), nothing(Negative::NoData, 10));
    let options = Options { families: Families::V6, ..Options::default() };
    let narrow = environment(resolvers(&world), "127.0.0.1 localhost");
    let outcome = look_in(&mut world, narrow, &options, "localhost:80");
    assert_eq!(outcome, nothing(Negative::NoData, 10));
    assert_eq!(world.asked.len(), 0);
    // What the file does not have in a family that is wanted is asked for.
    look(&mut world, "short:80", Families::V6).unwrap();
    assert_eq!(world.questions(), ["short AAAA"]);
    // Targets of services too are hosts.
    world.zone.service("_a._tcp.test", 60, (0, 1, 9), "target.test");
    let service = found(look(&mut world, "srv:_a._tcp.test", Families::Both));
    assert_eq!((shown(&endpoints(&service)), world.asked.len()), (vec!["0 10.9.0.2:9 1".to_string()], 2));
}

#[test]
fn the_search_list_is_gone_through_until_a_name_is_there() {
    let mut zone = zone();
    zone.host("x.two.test", 60, &["10.1.0.9"]).host("a.b", 60, &["10.1.0.8"]).host("e.one.test", 60, &[]);
    zone.service("_s._tcp.two.test", 60, (0, 1, 9), "four.test");
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    let names = |world: &mut World, text: &str| {
        let search = vec![name("one.test"), name("two.test")];
        let resolvers = Resolvers { search, ..resolvers(world) };
        let outcome = look_in(world, environment(resolvers, ""), &Options::default(), text);
        let mut asked = world.questions();
        asked.retain(|question| !question.ends_with("AAAA"));
        world.asked.clear();
        (outcome, asked)
    };
    let (outcome, asked) = names(&mut world, "x:80");
    assert_eq!(shown(&endpoints(&found(outcome))), ["0 10.1.0.9:80 1"]);
    assert_eq!(asked, ["x.one.test A", "x.two.test A"]);
    assert_eq!(names(&mut world, "a.b:80").1, ["a.b A"]);
    assert_eq!(names(&mut world, "a.c:80").1, ["a.c A", "a.c.one.test A", "a.c.two.test A"]);
    let (outcome, asked) = names(&mut world, "y:80");
    assert_eq!(outcome, nothing(Negative::NoName, 20));
    assert_eq!(asked, ["y.one.test A", "y.two.test A", "y A"]);
    assert_eq!(names(&mut world, "y.:80").1, ["y A"]);
    // A name that is there and bare does not end the search, but tells in the end.
    let (outcome, asked) = names(&mut world, "e:80");
    assert_eq!((outcome, asked.len()), (nothing(Negative::NoData, 20), 3));
    let (outcome, asked) = names(&mut world, "srv:_s._tcp");
    assert_eq!(shown(&endpoints(&found(outcome))), ["0 10.1.0.4:9 1"]);
    assert_eq!(asked, ["_s._tcp SRV", "_s._tcp.one.test SRV", "_s._tcp.two.test SRV", "four.test A"]);
}

#[test]
fn a_candidate_that_fails_is_not_passed_over() {
    let mut zone = zone();
    zone.host("x.two.test", 60, &["10.1.0.9"]);
    for failing in [Behaviour::SILENT, Behaviour::REFUSING] {
        let mut world = World::new(1, zone.clone(), &[failing]);
        let search = vec![name("one.test"), name("two.test")];
        let environment = environment(Resolvers { search, ..resolvers(&world) }, "");
        let Err(LookupError::Unanswered(failure)) =
            look_in(&mut world, environment, &Options::default(), "x:80")
        else {
            panic!("another host was taken for it")
        };
        assert_eq!(failure.question.name, name("x.one.test"));
    }
}

#[test]
fn a_service_has_the_addresses_of_its_targets() {
    let mut zone = zone();
    zone.service("_http._tcp.test", 25, (20, 5, 8080), "app.test");
    zone.service("_http._tcp.test", 25, (10, 0, 8081), "four.test");
    zone.service("_http._tcp.test", 25, (10, 65_535, 8082), "six.test");
    // Two targets at one address: the lower tier counts; in one tier both add.
    zone.service("_http._tcp.test", 25, (30, 9, 8081), "four.test");
    zone.alias("alias.test", 60, "four.test");
    zone.service("_http._tcp.test", 25, (10, 7, 8081), "alias.test");
    zone.service("_http._tcp.test", 25, (10, 7, 0), "app.test");
    zone.service("_http._tcp.test", 25, (10, 7, 80), "bare.test");
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    let service = found(look(&mut world, "srv:_http._tcp.test"));
    assert_eq!(
        shown(&endpoints(&service)),
        [
            "0 10.1.0.4:8081 8",
            "0 [2001:db8::6]:8082 65535",
            "1 10.1.0.1:8080 5",
            "1 10.1.0.2:8080 5",
            "1 [2001:db8::1]:8080 5",
        ]
    );
    assert_eq!(service.ttl, Duration::from_secs(25));
    // Each host was asked for once.
    assert_eq!(world.asked.len(), 1 + 2 * 5);
}

#[test]
fn weights_and_tiers_end_at_their_limits() {
    let mut zone = Zone::new();
    for n in 0..300u16 {
        let host = format!("h{n}.test");
        zone.host(&host, 60, &[&format!("10.3.{}.{}", n / 100, n % 100)]);
        zone.service("_a._tcp.test", 60, (n * 7, 65_535, 1), &host);
    }
    zone.alias("again.test", 60, "h0.test");
    zone.service("_a._tcp.test", 60, (0, 65_535, 1), "again.test");
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    let service = found(look(&mut world, "srv:_a._tcp.test"));
    let all = endpoints(&service);
    assert_eq!(all.len(), 300);
    assert_eq!((all[0].weight, all[254].tier, all[255].tier, all[299].tier), (65_535, 254, 255, 255));
    assert!(world.open_max <= QUERIES_MAX, "{}", world.open_max);
    for max in [1, 299, 300, 301] {
        let (some, dropped) = service.endpoints(Families::Both, max);
        assert_eq!((&some[..], dropped), (&all[..max.min(300)], 300usize.saturating_sub(max)));
    }
}

#[test]
fn a_service_that_is_not_offered_has_no_members() {
    let mut zone = zone();
    zone.service("_none._tcp.test", 7, (0, 0, 0), ".");
    zone.service("_none._tcp.test.two.test", 60, (0, 1, 9), "four.test");
    zone.service("_bare._tcp.test", 9, (0, 1, 9), "bare.test");
    zone.service("_bare._tcp.test", 9, (0, 1, 9), "gone.test");
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    let search = Resolvers { search: vec![name("two.test")], ..resolvers(&world) };
    let outcome = look_in(&mut world, environment(search, ""), &Options::default(), "srv:_none._tcp.test");
    assert_eq!(outcome, nothing(Negative::NoData, 7));
    assert_eq!(look(&mut world, "srv:_bare._tcp.test"), nothing(Negative::NoData, 9));
    assert_eq!(look(&mut world, "srv:_gone._tcp.test"), nothing(Negative::NoName, 20));
}

#[test]
fn additional_records_spare_questions() {
    for (families, asked) in [
        (Families::Both, &[][..]),
        (Families::V4, &["six.test A"]),
        (Families::V6, &["four.test AAAA"]),
        (Families::PreferV4, &["six.test A", "six.test AAAA"]),
        (Families::PreferV6, &["four.test AAAA", "four.test A"]),
    ] {
        let mut zone = zone();
        zone.host("both.test", 20, &["10.1.0.7", "2001:db8::7"]);
        for (weight, target) in [(1, "four.test"), (2, "six.test"), (3, "both.test")] {
            zone.service("_http._tcp.test", 70, (0, weight, 80), target);
        }
        let style = Style { adds: true, ..Style::HONEST };
        let mut world = World::new(1, zone, &[Behaviour { style, ..Behaviour::HONEST }]);
        let options = Options { families, ..Options::default() };
        let environment = environment(resolvers(&world), "");
        let service = found(look_in(&mut world, environment, &options, "srv:_http._tcp.test"));
        assert_eq!(world.questions()[1..], *asked, "{families:?}");
        let expected = world.zone.service_members(&name("_http._tcp.test"), families);
        assert_eq!(service.endpoints(families, 10).0, expected);
        assert_eq!(service.ttl, Duration::from_secs(20));
    }
}

#[test]
fn addresses_nobody_can_connect_to_are_left_out() {
    let mut zone = Zone::new();
    let bad = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "fe80::1", "::ffff:0.0.0.0"];
    zone.host("bad.test", 60, &bad);
    zone.host("some.test", 60, &bad).host(
        "some.test",
        60,
        &["127.0.0.1", "::1", "10.1.0.1", "::ffff:10.1.0.1"],
    );
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    let some = found(look(&mut world, "some.test:80"));
    assert_eq!(shown(&endpoints(&some)), ["0 10.1.0.1:80 1", "0 127.0.0.1:80 1", "0 [::1]:80 1"]);
    assert_eq!(some.unusable, bad.len());
    assert_eq!(look(&mut world, "bad.test:80"), nothing(Negative::NoData, 30));
}

#[test]
fn times_to_live_are_kept_within_their_bounds() {
    let mut zone = Zone::new();
    for ttl in [0, 1, 3599, 3600, 3601, i32::MAX as u32, u32::MAX] {
        zone.host(&format!("t{ttl}.test"), ttl, &["10.1.0.1"]);
    }
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    for (ttl, seconds) in
        [(0, 1), (1, 1), (3599, 3599), (3600, 3600), (3601, 3600), (i32::MAX as u32, 3600), (u32::MAX, 1)]
    {
        let found = found(look(&mut world, &format!("t{ttl}.test:80")));
        assert_eq!(found.ttl, Duration::from_secs(seconds), "{ttl}");
    }
    for (minimum, seconds) in [(Some(0), 1), (Some(29), 29), (Some(86_400), 30), (None, 30)] {
        world.zone.minimum = minimum;
        assert_eq!(look(&mut world, "none.test:80"), nothing(Negative::NoName, seconds));
    }
}

#[test]
fn a_part_that_fails_does_not_take_the_rest_with_it() {
    // The answer with IPv6 addresses alone is cut short, and TCP is refused.
    let mut zone = zone();
    let many: Vec<String> = (0..100).map(|n| format!("2001:db8::{n:x}")).collect();
    zone.host("app.test", 60, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let mut world = World::new(1, zone, &[Behaviour { is_tcp_refused: true, ..Behaviour::HONEST }]);
    let app = found(look(&mut world, "app.test:80"));
    assert_eq!(shown(&endpoints(&app)), ["0 10.1.0.1:80 1", "0 10.1.0.2:80 1"]);
    assert_eq!(app.hosts[&name("app.test")].v6, Part::Failed);
    let told = app.failure.unwrap().to_string();
    assert!(told.starts_with("no answer for app.test AAAA; 10.0.0.1:53: it cannot be reached"), "{told}");
    // Alone it leaves nothing to say, and nothing of the other kind does not make it certain.
    for families in [Families::V6, Families::Both] {
        world.zone.nodes.get_mut(&name("app.test")).unwrap().addresses.retain(|address| address.is_ipv6());
        let options = Options { families, ..Options::default() };
        let environment = environment(resolvers(&world), "");
        let outcome = look_in(&mut world, environment, &options, "app.test:80");
        assert!(matches!(outcome, Err(LookupError::Unanswered(_))), "{outcome:?}");
    }
    // Of a service some targets.
    world.zone.service("_s._tcp.test", 60, (0, 1, 80), "app.test");
    assert!(matches!(look(&mut world, "srv:_s._tcp.test"), Err(LookupError::Unanswered(_))));
    world.zone.service("_s._tcp.test", 60, (0, 1, 80), "four.test");
    let service = found(look(&mut world, "srv:_s._tcp.test"));
    assert_eq!(
        (shown(&endpoints(&service)), service.failure.is_some()),
        (vec!["0 10.1.0.4:80 1".to_string()], true)
    );
}

#[test]
fn a_lookup_has_a_time_to_end() {
    let mut zone = zone();
    for n in 0..100 {
        zone.service("_s._tcp.test", 60, (0, 1, 80), &format!("h{n}.test"));
    }
    zone.service("_s._tcp.test", 60, (0, 1, 80), "four.test");
    let mut world = World::new(1, zone, &[Behaviour::HONEST, Behaviour::SILENT]);
    let options = Options { lookup_max: Duration::from_secs(12), ..Options::default() };
    let environment = environment(resolvers(&world), "");
    let start = world.now;
    let mut lookup = Lookup::new(
        &watched("srv:_s._tcp.test"),
        environment,
        options.clone(),
        0,
        start,
        &mut world.machine_rng,
    );
    // The SRV records come, over TCP, and the addresses do not.
    world.run(&mut lookup, start.saturating_add(Duration::from_micros(2_500)));
    world.servers.insert(server(0), Behaviour::SILENT);
    let outcome = world.finish(&mut lookup);
    assert_eq!(world.now.duration_since(start), options.lookup_max);
    let Err(LookupError::Unanswered(failure)) = outcome else { panic!("{outcome:?}") };
    assert_ne!(failure.question.kind, Kind::Srv);
    assert_eq!(failure.tries, []);
    assert!(world.open_max <= 3 * QUERIES_MAX, "{}", world.open_max);
    assert_eq!(lookup.next_query(), 1 + QUERIES_MAX as u64, "those that waited were not asked in the end");
}

#[test]
fn an_answer_as_large_as_can_be_is_taken() {
    let mut zone = Zone::new();
    let all: Vec<String> = (0..4_000).map(|n| format!("10.{}.{}.1", n / 250, n % 250)).collect();
    zone.host("big.test", 60, &all.iter().map(String::as_str).collect::<Vec<_>>());
    for n in 0..1_500 {
        let host = format!("h{n}.test");
        zone.host(&host, 60, &[&format!("10.100.{}.{}", n / 250, n % 250)]);
        zone.service("_s._tcp.test", 60, (0, 1, 80), &host);
    }
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    assert_eq!(endpoints(&found(look(&mut world, "big.test:80"))).len(), 4_000);
    let service = found(look(&mut world, "srv:_s._tcp.test"));
    assert_eq!(endpoints(&service), world.zone.service_members(&name("_s._tcp.test"), Families::Both));
}

#[test]
fn more_addresses_than_any_pool_takes_are_a_failure() {
    let mut zone = Zone::new();
    for n in 0..17u32 {
        let all: Vec<String> = (0..4_000).map(|m| format!("10.{n}.{}.{}", m / 250, m % 250)).collect();
        let host = format!("h{n}.test");
        zone.host(&host, 60, &all.iter().map(String::as_str).collect::<Vec<_>>());
        zone.service("_s._tcp.test", 60, (0, 1, 80), &host);
        if n < 16 {
            zone.service("_t._tcp.test", 60, (0, 1, 80), &host);
        }
    }
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    assert_eq!(look(&mut world, "srv:_s._tcp.test"), Err(LookupError::TooMany));
    let (some, dropped) = found(look(&mut world, "srv:_t._tcp.test")).endpoints(Families::Both, 10_000);
    const { assert!(64_000 < ADDRESSES_MAX) };
    assert_eq!((some.len(), dropped), (10_000, 54_000));
}

#[test]
fn it_can_be_ended_at_any_time() {
    let mut world = World::new(1, zone(), &[Behaviour::SILENT; 2]);
    let environment = environment(resolvers(&world), "");
    let start = world.now;
    let mut lookup = Lookup::new(
        &watched("app.test:80"),
        environment,
        Options::default(),
        0,
        start,
        &mut world.machine_rng,
    );
    world.run(&mut lookup, start.saturating_add(Duration::from_secs(7)));
    lookup.cancel();
    let until = world.now.saturating_add(Duration::from_secs(100));
    assert_eq!(world.run(&mut lookup, until).len(), 0);
    assert_eq!((world.open_now(), lookup.next_deadline()), (0, None));
}

#[test]
fn names_of_any_bytes_are_asked_for() {
    let odd = DomainName::from_message(&simple_dns::Name::new_with_labels(&[
        simple_dns::Label::new_unchecked(&b"a b.\xff*"[..]),
        simple_dns::Label::new_unchecked(&b"test"[..]),
    ]));
    let mut zone = zone();
    let node = zone.nodes[&name("four.test")].clone();
    zone.nodes.insert(odd.clone(), node);
    let alias = crate::discovery::zone::Node { alias: Some(odd), ttl: 60, ..Default::default() };
    zone.nodes.insert(name("alias.test"), alias);
    let style = Style { follows: false, ..Style::HONEST };
    let mut world = World::new(1, zone, &[Behaviour { style, ..Behaviour::HONEST }]);
    let alias = found(look(&mut world, "alias.test:80"));
    assert_eq!(shown(&endpoints(&alias)), ["0 10.1.0.4:80 1"]);
}
