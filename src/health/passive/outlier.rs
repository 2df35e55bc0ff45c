//! Who stands out, by the outcomes of an interval.

use super::{FailurePercentage, SuccessRate};

/// What one backend had in an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) backend: u64,
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Sample {
    fn requests(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// In percent.
    fn success_rate(&self) -> f64 {
        100.0 * self.successes as f64 / self.requests() as f64
    }
}

/// One that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outlier {
    pub(super) backend: u64,
    /// Its success rate in percent.
    pub(super) rate: f64,
    /// What the rate should not have been below.
    pub(super) threshold: f64,
}

/// What a sum of rates may be off by: equal ones must not fall below their own mean.
const ROUNDING: f64 = 1e-6;

/// Those whose rate is below `mean - factor * stdev`, the lowest rate first.
pub(super) fn by_success_rate(samples: &[Sample], options: &SuccessRate) -> Vec<Outlier> {
    let Some(rates) = rates(samples, options.hosts_min, options.requests_min) else { return Vec::new() };
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let threshold = mean - options.factor * variance.sqrt();
    below(rates, threshold, |rate| rate < threshold - ROUNDING)
}

/// Those that fail in `percent` or more, the lowest rate first.
pub(super) fn by_failure_percentage(samples: &[Sample], options: &FailurePercentage) -> Vec<Outlier> {
    let Some(rates) = rates(samples, options.hosts_min, options.requests_min) else { return Vec::new() };
    let threshold = 100.0 - f64::from(options.percent);
    below(rates, threshold, |rate| rate <= threshold + ROUNDING)
}

/// The rates of those with enough outcomes; `None` when they are too few.
fn rates(samples: &[Sample], hosts_min: u32, requests_min: u32) -> Option<Vec<(u64, f64)>> {
    let has_enough = |sample: &&Sample| sample.requests() >= u64::from(requests_min);
    let rates: Vec<_> =
        samples.iter().filter(has_enough).map(|sample| (sample.backend, sample.success_rate())).collect();
    (rates.len() >= hosts_min as usize).then_some(rates)
}

fn below(rates: Vec<(u64, f64)>, threshold: f64, is_below: impl Fn(f64) -> bool) -> Vec<Outlier> {
    let mut outliers: Vec<_> = rates
        .into_iter()
        .filter(|(_, rate)| is_below(*rate))
        .map(|(backend, rate)| Outlier { backend, rate, threshold })
        .collect();
    outliers.sort_by(|a, b| a.rate.total_cmp(&b.rate).then(a.backend.cmp(&b.backend)));
    outliers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rates: &[(u64, u64)]) -> Vec<Sample> {
        let sample = |(backend, &(successes, failures))| Sample { backend, successes, failures };
        (0..).zip(rates).map(sample).collect()
    }

    fn found(outliers: &[Outlier]) -> Vec<u64> {
        outliers.iter().map(|outlier| outlier.backend).collect()
    }

    #[test]
    fn the_rate_that_is_far_below_the_mean_stands_out() {
        // Nine at 100 and one at 50 percent: mean 95, deviation 15, threshold 66.5.
        let mut rates = vec![(100, 0); 9];
        rates.push((50, 50));
        let outliers = by_success_rate(&samples(&rates), &SuccessRate::default());
        assert_eq!(found(&outliers), [9]);
        assert!((outliers[0].threshold - 66.5).abs() < 1e-9 && outliers[0].rate == 50.0, "{outliers:?}");
        let far = SuccessRate { factor: 3.1, ..SuccessRate::default() };
        assert!(by_success_rate(&samples(&rates), &far).is_empty(), "45 percent are three deviations");
    }

    #[test]
    fn equal_rates_never_stand_out() {
        for (successes, failures) in [(100, 0), (0, 100), (70, 30), (333, 667), (1, 99)] {
            for hosts in 5..40 {
                let rates = vec![(successes, failures); hosts];
                let strict = SuccessRate { factor: 0.0, ..SuccessRate::default() };
                assert!(
                    by_success_rate(&samples(&rates), &strict).is_empty(),
                    "{successes} {failures} {hosts}"
                );
            }
        }
    }

    #[test]
    fn too_few_outcomes_or_backends_say_nothing() {
        let rates = |bad: (u64, u64), others: usize| {
            let mut rates = vec![(100, 0); others];
            rates.push(bad);
            samples(&rates)
        };
        let found_of = |samples: &[Sample]| by_success_rate(samples, &SuccessRate::default()).len();
        assert_eq!(found_of(&rates((0, 100), 4)), 1);
        assert_eq!(found_of(&rates((0, 99), 9)), 0, "99 outcomes");
        assert_eq!(found_of(&rates((0, 100), 3)), 0, "four backends");
        assert_eq!(found_of(&rates((0, 99), 4)), 0, "four backends with enough");
        assert_eq!(found_of(&[]), 0);
    }

    #[test]
    fn a_fixed_share_of_failures_is_too_much() {
        let options = FailurePercentage::default();
        let rates = [(15, 85), (16, 84), (0, 50), (0, 49), (100, 0), (50, 0)];
        let outliers = by_failure_percentage(&samples(&rates), &options);
        assert_eq!(found(&outliers), [2, 0], "the lowest rate first");
        assert_eq!(outliers[1], Outlier { backend: 0, rate: 15.0, threshold: 15.0 });
        assert!(by_failure_percentage(&samples(&rates[..4]), &options).is_empty(), "three with enough");
        let all = FailurePercentage { percent: 100, hosts_min: 1, requests_min: 1 };
        assert_eq!(found(&by_failure_percentage(&samples(&[(0, 1), (1, 99)]), &all)), [0]);
    }
}
