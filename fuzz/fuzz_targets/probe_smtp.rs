//! A mail server's replies.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::Kind;
use trimtab::health::probe::smtp::{Options, Smtp};

#[path = "../common/dialogue.rs"]
mod dialogue;
#[path = "../common/words.rs"]
mod words;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    parts: Vec<words::Part<'a>>,
    cuts: dialogue::Cuts,
}

const WORDS: &str = "220|250|502|421|-| |¶|\n|220 mx¶|250-SIZE¶|250 ok¶|502 what¶|x";

fuzz_target!(|run: Run<'_>| {
    let kind = Kind::Smtp(Arc::new(Smtp::new(Options::default()).expect("it is right")));
    dialogue::check(&kind, &words::text(&run.parts, WORDS), &run.cuts, true);
});
