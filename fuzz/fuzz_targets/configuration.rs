//! Configurations: whatever the text, it is refused with places that exist and lines that are one, or every
//! pool of it can be built.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::balance;
use trimtab::error::Error;
use trimtab::server::config::{Config, PROBLEMS_MAX, excerpt};

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    /// Whether it begins with what is good by itself.
    is_based: bool,
    parts: Vec<Part<'a>>,
}

/// Text is put together from what configurations are made of and from anything.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Any(&'a str),
    Word(u8),
    Number(i64),
    Fraction(f64),
    Repeat(u8, u8),
}

const BASE: &str = "\
listener = [{ name = 'web', bind = '127.0.0.1:80', pool = 'app' }]
[[pool]]
name = 'app'
";

/// Separated by bars; `¶` is an end of line.
const WORDS: &str = "\
¶[[listener]]¶|¶[[pool]]¶|¶[[pool.backend]]¶|¶[listener.timeouts]¶|¶[pool.retry]¶|¶[runtime]¶|\
¶[admin]¶|¶[store]¶|name = |bind = |pool = |mode = |maxconn = |backlog = |proxy_protocol = |\
abort_on_close = |timeouts = |timeouts.idle = |connect = |half_closed = |policy = |hash = |\
bounded_load = |backups = |formula = |tick = |blend = |gain = |history = |floor = |stale = |\
decay = |seed = |hash_seed = |queue_max = |retry.attempts = |\
retry.budget = |retries_max = |connection_rate = |connection_burst = |pending_max = |adaptive.min = |on_down = |\
backend = |address = |weight = |\
backup = |tier = |admin = |workers = |tls = |\"a\"|\"b\"|\"127.0.0.1:80\"|\"127.0.0.1:0\"|\"10.0.0.1:80\"|\
\"unix:@a\"|\":80\"|\"a.example:80\"|\"hash\"|\"source\"|\"static\"|\"predictive\"|\"maglev\"|\"all\"|\"v2\"|\"accept\"|\
\"off\"|\"drain\"|\"5s\"|\"1m30s\"|\"0s\"|true|false|¶| |[|]|{|}|,|a.|=|\"\"\"|# ";

fuzz_target!(|run: Run<'_>| {
    let words: Vec<String> = WORDS.split('|').map(|word| word.replace('¶', "\n")).collect();
    let mut text = if run.is_based { BASE.to_string() } else { String::new() };
    for part in run.parts {
        match part {
            Part::Any(any) => text.push_str(any),
            Part::Word(word) => text.push_str(&words[word as usize % words.len()]),
            Part::Number(number) => text.push_str(&number.to_string()),
            Part::Fraction(number) => text.push_str(&format!("{number:?}")),
            Part::Repeat(word, times) => {
                text.push_str(&words[word as usize % words.len()].repeat(times as usize));
            }
        }
    }
    match Config::parse(&text, "fuzz") {
        Ok(config) => {
            for listener in &config.listeners {
                assert!(listener.pool < config.pools.len());
            }
            for pool in config.pools {
                // As many lanes as the machine has cores cost what a run has no time for.
                let options = balance::Options { lanes: 1, picks_max: 1, ..pool.options.clone() };
                assert!((1..=64).contains(&pool.options.lanes));
                let built = balance::Pool::new(options).expect("the options were checked");
                built.add_all(&pool.backends).expect("the backends were checked");
            }
        }
        Err(Error::Config(problems)) => {
            assert!((1..=PROBLEMS_MAX + 1).contains(&problems.len()));
            for problem in &problems {
                let told = problem.to_string();
                assert_eq!(told.lines().count(), 1, "{told:?}");
                assert!(told.len() < 4096, "{told:?}");
                let shown = excerpt(&text, problem);
                if problem.line == 0 {
                    assert!(problem.column == 0 && shown.is_empty());
                    continue;
                }
                let line = text.split('\n').nth(problem.line as usize - 1).expect("the line exists");
                assert!((1..=line.chars().count() + 1).contains(&(problem.column as usize)), "{problem:?}");
                assert_eq!(shown.lines().count(), 2, "{shown:?}");
            }
        }
        Err(other) => panic!("{other:?}"),
    }
});
