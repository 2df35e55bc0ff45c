//! Whatever comes.

use proptest::prelude::*;

use super::*;

/// Parts of requests, so that random ones get somewhere.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "GET ",
        "POST ",
        "PUT ",
        "DELETE ",
        "HEAD ",
        "/v1/status",
        "/v1/pools/app",
        "/backends/web-01",
        "/backends/new",
        "/v1/events",
        "/v1/drain",
        "/v1/stop",
        "/v1/store/backup",
        "{\"to\": \"/b\"}",
        "?recent=2",
        "%2F",
        "%",
        "?",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: x\r\n",
        "Content-Type: application/json\r\n",
        "Content-Length: 13\r\n",
        "Content-Length: 70000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Origin: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "{\"weight\": 7}",
        "{\"admin\": \"drain\"}",
        "{\"address\":\"10.0.0.4:80\"}",
        "{",
        "}",
    ]);
    prop_oneof![
        8 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(change("POST", WEB_01, "{\"weight\": 7}").into_bytes()),
        1 => Just(get("/v1/none").into_bytes()),
    ]
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, nothing but whole answers, the same answers, and nothing
    /// more once it is over.
    #[test]
    fn any_bytes_are_answered_alike_in_any_pieces(
        parts in prop::collection::vec(part(), 0..30),
        sizes in prop::collection::vec(1usize..200, 1..20),
    ) {
        // In the middle of a line what is wrong with it may not be seen yet.
        let text = [parts.concat(), b"\n".to_vec()].concat();
        let run = |sizes: &[usize]| {
            let fake = Fake::new();
            let (mut dialogue, mut answer, mut rest) = (dialogue(&fake, false), Vec::new(), &text[..]);
            let mut goes_on = true;
            for size in sizes.iter().cycle() {
                if rest.is_empty() || !goes_on {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                goes_on = dialogue.handle_bytes(piece, &mut answer);
                rest = after;
            }
            // A word in between is said only if the body was not there.
            let words = b"HTTP/1.1 100 Continue\r\n\r\n";
            let at = |answer: &[u8]| answer.windows(words.len()).position(|window| window == words);
            while let Some(at) = at(&answer) {
                answer.drain(at..at + words.len());
            }
            (answer, goes_on)
        };
        let (whole, _) = run(&[usize::MAX]);
        let (pieces, _) = run(&sizes);
        prop_assume!(heads_in(&whole) < AHEAD_MAX && heads_in(&pieces) < AHEAD_MAX);
        prop_assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&pieces));
    }
}

fn heads_in(answer: &[u8]) -> usize {
    answer.windows(9).filter(|window| window == b"HTTP/1.1 ").count()
}
