//! An agent beside the backend: one line of orders, after HAProxy's `agent-check`
//! (`doc/configuration.txt`, section 5.2, from which the words are).
//!
//! | word | orders |
//! |---|---|
//! | `ready`, `drain`, `maint` | the administrative state |
//! | `up`, `down`, `fail`, `stopped` | the operational state; all but `up` count as a bad probe |
//! | `75%` | the weight in percent of the configured one, 0 to [`PERCENT_MAX`] |
//! | `maxconn:30` | the most connections, 0 for no limit |
//! | `# text` | a comment, kept for whoever reads the state |
//!
//! Words are parted by blanks, tabs and commas, upper and lower case mean the same, and what is not mentioned is
//! not changed. The line ends with LF, CR or the connection; what comes behind it is not read. A word that is
//! none of these, one of a kind said twice, and a line without a word are bad, lest half an order be followed.
//!
//! Where this differs from HAProxy: an agent that cannot be reached, or is not understood, is a bad probe. There
//! the agent stands beside another check; here it may be the only one.

use std::sync::Arc;

use super::{Probe, Progress};
use crate::error::{Error, Result};
use crate::health::facts::{Facts, Operational, Ordered, Orders};
use crate::health::reason::{Reason, shown};

/// The longest line, in bytes.
pub const LINE_MAX: usize = 1024;
/// The most that can be sent first, in bytes.
pub const SEND_MAX: usize = 1024;
/// The most percent of its configured weight that a backend can be given.
pub const PERCENT_MAX: u32 = 10_000;

/// What an agent probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `send` | bytes | 0 to 1,024 | none | an agent knows which host it is on |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is sent first, so that one agent can speak for several backends. A line end is not added.
    pub send: Vec<u8>,
}

/// What to say to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    send: Vec<u8>,
}

impl Agent {
    /// Refuses what is out of range.
    pub fn new(options: Options) -> Result<Self> {
        let length = options.send.len();
        if length > SEND_MAX {
            return Err(Error::invalid("send", format!("{length} bytes; {SEND_MAX} at most are sent")));
        }
        Ok(Self { send: options.send })
    }
}

#[derive(Debug)]
pub(super) struct Dialogue {
    agent: Arc<Agent>,
    line: Vec<u8>,
}

impl Dialogue {
    pub(super) fn new(agent: Arc<Agent>) -> Self {
        Self { agent, line: Vec::new() }
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.line.clear();
        out.extend_from_slice(&self.agent.send);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Progress {
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if part.len() > LINE_MAX - self.line.len() {
            return Progress::Bad(Reason::answer(format!("a line of more than {LINE_MAX} bytes")));
        }
        self.line.extend_from_slice(part);
        if end.is_none() { Progress::More } else { parse(&self.line).map(good).into() }
    }

    fn handle_end(&mut self) -> Progress {
        parse(&self.line).map(good).into()
    }
}

fn good(orders: Orders) -> Progress {
    Progress::Good(Facts { orders: Some(orders), ..Facts::default() })
}

/// Reads a line without its end.
fn parse(line: &[u8]) -> std::result::Result<Orders, Reason> {
    let words_end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
    let comment = String::from_utf8_lossy(line.get(words_end + 1..).unwrap_or_default());
    let mut orders = Orders { comment: Reason::answer(comment.trim()).text().into(), ..Orders::default() };
    let words = line[..words_end].split(|byte| matches!(byte, b' ' | b'\t' | b','));
    let mut is_empty = true;
    for word in words.filter(|word| !word.is_empty()) {
        is_empty = false;
        let is_new = read(word, &mut orders)
            .ok_or_else(|| Reason::answer(format!("the agent said {}, which is no order", shown(word))))?;
        if !is_new {
            return Err(Reason::answer(format!("the agent said {} beside another of its kind", shown(word))));
        }
    }
    if is_empty {
        return Err(Reason::answer("the agent gave no order"));
    }
    Ok(orders)
}

/// Reads one word: whether it is the first of its kind, `None` when it is no order.
fn read(word: &[u8], orders: &mut Orders) -> Option<bool> {
    let word = word.to_ascii_lowercase();
    if let Some(percent) = word.strip_suffix(b"%") {
        return Some(orders.weight_percent.replace(number(percent, PERCENT_MAX)?).is_none());
    }
    if let Some(maxconn) = word.strip_prefix(b"maxconn:") {
        return Some(orders.maxconn.replace(number(maxconn, u32::MAX)?).is_none());
    }
    let mut admin = |order| Some(orders.admin.replace(order).is_none());
    match word.as_slice() {
        b"ready" => return admin(Ordered::Ready),
        b"drain" => return admin(Ordered::Drain),
        b"maint" => return admin(Ordered::Maintenance),
        _ => {}
    }
    let operational = match word.as_slice() {
        b"up" => Operational::Up,
        b"down" => Operational::Down,
        b"fail" => Operational::Fail,
        b"stopped" => Operational::Stopped,
        _ => return None,
    };
    Some(orders.operational.replace(operational).is_none())
}

fn number(digits: &[u8], max: u32) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number <= max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kind;
    use super::super::testing::{answer, bytes_near, check_any};
    use super::*;

    fn kind() -> Kind {
        Kind::Agent(Arc::new(Agent::new(Options { send: b"web-01\n".to_vec() }).unwrap()))
    }

    fn orders(line: &[u8]) -> Orders {
        let came = answer(&kind(), line, false);
        assert_eq!(came.sent, b"web-01\n");
        came.facts().orders.clone().unwrap()
    }

    #[test]
    fn words_are_orders() {
        assert_eq!(orders(b"up\n"), Orders { operational: Some(Operational::Up), ..Orders::default() });
        let all = orders(b"\tReady, DOWN 75% ,maxconn:30 # disk \xff full\r\nrest");
        let expected = Orders {
            admin: Some(Ordered::Ready),
            operational: Some(Operational::Down),
            weight_percent: Some(75),
            maxconn: Some(30),
            comment: "disk \u{fffd} full".into(),
        };
        assert_eq!(all, expected);
        assert_eq!(orders(b"maint#\r").admin, Some(Ordered::Maintenance));
        assert_eq!(orders(b"drain\n").admin, Some(Ordered::Drain));
        assert_eq!(orders(b"fail\n").operational, Some(Operational::Fail));
        assert_eq!(orders(b"stopped\n").operational, Some(Operational::Stopped));
        assert_eq!(orders(b"0% maxconn:0\n").weight_percent, Some(0));
        let ended = answer(&kind(), b"50%", true);
        assert_eq!(ended.facts().orders.as_ref().unwrap().weight_percent, Some(50));
        assert!(orders(&[b"up #".as_slice(), &[b'x'; 900], b"\n"].concat()).comment.len() <= 200);
    }

    #[test]
    fn what_is_no_order_is_told() {
        let full = [&[b' '; LINE_MAX - 1], b"up\n".as_slice()].concat();
        for (line, part) in [
            (b"\n".as_slice(), "gave no order"),
            (b" , \t#up\n", "gave no order"),
            (b"running\n", r#"said "running", which is no order"#),
            (b"up down\n", r#"said "down" beside another"#),
            (b"50% 60%\n", "beside another"),
            (b"ready maint\n", "beside another"),
            (b"10001%\n", "no order"),
            (b"-5%\n", "no order"),
            (b"%\n", "no order"),
            (b"+5%\n", "no order"),
            (b"maxconn:\n", "no order"),
            (b"maxconn:4294967296\n", "no order"),
            (b"up\0\n", r#"\x00"#),
            (&full, "more than 1024 bytes"),
        ] {
            let reason = answer(&kind(), line, false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        assert!(answer(&kind(), b"", true).reason().contains("no order"));
        assert_eq!(orders(b"10000% maxconn:4294967295\n").maxconn, Some(u32::MAX));
        orders(&[&[b' '; LINE_MAX - 2], b"up\n".as_slice()].concat());
    }

    #[test]
    fn what_is_sent_has_a_bound() {
        assert!(Agent::new(Options { send: vec![0; SEND_MAX] }).is_ok());
        assert!(Agent::new(Options { send: vec![0; SEND_MAX + 1] }).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[b"up", b" ", b"down", b"50%", b"maxconn:3", b"#", b"drain,", b"\n", b"\r"]),
            size in 1usize..40,
        ) {
            check_any(&kind(), &bytes, size);
        }
    }
}
