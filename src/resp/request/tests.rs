use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { inline_max: 40, arguments_max: 20, argument_max: 30, request_max: 200 };

#[test]
fn what_a_page_makes_a_browser_send_ends_the_connection() {
    for sent in [
        &b"POST / HTTP/1.1\r\nSET pwned yes\r\n"[..],
        b"\"po\x73t\"\r\n",
        b"hOsT: example.org\r\n",
        b"*1\r\n$4\r\npost\r\n",
        b"*2\r\n$5\r\nHost:\r\n$1\r\na\r\n",
    ] {
        let bytewise: Vec<usize> = (0..sent.len()).collect();
        for cuts in [&[][..], &bytewise] {
            assert_eq!(
                told(sent, cuts, SMALL),
                (vec![], Some(ProtocolError::Http)),
                "{}",
                sent.escape_ascii()
            );
        }
    }
    // Only as a command, and only these.
    let (requests, error) = told(b"SET POST Host:\r\nHost a\r\nPOSTS\r\n", &[], SMALL);
    assert_eq!((requests.len(), error), (3, None));
}

type Told = Vec<Vec<Vec<u8>>>;

/// All requests in `bytes`, sent in pieces that end at `cuts`; a request is nothing where nothing is to be done.
fn told(bytes: &[u8], cuts: &[usize], limits: Limits) -> (Told, Option<ProtocolError>) {
    let mut parser = Parser::new(limits);
    let (mut requests, mut consumed) = (Vec::new(), 0);
    let mut wanted = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while consumed < end {
            let sent = &bytes[consumed..end];
            match parser.parse(sent) {
                Ok(Parsed::Request(request, len)) => {
                    assert!(sent.len() >= wanted);
                    requests.push(request.iter().map(<[u8]>::to_vec).collect());
                    consumed += len;
                    wanted = 0;
                }
                Ok(Parsed::Nothing(len)) => {
                    requests.push(Vec::new());
                    consumed += len;
                    wanted = 0;
                }
                Ok(Parsed::Incomplete { wanted: more }) => {
                    assert!(more > sent.len());
                    wanted = more;
                    break;
                }
                Err(error) => {
                    assert_eq!(parser.parse(sent), Err(error), "it stays");
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}

fn all(bytes: &[u8]) -> (Vec<Vec<String>>, Option<ProtocolError>) {
    let (requests, error) = told(bytes, &[], SMALL);
    let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
    (requests.into_iter().map(|request| request.into_iter().map(text).collect()).collect(), error)
}

#[test]
fn requests_come_one_after_the_other() {
    let (requests, error) =
        all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*0\r\n\r\n*-1\r\nset a 'b c'\n*1\r\n$0\r\n\r\n");
    assert_eq!(error, None);
    let expected: [&[&str]; 7] = [&["GET", "k"], &["PING"], &[], &[], &[], &["set", "a", "b c"], &[""]];
    assert_eq!(requests, expected);
}

#[test]
fn errors_are_those_of_redis() {
    let long = "x".repeat(41);
    for (bytes, text) in [
        (long.clone(), "too big inline request"),
        ("get \"a\r\n".into(), "unbalanced quotes in request"),
        (format!("*{}", "1".repeat(40)), "too big mbulk count string"),
        ("*\r\n".into(), "invalid multibulk length"),
        ("*x\r\n".into(), "invalid multibulk length"),
        ("*03\r\n".into(), "invalid multibulk length"),
        ("*+3\r\n".into(), "invalid multibulk length"),
        ("*21\r\n".into(), "invalid multibulk length"),
        ("*99999999999999999999\r\n".into(), "invalid multibulk length"),
        (format!("*1\r\n${long}"), "too big bulk count string"),
        ("*1\r\n:3\r\n".into(), "expected '$', got ':'"),
        ("*1\r\n\r\n".into(), "expected '$', got ' '"),
        ("*1\r\n$\r\n".into(), "invalid bulk length"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$31\r\n".into(), "invalid bulk length: an argument has at most 30 bytes"),
        ("*1\r\n$9223372036854775808\r\n".into(), "invalid bulk length"),
        (format!("*9\r\n{}", format!("$30\r\n{}\r\n", "v".repeat(30)).repeat(9)), "too big request"),
    ] {
        let error = all(bytes.as_bytes()).1.unwrap_or_else(|| panic!("{bytes}"));
        assert_eq!(error.to_string(), format!("Protocol error: {text}"), "{bytes}");
    }
}

#[test]
fn what_is_configured_is_named() {
    let told = |argument_max| {
        let limits = Limits { argument_max, ..SMALL };
        let sent = format!("*1\r\n${}\r\n", argument_max + 1);
        let error = Parser::new(limits).parse(sent.as_bytes()).unwrap_err();
        String::from_utf8(error.reply()).unwrap()
    };
    let told_by_default =
        "ERR Protocol error: invalid bulk length: an argument has at most 16777216 bytes (value_max)";
    assert_eq!(told(16 << 20), told_by_default);
    // So long keys are, however short the longest value is.
    assert_eq!(told(65_536), "ERR Protocol error: invalid bulk length: an argument has at most 65536 bytes");
}

#[test]
fn strangers_have_less() {
    let mut parser = Parser::new(Limits::default());
    parser.set_stranger(true);
    assert_eq!(parser.parse(b"*11\r\n"), Err(ProtocolError::StrangersCount));
    let mut parser = Parser::new(Limits::default());
    parser.set_stranger(true);
    assert_eq!(parser.parse(b"*10\r\n$16385\r\n"), Err(ProtocolError::StrangersLength));
    let mut parser = Parser::new(Limits::default());
    parser.set_stranger(true);
    assert_eq!(parser.parse(b"*10\r\n$16384\r\n"), Ok(Parsed::Incomplete { wanted: 5 + 8 + 16_384 + 2 }));
}

#[test]
fn what_is_announced_takes_no_memory() {
    let mut parser = Parser::new(Limits::default());
    assert!(matches!(parser.parse(b"*1048576\r\n$3\r\n"), Ok(Parsed::Incomplete { wanted: 19 })));
    assert!(parser.arguments.capacity() < 100);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        6 => proptest::collection::vec(word, 0..5).prop_map(|words| {
            let mut out = format!("*{}\r\n", words.len()).into_bytes();
            for word in words {
                out.extend(format!("${}\r\n", word.len()).into_bytes());
                out.extend(word);
                out.extend(b"\r\n");
            }
            out
        }),
        3 => "[a-z \"'\\\\x0]{0,30}\r?\n".prop_map(String::into_bytes),
        1 => proptest::collection::vec(prop::sample::select(&b"*$\r\n0123 a\""[..]), 0..12),
    ]
}

proptest! {
    /// However it is cut into pieces, the same is told.
    #[test]
    fn pieces_do_not_matter(
        pieces in proptest::collection::vec(piece(), 0..8),
        mut cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = pieces.concat();
        cuts.iter_mut().for_each(|cut| *cut %= bytes.len() + 1);
        cuts.sort_unstable();
        // A line too long is one only while its end has not come: that depends on the pieces.
        let limits = Limits { request_max: 10_000, inline_max: 10_000, ..SMALL };
        let whole = told(&bytes, &[], limits);
        prop_assert_eq!(&told(&bytes, &cuts, limits), &whole);
        let bytewise: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&told(&bytes, &bytewise, limits), &whole);
    }

    /// What another implementation writes is read as it was meant.
    #[test]
    fn requests_of_another_implementation_are_read(
        words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 1..20)
    ) {
        use redis_protocol::resp2::{encode::extend_encode, types::BytesFrame};
        let frame = BytesFrame::Array(words.iter().map(|word| BytesFrame::BulkString(word.clone().into())).collect());
        let mut bytes = redis_protocol::bytes::BytesMut::new();
        extend_encode(&mut bytes, &frame, false).unwrap();
        let limits = Limits { request_max: 10_000, ..SMALL };
        prop_assert_eq!(told(&bytes, &[], limits), (vec![words], None));
    }
}

#[test]
fn what_is_sent_in_another_form_is_told_from_what_is_plain() {
    let is_plain = |sent: &[u8]| match Parser::new(SMALL).parse(sent) {
        Ok(Parsed::Request(request, len)) if len == sent.len() => request.is_plain(),
        other => panic!("{other:?}"),
    };
    assert!(is_plain(b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n"));
    for sent in [
        &b"GET a\r\n"[..],
        b"*2\rX$3\r\nGET\r\n$1\r\na\r\n",
        b"*2\r\n$3\rXGET\r\n$1\r\na\r\n",
        b"*2\r\n$3\r\nGETX\n$1\r\na\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\na\rX",
    ] {
        assert!(!is_plain(sent), "{}", sent.escape_ascii());
    }
    // One does not speak for the next, and pieces make no difference.
    let mut parser = Parser::new(SMALL);
    for (sent, expected) in [(&b"*1\rX$4\r\nPING\r\n"[..], false), (b"*1\r\n$4\r\nPING\r\n", true)] {
        for end in 1..sent.len() {
            assert!(matches!(parser.parse(&sent[..end]), Ok(Parsed::Incomplete { .. })));
        }
        let Ok(Parsed::Request(request, _)) = parser.parse(sent) else { panic!("it is whole") };
        assert_eq!(request.is_plain(), expected);
    }
}
