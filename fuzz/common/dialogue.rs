//! What every dialogue keeps to, whatever comes: nothing panics, the pieces that bytes come in make no
//! difference, an answer stands, and a reason is one short line.

use arbitrary::Arbitrary;
use trimtab::health::reason::REASON_MAX;
use trimtab::health::{Dialogue, Entropy, Kind, Progress};
use trimtab::rng::Rng;

/// Where bytes are cut, and whether the connection ends behind them.
#[derive(Arbitrary, Debug)]
pub struct Cuts {
    sizes: Vec<u8>,
    ends: bool,
}

pub fn dialogue(kind: &Kind) -> Dialogue {
    kind.dialogue("10.0.0.1:80", Entropy::seeded(&mut Rng::new(7)))
}

/// Runs `bytes` whole and in pieces. `repeats` says that a second run over the same dialogue comes to the same
/// answer.
pub fn check(kind: &Kind, bytes: &[u8], cuts: &Cuts, repeats: bool) -> Progress {
    let mut one = dialogue(kind);
    let (mut sent, mut sent_in_pieces) = (Vec::new(), Vec::new());
    one.begin(&mut sent);
    let answer = finish(&mut one, bytes, &mut sent, cuts.ends);

    let mut other = dialogue(kind);
    other.begin(&mut sent_in_pieces);
    let mut sizes = cuts.sizes.iter().map(|size| usize::from(*size)).chain([1]).cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        rest = behind;
        other.handle_bytes(piece, &mut sent_in_pieces);
    }
    let in_pieces = finish(&mut other, b"", &mut sent_in_pieces, cuts.ends);
    assert_eq!(in_pieces, answer);
    assert_eq!(sent_in_pieces, sent);

    if answer != Progress::More {
        assert_eq!(other.handle_bytes(b"more", &mut sent_in_pieces), answer);
        assert_eq!(other.handle_end(), answer);
        assert_eq!(sent_in_pieces, sent);
    }
    if let Progress::Bad(reason) = &answer {
        assert!(reason.text().len() <= REASON_MAX && !reason.text().chars().any(char::is_control));
    }
    if repeats {
        other.begin(&mut sent_in_pieces);
        assert_eq!(finish(&mut other, bytes, &mut sent_in_pieces, cuts.ends), answer);
    }
    answer
}

fn finish(dialogue: &mut Dialogue, bytes: &[u8], out: &mut Vec<u8>, ends: bool) -> Progress {
    let answer = dialogue.handle_bytes(bytes, out);
    if ends { dialogue.handle_end() } else { answer }
}
