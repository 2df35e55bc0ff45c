//! Many checks: how evenly their probes begin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Backend, Options as PoolOptions, Pool};
use crate::checks::{Action, Checks};
use crate::health::options::{Initial, Options};
use crate::health::{Entropy, Facts, Kind, Verdict};
use crate::rng::Rng;
use crate::time::Instant;

/// Buckets to an interval.
const BUCKETS: u64 = 20;

/// Runs some hundred checks of one pool for eight intervals and gives the most probes that began in a twentieth of
/// an interval, and the mean. Servers answer within a few milliseconds, some badly. `is_aligned`: the driver looks at
/// the clock twice an interval only, which is what must not be.
///
/// Errors: a burst, of more than the mean and six deviations of what comes at random.
pub fn herd(seed: u64, is_aligned: bool) -> Result<(u64, u64), String> {
    let mut rng = Rng::new(seed ^ 0x6865_7264);
    let count = 100 + rng.below(200);
    let interval = Duration::from_millis(200 + rng.below(1_800));
    let options = Options {
        kind: Kind::Tcp,
        interval,
        timeout: Duration::from_millis(100),
        rise: 1 + rng.below(3) as u32,
        fall: 1 + rng.below(3) as u32,
        initial: Initial::NAMES[rng.below(3) as usize].1,
        jitter: [0.0, 0.1, 0.5][rng.below(3) as usize],
        ..Options::default()
    };
    let pool = Arc::new(Pool::new(PoolOptions::default()).expect("these options are in range"));
    let backend = |n: u64| Backend::parse(&format!("10.2.{}.{}:80", n >> 8, n & 255));
    let backends: Vec<Backend> = (0..count).map(|n| backend(n).expect("it is an address")).collect();
    pool.add_all(&backends).expect("all differ");
    let settings = Arc::new(options.parse().expect("these options are in range"));
    let pools = vec![(Arc::clone(&pool), Some(settings))];
    let mut checks = Checks::new(pools, 1_024, rng.next_u64(), Entropy::seeded(&mut rng)).expect("in range");
    let mut now = Instant::from_millis(1);
    checks.handle_pool_changed(0, now);
    let end = now.saturating_add(interval * 8);
    let bucket_nanos = interval.as_nanos() as u64 / BUCKETS;
    let mut buckets = vec![0u64; 8 * BUCKETS as usize + 2];
    let mut coming = BTreeMap::new();
    let mut sequence = 0u64;
    while now < end {
        checks.handle_timeout(now);
        while let Some(action) = checks.poll_action(now) {
            let Action::Start { check, probe, .. } = action else { continue };
            buckets[(now.as_nanos() / bucket_nanos) as usize] += 1;
            sequence += 1;
            let answered = now.saturating_add(Duration::from_micros(100 + rng.below(5_000)));
            coming.insert((answered, sequence), (check, probe, rng.below(5) > 0));
        }
        let verdict = coming.first_key_value().map(|((at, _), _)| *at);
        let next = if is_aligned {
            Some(now.saturating_add(interval / 2))
        } else {
            checks.next_deadline().into_iter().chain(verdict).min()
        };
        now = now.max(next.ok_or("nothing is to come")?);
        while let Some(entry) = coming.first_entry().filter(|entry| entry.key().0 <= now) {
            let (check, probe, is_good) = entry.remove();
            let verdict = match is_good {
                true => Verdict::Good(Facts::default()),
                false => crate::checks::broken(&"reset"),
            };
            checks.handle_verdict(check, probe, verdict, now);
        }
    }
    let (most, mean) = (buckets.iter().copied().max().unwrap_or(0), count / BUCKETS);
    if most as f64 > (mean + 1) as f64 + 6.0 * ((mean + 1) as f64).sqrt() {
        return Err(format!(
            "seed {seed}: {most} probes began in a twentieth of an interval, {mean} is the mean"
        ));
    }
    Ok((most, mean))
}
