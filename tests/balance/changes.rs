//! Changes while in use.

use trimtab::balance::{Admin, Backend, Options, Policy, Pool};
use trimtab::error::Error;

use crate::support::*;

#[test]
fn an_update_is_all_or_nothing() {
    let (pool, ids) = pool(Options::default(), &[1, 1]);
    let result: Result<(), Error> = pool.update(|edit| {
        edit.remove(ids[0])?;
        edit.set_weight(ids[1], 7)?;
        edit.set_weight(ids[0], 7)
    });
    assert!(matches!(result, Err(Error::NotFound { .. })));
    assert_eq!(pool.ids(), ids);
    assert_eq!(pool.backend(ids[1]).unwrap().weight, 1);
    pool.update(|edit| {
        edit.remove(ids[0])?;
        edit.set_weight(ids[1], 7)?;
        edit.set_tag(ids[1], 42)?;
        edit.set_tier(ids[1], 3)
    })
    .unwrap();
    let left = pool.backend(ids[1]).unwrap();
    assert_eq!((pool.ids().len(), left.weight, left.tag, left.tier), (1, 7, 42, 3));
    assert_eq!(pick(&pool).tag, 42);
}

#[test]
fn a_name_and_an_address_are_free_again_after_removal() {
    let pool = Pool::new(Options::default()).unwrap();
    let web = Backend { name: Some("web".into()), ..backend(0, 1) };
    let first = pool.add(web.clone()).unwrap();
    pool.remove(first).unwrap();
    let second = pool.add(web.clone()).unwrap();
    assert_ne!(first, second, "ids are not used again");
    assert_eq!(pool.find("web"), Ok(second));
    pool.update(|edit| {
        edit.add(backend(1, 1))?;
        edit.add(backend(2, 1))?;
        edit.remove(second)?;
        edit.add(web.clone())
    })
    .unwrap();
    assert_eq!(pool.ids().len(), 3);
}

/// Removed backends whose picks were never done keep their counters' place; the places do run out, and
/// that is said.
#[test]
fn places_of_removed_backends_come_back_when_their_picks_are_done() {
    let (pool, _) = pool(Options::default(), &[1]);
    let first = pool.ids()[0];
    pool.remove(first).unwrap();
    let mut held = Vec::new();
    for n in 0..2_000 {
        let id = pool.add(backend(n + 1, 1)).unwrap();
        held.push(pick(&pool));
        pool.remove(id).unwrap();
    }
    held.iter().for_each(|pick| done(&pool, pick.token));
    for n in 0..2_000 {
        let id = pool.add(backend(n + 1, 1)).unwrap();
        assert_eq!(pool.backend(id).unwrap().picks, 0);
        pool.remove(id).unwrap();
    }
}

#[test]
fn every_policy_lives_through_every_change() {
    for (name, policy) in Policy::NAMES {
        let (pool, ids) = pool(Options { policy, ..Options::default() }, &[1, 2, 3]);
        let step = |what: &str| {
            let picked: Vec<_> = (0..60).map(|_| pick(&pool)).collect();
            picked.iter().for_each(|pick| done(&pool, pick.token));
            assert_eq!(pool.statistics().in_flight, 0, "{name} after {what}");
        };
        step("start");
        pool.set_maxconn(ids[2], 100).unwrap();
        step("maxconn");
        pool.set_admin(ids[0], Admin::Drain).unwrap();
        step("drain");
        pool.add(backend(7, 9)).unwrap();
        step("add");
        pool.remove(ids[1]).unwrap();
        step("remove");
        if policy != Policy::Static {
            pool.set_weight(ids[2], 1).unwrap();
        }
        step("weight");
        pool.set_admin(ids[0], Admin::Ready).unwrap();
        step("ready");
    }
}
