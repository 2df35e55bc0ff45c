//! Bytes of a Redis client in pieces: the same requests come out however they are cut, each within the limits.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::resp::{Limits, Parsed, Parser, ProtocolError};

#[derive(Arbitrary, Debug)]
struct Run {
    is_stranger: bool,
    cuts: Vec<u8>,
    bytes: Vec<u8>,
}

const LIMITS: Limits = Limits { inline_max: 50, arguments_max: 12, argument_max: 40, request_max: 150 };

fn told(run: &Run, cuts: impl Iterator<Item = usize>) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>, usize) {
    let mut parser = Parser::new(LIMITS);
    parser.set_stranger(run.is_stranger);
    let (mut requests, mut consumed) = (Vec::new(), 0);
    for end in cuts.chain([run.bytes.len()]) {
        while consumed < end {
            let sent = &run.bytes[consumed..end];
            match parser.parse(sent) {
                Ok(Parsed::Request(request, len)) => {
                    assert!(len > 0 && len <= sent.len() && !request.is_empty());
                    assert!(request.argument(request.len()).is_none());
                    requests.push(request.iter().map(<[u8]>::to_vec).collect());
                    consumed += len;
                }
                Ok(Parsed::Nothing(len)) => {
                    assert!(len > 0 && len <= sent.len());
                    consumed += len;
                }
                Ok(Parsed::Incomplete { wanted }) => {
                    assert!(wanted > sent.len());
                    break;
                }
                Err(error) => {
                    assert_eq!(error.to_string().lines().count(), 1);
                    return (requests, Some(error), consumed);
                }
            }
        }
    }
    (requests, None, consumed)
}

fuzz_target!(|run: Run| {
    let whole = told(&run, std::iter::empty());
    let mut at = 0;
    let cuts = run.cuts.iter().map_while(|cut| {
        at += usize::from(*cut);
        (at < run.bytes.len()).then_some(at)
    });
    let pieces = told(&run, cuts);
    // A line too long is one only while its end has not come, so pieces may be refused where the whole is not; what
    // was told before is the same.
    let is_too_long = |error: &Option<ProtocolError>| {
        matches!(error, Some(ProtocolError::BigInline | ProtocolError::BigCount | ProtocolError::BigLength))
    };
    if is_too_long(&pieces.1) || is_too_long(&whole.1) {
        let shared = pieces.0.len().min(whole.0.len());
        assert_eq!(pieces.0[..shared], whole.0[..shared]);
    } else {
        assert_eq!(pieces, whole);
    }
});
