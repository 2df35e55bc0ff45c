//! Pools and pickers for the tests.

use trimtab::balance::{
    Address, Backend, BackendId, Lane, Options, Outcome, Pick, Pool, Request, Timings, Token,
};
use trimtab::time::Instant;

/// Time stands still.
pub(crate) const NOW: Instant = Instant::from_millis(1_000);

/// Where the tests count: a lane of their own, whose turns start at 0.
pub(crate) const LANE: Lane = Lane::Own(0);

/// The address of the `n`th backend.
pub(crate) fn address(n: usize) -> Address {
    Address::Inet(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 80).into())
}

pub(crate) fn backend(n: usize, weight: u32) -> Backend {
    Backend { weight, ..Backend::new(address(n)) }
}

/// A pool of backends with these weights, counted on one lane so that a run can be written down.
pub(crate) fn pool(options: Options, weights: &[u32]) -> (Pool, Vec<BackendId>) {
    let pool = Pool::new(Options { lanes: 1, ..options }).unwrap();
    let backends: Vec<_> = weights.iter().enumerate().map(|(n, &weight)| backend(n, weight)).collect();
    let ids = pool.add_all(&backends).unwrap();
    (pool, ids)
}

pub(crate) fn pick(pool: &Pool) -> Pick {
    pool.pick(&Request { lane: LANE, now: NOW, ..Request::default() }).unwrap()
}

pub(crate) fn pick_key(pool: &Pool, key: &[u8]) -> Pick {
    pool.pick(&Request { lane: LANE, now: NOW, key, ..Request::default() }).unwrap()
}

pub(crate) fn done(pool: &Pool, token: Token) {
    pool.done(LANE, token, Outcome::Success, &Timings::default(), NOW).unwrap();
}

/// Who is picked, `count` times, each done at once, by index into `ids`.
pub(crate) fn sequence(pool: &Pool, ids: &[BackendId], count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| {
            let pick = pick(pool);
            done(pool, pick.token);
            index_of(ids, pick.backend)
        })
        .collect()
}

/// How often each is picked.
pub(crate) fn counts(pool: &Pool, ids: &[BackendId], count: usize) -> Vec<usize> {
    let mut counts = vec![0; ids.len()];
    for index in sequence(pool, ids, count) {
        counts[index] += 1;
    }
    counts
}

pub(crate) fn index_of(ids: &[BackendId], id: BackendId) -> usize {
    ids.iter().position(|&known| known == id).expect("a pick is of a backend in the pool")
}

/// A response time and nothing else.
pub(crate) fn took(nanos: u64) -> Timings {
    Timings { first_byte: Some(nanos), ..Timings::default() }
}
