//! The agent's line: whatever it is, orders are within their ranges.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::probe::agent::{Agent, Options, PERCENT_MAX};
use trimtab::health::{Kind, Progress};

#[path = "../common/dialogue.rs"]
mod dialogue;
#[path = "../common/words.rs"]
mod words;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    parts: Vec<words::Part<'a>>,
    cuts: dialogue::Cuts,
}

const WORDS: &str =
    "up|down|fail|stopped|ready|drain|maint|%|maxconn:|#| |,|\t|¶|\n|UP|Drain|100%|maxconn:30|75% # fine";

fuzz_target!(|run: Run<'_>| {
    let kind = Kind::Agent(Arc::new(Agent::new(Options::default()).expect("it is right")));
    let bytes = words::text(&run.parts, WORDS);
    if let Progress::Good(facts) = dialogue::check(&kind, &bytes, &run.cuts, true) {
        let orders = facts.orders.expect("a good agent has orders");
        assert!(orders.weight_percent.is_none_or(|percent| percent <= PERCENT_MAX));
        assert!(!orders.comment.chars().any(char::is_control));
    }
});
