//! Round robin, static, first, random: who comes when, and how often.

use trimtab::balance::{Options, Policy};
use trimtab::error::Error;

use crate::support::*;

fn with(policy: Policy) -> Options {
    Options { policy, ..Options::default() }
}

#[test]
fn smooth_weighted_round_robin_is_the_sequence_of_its_source() {
    let (pool, ids) = pool(with(Policy::RoundRobin), &[5, 1, 1]);
    let (a, b, c) = (0, 1, 2);
    assert_eq!(sequence(&pool, &ids, 14), [a, a, b, a, c, a, a, a, a, b, a, c, a, a]);
}

#[test]
fn equal_weights_take_turns_in_the_order_added() {
    let (pool, ids) = pool(with(Policy::RoundRobin), &[7, 7, 7]);
    assert_eq!(sequence(&pool, &ids, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_changed_weight_counts_from_the_next_pick() {
    let (pool, ids) = pool(with(Policy::RoundRobin), &[1, 1]);
    assert_eq!(counts(&pool, &ids, 100), [50, 50]);
    pool.set_weight(ids[0], 3).unwrap();
    assert_eq!(counts(&pool, &ids, 400), [300, 100]);
    assert!((pool.backend(ids[0]).unwrap().share - 0.75).abs() < 1e-9);
}

#[test]
fn static_keeps_the_weights_it_was_given() {
    let (pool, ids) = pool(with(Policy::Static), &[2, 1]);
    let error = pool.set_weight(ids[0], 5).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { what: "weight", .. }), "{error:?}");
    assert_eq!(counts(&pool, &ids, 300), [200, 100]);
}

#[test]
fn extreme_weights_keep_their_proportion_and_starve_nobody() {
    for policy in [Policy::RoundRobin, Policy::Random] {
        let (pool, ids) = pool(with(policy), &[65_535, 1]);
        let light = counts(&pool, &ids, 655_360)[1];
        match policy {
            Policy::RoundRobin => assert_eq!(light, 10),
            // Poisson with mean 10: below 1 in 10^5 outside.
            _ => assert!((1..=27).contains(&light), "{light}"),
        }
    }
}

/// 200 backends of 200 different weights: too long a period for a table, so the golden-ratio order serves.
#[test]
fn many_weights_are_served_in_proportion_without_gaps() {
    let weights: Vec<u32> = (1..=200).map(|n| n * 331 % 65_521 + 1).collect();
    let (pool, ids) = pool(with(Policy::RoundRobin), &weights);
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let picks = 200_000;
    let sequence = sequence(&pool, &ids, picks);
    for (index, &weight) in weights.iter().enumerate() {
        let due = picks as f64 * f64::from(weight) / total as f64;
        let had = sequence.iter().filter(|&&at| at == index).count() as f64;
        assert!((had - due).abs() <= 4.0, "backend {index} had {had}, due {due}");
        let turns: Vec<_> = (0..picks).filter(|&at| sequence[at] == index).collect();
        let longest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(picks);
        assert!(
            (longest as f64) < 3.0 * total as f64 / f64::from(weight) + 1.0,
            "backend {index}: {longest}"
        );
    }
}

#[test]
fn first_fills_one_before_the_next() {
    let (pool, ids) = pool(with(Policy::First), &[1, 1, 1]);
    for &id in &ids {
        pool.set_maxconn(id, 2).unwrap();
    }
    let picks: Vec<_> = (0..6).map(|_| pick(&pool)).collect();
    let order: Vec<_> = picks.iter().map(|pick| index_of(&ids, pick.backend)).collect();
    assert_eq!(order, [0, 0, 1, 1, 2, 2]);
    done(&pool, picks[2].token);
    assert_eq!(pick(&pool).backend, ids[1], "the first with room, not the next in line");
}

#[test]
fn random_spreads_by_weight() {
    let (pool, ids) = pool(with(Policy::Random), &[1, 2, 3, 4]);
    let picks = 100_000;
    // Chi-square with 3 degrees of freedom: above 27.9 once in 250,000.
    let chi: f64 = counts(&pool, &ids, picks)
        .iter()
        .zip([0.1, 0.2, 0.3, 0.4])
        .map(|(&had, share)| (had as f64 - share * picks as f64).powi(2) / (share * picks as f64))
        .sum();
    assert!(chi < 27.9, "{chi}");
}

#[test]
fn a_seed_repeats_a_run_and_another_does_not() {
    let run = |seed| {
        let (pool, ids) = pool(Options { seed, ..with(Policy::Random) }, &[1; 10]);
        sequence(&pool, &ids, 50)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
