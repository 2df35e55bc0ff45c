//! Send and expect: what to say and what must come back, in turn, for protocols of which trimtab knows nothing
//! else.
//!
//! What comes is kept until it holds what the step expects, up to [`KEPT_MAX`]; then everything up to the end of
//! the match is dropped, and the next step looks at what comes behind. A match is taken as early as it can be, so
//! the pieces an answer comes in make no difference.

use std::sync::Arc;

use super::pattern::{Pattern, bytes_of_hex};
use super::{Probe, Progress};
use crate::error::{Error, Result};
use crate::health::facts::Facts;
use crate::health::reason::{Reason, shown};

/// The most steps of a script.
pub const STEPS_MAX: usize = 32;
/// The most bytes that one step sends.
pub const SEND_MAX: usize = 4096;
/// How much is kept of what came while a step waits for a match, in bytes.
pub const KEPT_MAX: usize = 4096;

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes: 1 to [`SEND_MAX`].
    Send(Vec<u8>),
    /// Waits until this came.
    Expect(Pattern),
}

impl Step {
    /// Sends the bytes that `hex` stands for: two digits each, blanks between bytes as one likes.
    pub fn send_hex(hex: &str) -> Result<Self> {
        bytes_of_hex(hex).map(Step::Send)
    }
}

/// What to send and what to expect, in turn. Whoever speaks first has the first step; what is sent after the
/// last match is a farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    steps: Vec<Step>,
}

impl Script {
    /// Refuses what is out of range: 1 to [`STEPS_MAX`] steps, and one of them at least expects something.
    pub fn new(steps: Vec<Step>) -> Result<Self> {
        if steps.is_empty() || steps.len() > STEPS_MAX {
            let given = steps.len();
            return Err(Error::invalid("steps", format!("{given} steps; a script has 1 to {STEPS_MAX}")));
        }
        for step in &steps {
            match step {
                Step::Send(bytes) if bytes.is_empty() || bytes.len() > SEND_MAX => {
                    let length = bytes.len();
                    return Err(Error::invalid(
                        "send",
                        format!("{length} bytes; a step sends 1 to {SEND_MAX}"),
                    ));
                }
                Step::Send(_) => {}
                Step::Expect(pattern) => pattern.check_for_stream()?,
            }
        }
        if !steps.iter().any(|step| matches!(step, Step::Expect(_))) {
            let detail =
                "no step expects anything; to look whether a connection can be made use the kind tcp";
            return Err(Error::invalid("steps", detail));
        }
        Ok(Self { steps })
    }
}

#[derive(Debug)]
pub(super) struct Dialogue {
    script: Arc<Script>,
    at: usize,
    kept: Vec<u8>,
    /// How much of it is known to hold no match.
    searched: usize,
}

impl Dialogue {
    pub(super) fn new(script: Arc<Script>) -> Self {
        Self { script, at: 0, kept: Vec::new(), searched: 0 }
    }

    /// Goes on with as many steps as can be taken now.
    fn step(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Progress {
        loop {
            let (taken, rest) = input.split_at(input.len().min(KEPT_MAX - self.kept.len()));
            self.kept.extend_from_slice(taken);
            input = rest;
            match self.script.steps.get(self.at) {
                None => return Progress::Good(Facts::default()),
                Some(Step::Send(bytes)) => {
                    out.extend_from_slice(bytes);
                    self.at += 1;
                }
                Some(Step::Expect(pattern)) => match pattern.first_end(&self.kept, self.searched) {
                    Some(end) => {
                        self.kept.drain(..end);
                        self.searched = 0;
                        self.at += 1;
                    }
                    None if self.kept.len() == KEPT_MAX => {
                        return Progress::Bad(Reason::answer(format!(
                            "step {}: {pattern} is not in the {KEPT_MAX} bytes that came: {}",
                            self.at + 1,
                            shown(&self.kept)
                        )));
                    }
                    None => {
                        self.searched = self.kept.len();
                        return Progress::More;
                    }
                },
            }
        }
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.kept.clear();
        (self.at, self.searched) = (0, 0);
        self.step(&[], out)
    }

    fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.step(bytes, out)
    }

    fn handle_end(&mut self) -> Progress {
        let Some(Step::Expect(pattern)) = self.script.steps.get(self.at) else {
            return Progress::More;
        };
        Progress::Bad(Reason::answer(format!(
            "step {}: the connection was closed and {pattern} is not in what came: {}",
            self.at + 1,
            shown(&self.kept)
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{answer, bytes_near, check_any};
    use super::super::{Kind, Progress};
    use super::*;

    fn send(text: &str) -> Step {
        Step::Send(text.as_bytes().to_vec())
    }

    fn text(text: &str) -> Step {
        Step::Expect(Pattern::bytes(text.as_bytes()).unwrap())
    }

    fn regex(expression: &str) -> Step {
        Step::Expect(Pattern::regex(expression).unwrap())
    }

    fn kind(steps: Vec<Step>) -> Kind {
        Kind::Script(Arc::new(Script::new(steps).unwrap()))
    }

    fn mail() -> Kind {
        kind(vec![regex("^220[ -]"), send("EHLO x\r\n"), regex("(?m)^250 [^\r\n]*\r\n"), send("QUIT\r\n")])
    }

    #[test]
    fn steps_are_taken_in_turn() {
        let came = answer(&mail(), b"220 mx\r\n250-SIZE\r\n250 ok\r\n", false);
        assert_eq!(*came.facts(), Facts::default());
        assert_eq!(came.sent, b"EHLO x\r\nQUIT\r\n");
        let half = answer(&mail(), b"220 mx\r\n250-SIZE\r\n", false);
        assert_eq!((half.answer, half.sent), (Progress::More, b"EHLO x\r\n".to_vec()));
    }

    #[test]
    fn a_match_ends_as_early_as_it_can_and_the_rest_is_for_the_next_step() {
        let twice = kind(vec![regex("a+"), text("a"), Step::Expect(Pattern::hex("00ff").unwrap())]);
        assert_eq!(answer(&twice, b"a", false).answer, Progress::More);
        answer(&twice, b"xaa\x00\xff", false).facts();
        let bytes = kind(vec![text("aab"), text("b")]);
        assert_eq!(answer(&bytes, b"aaab", false).answer, Progress::More);
        answer(&bytes, b"aaabb", false).facts();
    }

    #[test]
    fn binary_goes_both_ways() {
        let binary =
            kind(vec![Step::send_hex("00 01ff").unwrap(), Step::Expect(Pattern::hex("ff 00").unwrap())]);
        let came = answer(&binary, b"\x01\xff\x00", false);
        assert_eq!(came.sent, b"\x00\x01\xff");
        came.facts();
    }

    #[test]
    fn what_does_not_come_is_told_with_what_did() {
        let reason = answer(&mail(), b"220 mx\r\n500 what?\r\n", true).reason();
        assert!(reason.contains("step 3") && reason.contains(r#"mx\r\n500 what?\r\n""#), "{reason}");
        assert!(answer(&mail(), b"", true).reason().contains("step 1"));
        // The greeting's last byte and the match's make the whole window.
        let (full, fitting) = (vec![b'x'; KEPT_MAX], [vec![b'x'; KEPT_MAX - 1], b"y".to_vec()].concat());
        let wanted = kind(vec![text("y")]);
        answer(&wanted, &fitting, false).facts();
        let reason = answer(&wanted, &[full.as_slice(), b"y"].concat(), false).reason();
        assert!(reason.contains("not in the 4096 bytes"), "{reason}");
        assert_eq!(answer(&wanted, &full[1..], false).answer, Progress::More);
    }

    #[test]
    fn scripts_at_their_limits() {
        let refused = |steps| Script::new(steps).unwrap_err().to_string();
        assert!(refused(vec![]).contains("0 steps"));
        assert!(Script::new(vec![text("x"); STEPS_MAX]).is_ok());
        assert!(refused(vec![text("x"); STEPS_MAX + 1]).contains("33 steps"));
        assert!(refused(vec![send("x")]).contains("kind tcp"));
        assert!(refused(vec![send(""), text("x")]).contains("0 bytes"));
        assert!(Script::new(vec![Step::Send(vec![0; SEND_MAX]), text("x")]).is_ok());
        assert!(refused(vec![Step::Send(vec![0; SEND_MAX + 1]), text("x")]).contains("4097 bytes"));
        assert!(refused(vec![regex("ok$")]).contains("more may come"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[b"220 ", b"220", b"\r\n", b"250 ok", b"aaab", b"b", b"\x00\xff"]),
            size in 1usize..40,
        ) {
            check_any(&mail(), &bytes, size);
            check_any(&kind(vec![regex("a+b?"), text("ab"), regex("[^x]{2}\r")]), &bytes, size);
        }
    }
}
