//! Answers of HTTP, with something wanted of head and body and without.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::Kind;
use trimtab::health::probe::http::{ExpectHeader, Http, Options};
use trimtab::health::probe::pattern::Pattern;

#[path = "../common/dialogue.rs"]
mod dialogue;
#[path = "../common/words.rs"]
mod words;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    is_head: bool,
    wants_header: bool,
    body: Option<bool>,
    parts: Vec<words::Part<'a>>,
    cuts: dialogue::Cuts,
}

const WORDS: &str = "HTTP/1.1 200 OK¶|HTTP/1.0 |204|304 x|100 Continue¶|503 no|¶|\n|Content-Length: |5¶|\
                     Transfer-Encoding: chunked¶|5¶ready¶|0¶|ready|;x=y|X-Role: primary¶|ffffffffffffffff¶|: |a";

fuzz_target!(|run: Run<'_>| {
    let expect_headers = if run.wants_header {
        vec![ExpectHeader {
            name: "X-Role".into(),
            value: Some(Pattern::bytes(*b"prim").expect("it is short")),
        }]
    } else {
        Vec::new()
    };
    let body = run.body.map(|is_regex| {
        if is_regex {
            Pattern::regex("^ready$").expect("it is one")
        } else {
            Pattern::bytes(*b"dyr").expect("it is short")
        }
    });
    // HEAD with something wanted of the body is refused.
    let method = if run.is_head && body.is_none() { "HEAD" } else { "GET" }.to_string();
    let options = Options { method, expect_headers, body, ..Options::default() };
    let kind = Kind::Http(Arc::new(Http::new(options).expect("it is right")));
    dialogue::check(&kind, &words::text(&run.parts, WORDS), &run.cuts, true);
});
