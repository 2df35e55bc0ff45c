//! [`Report`]: what the demo found, as a table and as JSON. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::freshness::Freshness;
use super::judge::{Testimony, number};
use super::ledger::Counts;
use super::plan::{BACKENDS, STALE_MAX, TOLERANCE};
use super::steps::Judgement;
use super::tally::Counted;

/// One step that was played.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) counts: Counts,
    pub(super) judgement: Judgement,
}

#[derive(Default)]
pub(super) struct Report {
    /// The configuration that ran, and where its listener was; empty when it did not come to that.
    pub(super) config: String,
    pub(super) listener: String,
    pub(super) rows: Vec<Row>,
    pub(super) server: Option<Testimony>,
    /// What was in the store at the end, and of which configuration it was.
    pub(super) counted: Option<Counted>,
    /// What its replica without a vote showed.
    pub(super) freshness: Option<Freshness>,
    pub(super) store_config: String,
    /// Everything that is wrong; nothing is good.
    pub(super) problems: Vec<String>,
}

#[derive(Serialize)]
struct Told<'a> {
    ok: bool,
    problems: &'a [String],
    version: &'static str,
    config: &'a str,
    listener: &'a str,
    /// By how many connections an equal share may be missed.
    tolerance: u64,
    steps: Vec<StepTold<'a>>,
    total: CountsTold,
    server: Option<ServerTold<'a>>,
    store: Option<StoreTold<'a>>,
    replica: Option<ReplicaTold>,
}

#[derive(Serialize)]
struct StepTold<'a> {
    name: &'a str,
    seconds: f64,
    #[serde(flatten)]
    counts: CountsTold,
    cost: &'a str,
    problems: &'a [String],
}

#[derive(Serialize)]
struct CountsTold {
    requests: u64,
    answered: u64,
    cut: u64,
    closed_idle: u64,
    failed: u64,
    connections: BTreeMap<&'static str, u64>,
    answers: BTreeMap<&'static str, u64>,
    latency_ns: LatencyTold,
}

#[derive(Serialize)]
struct LatencyTold {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

#[derive(Serialize)]
struct ServerTold<'a> {
    accepted: u64,
    retries: u64,
    closed: &'a BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct StoreTold<'a> {
    config: &'a str,
    sent: u64,
    acknowledged: u64,
    found: u64,
    lost: u64,
}

#[derive(Serialize)]
struct ReplicaTold {
    reads: u64,
    /// Older than they may be.
    stale: u64,
    refused: u64,
    stale_max_ms: u128,
}

impl Report {
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// The last line.
    pub(super) fn result(&self) -> String {
        match &self.problems[..] {
            [] => "demo: ok".into(),
            [one] => format!("demo: failed: {one}"),
            [first, rest @ ..] => format!("demo: failed: {first} (and {} more)", rest.len()),
        }
    }

    /// All steps together.
    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::new(BACKENDS.len());
        for row in &self.rows {
            total.add(&row.counts);
        }
        total
    }

    /// The table, with what it means below it.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            self.write_counts(&mut text);
            self.write_costs(&mut text);
        }
        if !self.problems.is_empty() {
            text.push_str("what is wrong\n");
            for problem in &self.problems {
                let _ = writeln!(text, "  {problem}");
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        let steps = self.rows.iter().map(|row| StepTold {
            name: &row.name,
            seconds: (row.seconds * 1e3).round() / 1e3,
            counts: CountsTold::new(&row.counts),
            cost: &row.judgement.cost,
            problems: &row.judgement.wrong,
        });
        let server = self.server.as_ref().map(|Testimony { accepted, retries, closed }| ServerTold {
            accepted: *accepted,
            retries: *retries,
            closed,
        });
        let store = self.counted.as_ref().map(|counted| StoreTold {
            config: &self.store_config,
            sent: counted.sent.iter().sum(),
            acknowledged: counted.acknowledged.iter().sum(),
            found: counted.found.iter().sum(),
            lost: counted.lost(),
        });
        let replica = self.freshness.as_ref().map(|fresh| ReplicaTold {
            reads: fresh.reads,
            stale: fresh.stale,
            refused: fresh.refused,
            stale_max_ms: STALE_MAX.as_millis(),
        });
        serde_json::to_string_pretty(&Told {
            ok: self.is_good(),
            problems: &self.problems,
            version: env!("CARGO_PKG_VERSION"),
            config: &self.config,
            listener: &self.listener,
            tolerance: TOLERANCE,
            steps: steps.collect(),
            total: CountsTold::new(&self.total()),
            server,
            store,
            replica,
        })
    }

    fn write_counts(&self, text: &mut String) {
        let _ = writeln!(text, "{:INDENT$}{:<23}  answered after", "", "new connections to");
        let _ =
            write!(text, "{:NAME$} {:>6} {:>9} {:>7} {:>5} ", "step", "time", "requests", "failed", "cut");
        for name in BACKENDS {
            let _ = write!(text, " {name:>7}");
        }
        for name in ["p50", "p90", "p99", "max"] {
            let _ = write!(text, " {name:>8}");
        }
        text.push('\n');
        for row in &self.rows {
            line(text, &row.name, row.seconds, &row.counts);
        }
        line(text, "total", self.rows.iter().map(|row| row.seconds).sum(), &self.total());
        text.push('\n');
    }

    fn write_costs(&self, text: &mut String) {
        text.push_str("what it cost\n");
        for row in &self.rows {
            let _ = writeln!(text, "  {:NAME$} {}", row.name, row.judgement.cost);
        }
        if let Some(Testimony { accepted, retries, .. }) = &self.server {
            let _ = writeln!(
                text,
                "  {:NAME$} {} accepted, {} at another backend after one refused",
                "the server",
                number(*accepted, "connection"),
                number(*retries, "new attempt"),
            );
        }
        if let Some(counted) = &self.counted {
            let sum = |counts: &[u64]| counts.iter().sum::<u64>();
            let _ = writeln!(
                text,
                "  {:NAME$} {} acknowledged, {} there, {} lost; {} never answered",
                "the store",
                number(sum(&counted.acknowledged), "count"),
                sum(&counted.found),
                counted.lost(),
                sum(&counted.sent) - sum(&counted.acknowledged),
            );
        }
        if let Some(fresh) = &self.freshness {
            let _ = writeln!(
                text,
                "  {:NAME$} {}, {} older than {} ms; {} refused",
                "its learner",
                number(fresh.reads, "read"),
                fresh.stale,
                STALE_MAX.as_millis(),
                fresh.refused,
            );
        }
        text.push('\n');
    }
}

impl CountsTold {
    fn new(counts: &Counts) -> Self {
        let named = |counts: &[u64]| BACKENDS.into_iter().zip(counts.iter().copied()).collect();
        let [p50, p90, p99, max] = percentiles(&counts.latency);
        Self {
            requests: counts.requests(),
            answered: counts.answered,
            cut: counts.cut,
            closed_idle: counts.closed_idle,
            failed: counts.failed,
            connections: named(&counts.connections),
            answers: named(&counts.answers),
            latency_ns: LatencyTold { p50, p90, p99, max },
        }
    }
}

/// The width of a step's name, and of all that stands before the backends.
const NAME: usize = 14;
const INDENT: usize = NAME + 33;

fn line(text: &mut String, name: &str, seconds: f64, counts: &Counts) {
    let _ = write!(
        text,
        "{name:NAME$} {:>6} {:>9} {:>7} {:>5} ",
        format!("{seconds:.1} s"),
        counts.requests(),
        counts.failed,
        counts.cut
    );
    for count in &counts.connections {
        let _ = write!(text, " {count:>7}");
    }
    for nanos in percentiles(&counts.latency) {
        let _ = write!(text, " {:>8}", duration(nanos));
    }
    text.push('\n');
}

/// The 50th, 90th and 99th percentile and the maximum, in nanoseconds; zeros when nothing was measured.
fn percentiles(latency: &Histogram<u64>) -> [u64; 4] {
    [
        latency.value_at_percentile(50.0),
        latency.value_at_percentile(90.0),
        latency.value_at_percentile(99.0),
        latency.max(),
    ]
}

/// Nanoseconds with three digits and a unit.
fn duration(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0 => return "-".into(),
        // Not yet a thousand when rounded to a whole number.
        1..999_500 => (nanos as f64 / 1e3, "µs"),
        999_500..999_500_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, connections: [u64; 3], latencies: &[u64]) -> Row {
        let mut counts = Counts { connections: connections.to_vec(), ..Counts::new(3) };
        for &nanos in latencies {
            counts.answered += 1;
            counts.answers[0] += 1;
            counts.latency.record(nanos).unwrap();
        }
        let judgement = Judgement { cost: "nothing".into(), wrong: Vec::new() };
        Row { name: name.into(), seconds: 3.0, counts, judgement }
    }

    fn report() -> Report {
        let mut stopped = row("web-02 stopped", [90, 0, 91], &[300_000, 2_000_000]);
        stopped.counts.cut = 2;
        stopped.counts.closed_idle = 1;
        stopped.judgement.cost = "of 4 connections 2 were cut".into();
        let mut freshness = Freshness::new(STALE_MAX);
        (freshness.reads, freshness.refused) = (40, 2);
        let closed = BTreeMap::from([("finished", 239), ("backend_reset", 3)]);
        Report {
            config: "[runtime]\n".into(),
            listener: "127.0.0.1:1".into(),
            rows: vec![row("all up", [20, 21, 20], &[200_000; 99]), stopped],
            server: Some(Testimony { accepted: 242, retries: 1, closed }),
            counted: Some(Counted {
                acknowledged: vec![60, 20, 20],
                found: vec![60, 21, 20],
                sent: vec![60, 21, 21],
            }),
            freshness: Some(freshness),
            store_config: "[store]\n".into(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn the_table_lines_up() {
        let expected = [
            "                                               new connections to       answered after",
            "step             time  requests  failed   cut   web-01  web-02  web-03      p50      p90      p99      max",
            "all up          3.0 s        99       0     0       20      21      20   200 µs   200 µs   200 µs   200 µs",
            "web-02 stopped  3.0 s         4       0     2       90       0      91   300 µs  2.00 ms  2.00 ms  2.00 ms",
            "total           6.0 s       103       0     2      110      21     111   200 µs   200 µs   300 µs  2.00 ms",
            "",
            "what it cost",
            "  all up         nothing",
            "  web-02 stopped of 4 connections 2 were cut",
            "  the server     242 connections accepted, 1 new attempt at another backend after one refused",
            "  the store      100 counts acknowledged, 101 there, 0 lost; 2 never answered",
            "  its learner    40 reads, 0 older than 500 ms; 2 refused",
            "",
            "",
        ]
        .join("\n");
        let table = report().table();
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn what_is_wrong_is_told_below_and_in_the_last_line() {
        let mut report = report();
        assert_eq!((report.is_good(), &*report.result()), (true, "demo: ok"));
        report.problems.push("web-02 stopped: it rains".into());
        assert_eq!((report.is_good(), &*report.result()), (false, "demo: failed: web-02 stopped: it rains"));
        report.problems.push("the end: it pours".into());
        assert_eq!(report.result(), "demo: failed: web-02 stopped: it rains (and 1 more)");
        let table = report.table();
        assert!(
            table.ends_with("\n\nwhat is wrong\n  web-02 stopped: it rains\n  the end: it pours\n\n"),
            "{table}"
        );
    }

    #[test]
    fn json_has_the_same_figures() {
        let value: serde_json::Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
        assert_eq!((&value["ok"], &value["problems"]), (&true.into(), &serde_json::json!([])));
        let step = &value["steps"][1];
        assert_eq!((&step["name"], &step["requests"]), (&"web-02 stopped".into(), &4.into()));
        assert_eq!(step["connections"], serde_json::json!({ "web-01": 90, "web-02": 0, "web-03": 91 }));
        assert_eq!((&step["cut"], &step["closed_idle"]), (&2.into(), &1.into()));
        assert_eq!(value["total"]["answered"], 101);
        assert_eq!(value["server"]["closed"]["backend_reset"], 3);
        let store = serde_json::json!({
            "config": "[store]\n", "sent": 102, "acknowledged": 100, "found": 101, "lost": 0
        });
        assert_eq!(value["store"], store);
        let replica = serde_json::json!({ "reads": 40, "stale": 0, "refused": 2, "stale_max_ms": 500 });
        assert_eq!(value["replica"], replica);
        // Three digits are kept.
        let max = value["total"]["latency_ns"]["max"].as_u64().unwrap();
        assert!((1_999_000..=2_001_500).contains(&max), "{max}");
    }

    #[test]
    fn a_report_of_nothing_is_still_one() {
        let report = Report { problems: vec!["interrupted".into()], ..Report::default() };
        assert_eq!(report.table(), "what is wrong\n  interrupted\n\n");
        let value: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        assert_eq!((&value["ok"], &value["server"]), (&false.into(), &serde_json::Value::Null));
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanos, text) in [
            (0, "-"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (87_650, "87.7 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (999_500_000, "1.00 s"),
            (60_000_000_000, "60.0 s"),
        ] {
            assert_eq!(duration(nanos), text, "{nanos}");
        }
    }
}
