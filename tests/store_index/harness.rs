//! An index and its model side by side.

use std::collections::BTreeMap;

use trimtab::store::index::{Command, Index, Lifetime, Options, Range, State, Timestamp};

use crate::commands::{Course, Draw, Words};
use crate::model::Model;

/// Runs `steps` commands at random on an index and its model, and compares answers, content and accounts.
pub(crate) fn run(words: &Words, steps: u64, draw: &mut impl Draw) -> (Index, Model) {
    let mut index = Index::new(&Options::default());
    let mut model = Model::default();
    let mut course = Course::new();
    run_on(&mut index, &mut model, &mut course, words, steps, draw);
    (index, model)
}

pub(crate) fn run_on(
    index: &mut Index,
    model: &mut Model,
    course: &mut Course,
    words: &Words,
    steps: u64,
    draw: &mut impl Draw,
) {
    let mut encoded = Vec::new();
    for step in 0..steps {
        let sequence = index.state().sequence() + 1 + draw.below(2);
        course.version = sequence;
        let command = course.command(words, draw);
        encoded.clear();
        command.encode(&mut encoded);
        let settings = *index.state().settings();
        let decoded = Command::decode(&encoded, &settings).expect("it is within the settings");
        assert_eq!(decoded, command);
        model.client_memory = client_memory(index.state());
        let expected = model.apply(sequence, &command);
        let outcome = index.apply(sequence, &encoded).expect("the sequence rises");
        assert_eq!(outcome, expected, "{command:?}");
        model.forget_clients(index.state().client_count());
        model.client_memory = client_memory(index.state());
        if step % 16 == 0 || step + 1 == steps {
            compare(index.state(), model, words, draw);
            index.publish();
            assert_eq!(index.reader().view().hash(), index.state().hash());
        }
    }
}

fn client_memory(state: &State) -> u64 {
    128 * state.client_count() + state.client_bytes()
}

fn compare(state: &State, model: &Model, words: &Words, draw: &mut impl Draw) {
    assert_eq!((state.sequence(), state.time().as_millis()), (model.sequence, model.time));
    assert_eq!((state.len(), state.memory()), (model.entries.len() as u64, model.memory()));
    let has_deadline = |lifetime| matches!(lifetime, Lifetime::Until(_));
    let with_deadline = model.entries.values().filter(|found| has_deadline(found.lifetime)).count();
    assert_eq!(state.keys_with_deadline(), with_deadline as u64);
    let leases: BTreeMap<u64, (u64, u64)> = (1..=5)
        .filter_map(|id| {
            let lease = state.lease(id, Timestamp::from_millis(0))?;
            Some((id, (lease.ttl_ms, lease.deadline.as_millis())))
        })
        .collect();
    assert_eq!((state.lease_count(), &leases), (model.leases.len() as u64, &model.leases));
    let deadlines = model.entries.values().filter_map(|found| match found.lifetime {
        Lifetime::Until(deadline) => Some(deadline.as_millis()),
        _ => None,
    });
    let next = deadlines.chain(model.leases.values().map(|(_, deadline)| *deadline)).min();
    assert_eq!(state.next_deadline().map(Timestamp::as_millis), next);
    // At the time of the commands and before and after it: nobody sees what has expired.
    for now in [0, model.time, model.time + draw.below(3_000), u64::MAX] {
        let at = Timestamp::from_millis(now);
        let range = if draw.one_in(3) { words.range(draw) } else { Range::ALL };
        let (limit, reverse) = (draw.below(10), draw.one_in(2));
        let page = state.range(&range, limit, u64::MAX, reverse, at);
        let mut expected = model.live(&range, now);
        assert_eq!(state.count(&range, at), expected.len() as u64);
        if reverse {
            expected.reverse();
        }
        let more = limit > 0 && expected.len() as u64 > limit;
        if more {
            expected.truncate(limit as usize);
        }
        let seen: Vec<_> = page.entries.iter().map(|(key, entry)| (key.clone(), entry.to_found())).collect();
        assert_eq!((seen, page.more), (expected, more));
        let key = words.key(draw);
        assert_eq!(state.get(key, at).map(|entry| entry.to_found()).as_ref(), model.get(key, now));
    }
}
