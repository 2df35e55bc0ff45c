//! Events as they are followed, and what time does.

use super::*;
use crate::driver::conversation::{Conversation, Progress};
use crate::driver::event::{Event, EventKind};
use crate::server::journal::FOLLOWERS_MAX;

/// Takes a chunked stream apart: its lines, and whether it has ended.
fn streamed(mut bytes: &[u8]) -> (Vec<Value>, bool) {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let Ok(httparse::Status::Complete((start, length))) = httparse::parse_chunk_size(bytes) else {
            panic!("no chunk: {}", bytes.escape_ascii())
        };
        let (chunk, rest) = bytes[start..].split_at(length as usize);
        assert_eq!(&rest[..2], b"\r\n");
        bytes = &rest[2..];
        if chunk.is_empty() {
            assert!(bytes.is_empty(), "something comes behind the end");
            return (lines, true);
        }
        assert_eq!(chunk.last(), Some(&b'\n'));
        let text = std::str::from_utf8(chunk).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default()));
    }
    (lines, false)
}

/// The head of a stream, in lower case, and what follows it.
fn stream_head(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
    (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end..])
}

fn note(fake: &Fake, detail: &str) {
    fake.journal.note(&Event::of_server(EventKind::Draining, detail), 7);
}

#[test]
fn events_are_told_as_they_come() {
    let fake = Fake::new();
    note(&fake, "one");
    let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(dialogue.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
    let (head, rest) = stream_head(&answer);
    assert!(head.starts_with("http/1.1 200 ok\r\n") && rest.is_empty(), "{head}");
    for field in ["transfer-encoding: chunked", "content-type: application/x-ndjson", "connection: close"] {
        assert!(head.contains(&format!("{field}\r\n")), "{head}");
    }
    assert_eq!(fake.journal.counts().followers, 1);
    answer.clear();
    assert!(dialogue.handle_news(&mut answer) && answer.is_empty());
    note(&fake, "two");
    note(&fake, "three");
    assert!(dialogue.handle_news(&mut answer));
    let (lines, ended) = streamed(&answer);
    let two = serde_json::json!({ "event": "draining", "detail": "two", "sequence": 2, "unix_ms": 7 });
    assert_eq!((&lines[0], lines.len(), ended), (&two, 2, false));
    // What the client says meanwhile is nothing.
    answer.clear();
    assert!(dialogue.handle_bytes(get("/v1/status").as_bytes(), &mut answer) && answer.is_empty());
    // Whoever ends its half does not follow any more.
    assert!(!dialogue.handle_bytes(b"", &mut answer) && answer.is_empty());
    assert_eq!(fake.journal.counts().followers, 0);
    note(&fake, "four");
    assert!(!dialogue.handle_news(&mut answer) && answer.is_empty());
}

#[test]
fn earlier_events_are_told_when_they_are_asked_for() {
    let fake = Fake::new();
    (1..=150).for_each(|number| note(&fake, &number.to_string()));
    for (query, first, count) in [
        ("recent=100", 51, 100),
        ("recent=1000", 1, 150),
        ("since=149", 150, 1),
        ("since=0&follow=true", 1, 150),
    ] {
        for ends in [false, true] {
            let query = if ends {
                format!("{}&follow=false", query.replace("&follow=true", ""))
            } else {
                query.into()
            };
            let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
            assert!(dialogue.handle_bytes(get(&format!("/v1/events?{query}")).as_bytes(), &mut answer));
            let (mut said, mut goes_on) = (0, true);
            while goes_on && answer.len() > said {
                said = answer.len();
                goes_on = dialogue.handle_news(&mut answer);
            }
            let (lines, ended) = streamed(stream_head(&answer).1);
            assert_eq!((lines.len(), ended, goes_on), (count, ends, !ends), "{query}");
            assert_eq!(lines[0]["sequence"], first, "{query}");
        }
    }
    let early = ask(&fake, get("/v1/events?since=151"));
    assert_eq!((early.status, early.error().contains("150 events")), (409, true), "{}", early.error());
    assert_eq!(ask(&fake, get("/v1/events?since=x")).status, 400);
    assert_eq!(ask(&fake, change("POST", "/v1/events", "")).status, 405);
}

#[test]
fn who_speaks_http_1_0_gets_no_chunks_and_head_gets_no_events() {
    let fake = Fake::new();
    note(&fake, "one");
    let (mut old, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(old.handle_bytes(b"GET /v1/events?recent=1 HTTP/1.0\r\n\r\n", &mut answer));
    assert!(old.handle_news(&mut answer));
    let (head, body) = stream_head(&answer);
    assert!(!head.contains("transfer-encoding"), "{head}");
    let line: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(line["detail"], "one");
    answer.clear();
    Conversation::handle_end(&mut old, &mut answer);
    assert!(answer.is_empty());
    let mut asked = dialogue(&fake, false);
    assert!(!asked.handle_bytes(b"HEAD /v1/events?recent=1 HTTP/1.1\r\nHost: x\r\n\r\n", &mut answer));
    assert!(stream_head(&answer).1.is_empty());
    assert_eq!(fake.journal.counts().followers, 0);
}

#[test]
fn followers_beyond_the_limit_and_foreign_pages_are_refused() {
    let fake = Fake::new();
    let all: Vec<_> = (0..FOLLOWERS_MAX)
        .map(|_| {
            let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
            assert!(dialogue.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
            dialogue
        })
        .collect();
    let refused = ask(&fake, get("/v1/events"));
    assert_eq!((refused.status, refused.error()), (409, "the limit followers = 16 is reached"));
    drop(all);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 200), ("same-origin", 200)] {
        let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
        let text = format!("GET /v1/events HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: {site}\r\n\r\n");
        assert!(dialogue.handle_bytes(text.as_bytes(), &mut answer));
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{site}");
    }
    assert_eq!(fake.journal.counts().followers, 0);
}

/// The driver ends what is idle, refuses what is begun and shows followers that the server is there.
#[test]
fn time_ends_each_phase_in_its_own_way() {
    let fake = Fake::new();
    let after = |text: &str| {
        let (mut dialogue, mut answer) = (dialogue(&fake, false), Vec::new());
        let before = Conversation::handle_bytes(&mut dialogue, text.as_bytes(), &mut answer);
        answer.clear();
        let progress = Conversation::handle_timeout(&mut dialogue, &mut answer);
        (before, progress, answer)
    };
    let status = get("/v1/status");
    assert_eq!(after(&status), (Progress::Idle, Progress::Closing, Vec::new()));
    let body = change("POST", WEB_01, r#"{"weight": 3}"#);
    for (text, number) in [
        ("GET /v1", 0),
        (&status[..status.len() - 1], 0),
        (&body[..body.len() - 1], 0),
        (&format!("{status}G"), 1),
    ] {
        let (before, progress, answer) = after(text);
        assert_eq!((before, progress), (Progress::Begun(number), Progress::Closing), "{text}");
        let late = heard(&answer, &[]).remove(0);
        assert_eq!((late.status, late.ends()), (408, true), "{text}");
    }
    let too_long = format!("POST {WEB_01} HTTP/1.1\r\n{JSON}Content-Length: 70000\r\n\r\n");
    assert_eq!(after(&too_long), (Progress::Begun(1), Progress::Closing, Vec::new()));
    let following = (Progress::Following, Progress::Following, b"1\r\n\n\r\n".to_vec());
    assert_eq!(after(&get("/v1/events")), following);
}

#[test]
fn an_end_of_the_server_ends_the_stream_whole() {
    let fake = Fake::new();
    let (mut following, mut answer) = (dialogue(&fake, false), Vec::new());
    assert!(following.handle_bytes(get("/v1/events").as_bytes(), &mut answer));
    answer.clear();
    Conversation::handle_end(&mut following, &mut answer);
    assert_eq!(answer, b"0\r\n\r\n");
    assert_eq!(fake.journal.counts().followers, 0);
    let (mut idle, mut answer) = (dialogue(&fake, false), Vec::new());
    Conversation::handle_end(&mut idle, &mut answer);
    assert!(answer.is_empty());
}
