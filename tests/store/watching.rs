//! Watchers beside writers.

use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::{Store, Watched};
use trimtab::store::index::{self, Range};

use crate::support::{Folder, LONG, local, memory, open, small, value_of};

#[test]
fn a_watcher_misses_nothing() {
    let folder = Folder::new("watch");
    let store = open(&folder);
    const WRITES: u64 = 3_000;
    let mut watcher = store.watch(&Range { start: b"w/", end: Some(b"w0") }, None).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..WRITES {
                    let call = if at % 500 == 0 { local() } else { memory() };
                    store.put(format!("w/{thread}").as_bytes(), at.to_string().as_bytes(), &call).unwrap();
                    store.put(format!("other/{thread}").as_bytes(), b"", &memory()).unwrap();
                }
            });
        }
        let (mut next, mut sequence) = ([0u64; 2], 0);
        while next != [WRITES; 2] {
            let Watched::Events(events) = watcher.next(LONG).unwrap() else { panic!("compacted") };
            for event in events {
                assert!(event.sequence() > sequence);
                sequence = event.sequence();
                let thread = usize::from(event.key()[2] - b'0');
                assert_eq!(event.value().unwrap(), next[thread].to_string().as_bytes());
                next[thread] += 1;
            }
        }
    });
    assert!(matches!(watcher.next(Duration::from_millis(5)), Err(Error::TimedOut { what: "change" })));
    // Whoever comes later, and after a restart, sees it all again from where they say.
    let from = watcher.next_sequence();
    store.put(b"w/0", b"more", &local()).unwrap();
    store.close().unwrap();
    assert!(matches!(watcher.next(LONG), Err(Error::State { .. })));
    let store = open(&folder);
    let mut again = store.watch(&Range::ALL, Some(from)).unwrap();
    match again.next(LONG).unwrap() {
        Watched::Events(events) => assert_eq!(events.last().unwrap().value().unwrap(), b"more"),
        // A snapshot may stand for it by now.
        Watched::Compacted { first } => assert!(first > from && value_of(&store, b"w/0").unwrap() == b"more"),
    }
}

#[test]
fn who_is_too_late_is_told() {
    let folder = Folder::new("compacted");
    let mut options = small();
    options.engine.index = index::Options { history_bytes_max: 0 };
    let store = Store::open(folder.path(), options).unwrap();
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    for at in 0..3_000u32 {
        store.put(&at.to_be_bytes(), b"v", &memory()).unwrap();
    }
    let Watched::Compacted { first } = watcher.next(LONG).unwrap() else { panic!("all is still there") };
    let view = store.view().unwrap();
    assert_eq!(first, view.first_watchable());
    let mut watcher = store.watch(&Range::ALL, Some(view.sequence() + 1)).unwrap();
    store.put(b"next", b"v", &memory()).unwrap();
    let Watched::Events(events) = watcher.next(LONG).unwrap() else { panic!("compacted") };
    assert_eq!((events.len(), events[0].key()), (1, &b"next"[..]));
}

#[test]
fn closing_wakes_who_waits() {
    let folder = Folder::new("watch-close");
    let store = open(&folder);
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || watcher.next(LONG));
        store.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::State { .. })));
    });
}

/// What it has seen went with a crash, and its numbers are given again.
#[test]
fn a_watcher_from_beyond_the_last_write_is_told_so_at_once() {
    let folder = Folder::new("beyond");
    let store = open(&folder);
    let last = store.put(b"k", b"base", &local()).unwrap().sequence;
    let mut next = store.watch(&Range::ALL, Some(last + 1)).unwrap();
    let mut beyond = store.watch(&Range::ALL, Some(last + 2)).unwrap();
    let mut far = store.watch(&Range::ALL, Some(u64::MAX)).unwrap();
    for number in 0..5 {
        store.put(b"k", format!("new{number}").as_bytes(), &local()).unwrap();
    }
    for watcher in [&mut beyond, &mut far] {
        // It stays so: what was missed does not come back.
        for _ in 0..2 {
            let told = watcher.next(Duration::ZERO).unwrap();
            assert!(matches!(told, Watched::Compacted { first } if first == last), "{told:?}");
        }
    }
    let Watched::Events(events) = next.next(LONG).unwrap() else { panic!("compacted") };
    assert_eq!((events.len(), events[0].sequence()), (5, last + 1));
    // Where a watcher has come to is no such place, whatever is under way.
    let again = store.watch(&Range::ALL, Some(next.next_sequence())).unwrap().next(Duration::ZERO);
    assert!(matches!(again, Err(Error::TimedOut { .. })), "{again:?}");
}
