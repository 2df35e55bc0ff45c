use std::time::Duration;

use super::*;
use crate::balance::{Backend, Observed, Options as PoolOptions, Pick};
use crate::proxy::options::Timeouts;

const NOW: Instant = Instant::from_millis(1_000);

/// Two backends, the first of which is picked first.
fn pool(second: impl FnOnce(&mut Backend)) -> (Pool, [BackendId; 2]) {
    let pool =
        Pool::new(PoolOptions { policy: Policy::First, retry_min: 3, ..PoolOptions::default() }).unwrap();
    let first = pool.add(Backend::parse("10.0.0.1:80").unwrap()).unwrap();
    let mut backend = Backend::parse("10.0.0.2:80").unwrap();
    second(&mut backend);
    let second = pool.add(backend).unwrap();
    (pool, [first, second])
}

fn take(pool: &Pool, avoid: BackendId) -> Pick {
    pool.pick_other(&Request { now: NOW, avoid: &[avoid], ..Request::default() }).unwrap()
}

fn give_back(pool: &Pool, pick: &Pick) {
    pool.done(Lane::Shared, pick.token, Outcome::Success, &Timings::default(), NOW).unwrap();
}

fn context<'a>(pool: &'a Pool, options: &'a Options) -> Context<'a> {
    Context { pool, lane: Lane::Shared, options, now: NOW }
}

fn options() -> Options {
    let second = Duration::from_secs(1);
    Options {
        accept_proxy: AcceptProxy::Off,
        send_proxy: SendProxy::Off,
        abort_on_close: false,
        attempts: 3,
        timeouts: Timeouts {
            connect: second,
            header: second,
            idle: second,
            half_closed: second,
            queue: second,
            drain: second,
        },
    }
}

/// A session that could not reach the first of them, and what it does next.
fn refused(context: &Context<'_>) -> (Session, Next) {
    let mut session = Session::new(None, None, NOW);
    assert!(matches!(session.begin(context), Next::Connect(_)));
    assert!(!session.is_choosy());
    let next = session.handle_connect_failed(context);
    (session, next)
}

#[test]
fn it_waits_for_one_that_it_has_not_tried() {
    let options = options();
    let (pool, [first, second]) = pool(|backend| backend.maxconn = 1);
    let context = context(&pool, &options);
    let held = take(&pool, first);
    assert_eq!(held.backend, second);
    let (mut session, next) = refused(&context);
    assert_eq!(next, Next::Queue(None), "the other one is full, though the first has room");
    assert!(session.is_choosy() && session.is_retrying());
    assert_eq!(session.handle_offer(&context), Next::Queue(None), "the place is the first one's");
    give_back(&pool, &held);
    assert!(matches!(session.handle_offer(&context), Next::Connect(_)));
    assert_eq!(session.backend(), Some(second));
    session.handle_connected(&context);
    session.close(Cause::Finished, &context);
    let statistics = pool.statistics();
    assert_eq!((statistics.in_flight, statistics.retries), (0, 0));
    assert_eq!(pool.backend(first).unwrap().picks, 1, "it was not picked to be given back");
}

#[test]
fn it_waits_for_the_rate_of_one_that_it_has_not_tried() {
    let options = options();
    let (pool, [first, _]) = pool(|backend| (backend.connection_rate, backend.connection_burst) = (10, 1));
    let context = context(&pool, &options);
    give_back(&pool, &take(&pool, first));
    let (mut session, next) = refused(&context);
    let Next::Queue(Some(at)) = next else { panic!("{next:?}") };
    assert!(NOW < at && at <= NOW.saturating_add(Duration::from_millis(101)), "{at:?}");
    assert!(matches!(session.handle_offer(&Context { now: at, ..context }), Next::Connect(_)));
}

#[test]
fn it_gives_up_when_it_has_tried_all_that_serve() {
    let options = options();
    let (pool, [first, second]) = pool(|backend| backend.maxconn = 1);
    let context = context(&pool, &options);
    let held = take(&pool, first);
    let (mut session, next) = refused(&context);
    assert_eq!(next, Next::Queue(None));
    // The one that it waits for goes down.
    pool.set_observed(second, Observed::Down).unwrap();
    assert_eq!(session.handle_offer(&context), Next::Close(Cause::ConnectFailed));
    session.close(Cause::ConnectFailed, &context);
    give_back(&pool, &held);
    assert_eq!((pool.statistics().in_flight, pool.statistics().retries), (0, 0));
    // Another that fails at both.
    pool.set_observed(second, Observed::Up).unwrap();
    let (mut session, next) = refused(&context);
    assert!(matches!(next, Next::Connect(_)));
    assert_eq!(session.handle_connect_failed(&context), Next::Close(Cause::ConnectFailed));
}
