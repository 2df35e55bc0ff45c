use proptest::prelude::*;

use super::*;
use crate::peer::hello::tests::hello;

fn now() -> Instant {
    Instant::from_millis(1_000)
}

fn later(ms: u64) -> Instant {
    now().saturating_add(Duration::from_millis(ms))
}

fn own(link: &Options, name: &str, target: &str) -> Hello {
    Hello { windows: link.window_bytes, message_bytes_max: link.message_bytes_max, ..hello(name, target) }
}

fn pair(options: &Options) -> (Link, Link) {
    let dialler = Link::dialler(own(options, "db-1", "db-2"), options, now());
    (dialler, Link::acceptor(options, now()))
}

/// Carries what there is from one to the other; whether there was something.
fn carry(from: &mut Link, to: &mut Link, at: Instant) -> bool {
    let mut bytes = Vec::new();
    let has_some = from.poll_transmit(&mut bytes, 64 << 10, at);
    to.handle_bytes(&bytes, at);
    has_some
}

fn up(options: &Options) -> (Link, Link) {
    let (mut dialler, mut acceptor) = pair(options);
    carry(&mut dialler, &mut acceptor, now());
    assert!(matches!(acceptor.poll_event(), Some(Event::Hello(hello)) if hello.name.as_str() == "db-1"));
    acceptor.accept(own(options, "db-2", "db-1"), now());
    assert!(!acceptor.is_up(), "the dialler has not agreed");
    carry(&mut acceptor, &mut dialler, now());
    assert!(matches!(dialler.poll_event(), Some(Event::Hello(hello)) if hello.name.as_str() == "db-2"));
    dialler.accept(own(options, "db-1", "db-2"), now());
    carry(&mut dialler, &mut acceptor, now());
    assert_eq!(dialler.poll_event(), Some(Event::Up { version: 1 }));
    assert_eq!(acceptor.poll_event(), Some(Event::Up { version: 1 }));
    (dialler, acceptor)
}

fn end_of(link: &mut Link) -> Option<End> {
    std::iter::from_fn(|| link.poll_event()).find_map(|event| match event {
        Event::Over(end) => Some(end),
        _ => None,
    })
}

#[test]
fn messages_go_both_ways_once_both_agree() {
    let options = Options::default();
    let (mut dialler, mut acceptor) = up(&options);
    dialler.send(Class::Normal, b"entry".to_vec()).unwrap();
    acceptor.send(Class::Urgent, b"vote".to_vec()).unwrap();
    carry(&mut dialler, &mut acceptor, now());
    carry(&mut acceptor, &mut dialler, now());
    assert_eq!(acceptor.take(), Some(Message { class: Class::Normal, bytes: b"entry".to_vec() }));
    assert_eq!(dialler.take(), Some(Message { class: Class::Urgent, bytes: b"vote".to_vec() }));
    assert_eq!(acceptor.take(), None);
    let counters = *dialler.counters();
    assert_eq!((counters.messages_out, counters.messages_in), ([0, 1, 0], [1, 0, 0]));
    assert_eq!(counters.bytes_out, acceptor.counters().bytes_in);
}

#[test]
fn either_side_refuses_and_the_other_is_told_why() {
    let options = Options::default();
    let refusal = Refusal::new(Reason::UnknownNode, "db-1 is not known here");
    let (mut dialler, mut acceptor) = pair(&options);
    carry(&mut dialler, &mut acceptor, now());
    acceptor.refuse(refusal.clone());
    carry(&mut acceptor, &mut dialler, now());
    assert_eq!(end_of(&mut acceptor), Some(End::RefusedHere(refusal.clone())));
    assert_eq!(end_of(&mut dialler), Some(End::Refused(refusal.clone())));

    let (mut dialler, mut acceptor) = pair(&options);
    carry(&mut dialler, &mut acceptor, now());
    acceptor.accept(own(&options, "db-2", "db-1"), now());
    carry(&mut acceptor, &mut dialler, now());
    dialler.refuse(refusal.clone());
    carry(&mut dialler, &mut acceptor, now());
    assert_eq!(end_of(&mut acceptor), Some(End::Refused(refusal)));
    assert!(!acceptor.is_up());
}

#[test]
fn what_comes_out_of_turn_ends_it() {
    let options = Options::default();
    let frames = |kinds: &[(Kind, &[u8])]| {
        let mut bytes = PREAMBLE.to_vec();
        kinds.iter().for_each(|(kind, payload)| frame::put(&mut bytes, *kind, Class::Urgent, &[payload]));
        bytes
    };
    let hello = own(&options, "db-1", "db-2").encode();
    for (kinds, fault) in [
        (&[(Kind::Ping, &[0; 8][..])][..], Fault::Unexpected(Kind::Ping)),
        (&[(Kind::Begin, &[1, 0, 0, 0, 7])], Fault::Unexpected(Kind::Begin)),
        (&[(Kind::Welcome, &hello)], Fault::Unexpected(Kind::Welcome)),
        (&[(Kind::Ready, &[])], Fault::Unexpected(Kind::Ready)),
        (&[(Kind::Hello, &hello), (Kind::Ready, &[])], Fault::Unexpected(Kind::Ready)),
        (&[(Kind::Hello, &hello), (Kind::Hello, &hello)], Fault::Unexpected(Kind::Hello)),
        (&[(Kind::Hello, &hello[..20])], Fault::Malformed("the hello is cut")),
    ] {
        let mut acceptor = Link::acceptor(&options, now());
        acceptor.handle_bytes(&frames(kinds), now());
        assert_eq!(end_of(&mut acceptor), Some(End::Fault(fault)), "{kinds:?}");
    }
    let (mut dialler, _) = pair(&options);
    dialler.handle_bytes(&frames(&[(Kind::Hello, &hello)]), now());
    assert_eq!(end_of(&mut dialler), Some(End::Fault(Fault::Unexpected(Kind::Hello))));
    // An answer to nothing.
    let (mut dialler, _) = up(&options);
    let mut pong = Vec::new();
    frame::put(&mut pong, Kind::Pong, Class::Urgent, &[&1u64.to_le_bytes()]);
    dialler.handle_bytes(&pong, now());
    assert!(matches!(end_of(&mut dialler), Some(End::Fault(Fault::Malformed(_)))));
}

#[test]
fn tls_where_plaintext_is_spoken_is_told_in_plaintext() {
    let options = Options::default();
    let (mut dialler, mut acceptor) = pair(&options);
    acceptor.handle_bytes(&[0x16, 3, 1, 0, 200], now());
    assert_eq!(end_of(&mut acceptor), Some(End::Fault(Fault::Tls)));
    carry(&mut acceptor, &mut dialler, now());
    let Some(End::Refused(refusal)) = end_of(&mut dialler) else { panic!("it was told") };
    assert_eq!(refusal.reason, Reason::PlaintextOnly);
    // A stranger is told nothing.
    let mut acceptor = Link::acceptor(&options, now());
    acceptor.handle_bytes(b"GET / HTTP/1.1\r\n\r\n", now());
    assert_eq!(end_of(&mut acceptor), Some(End::Fault(Fault::Stranger)));
    assert!(!acceptor.poll_transmit(&mut Vec::new(), 1, now()));
}

#[test]
fn who_says_nothing_is_late_and_who_answers_nothing_is_dead() {
    let options = Options::default();
    let mut silent = Link::acceptor(&options, now());
    assert_eq!(silent.next_deadline(now()), Some(later(5_000)));
    silent.handle_timeout(later(4_999));
    assert_eq!(end_of(&mut silent), None);
    silent.handle_timeout(later(5_000));
    assert_eq!(end_of(&mut silent), Some(End::Late));

    let (mut dialler, mut acceptor) = up(&options);
    assert_eq!(dialler.next_deadline(now()), Some(later(1_000)));
    dialler.handle_timeout(later(1_000));
    assert!(carry(&mut dialler, &mut acceptor, later(1_000)));
    assert!(carry(&mut acceptor, &mut dialler, later(1_007)));
    assert_eq!(dialler.round_trip(), Some(Duration::from_millis(7)));
    assert_eq!(dialler.next_deadline(later(1_007)), Some(later(2_000)));
    // Now it sends and never reads: what comes from it is no sign that it hears.
    dialler.handle_timeout(later(2_000));
    for at in (2_000..5_000).step_by(100) {
        acceptor.send(Class::Urgent, b"heartbeat".to_vec()).unwrap();
        carry(&mut acceptor, &mut dialler, later(at));
        dialler.handle_timeout(later(at));
        assert!(dialler.is_up());
    }
    dialler.handle_timeout(later(5_000));
    assert_eq!(end_of(&mut dialler), Some(End::Silent));
}

#[test]
fn a_flood_of_questions_leaves_one_answer() {
    let (mut dialler, mut acceptor) = up(&Options::default());
    let mut bytes = Vec::new();
    for number in 1..=10_000u64 {
        frame::put(&mut bytes, Kind::Ping, Class::Urgent, &[&number.to_le_bytes()]);
    }
    acceptor.handle_bytes(&bytes, now());
    let mut answer = Vec::new();
    acceptor.poll_transmit(&mut answer, 1 << 20, now());
    assert_eq!(answer.len(), frame::HEADER_BYTES + 8);
    dialler.close(End::Closed);
    carry(&mut dialler, &mut acceptor, now());
    assert_eq!(end_of(&mut acceptor), Some(End::Left));
}

#[test]
fn who_sends_beyond_a_window_is_cut_off() {
    let options = Options { window_bytes: [1_024; 3], ..Options::default() };
    let (mut dialler, mut acceptor) = up(&options);
    dialler.outbox.set_windows([1 << 20; 3]);
    for _ in 0..3 {
        dialler.send(Class::Normal, vec![1; 500]).unwrap();
    }
    carry(&mut dialler, &mut acceptor, now());
    assert_eq!(end_of(&mut acceptor), Some(End::Fault(Fault::Window(Class::Normal))));
}

#[test]
fn messages_that_do_not_fit_are_given_back_and_counted() {
    let options = Options { queue_bytes: [1_024; 3], message_bytes_max: 2_000, ..Options::default() };
    let (mut dialler, _) = up(&options);
    assert_eq!(dialler.send(Class::Urgent, Vec::new()), Err(NotSent::Length));
    assert_eq!(dialler.send(Class::Urgent, vec![0; 2_001]), Err(NotSent::Length));
    dialler.send(Class::Urgent, vec![0; 900]).unwrap();
    assert_eq!(dialler.send(Class::Urgent, vec![0; 900]), Err(NotSent::Full));
    assert_eq!(dialler.counters().full, [1, 0, 0]);
    dialler.close(End::Closed);
    assert_eq!(dialler.send(Class::Urgent, vec![0; 9]), Err(NotSent::Down));
}

#[test]
fn heartbeats_pass_snapshots_on_the_way_and_at_the_end() {
    let options = Options::default();
    let (mut dialler, mut acceptor) = up(&options);
    for _ in 0..8 {
        dialler.send(Class::Bulk, vec![1; 256 << 10]).unwrap();
    }
    // Each heartbeat is there with the next fragment or two, though megabytes wait before it.
    for round in 0..32 {
        dialler.send(Class::Urgent, vec![round]).unwrap();
        let mut bytes = Vec::new();
        dialler.poll_transmit(&mut bytes, 1, now());
        acceptor.handle_bytes(&bytes, now());
        let taken: Vec<Message> = std::iter::from_fn(|| acceptor.take()).collect();
        let urgent = taken.iter().find(|message| message.class == Class::Urgent);
        assert!(urgent.is_some_and(|message| message.bytes == [round]), "round {round}");
        let mut bytes = Vec::new();
        dialler.poll_transmit(&mut bytes, 1, now());
        acceptor.handle_bytes(&bytes, now());
    }
}

proptest! {
    /// Two ends over a wire that cuts as it likes: whatever is sent arrives, in the order of its class.
    #[test]
    fn all_arrives_over_any_wire(
        messages in prop::collection::vec((any::<bool>(), 0usize..3, 1usize..40_000), 1..30),
        cuts in prop::collection::vec(1usize..20_000, 1..20),
        window in 1_024u32..100_000,
    ) {
        let options = Options { window_bytes: [window; 3], queue_bytes: [4 << 20; 3], ..Options::default() };
        let (mut dialler, mut acceptor) = up(&options);
        let mut expected: [[Vec<Vec<u8>>; 3]; 2] = Default::default();
        for (number, (is_dialler, class, len)) in messages.iter().enumerate() {
            let bytes = vec![number as u8; *len];
            expected[usize::from(*is_dialler)][*class].push(bytes.clone());
            let link = if *is_dialler { &mut dialler } else { &mut acceptor };
            link.send(Class::ALL[*class], bytes).unwrap();
        }
        let mut arrived: [[Vec<Vec<u8>>; 3]; 2] = Default::default();
        let mut cuts = cuts.iter().cycle();
        let mut is_more = true;
        while is_more {
            is_more = false;
            for is_dialler in [false, true] {
                let (from, to) = if is_dialler { (&mut dialler, &mut acceptor) } else { (&mut acceptor, &mut dialler) };
                let mut bytes = Vec::new();
                is_more |= from.poll_transmit(&mut bytes, 40_000, now());
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (part, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                    to.handle_bytes(part, now());
                    rest = behind;
                }
                while let Some(message) = to.take() {
                    arrived[usize::from(is_dialler)][message.class.index()].push(message.bytes);
                }
            }
        }
        prop_assert_eq!(end_of(&mut dialler), None);
        prop_assert_eq!(end_of(&mut acceptor), None);
        prop_assert!(arrived == expected);
    }

    /// Garbage in place of what an up link sends ends it or waits for more; it never panics, and nothing piles up.
    #[test]
    fn garbage_ends_a_link(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let (mut dialler, _) = up(&Options::default());
        let cut = cut.min(bytes.len());
        dialler.handle_bytes(&bytes[..cut], now());
        dialler.handle_bytes(&bytes[cut..], now());
        let _ = dialler.poll_transmit(&mut Vec::new(), 1 << 20, now());
    }
}
