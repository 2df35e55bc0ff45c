//! The pool under the model checker: the table is swapped while a pick is under way.

use loom::sync::Arc;
use loom::thread;

use crate::balance::{Admin, Backend, Lane, Options, Outcome, Pool, Request, Timings};
use crate::error::Error;
use crate::time::Instant;

fn pool(backends: &[&str]) -> (Arc<Pool>, Vec<crate::balance::BackendId>) {
    let pool = Pool::new(Options { lanes: 1, picks_max: 4, ..Options::default() }).unwrap();
    let ids = backends.iter().map(|address| pool.add(Backend::parse(address).unwrap()).unwrap()).collect();
    (Arc::new(pool), ids)
}

/// When `remove` has returned and the backend has nothing in flight, nothing comes in flight any more: the
/// pick was counted before, or went elsewhere.
#[test]
fn loom_a_removed_backend_gets_nothing_new() {
    loom::model(|| {
        let (pool, ids) = pool(&["10.0.0.1:80"]);
        let picker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.pick(&Request { lane: Lane::Own(0), ..Request::default() }).is_ok())
        };
        pool.set_admin(ids[0], Admin::Drain).unwrap();
        let at_return = pool.backend(ids[0]).unwrap().picks;
        let picked = picker.join().unwrap();
        let after = pool.backend(ids[0]).unwrap().picks;
        assert_eq!(after, u64::from(picked));
        // What was being counted when `set_admin` returned may have been undone since, never added.
        assert!(at_return >= after, "a pick came after the drain");
    });
}

/// A pick and the removal of its backend: the pick is done once, in flight ends at zero, and the slot goes
/// to a new backend that starts from zero.
#[test]
fn loom_a_slot_is_reused_cleanly() {
    loom::model(|| {
        let (pool, ids) = pool(&["10.0.0.1:80"]);
        let picker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || match pool.pick(&Request { lane: Lane::Own(0), ..Request::default() }) {
                Ok(pick) => {
                    let done = |outcome| {
                        pool.done(Lane::Own(0), pick.token, outcome, &Timings::default(), Instant::START)
                    };
                    done(Outcome::Success).unwrap();
                    assert_eq!(done(Outcome::Success), Err(Error::StalePick));
                }
                Err(error) => assert!(matches!(error, Error::NoBackend(_))),
            })
        };
        pool.remove(ids[0]).unwrap();
        let new = pool.add(Backend::parse("10.0.0.2:80").unwrap()).unwrap();
        picker.join().unwrap();
        let statistics = pool.backend(new).unwrap();
        assert_eq!(statistics.in_flight, 0);
        assert_eq!(statistics.picks, statistics.outcomes.success);
    });
}

/// A limit set while a pick is under way counts that pick.
#[test]
fn loom_a_new_limit_counts_picks_under_way() {
    loom::model(|| {
        let (pool, ids) = pool(&["10.0.0.1:80"]);
        let picker = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.pick(&Request { lane: Lane::Own(0), ..Request::default() }).is_ok())
        };
        pool.set_maxconn(ids[0], 1).unwrap();
        let here = pool.pick(&Request::default()).is_ok();
        let there = picker.join().unwrap();
        assert!(here ^ there, "one place, {} picks", u8::from(here) + u8::from(there));
        assert!(pool.pick(&Request::default()).is_err());
    });
}
