//! Watches: what they tell makes a copy, nothing is left out, and who is too late is told so.

use std::collections::BTreeMap;

use trimtab::rng::Rng;
use trimtab::store::index::{Compacted, EventKind, Index, Options, Range, Timestamp, Watch};

use crate::commands::{Course, Words};

#[test]
fn a_copy_kept_by_a_watch_is_the_index() {
    let words = Words::new();
    for seed in 0..64 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut index = Index::new(&Options { history_bytes_max: 50_000 });
        let mut course = Course::new();
        let range = if seed % 2 == 0 { Range::ALL } else { Range { start: b"key:", end: Some(b"key:0030") } };
        let mut watch = Watch::new(&range, 1);
        let mut copy: BTreeMap<Vec<u8>, (Vec<u8>, u64, u64)> = BTreeMap::new();
        let mut compactions = 0;
        for sequence in 1..3_000 {
            course.version = sequence;
            let mut encoded = Vec::new();
            course.command(&words, &mut rng).encode(&mut encoded);
            index.apply(sequence, &encoded).unwrap();
            // It is asked often, and once in a while is away for long.
            let is_away = (sequence / 1_000) % 2 == 1;
            if is_away || rng.below(5) > 0 {
                continue;
            }
            index.publish();
            let view = index.reader().view();
            loop {
                let from = watch.next_sequence();
                match watch.next(&view, 1 + rng.below(6) as usize, 3_000) {
                    Ok(events) => {
                        assert!(events.is_sorted_by_key(|event| event.sequence()));
                        for event in &events {
                            assert!(event.sequence() >= from && range.contains(event.key()));
                            let before = copy.get(event.key()).map(|(.., created)| *created);
                            match event.value() {
                                Some(value) => {
                                    let is_new = event.created() == event.sequence();
                                    assert!(is_new || before == Some(event.created()));
                                    let entry = (value.to_vec(), event.sequence(), event.created());
                                    copy.insert(event.key().to_vec(), entry);
                                }
                                None => {
                                    assert_eq!(before, Some(event.created()));
                                    copy.remove(event.key());
                                }
                            }
                        }
                        if events.is_empty() {
                            break;
                        }
                        let last = events.last().unwrap().sequence();
                        assert!(watch.next_sequence() > last, "commands are told whole");
                    }
                    Err(Compacted { first }) => {
                        compactions += 1;
                        assert!(first > from && first == view.first_watchable());
                        let page = view.range(&range, 0, u64::MAX, false, Timestamp::default());
                        copy = page
                            .entries
                            .iter()
                            .map(|(key, entry)| {
                                (key.clone(), (entry.value.to_vec(), entry.version, entry.created))
                            })
                            .collect();
                        watch = Watch::new(&range, view.sequence() + 1);
                    }
                }
            }
            assert_eq!(watch.next_sequence(), view.sequence() + 1);
            let page = view.range(&range, 0, u64::MAX, false, Timestamp::default());
            let now: BTreeMap<_, _> = page
                .entries
                .iter()
                .map(|(key, entry)| (key.clone(), (entry.value.to_vec(), entry.version, entry.created)))
                .collect();
            assert_eq!(copy, now);
        }
        assert!(seed % 2 == 1 || compactions > 0, "the bound was never reached");
    }
}

/// Long values weigh: a few of them fill the history.
#[test]
fn the_history_is_bounded_by_bytes() {
    use trimtab::store::index::{Command, Condition, Lifetime, Operation, Step};
    let mut index = Index::new(&Options { history_bytes_max: 1 << 20 });
    let value = vec![b'v'; 200_000];
    for sequence in 1..=40 {
        let put = Step::Put {
            key: b"k",
            value: &value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: false,
        };
        let command = Command { time: Timestamp::default(), request: None, operation: Operation::Step(put) };
        index.apply_command(sequence, &command).unwrap();
    }
    index.publish();
    let view = index.reader().view();
    assert_eq!(view.first_watchable(), 36, "five of 200,128 bytes fit");
    let mut watch = Watch::new(&Range::ALL, 36);
    assert_eq!(watch.next(&view, 100, usize::MAX).unwrap().len(), 5);
    // Without any bound to speak of, the latest change is there.
    let mut index = Index::new(&Options { history_bytes_max: 0 });
    for sequence in 1..=40 {
        let step = Operation::Step(Step::Increment { key: b"n", by: 1 });
        let command = Command { time: Timestamp::default(), request: None, operation: step };
        index.apply_command(sequence, &command).unwrap();
    }
    index.publish();
    let view = index.reader().view();
    let mut watch = Watch::new(&Range::ALL, 40);
    assert_eq!(watch.next(&view, 100, usize::MAX).unwrap()[0].value(), Some(&b"40"[..]));
    assert_eq!(view.first_watchable(), 40);
}

#[test]
fn a_watch_from_before_the_beginning_is_too_late() {
    let mut index = Index::new(&Options { history_bytes_max: 50_000 });
    let put = |index: &mut Index, sequence| {
        let mut encoded = Vec::new();
        let words = Words::new();
        let mut course = Course::new();
        let mut rng = Rng::new(sequence);
        course.command(&words, &mut rng).encode(&mut encoded);
        index.apply(sequence, &encoded).unwrap()
    };
    for sequence in 1..4_000 {
        put(&mut index, sequence);
    }
    index.publish();
    let view = index.reader().view();
    let first = view.first_watchable();
    assert!(first > 1 && first < 4_000);
    let mut late = Watch::new(&Range::ALL, first - 1);
    assert_eq!(late.next(&view, 10, 10_000).unwrap_err(), Compacted { first });
    let mut early = Watch::new(&Range::ALL, first);
    assert!(
        early
            .next(&view, 10, 10_000)
            .unwrap()
            .iter()
            .all(|event| event.kind() != EventKind::Revoked || event.value().is_none())
    );
    let mut future = Watch::new(&Range::ALL, 5_000);
    assert!(future.next(&view, 10, 10_000).unwrap().is_empty());
    assert_eq!(future.next_sequence(), 5_000);
    // An index made from a state knows nothing of what was before.
    let copy = Index::from_state(index.state().clone(), &Options::default());
    let mut watch = Watch::new(&Range::ALL, 3_999);
    assert_eq!(watch.next(&copy.reader().view(), 1, 1).unwrap_err(), Compacted { first: 4_000 });
}
