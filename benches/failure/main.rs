//! What the failure of one of three web servers costs: nginx behind `trimtab run`, a load that does not wait for
//! answers, and one of them killed or frozen in the midst of it.
//!
//! `cargo bench --bench failure`, or with `-- --rounds N --rate N --only NAME`; `-- --test` makes one short round of each.

mod load;
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use load::{Ending, Load};
use stage::Stage;

/// One way to fail, and what is to find out.
struct Case {
    name: &'static str,
    signal: &'static str,
    /// Keys of the pool.
    pool: &'static str,
}

const CASES: [Case; 3] = [
    Case { name: "kill -9, no check", signal: "KILL", pool: "" },
    Case {
        name: "SIGSTOP, check",
        signal: "STOP",
        pool: "check = { kind = \"http\", interval = \"200ms\", interval_transition = \"200ms\", jitter = 0.0, timeout = \"150ms\", fall = 2 }\n",
    },
    Case {
        name: "SIGSTOP, traffic alone",
        signal: "STOP",
        pool: "outlier = { consecutive_errors = 3, ejection_time = \"30s\" }\n",
    },
];

/// What one round of a case found.
struct Round {
    requests: usize,
    /// Requests that failed or had no answer, of those that were begun before the server failed or reached it.
    inside: usize,
    /// Requests that failed though no connection of theirs had reached the server that failed.
    lost: usize,
    /// From the signal to the last request that was given to it.
    last: Duration,
    /// Sessions that ended otherwise than well, by the balancer's count.
    causes: BTreeMap<String, u64>,
}

/// Answers take a thousandth of this.
const GRACE: Duration = Duration::from_millis(500);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let only = arguments.iter().position(|argument| argument == "--only").map(|at| arguments[at + 1].clone());
    let value = |name: &str, default: u32| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default, |text| text.parse().expect("a number"))
    };
    let rounds = value("--rounds", if is_test { 1 } else { 11 });
    let rate = value("--rate", if is_test { 200 } else { 2000 });
    let (before, after) = if is_test { (200, 1500) } else { (1000, 3000) };
    println!("{rate} requests a second of `Connection: close`, {rounds} rounds; median (least..most)");
    for case in CASES.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str())))
    {
        let found: Vec<Round> = (0..rounds)
            .map(|_| round(case, rate, Duration::from_millis(before), Duration::from_millis(after)))
            .collect();
        let spread = |what: &dyn Fn(&Round) -> f64| {
            let mut values: Vec<f64> = found.iter().map(what).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.0} ({:.0}..{:.0})", values[values.len() / 2], values[0], values[values.len() - 1])
        };
        println!(
            "{:24} requests {}; inside it {}; lost beside these {}; last one given to it after {} ms",
            case.name,
            spread(&|round| round.requests as f64),
            spread(&|round| round.inside as f64),
            spread(&|round| round.lost as f64),
            spread(&|round| round.last.as_secs_f64() * 1e3),
        );
        let mut causes = BTreeMap::new();
        for (cause, count) in found.iter().flat_map(|round| &round.causes) {
            *causes.entry(cause).or_insert(0) += count;
        }
        println!("{:24} sessions that the balancer counted as not finished, all rounds: {causes:?}", "");
    }
}

fn round(case: &Case, rate: u32, before: Duration, after: Duration) -> Round {
    let stage = Stage::set(case.pool);
    let load = Load::start(stage.address, rate);
    std::thread::sleep(before);
    let failed_at = Instant::now();
    stage.signal(0, case.signal);
    std::thread::sleep(after);
    // Nothing new; what can be answered is, and whoever is stuck learns of it by the balancer's end.
    load.ends();
    std::thread::sleep(GRACE);
    let reached = stage.given(0);
    let causes = stage.causes();
    stage.end();
    let records = load.end();
    let bad: Vec<_> = records.iter().filter(|record| record.ending != Ending::Answered).collect();
    let last = bad.iter().map(|record| record.begun.saturating_duration_since(failed_at)).max();
    let answered =
        records.iter().filter(|record| record.ending == Ending::Answered && record.by == b'a').count();
    // What the balancer gave to it and it did not answer was inside it.
    let inside = (reached as usize).saturating_sub(answered).min(bad.len());
    Round {
        requests: records.len(),
        inside,
        lost: bad.len() - inside,
        last: last.unwrap_or_default(),
        causes,
    }
}
