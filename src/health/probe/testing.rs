//! What the tests of every probe do: the same bytes in every way they can come.

use proptest::prelude::*;

use super::{Dialogue, Entropy, Kind, Progress};
use crate::health::facts::Facts;
use crate::rng::Rng;

/// What came of a dialogue: the answer, what was sent, and how much of the input it took to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) answer: Progress,
    pub(super) sent: Vec<u8>,
}

impl Outcome {
    pub(super) fn facts(&self) -> &Facts {
        match &self.answer {
            Progress::Good(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn reason(&self) -> String {
        match &self.answer {
            Progress::Bad(reason) => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn dialogue(kind: &Kind) -> Dialogue {
    kind.dialogue("10.0.0.1:80", Entropy::seeded(&mut Rng::new(7)))
}

/// The answer to `bytes` in pieces of `size`, with an end after them when `ends`.
pub(super) fn run(kind: &Kind, bytes: &[u8], size: usize, ends: bool) -> Outcome {
    let mut dialogue = dialogue(kind);
    let mut sent = Vec::new();
    let mut answer = dialogue.begin(&mut sent);
    for piece in bytes.chunks(size.max(1)) {
        answer = dialogue.handle_bytes(piece, &mut sent);
    }
    if ends {
        answer = dialogue.handle_end();
    }
    Outcome { answer, sent }
}

/// The answer to `bytes`, which is the same in whatever pieces they come.
pub(super) fn answer(kind: &Kind, bytes: &[u8], ends: bool) -> Outcome {
    let whole = run(kind, bytes, bytes.len(), ends);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(run(kind, bytes, size, ends), whole, "in pieces of {size}");
    }
    whole
}

/// Any bytes, and bytes put together from `parts`, with sizes to cut them into.
pub(super) fn bytes_near(parts: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let any_part = prop_oneof![
        4 => (0..parts.len()).prop_map(move |at| parts[at].to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(any_part, 0..12).prop_map(|parts| parts.concat())
}

/// Nothing panics, pieces make no difference, and an answer stays as it is when more comes behind.
pub(super) fn check_any(kind: &Kind, bytes: &[u8], size: usize) {
    let whole = run(kind, bytes, bytes.len(), false);
    assert_eq!(run(kind, bytes, size, false), whole);
    assert_eq!(run(kind, bytes, 1, true), run(kind, bytes, size, true));
    if whole.answer != Progress::More {
        assert_eq!(run(kind, &[bytes, b"more"].concat(), size, true), whole);
    }
}
