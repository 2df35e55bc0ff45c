//! [`Voice`]: what is told while the demo runs. On a terminal the line of the present second is written over
//! by the next; anywhere else every line stays, and there are no control characters.

use std::io::{self, Write};

pub(super) struct Voice<'a> {
    out: Option<&'a mut dyn Write>,
    is_terminal: bool,
    /// The line of the present second stands there, without an end.
    is_on_line: bool,
}

/// Back to the beginning of the line, which is cleared.
const AGAIN: &str = "\r\x1b[K";

impl<'a> Voice<'a> {
    pub(super) fn new(out: &'a mut dyn Write, is_terminal: bool) -> Self {
        Self { out: Some(out), is_terminal, is_on_line: false }
    }

    /// One that says nothing.
    pub(super) fn silent() -> Self {
        Self { out: None, is_terminal: false, is_on_line: false }
    }

    /// Says something that stays.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.write(text, "\n")?;
        self.is_on_line = false;
        Ok(())
    }

    /// Says how it is just now.
    pub(super) fn tick(&mut self, text: &str) -> io::Result<()> {
        if !self.is_terminal {
            return self.say(text);
        }
        self.write(text, "")?;
        self.is_on_line = true;
        Ok(())
    }

    fn write(&mut self, text: &str, end: &str) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let again = if self.is_on_line { AGAIN } else { "" };
        write!(out, "{again}{text}{end}")?;
        // It is told when it happens, not when a buffer is full.
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(is_terminal: bool) -> String {
        let mut out = Vec::new();
        let mut voice = Voice::new(&mut out, is_terminal);
        voice.say("step").unwrap();
        voice.tick("1 s").unwrap();
        voice.tick("2 s").unwrap();
        voice.say("done").unwrap();
        voice.say("next").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_written_over_on_a_terminal_only() {
        assert_eq!(said(false), "step\n1 s\n2 s\ndone\nnext\n");
        assert_eq!(said(true), "step\n1 s\r\u{1b}[K2 s\r\u{1b}[Kdone\nnext\n");
        Voice::silent().say("nothing").unwrap();
    }
}
