//! A mail server (RFC 5321): `220`, then `EHLO` and `250`, then `QUIT` as a farewell. A server that does not know
//! `EHLO` is asked with `HELO`.

use std::sync::Arc;

use super::assemble::Line;
use super::{Probe, Progress, ended};
use crate::error::{Error, Result};
use crate::health::facts::Facts;
use crate::health::reason::{Reason, shown};

/// The longest line of a reply before its LF, in bytes. The standard's is 512; some servers write more.
pub const LINE_MAX: usize = 1024;
/// The most lines of one reply.
pub const LINES_MAX: usize = 64;

/// What an SMTP probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `name` | bytes | 1 to 255 | `localhost` | servers take it from a monitor |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The name given with `EHLO`: a host name, or an address in brackets.
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "localhost".to_string() }
    }
}

/// What to say to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    name: String,
}

impl Smtp {
    /// Refuses what is out of range.
    pub fn new(options: Options) -> Result<Self> {
        let name = options.name;
        if name.is_empty() || name.len() > 255 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = "it is no host name or address in brackets, of 1 to 255 bytes";
            return Err(Error::invalid("name", detail));
        }
        Ok(Self { name })
    }
}

#[derive(Debug)]
pub(super) struct Dialogue {
    smtp: Arc<Smtp>,
    line: Line,
    lines: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Ehlo,
    Helo,
}

impl Dialogue {
    pub(super) fn new(smtp: Arc<Smtp>) -> Self {
        Self { smtp, line: Line::default(), lines: 0, step: Step::Greeting }
    }

    fn step(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> std::result::Result<Progress, Reason> {
        while let Some(line) = self.line.take(&mut input, LINE_MAX)? {
            let (code, is_last) = reply(line)
                .ok_or_else(|| Reason::answer(format!("no SMTP: the answer has the line {}", shown(line))))?;
            self.lines += 1;
            if !is_last {
                if self.lines >= LINES_MAX {
                    return Err(Reason::answer(format!("a reply of more than {LINES_MAX} lines")));
                }
                continue;
            }
            self.lines = 0;
            match (self.step, code) {
                (Step::Greeting, 220) => self.say(Step::Ehlo, "EHLO", out),
                // Bad syntax, not implemented, bad sequence: it is an old one.
                (Step::Ehlo, 500..=504) => self.say(Step::Helo, "HELO", out),
                (Step::Ehlo | Step::Helo, 250) => {
                    out.extend_from_slice(b"QUIT\r\n");
                    return Ok(Progress::Good(Facts::default()));
                }
                (step, _) => {
                    let (wanted, what) = match step {
                        Step::Greeting => (220, "greets with"),
                        Step::Ehlo => (250, "answers EHLO with"),
                        Step::Helo => (250, "answers HELO with"),
                    };
                    let line = String::from_utf8_lossy(line);
                    return Err(Reason::answer(format!("the server {what} {line:?}, not {wanted}")));
                }
            }
        }
        Ok(Progress::More)
    }

    fn say(&mut self, next: Step, verb: &str, out: &mut Vec<u8>) {
        self.step = next;
        out.extend_from_slice(format!("{verb} {}\r\n", self.smtp.name).as_bytes());
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, _: &mut Vec<u8>) -> Progress {
        self.line.clear();
        (self.lines, self.step) = (0, Step::Greeting);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.step(bytes, out).into()
    }

    fn handle_end(&mut self) -> Progress {
        let waiting_for = match self.step {
            Step::Greeting => "the greeting",
            Step::Ehlo => "the answer to EHLO",
            Step::Helo => "the answer to HELO",
        };
        ended(waiting_for, self.line.part())
    }
}

/// The code of a line of a reply, and whether it is the last one: `250-` goes on, `250 ` and `250` end.
fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let (code, rest) = line.split_first_chunk::<3>()?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(code[0], b'2'..=b'5') {
        return None;
    }
    let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.first() {
        Some(b'-') => Some((code, false)),
        Some(b' ') | None => Some((code, true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kind;
    use super::super::testing::{answer, bytes_near, check_any};
    use super::*;

    fn kind() -> Kind {
        Kind::Smtp(Arc::new(Smtp::new(Options { name: "lb.example.org".into() }).unwrap()))
    }

    #[test]
    fn a_mail_server_is_greeted_and_left() {
        let modern =
            b"220-mx.example.org ESMTP\r\n220 ready\r\n250-mx.example.org\r\n250-SIZE 1000\r\n250 HELP\r\n";
        let came = answer(&kind(), modern, false);
        assert_eq!(*came.facts(), Facts::default());
        assert_eq!(came.sent, b"EHLO lb.example.org\r\nQUIT\r\n");
        let old = answer(&kind(), b"220\n502 what?\n250 hello\n", false);
        old.facts();
        assert_eq!(old.sent, b"EHLO lb.example.org\r\nHELO lb.example.org\r\nQUIT\r\n");
    }

    #[test]
    fn what_refuses_or_is_none_is_told() {
        let full = [b"220-".as_slice(), &[b'x'; LINE_MAX + 1]].concat();
        for (bytes, part) in [
            (b"421 too busy\r\n".as_slice(), r#"greets with "421 too busy", not 220"#),
            (b"554 no\r\n", "554 no"),
            (b"220 mx\r\n550 go away\r\n", r#"answers EHLO with "550 go away""#),
            (b"220 mx\r\n502 what\r\n502 what\r\n", "answers HELO with"),
            (b"SSH-2.0-x\r\n", "no SMTP"),
            (b"220x\r\n", "no SMTP"),
            (b"120 soon\r\n", "no SMTP"),
            (b"22\r\n", "no SMTP"),
            (&b"220-on\r\n".repeat(LINES_MAX), "more than 64 lines"),
            (&full, "more than 1024 bytes"),
        ] {
            let reason = answer(&kind(), bytes, false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        let many = [b"220-on\r\n".repeat(LINES_MAX - 1), b"220 end\r\n250 ok\r\n".to_vec()].concat();
        answer(&kind(), &many, false).facts();
        assert!(
            answer(&kind(), b"220 mx\r\n25", true)
                .reason()
                .contains("within the answer to EHLO, after \"25\"")
        );
        assert!(answer(&kind(), b"", true).reason().contains("before the greeting"));
    }

    #[test]
    fn names_at_their_limits() {
        let named = |name: &str| Smtp::new(Options { name: name.to_string() });
        assert!(named("[10.0.0.1]").is_ok() && named(&"a".repeat(255)).is_ok());
        for bad in ["", "a b", "a\r\nMAIL", &"a".repeat(256)] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[b"220 x\r\n", b"220-x\n", b"250", b" ok\r\n", b"-", b"\r\n", b"502 no\n", b"4"]),
            size in 1usize..40,
        ) {
            check_any(&kind(), &bytes, size);
        }
    }
}
