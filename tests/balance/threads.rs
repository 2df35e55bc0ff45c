//! Many threads at once: nothing is lost, limits are exact, a drained backend gets nothing new.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use trimtab::balance::{Admin, Lane, Options, Outcome, Policy, Pool, Request, Timings};
use trimtab::time::Clock;

use crate::support::*;

const THREADS: u32 = 4;

/// Ends the loops of other threads when this one is done, and when it panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn counters_are_right_after_threads_picked_and_others_finished() {
    for (name, policy) in Policy::NAMES {
        let pool = Pool::new(Options { policy, lanes: 2, ..Options::default() }).unwrap();
        let backends: Vec<_> = (0..8).map(|n| backend(n, 1 + n as u32 % 3)).collect();
        pool.add_all(&backends).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let picks = 5_000;
        std::thread::scope(|scope| {
            for lane in (0..THREADS).map(Lane::Own) {
                let sender = sender.clone();
                let pool = &pool;
                scope.spawn(move || {
                    for n in 0..picks {
                        let request = Request { lane, key: &[n as u8], now: Clock.now(), avoid: &[] };
                        sender.send(pool.pick(&request).unwrap().token).unwrap();
                    }
                });
            }
            drop(sender);
            for token in receiver {
                pool.done(Lane::Shared, token, Outcome::Success, &took(1_000), Clock.now()).unwrap();
            }
        });
        let statistics = pool.statistics();
        assert_eq!(statistics.picks, u64::from(THREADS * picks), "{name}");
        assert_eq!((statistics.in_flight, statistics.refused), (0, 0), "{name}");
        let successes: u64 = pool.backends().iter().map(|backend| backend.outcomes.success).sum();
        assert_eq!(successes, statistics.picks, "{name}");
    }
}

/// `maxconn` holds over threads, while another thread changes it and everything else.
#[test]
fn maxconn_is_exact_over_threads() {
    let pool =
        Pool::new(Options { policy: Policy::LeastConnections, lanes: 4, ..Options::default() }).unwrap();
    let ids = pool.add_all(&(0..3).map(|n| backend(n, 1)).collect::<Vec<_>>()).unwrap();
    for &id in &ids {
        pool.set_maxconn(id, 2).unwrap();
    }
    let held: Vec<AtomicU64> = ids.iter().map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|lane| {
                let lane = Lane::Own(lane);
                let (pool, held, ids) = (&pool, &held, &ids);
                scope.spawn(move || {
                    let mut full = 0;
                    for _ in 0..20_000 {
                        let request = Request { lane, now: Clock.now(), ..Request::default() };
                        let mut picks = Vec::new();
                        for _ in 0..3 {
                            let Ok(pick) = pool.pick(&request) else {
                                full += 1;
                                continue;
                            };
                            let index = index_of(ids, pick.backend);
                            assert!(held[index].fetch_add(1, Ordering::SeqCst) < 2, "above maxconn");
                            picks.push((pick, index));
                        }
                        for (pick, index) in picks {
                            held[index].fetch_sub(1, Ordering::SeqCst);
                            pool.done(lane, pick.token, Outcome::Success, &Timings::default(), Clock.now())
                                .unwrap();
                        }
                    }
                    full
                })
            })
            .collect();
        let changer = scope.spawn(|| {
            let mut weight = 1;
            while !stop.load(Ordering::Relaxed) {
                weight = weight % 5 + 1;
                pool.set_weight(ids[0], weight).unwrap();
            }
        });
        let full: u32 = {
            let _stop = Stop(&stop);
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        };
        changer.join().unwrap();
        assert!(full > 0, "4 threads of 3 picks never met 6 places all taken");
    });
    assert_eq!(pool.statistics().in_flight, 0);
}

/// Once `set_admin(Drain)` has returned, no thread is handed the drained backend, not even one that was
/// choosing at that moment.
#[test]
fn a_drained_backend_gets_nothing_new_from_any_thread() {
    let pool = Pool::new(Options { policy: Policy::Random, lanes: 4, ..Options::default() }).unwrap();
    let ids = pool.add_all(&[backend(0, 1), backend(1, 1)]).unwrap();
    // Odd while drained. It only grows: the same odd number before and after a pick means that the backend was
    // drained all along.
    let phase = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let start = Barrier::new(THREADS as usize + 1);
    std::thread::scope(|scope| {
        for lane in (0..THREADS).map(Lane::Own) {
            let (pool, phase, stop, start, ids) = (&pool, &phase, &stop, &start, &ids);
            scope.spawn(move || {
                start.wait();
                while !stop.load(Ordering::SeqCst) {
                    let before = phase.load(Ordering::SeqCst);
                    let request = Request { lane, now: Clock.now(), ..Request::default() };
                    let pick = pool.pick(&request).unwrap();
                    if before % 2 == 1 && phase.load(Ordering::SeqCst) == before {
                        assert_ne!(pick.backend, ids[0], "picked while drained");
                    }
                    pool.done(lane, pick.token, Outcome::Success, &Timings::default(), Clock.now()).unwrap();
                }
            });
        }
        start.wait();
        let _stop = Stop(&stop);
        for _ in 0..2_000 {
            pool.set_admin(ids[0], Admin::Drain).unwrap();
            phase.fetch_add(1, Ordering::SeqCst);
            for _ in 0..50 {
                std::hint::spin_loop();
            }
            phase.fetch_add(1, Ordering::SeqCst);
            pool.set_admin(ids[0], Admin::Ready).unwrap();
        }
    });
    assert_eq!(pool.statistics().in_flight, 0);
}

/// Threads that add and remove at once lose none of each other's changes.
#[test]
fn changes_from_several_threads_all_take_effect() {
    let pool = Pool::new(Options::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS as usize {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..50 {
                    let id = pool.add(backend(thread * 1_000 + n, 1)).unwrap();
                    if n % 2 == 0 {
                        pool.remove(id).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(pool.statistics().backends, THREADS * 25);
}
