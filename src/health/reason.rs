//! [`Reason`]: why a probe failed, short enough to be kept for ten thousand backends and clean enough to be
//! shown. The text may hold what a peer sent, so it is cut and its control characters are replaced.

use std::fmt;

/// The longest text of a reason, in bytes. What is longer is cut and ends in `…`.
pub const REASON_MAX: usize = 200;

/// Where a reason comes from: the first thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The connection: not made, or broken. Look at the network, the port, the process.
    Connection,
    /// The time a probe may take. Connected or not, nothing came of it.
    Timeout,
    /// What the backend answered.
    Answer,
    /// What is required of a good answer: the role, the lag.
    Requirement,
    /// The agent beside the backend, which said so.
    Agent,
}

impl Source {
    /// Every source with its name in statistics.
    pub const NAMES: [(&'static str, Source); 5] = [
        ("connection", Source::Connection),
        ("timeout", Source::Timeout),
        ("answer", Source::Answer),
        ("requirement", Source::Requirement),
        ("agent", Source::Agent),
    ];

    /// The name in statistics.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, source)| *source == self)
            .map(|(name, _)| *name)
            .expect("NAMES holds every source")
    }
}

/// Why a probe failed: one line without control characters, of at most [`REASON_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    source: Source,
    text: Box<str>,
}

impl Reason {
    /// A reason of this source. `text` is cut and cleaned as needed.
    pub fn new(source: Source, text: impl AsRef<str>) -> Self {
        Self { source, text: cleaned(text.as_ref()) }
    }

    /// What the backend answered is not what was wanted.
    pub(super) fn answer(text: impl AsRef<str>) -> Self {
        Self::new(Source::Answer, text)
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// What happened.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source.name(), self.text)
    }
}

/// One line without control characters, of at most [`REASON_MAX`] bytes.
pub(crate) fn cleaned(text: &str) -> Box<str> {
    const CUT: char = '…';
    let mut clean = String::with_capacity(text.len().min(REASON_MAX));
    for char in text.chars() {
        let char = if char.is_control() { '·' } else { char };
        if clean.len() + char.len_utf8() > REASON_MAX {
            while clean.len() + CUT.len_utf8() > REASON_MAX {
                clean.pop();
            }
            clean.push(CUT);
            break;
        }
        clean.push(char);
    }
    clean.into_boxed_str()
}

/// The beginning of what a peer sent, quoted and escaped, for a reason.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 48;
    let more = if bytes.len() > SHOWN_MAX { "…" } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_clean_line_within_its_bound() {
        let at_limit = "x".repeat(REASON_MAX);
        assert_eq!(Reason::answer(&at_limit).text(), at_limit);
        let beyond = Reason::answer(format!("{at_limit}y"));
        assert!(beyond.text().len() <= REASON_MAX && beyond.text().ends_with("xx…"), "{beyond}");
        // Characters of three bytes do not end at the limit: none is cut in two.
        let wide = Reason::answer("€".repeat(REASON_MAX));
        assert!(wide.text().len() <= REASON_MAX && wide.text().ends_with("€…"), "{wide}");
        let dirty = Reason::new(Source::Agent, "up\r\n\x1b[31mred\0");
        assert_eq!(dirty.to_string(), "agent: up···[31mred·");
    }

    #[test]
    fn what_a_peer_sent_is_shown_escaped_and_short() {
        assert_eq!(shown(b"220 ok\r\n\xff\""), r#""220 ok\r\n\xff\"""#);
        assert!(shown(&[b'a'; 49]).ends_with("a\"…") && shown(&[b'a'; 48]).ends_with("a\""));
    }

    #[test]
    fn sources_have_names() {
        for (name, source) in Source::NAMES {
            assert_eq!(source.name(), name);
        }
    }
}
