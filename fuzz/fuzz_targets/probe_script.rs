//! Scripts of any steps, and whatever comes to them: a match is found where a look after each byte finds it, so
//! pieces make no difference.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::Kind;
use trimtab::health::probe::pattern::Pattern;
use trimtab::health::probe::script::{Script, Step};

#[path = "../common/dialogue.rs"]
mod dialogue;
#[path = "../common/words.rs"]
mod words;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    steps: Vec<Written<'a>>,
    parts: Vec<words::Part<'a>>,
    cuts: dialogue::Cuts,
}

#[derive(Arbitrary, Debug)]
enum Written<'a> {
    Send(&'a [u8]),
    SendHex(&'a str),
    Bytes(&'a [u8]),
    Hex(&'a str),
    Word(u8),
    Regex(&'a str),
    KnownRegex(u8),
}

const WORDS: &str = "220 |ok|¶|a|b|ab|aab|ready|\n|250-x¶|250 x¶";
const REGEXES: [&str; 7] =
    ["^220[ -]", "a+b", "(?m)^250 ", "a*", "[^x]{3}y?", "(a|ab)(c|bcd)?", "(?s).ready"];

fuzz_target!(|run: Run<'_>| {
    let mut steps = Vec::new();
    for written in &run.steps {
        // What is no pattern is told so, in one line.
        let step = match written {
            Written::Send(bytes) => Ok(Step::Send(bytes.to_vec())),
            Written::SendHex(hex) => Step::send_hex(hex),
            Written::Bytes(bytes) => Pattern::bytes(*bytes).map(Step::Expect),
            Written::Hex(hex) => Pattern::hex(hex).map(Step::Expect),
            Written::Word(at) => {
                let words: Vec<&str> = WORDS.split('|').collect();
                Pattern::bytes(words[usize::from(*at) % words.len()].as_bytes()).map(Step::Expect)
            }
            Written::Regex(regex) => Pattern::regex(regex).map(Step::Expect),
            Written::KnownRegex(at) => {
                Pattern::regex(REGEXES[usize::from(*at) % REGEXES.len()]).map(Step::Expect)
            }
        };
        match step {
            Ok(step) => steps.push(step),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        }
    }
    match Script::new(steps) {
        Ok(script) => {
            let kind = Kind::Script(Arc::new(script));
            dialogue::check(&kind, &words::text(&run.parts, WORDS), &run.cuts, true);
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
