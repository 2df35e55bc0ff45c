//! One question and its resolvers.

use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::{CNAME, RData};
use simple_dns::{Packet, PacketFlag, RCODE};

use super::world::{Behaviour, World, server};
use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::message::{Answer, Kind, Malformed, Negative, Question, Rcode, Records};
use crate::discovery::query::{Action, Failure, HOPS_MAX, IGNORED_MAX, Query, Reason};
use crate::discovery::resolv_conf::Resolvers;
use crate::discovery::zone::{Style, Zone, name, record, soa};
use crate::rng::Rng;
use crate::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(5);

fn resolvers(count: usize) -> Resolvers {
    Resolvers { servers: (0..count).map(server).collect(), ..Resolvers::default() }
}

fn question(text: &str, kind: Kind) -> Question {
    Question { name: name(text), kind }
}

fn ask(world: &mut World, resolvers: Resolvers, text: &str, kind: Kind) -> Result<Answer, Failure> {
    let resolvers = Arc::new(resolvers);
    world.query += 1;
    let question = question(text, kind);
    let mut query = Query::new(world.query, question, resolvers, world.now, &mut world.machine_rng);
    world.finish(&mut query)
}

fn addresses(answer: &Result<Answer, Failure>) -> Vec<String> {
    match answer {
        Ok(Answer { records: Records::Addresses(addresses), .. }) => {
            addresses.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn zone() -> Zone {
    let mut zone = Zone::new();
    zone.host("app.test", 60, &["10.1.0.1", "10.1.0.2", "2001:db8::1"]);
    zone.alias("www.test", 30, "app.test");
    zone.service("_http._tcp.test", 90, (10, 5, 8080), "app.test");
    zone
}

#[test]
fn a_first_resolver_that_answers_is_the_only_one_asked() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST; 3]);
    let answer = ask(&mut world, resolvers(3), "app.test", Kind::A);
    assert_eq!(addresses(&answer), ["10.1.0.1", "10.1.0.2"]);
    assert_eq!(answer.unwrap().ttl, 60);
    let answer = ask(&mut world, resolvers(3), "app.test", Kind::Aaaa);
    assert_eq!(addresses(&answer), ["2001:db8::1"]);
    let answer = ask(&mut world, resolvers(3), "_http._tcp.test", Kind::Srv).unwrap();
    let Records::Services(services) = answer.records else { panic!("{answer:?}") };
    assert_eq!((services.len(), services[0].port, services[0].target.clone()), (1, 8080, name("app.test")));
    assert_eq!(world.questions(), ["app.test A", "app.test AAAA", "_http._tcp.test SRV"]);
    assert!(world.asked.iter().all(|asked| asked.server == server(0) && !asked.is_tcp && asked.is_edns()));
}

#[test]
fn that_there_is_nothing_is_an_answer() {
    let mut world = World::new(1, zone(), &[Behaviour::HONEST; 3]);
    for (text, kind, negative, minimum, ttl) in [
        ("none.test", Kind::A, Negative::NoName, Some(20), 20),
        ("app.test", Kind::Srv, Negative::NoData, Some(20), 20),
        ("app.test", Kind::Srv, Negative::NoData, Some(7200), 3600),
        ("none.test", Kind::A, Negative::NoName, None, u32::MAX),
        ("app.test", Kind::Srv, Negative::NoData, None, u32::MAX),
        // The alias lives shorter than its end's absence.
        ("www.test", Kind::Srv, Negative::NoData, Some(3000), 30),
    ] {
        world.zone.minimum = minimum;
        let answer = ask(&mut world, resolvers(3), text, kind).unwrap();
        assert_eq!((answer.records, answer.ttl), (Records::None(negative), ttl), "{text}");
    }
    assert_eq!(world.asked.len(), 6);
}

#[test]
fn each_failure_leads_to_the_next_resolver() {
    for (first, reason, time) in [
        (Behaviour::SILENT, Reason::TimedOut, TIMEOUT),
        (Behaviour::UNREACHABLE, Reason::Unreachable("no route to host".into()), Duration::from_millis(1)),
        (Behaviour::REFUSING, Reason::Refused(Rcode(2)), Duration::from_millis(1)),
        (
            Behaviour { babbles: 1.0, ..Behaviour::HONEST },
            Reason::Malformed(Malformed::Cut),
            Duration::from_millis(1),
        ),
    ] {
        let mut world = World::new(3, zone(), &[first, Behaviour::HONEST]);
        let start = world.now;
        let answer = ask(&mut world, resolvers(2), "app.test", Kind::A);
        assert_eq!(addresses(&answer).len(), 2);
        assert_eq!(world.now.duration_since(start), time + Duration::from_millis(1), "{reason:?}");
        // Alone it is asked as often as `attempts` says, and its reason is told.
        let mut world = World::new(3, zone(), &[first]);
        let failure = ask(&mut world, resolvers(1), "app.test", Kind::A).unwrap_err();
        assert_eq!((world.asked.len(), failure.tries.len()), (2, 1));
        let told = (failure.tries[0].server, std::mem::discriminant(&failure.tries[0].reason));
        assert_eq!(told, (server(0), std::mem::discriminant(&reason)));
    }
}

#[test]
fn rounds_and_resolvers_are_tried_as_often_as_said() {
    for (servers, attempts) in [(1, 1), (1, 5), (3, 2), (8, 5)] {
        let mut world = World::new(1, zone(), &vec![Behaviour::SILENT; servers]);
        let start = world.now;
        let resolvers = Resolvers { attempts, ..resolvers(servers) };
        let failure = ask(&mut world, resolvers, "app.test", Kind::A).unwrap_err();
        let tries = servers * usize::from(attempts);
        assert_eq!(world.asked.len(), tries);
        assert_eq!(world.now.duration_since(start), TIMEOUT * tries as u32);
        assert_eq!((failure.tries.len(), world.open_max), (servers, tries));
        for (index, asked) in world.asked.iter().enumerate() {
            assert_eq!(asked.server, server(index % servers));
        }
    }
    let failure = {
        let mut world = World::new(1, zone(), &[Behaviour::SILENT, Behaviour::REFUSING]);
        ask(&mut world, resolvers(2), "app.test", Kind::A).unwrap_err().to_string()
    };
    let told = "no answer for app.test A; 10.0.0.1:53: it did not answer in time, 10.0.0.2:53: it answered ";
    assert!(failure.starts_with(told), "{failure}");
}

#[test]
fn rotate_begins_anywhere_and_goes_round() {
    let mut begun = [0; 3];
    for seed in 0..90 {
        let mut world = World::new(seed, zone(), &[Behaviour::REFUSING; 3]);
        let resolvers = Resolvers { rotate: true, ..resolvers(3) };
        ask(&mut world, resolvers, "app.test", Kind::A).unwrap_err();
        let order: Vec<u8> =
            world.asked.iter().map(|asked| asked.server.ip().to_string().as_bytes()[7] - b'1').collect();
        let first = order[0];
        begun[usize::from(first)] += 1;
        assert_eq!(order, (0..6).map(|turn| (first + turn) % 3).collect::<Vec<_>>());
    }
    assert!(begun.iter().all(|&count| count > 15), "{begun:?}");
}

#[test]
fn numbers_cover_their_range_and_differ_between_tries() {
    let mut world = World::new(5, zone(), &[Behaviour::SILENT; 8]);
    for _ in 0..50 {
        let _ = ask(&mut world, Resolvers { attempts: 5, ..resolvers(8) }, "app.test", Kind::A);
    }
    let numbers: std::collections::BTreeSet<u16> =
        world.asked.iter().map(|asked| u16::from_be_bytes([asked.bytes[0], asked.bytes[1]])).collect();
    assert_eq!(world.asked.len(), 2000);
    assert!(numbers.len() > 1900, "{}", numbers.len());
    assert!(*numbers.first().unwrap() < 400 && *numbers.last().unwrap() > 65_100);
}

#[test]
fn a_late_answer_is_as_good_as_any() {
    let delay = TIMEOUT + Duration::from_secs(1);
    let late = Behaviour { delay: (delay, delay), ..Behaviour::HONEST };
    let mut world = World::new(1, zone(), &[late, Behaviour::SILENT]);
    let start = world.now;
    let answer = ask(&mut world, resolvers(2), "app.test", Kind::A);
    assert_eq!(addresses(&answer).len(), 2);
    assert_eq!((world.now.duration_since(start), world.asked.len()), (delay, 2));
    // One that is cut short goes on over TCP, though it is another's turn.
    let mut world = World::new(1, big(), &[late, Behaviour::SILENT]);
    let start = world.now;
    let resolvers = Arc::new(resolvers(2));
    let mut query = Query::new(0, question("big.test", Kind::A), resolvers, start, &mut world.machine_rng);
    assert!(world.run(&mut query, start.saturating_add(TIMEOUT)).is_empty());
    world.servers.insert(server(0), Behaviour::HONEST);
    let answer = world.finish(&mut query);
    assert_eq!(addresses(&answer).len(), 250);
    let asked: Vec<_> = world.asked.iter().map(|asked| (asked.server, asked.is_tcp)).collect();
    assert_eq!(asked, [(server(0), false), (server(1), false), (server(0), true)]);
}

/// A host whose addresses do not fit into a datagram.
fn big() -> Zone {
    let mut big = Zone::new();
    let all: Vec<String> = (0..250).map(|n| format!("10.2.{}.{}", n / 100, n % 100)).collect();
    big.host("big.test", 60, &all.iter().map(String::as_str).collect::<Vec<_>>());
    big
}

#[test]
fn what_is_cut_short_is_asked_for_over_tcp() {
    for seed in 0..20 {
        let mut world = World::new(seed, big(), &[Behaviour::HONEST; 2]);
        let answer = ask(&mut world, resolvers(2), "big.test", Kind::A);
        let all = addresses(&answer);
        assert_eq!((all.len(), &*all[0], &*all[249]), (250, "10.2.0.0", "10.2.2.49"));
        let over: Vec<bool> = world.asked.iter().map(|asked| asked.is_tcp).collect();
        assert_eq!((over, world.asked[1].server), (vec![false, true], server(0)));
    }
    // Where TCP fails it is the next resolver's turn, from UDP on.
    let mut world = World::new(1, big(), &[Behaviour::HONEST; 2]);
    let mut query = Query::new(
        0,
        question("big.test", Kind::A),
        Arc::new(resolvers(2)),
        world.now,
        &mut world.machine_rng,
    );
    let Some(Action::Io(io)) = query.poll_action() else { panic!("nothing is sent") };
    world.act(io);
    world.servers.get_mut(&server(0)).unwrap().fails = 1.0;
    let answer = world.finish(&mut query);
    assert_eq!(addresses(&answer).len(), 250);
    assert_eq!(world.asked.last().unwrap().server, server(1));
}

#[test]
fn udp_payload_is_1232_with_edns_and_512_without() {
    let mut zone = Zone::new();
    let all: Vec<String> = (0..40).map(|n| format!("10.2.0.{n}")).collect();
    zone.host("some.test", 60, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut world = World::new(1, zone, &[Behaviour::HONEST]);
    ask(&mut world, resolvers(1), "some.test", Kind::A).unwrap();
    let payload = Packet::parse(&world.asked[0].bytes).unwrap().opt().map(|opt| opt.udp_packet_size);
    assert_eq!((world.asked.len(), payload), (1, Some(1232)));
    let answer = ask(&mut world, Resolvers { edns: false, ..resolvers(1) }, "some.test", Kind::A);
    assert_eq!(addresses(&answer).len(), 40);
    assert_eq!(world.asked.len(), 3);
    assert!(world.asked[2].is_tcp && !world.asked[1].is_edns() && !world.asked[2].is_edns());
}

#[test]
fn use_vc_means_tcp_from_the_start() {
    let mut world = World::new(1, zone(), &[Behaviour::SILENT, Behaviour::HONEST]);
    let answer = ask(&mut world, Resolvers { tcp: true, ..resolvers(2) }, "app.test", Kind::A);
    assert_eq!(addresses(&answer).len(), 2);
    assert_eq!((world.asked.len(), world.asked[0].is_tcp, world.open_max), (1, true, 1));
}

#[test]
fn who_does_not_know_edns_is_asked_again_without() {
    for tcp in [false, true] {
        let old = Behaviour { is_old: true, ..Behaviour::HONEST };
        let mut world = World::new(1, zone(), &[old; 2]);
        let answer = ask(&mut world, Resolvers { tcp, ..resolvers(2) }, "app.test", Kind::A);
        assert_eq!(addresses(&answer).len(), 2);
        let asked: Vec<_> = world.asked.iter().map(|asked| (asked.server, asked.is_edns())).collect();
        assert_eq!(asked, [(server(0), true), (server(0), false)]);
        // What it said is remembered for the rest of the question.
        world.asked.clear();
        world.zone.alias("a1.test", 9, "a2.test").alias("a2.test", 9, "app.test");
        world.all(Behaviour { style: Style { follows: false, ..Style::HONEST }, ..old });
        let answer = ask(&mut world, Resolvers { tcp, ..resolvers(2) }, "a1.test", Kind::A);
        assert_eq!(addresses(&answer).len(), 2);
        let edns: Vec<bool> = world.asked.iter().map(|asked| asked.is_edns()).collect();
        assert_eq!(edns, [true, false, false, false]);
    }
    // Where it does not arrive the second round is without.
    let deaf = Behaviour { drops_edns: true, ..Behaviour::HONEST };
    let mut world = World::new(1, zone(), &[deaf, Behaviour::UNREACHABLE]);
    let answer = ask(&mut world, resolvers(2), "app.test", Kind::A);
    assert_eq!(addresses(&answer).len(), 2);
    let edns: Vec<bool> = world.asked.iter().map(|asked| asked.is_edns()).collect();
    assert_eq!(edns, [true, true, false]);
    // FORMERR to a question without EDNS is an error like any other.
    let (mut query, exchange, asked) = begun(&Resolvers { edns: false, attempts: 1, ..resolvers(1) });
    let mut reply = asked[..12].to_vec();
    (reply[2], reply[3], reply[5]) = (0x81, 0x81, 0);
    datagram(&mut query, exchange, &reply);
    let Err(failure) = done(&mut query) else { panic!("it is an error") };
    assert_eq!(failure.tries[0].reason, Reason::Refused(Rcode(1)));
}

#[test]
fn a_chain_is_followed_in_the_answer_and_beyond() {
    let mut zone = zone();
    zone.alias("w3.test", 25, "www.test");
    for follows in [true, false] {
        let style = Style { follows, ..Style::HONEST };
        let mut world =
            World::new(1, zone.clone(), &[Behaviour::REFUSING, Behaviour { style, ..Behaviour::HONEST }]);
        let answer = ask(&mut world, resolvers(2), "w3.test", Kind::A);
        assert_eq!(addresses(&answer).len(), 2);
        assert_eq!(answer.unwrap().ttl, 25);
        let expected: &[&str] = if follows {
            &["w3.test A", "w3.test A"]
        } else {
            &["w3.test A", "w3.test A", "www.test A", "app.test A"]
        };
        assert_eq!(world.questions(), expected);
        // Who gave the alias is asked for its end first.
        assert!(world.asked[1..].iter().all(|asked| asked.server == server(1)));
    }
}

#[test]
fn a_chain_has_its_bound() {
    for follows in [true, false] {
        for (hops, is_good) in [(HOPS_MAX, true), (HOPS_MAX + 1, false)] {
            let mut zone = Zone::new();
            for hop in 0..hops {
                zone.alias(&format!("h{hop}.test"), 60, &format!("h{}.test", hop + 1));
            }
            zone.host(&format!("h{hops}.test"), 60, &["10.1.0.1"]);
            let style = Style { follows, ..Style::HONEST };
            let mut world = World::new(1, zone, &[Behaviour { style, ..Behaviour::HONEST }]);
            let answer = ask(&mut world, resolvers(1), "h0.test", Kind::A);
            if is_good {
                assert_eq!(addresses(&answer), ["10.1.0.1"]);
            } else {
                assert_eq!(answer.unwrap_err().tries[0].reason, Reason::ChainLong);
            }
        }
        let mut zone = Zone::new();
        zone.alias("a.test", 60, "b.test").alias("b.test", 60, "a.test").alias("c.test", 60, "c.test");
        let style = Style { follows, ..Style::HONEST };
        let mut world = World::new(1, zone, &[Behaviour { style, ..Behaviour::HONEST }]);
        for text in ["a.test", "c.test"] {
            let failure = ask(&mut world, resolvers(1), text, Kind::A).unwrap_err();
            assert!(failure.to_string().ends_with("leads through more than 16 other names"), "{failure}");
        }
    }
}

/// A question to one resolver, its exchange and its message.
fn begun(resolvers: &Resolvers) -> (Query, Exchange, Vec<u8>) {
    let question = question("App.test", Kind::A);
    let mut rng = Rng::new(1);
    let mut query = Query::new(3, question, Arc::new(resolvers.clone()), Instant::from_millis(1), &mut rng);
    let Some(Action::Io(Io::SendUdp { exchange, bytes, .. })) = query.poll_action() else {
        panic!("nothing is sent")
    };
    (query, exchange, bytes)
}

fn event(query: &mut Query, exchange: Exchange, event: Event<'_>) {
    query.handle_event(exchange, event, Instant::from_millis(2), &mut Rng::new(2));
}

fn datagram(query: &mut Query, exchange: Exchange, bytes: &[u8]) {
    event(query, exchange, Event::Datagram { from: server(0), bytes });
}

fn done(query: &mut Query) -> Result<Answer, Failure> {
    loop {
        match query.poll_action().expect("it is done") {
            Action::Done(result) => return result,
            Action::Io(_) => {}
        }
    }
}

#[test]
fn what_is_no_answer_is_ignored_and_counted() {
    let (mut query, exchange, asked) = begun(&resolvers(1));
    let good = zone().answer(&asked, Style::HONEST, &mut Rng::new(1));
    let changed = |at: usize, byte: u8| {
        let mut reply = good.clone();
        reply[at] ^= byte;
        reply
    };
    let other = {
        let mut packet = Packet::new_query(u16::from_be_bytes([asked[0], asked[1]]));
        let of = Packet::parse(&asked).unwrap();
        packet.questions.extend([of.questions[0].clone(), of.questions[0].clone()]);
        packet.set_flags(PacketFlag::RESPONSE);
        packet.build_bytes_vec().unwrap()
    };
    let mut ignored = 0;
    for bytes in [
        Vec::new(),
        good[..11].to_vec(),
        good[..20].to_vec(),
        changed(0, 1),
        changed(1, 0x80),
        asked.clone(),
        changed(2, 0x08),
        changed(5, 1),
        changed(12, 1),
        changed(13, 0x01),
        changed(23, 1),
        changed(25, 2),
        changed(24, 0x80),
        other,
    ] {
        datagram(&mut query, exchange, &bytes);
        ignored += 1;
        assert_eq!((query.ignored(), query.poll_action()), (ignored, None), "{bytes:?}");
    }
    for from in ["10.0.0.1:54", "10.0.0.2:53", "[::1]:53"] {
        event(&mut query, exchange, Event::Datagram { from: from.parse().unwrap(), bytes: &good });
        ignored += 1;
    }
    let others = [Exchange { query: 4, ..exchange }, Exchange { attempt: 1, ..exchange }];
    for exchange in others {
        for what in [Event::Connected, Event::Closed, Event::Failed("x"), Event::Bytes(&good)] {
            event(&mut query, exchange, what);
            ignored += 1;
        }
        datagram(&mut query, exchange, &good);
        ignored += 1;
    }
    for what in [Event::Connected, Event::Closed, Event::Bytes(&good)] {
        event(&mut query, exchange, what);
        ignored += 1;
    }
    assert_eq!((query.ignored(), query.poll_action()), (ignored, None));
    // The good one counts after all that, in whatever case its question is and however its sender is written.
    let mut reply = good.clone();
    assert_eq!(&reply[13..16], b"app");
    reply[13..16].make_ascii_uppercase();
    let from = "[::ffff:10.0.0.1]:53".parse().unwrap();
    event(&mut query, exchange, Event::Datagram { from, bytes: &reply });
    assert_eq!(addresses(&done(&mut query)).len(), 2);
    assert_eq!((query.ignored(), query.next_deadline()), (ignored, None));
    datagram(&mut query, exchange, &good);
    query.handle_timeout(Instant::from_millis(1_000_000), &mut Rng::new(1));
    query.cancel();
    assert_eq!((query.ignored(), query.poll_action()), (ignored + 1, None));
}

#[test]
fn an_error_may_come_without_the_question_and_an_answer_may_not() {
    for rcode in 0..16u8 {
        let (mut query, exchange, asked) = begun(&Resolvers { edns: false, attempts: 1, ..resolvers(1) });
        let reply = [asked[0], asked[1], 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0];
        datagram(&mut query, exchange, &reply);
        if matches!(rcode, 0 | 3) {
            assert_eq!((query.ignored(), query.poll_action()), (1, None));
        } else {
            let failure = done(&mut query).unwrap_err();
            assert_eq!(failure.tries[0].reason, Reason::Refused(Rcode(u16::from(rcode))));
        }
    }
}

#[test]
fn answers_that_make_no_sense_are_told_as_such() {
    // What is put behind the question, and how many records that is said to be.
    let build = |asked: &[u8], set: &dyn Fn(&mut Packet<'static>)| {
        let mut reply = Packet::new_reply(u16::from_be_bytes([asked[0], asked[1]]));
        reply.questions.push(Packet::parse(asked).unwrap().questions[0].clone().into_owned());
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        set(&mut reply);
        reply.build_bytes_vec_compressed().unwrap()
    };
    let tell = |set: &dyn Fn(&mut Packet<'static>)| {
        let (mut query, exchange, asked) = begun(&Resolvers { attempts: 1, ..resolvers(1) });
        datagram(&mut query, exchange, &build(&asked, set));
        done(&mut query).map_err(|failure| failure.tries[0].reason.clone())
    };
    let aaaa = RData::AAAA("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into());
    let a = RData::A("10.1.0.1".parse::<std::net::Ipv4Addr>().unwrap().into());
    let (app, other) = (name("app.test"), name("other.test"));
    let other_records = Err(Reason::Malformed(Malformed::OtherRecords));
    assert_eq!(tell(&|reply| reply.answers.push(record(&app, 9, aaaa.clone()))), other_records);
    assert_eq!(tell(&|reply| reply.answers.push(record(&other, 9, a.clone()))), other_records);
    let text = |reply: &mut Packet<'static>| {
        let text = RData::TXT(simple_dns::rdata::TXT::new().with_string("x").unwrap().into_owned());
        reply.answers.push(record(&app, 9, text));
    };
    assert_eq!(tell(&text), other_records);
    // Beside the right record the same does no harm.
    let answer = tell(&|reply| {
        text(reply);
        reply.answers.push(record(&other, 1, a.clone()));
        reply.answers.push(record(&app, 9, a.clone()));
        reply.answers.push(record(&app, 1, aaaa.clone()));
    });
    assert_eq!(
        (answer.as_ref().unwrap().ttl, answer.unwrap().records),
        (9, Records::Addresses(vec![[10, 1, 0, 1].into()]))
    );
    // A referral, from who does not look for others.
    let referral = |reply: &mut Packet<'static>| {
        reply.remove_flags(PacketFlag::RECURSION_AVAILABLE);
        let place = simple_dns::rdata::NS(simple_dns::Name::new("ns.test").unwrap());
        reply.name_servers.push(record(&name("test"), 9, RData::NS(place)));
    };
    assert_eq!(tell(&referral), Err(Reason::NoRecursion));
    // Nothing at all, and a name that is gone whatever records are there.
    let nothing =
        |negative| Ok(Answer { records: Records::None(negative), ttl: u32::MAX, additional: Vec::new() });
    assert_eq!(tell(&|_| {}), nothing(Negative::NoData));
    let gone = |reply: &mut Packet<'static>| {
        *reply.rcode_mut() = RCODE::NameError;
        reply.answers.push(record(&app, 9, a.clone()));
    };
    assert_eq!(tell(&gone), nothing(Negative::NoName));
    // The other class, in which names mean something else.
    let chaos = |reply: &mut Packet<'static>| {
        let mut record = record(&app, 9, a.clone());
        record.class = simple_dns::CLASS::CH;
        reply.answers.push(record);
    };
    assert_eq!(tell(&chaos), other_records);
    // An alias beside an answer, and a time to live that is none.
    let answer = tell(&|reply| {
        let alias = RData::CNAME(CNAME(other.to_message().into_owned()));
        reply.answers.push(record(&app, 5, alias));
        reply.answers.push(record(&app, u32::MAX, a.clone()));
        reply.name_servers.push(soa(1));
    });
    assert_eq!(answer.unwrap().ttl, 0);
}

#[test]
fn over_tcp_messages_are_put_together_from_pieces_of_any_length() {
    let resolvers = Resolvers { tcp: true, attempts: 1, ..resolvers(1) };
    let begun = || {
        let question = question("app.test", Kind::A);
        let now = Instant::from_millis(1);
        let mut query = Query::new(3, question, Arc::new(resolvers.clone()), now, &mut Rng::new(1));
        let Some(Action::Io(Io::OpenTcp { exchange, .. })) = query.poll_action() else { panic!() };
        event(&mut query, exchange, Event::Connected);
        let Some(Action::Io(Io::SendTcp { bytes, .. })) = query.poll_action() else { panic!() };
        let asked = bytes[2..].to_vec();
        let good = zone().answer(&asked, Style::HONEST, &mut Rng::new(1));
        let frame = [&(good.len() as u16).to_be_bytes()[..], &good].concat();
        (query, exchange, frame)
    };
    for length in 1..90 {
        let (mut query, exchange, frame) = begun();
        let mut pieces = frame.chunks(length).peekable();
        while let Some(piece) = pieces.next() {
            event(&mut query, exchange, Event::Bytes(piece));
            if pieces.peek().is_some() {
                assert_eq!(query.poll_action(), None);
            }
        }
        assert_eq!(addresses(&done(&mut query)).len(), 2);
    }
    // What came before and is no answer is passed over, up to the limit.
    for (count, is_good) in [(usize::from(IGNORED_MAX), true), (usize::from(IGNORED_MAX) + 1, false)] {
        let (mut query, exchange, frame) = begun();
        let mut bytes = [0u8, 0].repeat(count / 2);
        bytes.extend([0u8, 3, 1, 2, 3].repeat(count - count / 2));
        bytes.extend_from_slice(&frame);
        event(&mut query, exchange, Event::Bytes(&bytes));
        match done(&mut query) {
            Ok(answer) => assert_eq!((addresses(&Ok(answer)).len(), is_good), (2, true)),
            Err(failure) => assert_eq!((&failure.tries[0].reason, is_good), (&Reason::Flooded, false)),
        }
        assert_eq!(query.ignored(), count as u64);
    }
    // Cut short over TCP, or ended: no answer.
    let (mut query, exchange, mut frame) = begun();
    frame[4] |= 0x02;
    event(&mut query, exchange, Event::Bytes(&frame));
    let failure = done(&mut query).unwrap_err();
    assert_eq!(failure.tries[0].reason, Reason::Malformed(Malformed::CutOverTcp));
    let (mut query, exchange, frame) = begun();
    event(&mut query, exchange, Event::Bytes(&frame[..frame.len() - 1]));
    event(&mut query, exchange, Event::Closed);
    assert_eq!(done(&mut query).unwrap_err().tries[0].reason, Reason::Closed);
}

#[test]
fn it_can_be_ended_at_any_time() {
    let mut world = World::new(1, zone(), &[Behaviour::SILENT; 2]);
    let resolvers = Arc::new(resolvers(2));
    let mut query =
        Query::new(0, question("app.test", Kind::A), resolvers, world.now, &mut world.machine_rng);
    let until = world.now.saturating_add(TIMEOUT * 3 / 2);
    assert!(world.run(&mut query, until).is_empty());
    query.cancel();
    let failure = world.finish(&mut query).unwrap_err();
    assert_eq!(failure.tries.len(), 2);
}

#[test]
fn without_resolvers_it_fails_at_once() {
    let mut world = World::new(1, zone(), &[]);
    for rotate in [false, true] {
        let resolvers = Resolvers { rotate, ..resolvers(0) };
        let failure = ask(&mut world, resolvers, "app.test", Kind::A).unwrap_err();
        assert_eq!(failure.to_string(), "no answer for app.test A: no resolver was asked in time");
    }
}
