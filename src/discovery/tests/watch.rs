//! A name watched over time.

use std::time::Duration;

use super::lookup::{environment, resolvers, watched};
use super::world::{Behaviour, World, server};
use crate::discovery::lookup::{Environment, LookupError};
use crate::discovery::members::Endpoint;
use crate::discovery::message::Negative;
use crate::discovery::options::{Families, Hold, Options};
use crate::discovery::resolv_conf::Resolvers;
use crate::discovery::watch::{Action, Trouble, Watch};
use crate::discovery::zone::{Style, Zone, name};
use crate::error::Error;
use crate::rng::Rng;
use crate::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn zone() -> Zone {
    let mut zone = Zone::new();
    zone.host("app.test", 60, &["10.1.0.1", "10.1.0.2"]);
    zone
}

fn begin(world: &mut World, text: &str, options: Options) -> Watch {
    let environment = environment(resolvers(world), "");
    begin_in(world, environment, text, options)
}

fn begin_in(world: &mut World, environment: Environment, text: &str, options: Options) -> Watch {
    Watch::new(watched(text), environment, options, world.now, &mut world.machine_rng).unwrap()
}

/// Runs for so long; what it said, with the seconds from the beginning of that.
fn run(world: &mut World, watch: &mut Watch, time: Duration) -> Vec<(f64, Action)> {
    let start = world.now;
    let said = world.run(watch, start.saturating_add(time));
    said.into_iter().map(|(at, action)| (at.duration_since(start).as_secs_f64(), action)).collect()
}

fn members(said: &[(f64, Action)]) -> Vec<(f64, Vec<String>)> {
    said.iter()
        .filter_map(|(at, action)| match action {
            Action::Members(members) => Some((*at, shown(members))),
            _ => None,
        })
        .collect()
}

fn troubles(said: &[(f64, Action)]) -> Vec<(f64, &Trouble)> {
    said.iter()
        .filter_map(|(at, action)| match action {
            Action::Trouble(trouble) => Some((*at, trouble)),
            _ => None,
        })
        .collect()
}

fn shown(members: &[Endpoint]) -> Vec<String> {
    members.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

#[test]
fn members_are_told_once_and_again_when_they_change() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    assert!(!watch.is_settled());
    let said = run(&mut world, &mut watch, SECOND * 1000);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(members(&said), [(0.001, vec!["10.1.0.1:80".to_string(), "10.1.0.2:80".to_string()])]);
    assert!(watch.is_settled());
    // It was looked at again when the records had lived, and at most a tenth later.
    let lookups = watch.statistics().found;
    assert!((1000 / 66..=1000 / 60 + 1).contains(&lookups), "{lookups}");
    world.zone.host("app.test", 60, &["10.1.0.3"]);
    let said = run(&mut world, &mut watch, SECOND * 67);
    let [(at, all)] = &members(&said)[..] else { panic!("{said:?}") };
    assert!(*at <= 66.1 && all.len() == 3);
    assert_eq!(shown(watch.members()), *all);
    world.zone.nodes.get_mut(&name("app.test")).unwrap().addresses.pop_first();
    let said = run(&mut world, &mut watch, SECOND * 67);
    assert_eq!(members(&said)[0].1, ["10.1.0.2:80", "10.1.0.3:80"]);
    let statistics = watch.statistics();
    assert_eq!((statistics.changes, statistics.failed, statistics.nothing, statistics.ignored), (3, 0, 0, 0));
}

#[test]
fn a_thousand_names_do_not_stay_aligned() {
    let mut dues = Vec::new();
    for seed in 0..1000 {
        let mut world = World::new(seed, zone(), &[Behaviour::HONEST]);
        let mut watch = begin(&mut world, "app.test:80", Options::default());
        run(&mut world, &mut watch, SECOND);
        let due = watch.next_deadline().unwrap().duration_since(Instant::from_millis(1_001));
        assert!((SECOND * 60..=SECOND * 66).contains(&due), "{due:?}");
        dues.push(due);
    }
    dues.sort();
    let busiest = dues.windows(50).map(|window| window[49] - window[0]).min().unwrap();
    assert!(busiest > Duration::from_millis(100), "50 of them within {busiest:?}");
    assert!(dues[999] - dues[0] > SECOND * 5);
}

#[test]
fn a_failure_keeps_the_members_and_is_tried_again_ever_more_slowly() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST; 2]);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    run(&mut world, &mut watch, SECOND);
    world.all(Behaviour::REFUSING);
    let said = run(&mut world, &mut watch, SECOND * 3600);
    assert_eq!(members(&said), []);
    assert_eq!(watch.members().len(), 2);
    let troubles = troubles(&said);
    let mut last = troubles[0].0;
    let mut least = SECOND;
    for (at, trouble) in &troubles {
        let Trouble::Failed { error: LookupError::Unanswered(_), again } = trouble else {
            panic!("{trouble:?}")
        };
        assert!((least / 2..=least).contains(again), "{again:?} of {least:?}");
        assert!(at - last <= 30.1);
        (last, least) = (*at, (least * 2).min(SECOND * 30));
    }
    // About one in 22.5 seconds, of which the last is not long ago.
    assert!((130..=180).contains(&troubles.len()), "{}", troubles.len());
    let told = troubles[9].1.to_string();
    assert!(
        told.starts_with("no answer for app.test A; 10.0.0.1:53: it answered ")
            && told.contains("; again in "),
        "{told}"
    );
    // It is over within the longest back-off, and what has changed meanwhile is there.
    world.all(Behaviour::HONEST);
    world.zone.host("app.test", 60, &["10.1.0.3"]);
    let said = run(&mut world, &mut watch, SECOND * 31);
    assert_eq!(members(&said)[0].1.len(), 3);
    // The next failure begins from the shortest again.
    world.all(Behaviour::UNREACHABLE);
    let said = run(&mut world, &mut watch, SECOND * 100);
    let first = said.iter().find_map(|(_, action)| match action {
        Action::Trouble(Trouble::Failed { again, .. }) => Some(*again),
        _ => None,
    });
    assert!(first.unwrap() <= SECOND);
}

#[test]
fn members_are_held_once_there_are_none() {
    for hold in [Duration::ZERO, SECOND, SECOND * 30, SECOND * 1000] {
        let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
        let options = Options { hold: Hold::For(hold), ..Options::default() };
        let mut watch = begin(&mut world, "app.test:80", options);
        run(&mut world, &mut watch, SECOND);
        world.zone.remove("app.test");
        let said = run(&mut world, &mut watch, SECOND * 2000);
        let (first, trouble) = troubles(&said)[0];
        assert_eq!(*trouble, Trouble::Nothing { negative: Negative::NoName, held: Some(hold) });
        let [(at, none)] = &members(&said)[..] else { panic!("{said:?}") };
        assert!(none.is_empty() && (at - first - hold.as_secs_f64()).abs() < 0.001, "{at} {first} {hold:?}");
        let (_, last) = troubles(&said).pop().unwrap();
        assert_eq!(*last, Trouble::Nothing { negative: Negative::NoName, held: None });
        // It goes on being asked for, and is there as soon as it is there again.
        world.zone.host("app.test", 60, &["10.1.0.9"]);
        let said = run(&mut world, &mut watch, SECOND * 23);
        assert_eq!(members(&said)[0].1, ["10.1.0.9:80"]);
    }
}

#[test]
fn members_that_are_there_again_in_time_never_went() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    world.zone.minimum = Some(5);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    run(&mut world, &mut watch, SECOND);
    let node = world.zone.nodes[&name("app.test")].clone();
    let mut none = 0;
    while none == 0 {
        world.zone.nodes.clear();
        none = troubles(&run(&mut world, &mut watch, SECOND * 5)).len();
    }
    let said = run(&mut world, &mut watch, SECOND * 20);
    assert_eq!((members(&said), troubles(&said).is_empty()), (vec![], false));
    // What is held goes by the first answer, not the last.
    let Trouble::Nothing { held: Some(held), .. } = troubles(&said).pop().unwrap().1 else {
        panic!("{said:?}")
    };
    assert!(*held < SECOND * 15, "{held:?}");
    world.zone.nodes.insert(name("app.test"), node);
    let said = run(&mut world, &mut watch, SECOND * 200);
    assert_eq!((said.len(), watch.members().len()), (0, 2), "{said:?}");
    // A second time they are held as long as the first.
    world.zone.nodes.clear();
    let said = run(&mut world, &mut watch, SECOND * 200);
    let Trouble::Nothing { held: Some(held), .. } = troubles(&said)[0].1 else { panic!("{said:?}") };
    assert_eq!((*held, watch.members().len()), (SECOND * 30, 0));
}

#[test]
fn held_for_ever_they_stay() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    let options = Options { hold: Hold::Forever, ..Options::default() };
    let mut watch = begin(&mut world, "app.test:80", options);
    run(&mut world, &mut watch, SECOND);
    world.zone.host("bare.test", 60, &[]).remove("app.test").alias("app.test", 60, "bare.test");
    let said = run(&mut world, &mut watch, SECOND * 100_000);
    assert_eq!((members(&said), watch.members().len()), (vec![], 2));
    assert_eq!(*troubles(&said)[0].1, Trouble::Nothing { negative: Negative::NoData, held: None });
}

#[test]
fn failures_do_not_prolong_what_is_held() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    world.zone.minimum = Some(1);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    run(&mut world, &mut watch, SECOND);
    world.zone.remove("app.test");
    while troubles(&run(&mut world, &mut watch, SECOND)).is_empty() {}
    world.all(Behaviour::SILENT);
    let said = run(&mut world, &mut watch, SECOND * 31);
    assert_eq!(members(&said).len(), 1);
    assert!(watch.members().is_empty());
}

#[test]
fn a_name_that_never_had_members_says_so_and_goes_on() {
    let mut world = World::new(1, Zone::new(), &[Behaviour::HONEST]);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    let said = run(&mut world, &mut watch, SECOND * 50);
    assert_eq!((members(&said), watch.is_settled()), (vec![], true));
    assert!((3..=4).contains(&troubles(&said).len()));
    world.zone.host("app.test", 60, &["10.1.0.1"]);
    assert_eq!(members(&run(&mut world, &mut watch, SECOND * 23)).len(), 1);
}

#[test]
fn the_part_that_fails_keeps_what_it_had() {
    let mut zone = Zone::new();
    zone.host("app.test", 60, &["10.1.0.1", "2001:db8::1"]).host("b.test", 60, &["10.1.0.2"]);
    zone.service("_s._tcp.test", 60, (0, 1, 80), "app.test");
    zone.service("_s._tcp.test", 60, (0, 1, 80), "b.test");
    for text in ["app.test:80", "srv:_s._tcp.test"] {
        let mut world =
            World::new(1, zone.clone(), &[Behaviour { is_tcp_refused: true, ..Behaviour::HONEST }]);
        let mut watch = begin(&mut world, text, Options::default());
        let said = run(&mut world, &mut watch, SECOND);
        let before = members(&said)[0].1.clone();
        // IPv6 of this host is too large for a datagram now; IPv4 has changed.
        let many: Vec<String> = (0..100).map(|n| format!("2001:db8::1:{n:x}")).collect();
        world.zone.host("app.test", 60, &many.iter().map(String::as_str).collect::<Vec<_>>());
        let node = world.zone.nodes.get_mut(&name("app.test")).unwrap();
        node.addresses.remove(&"10.1.0.1".parse().unwrap());
        node.addresses.insert("10.1.0.7".parse().unwrap());
        let said = run(&mut world, &mut watch, SECOND * 130);
        let mut expected: Vec<String> =
            before.iter().map(|address| address.replace("10.1.0.1:", "10.1.0.7:")).collect();
        expected.sort_by_key(|address| address.parse::<std::net::SocketAddr>().unwrap());
        assert_eq!(members(&said).into_iter().map(|(_, all)| all).collect::<Vec<_>>(), [expected]);
        assert!(matches!(troubles(&said)[0].1, Trouble::Partial { .. }), "{said:?}");
        // It is tried again sooner than the records' time.
        assert!(troubles(&said).len() >= 5, "{}", troubles(&said).len());
        // And what is whole again counts.
        world.all(Behaviour::HONEST);
        let said = run(&mut world, &mut watch, SECOND * 31);
        let found = members(&said).pop().unwrap().1;
        assert_eq!(found.len(), if text.starts_with("srv") { 103 } else { 102 });
    }
}

#[test]
fn of_too_many_the_first_are_taken_and_it_is_told_once() {
    let mut zone = Zone::new();
    zone.host("app.test", 60, &["10.1.0.4", "10.1.0.1", "10.1.0.3", "0.0.0.0", "2001:db8::1"]);
    let style = Style { shuffles: true, ..Style::HONEST };
    let mut world = World::new(1, zone, &[Behaviour { style, ..Behaviour::HONEST }]);
    let options = Options { endpoints_max: 2, ..Options::default() };
    let mut watch = begin(&mut world, "app.test:80", options);
    let said = run(&mut world, &mut watch, SECOND * 10_000);
    assert_eq!(members(&said), [(0.001, vec!["10.1.0.1:80".to_string(), "10.1.0.3:80".to_string()])]);
    let told: Vec<String> = troubles(&said).iter().map(|(_, trouble)| trouble.to_string()).collect();
    assert_eq!(
        told,
        [
            "2 members are left out; endpoints_max allows no more",
            "1 of its addresses are unspecified, multicast or link-local",
        ]
    );
}

#[test]
fn other_files_count_from_the_next_lookup_on_which_comes_soon_after_a_failure() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST, Behaviour::UNREACHABLE]);
    let only = |index: usize| {
        let servers = vec![server(index)];
        environment(Resolvers { servers, ..Resolvers::default() }, "")
    };
    let mut watch = begin_in(&mut world, only(1), "app.test:80", Options::default());
    run(&mut world, &mut watch, SECOND * 600);
    assert!(watch.members().is_empty() && watch.statistics().failed > 20);
    watch.handle_environment(only(0), world.now, &mut world.machine_rng);
    let said = run(&mut world, &mut watch, SECOND + Duration::from_millis(10));
    assert_eq!(members(&said).len(), 1);
    // Without a failure the next lookup comes when it would have come.
    let due = watch.next_deadline();
    watch.handle_environment(
        environment(resolvers(&world), "10.9.9.9 app.test"),
        world.now,
        &mut world.machine_rng,
    );
    assert_eq!(watch.next_deadline(), due);
    let said = run(&mut world, &mut watch, SECOND * 67);
    assert_eq!(members(&said)[0].1, ["10.9.9.9:80"]);
}

#[test]
fn cancelled_it_closes_what_is_open_and_is_still() {
    let mut world = World::new(1, zone(), &[Behaviour::SILENT; 2]);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    run(&mut world, &mut watch, SECOND * 7);
    assert_eq!(world.open_now(), 4);
    watch.cancel();
    assert_eq!(run(&mut world, &mut watch, SECOND * 1000).len(), 0);
    assert_eq!((world.open_now(), watch.next_deadline()), (0, None));
    watch.cancel();
    watch.handle_timeout(world.now, &mut world.machine_rng);
    watch.handle_environment(Environment::default(), world.now, &mut world.machine_rng);
    assert_eq!(watch.poll_action(), None);
}

#[test]
fn too_early_a_timeout_changes_nothing() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST]);
    let mut watch = begin(&mut world, "app.test:80", Options::default());
    let mut other = Rng::new(9);
    for _ in 0..10 {
        watch.handle_timeout(world.now, &mut other);
    }
    run(&mut world, &mut watch, SECOND);
    let due = watch.next_deadline().unwrap();
    let just_before = Instant::from_nanos(due.as_nanos() - 1);
    watch.handle_timeout(just_before, &mut other);
    assert_eq!((watch.poll_action(), watch.next_deadline()), (None, Some(due)));
    watch.handle_timeout(due, &mut other);
    assert!(matches!(watch.poll_action(), Some(Action::Io(_))));
}

#[test]
fn options_out_of_range_are_refused() {
    let options = Options { ttl_min: Duration::ZERO, ..Options::default() };
    let refused =
        Watch::new(watched("a:1"), Environment::default(), options, Instant::START, &mut Rng::new(1));
    assert!(matches!(refused, Err(Error::InvalidArgument { what: "ttl_min", .. })));
    let options = Options { families: Families::V6, ..Options::default() };
    let watch = Watch::new(watched("a:1"), Environment::default(), options, Instant::START, &mut Rng::new(1));
    assert_eq!(watch.unwrap().name().to_string(), "a:1");
}
