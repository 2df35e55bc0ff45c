//! Redis and Valkey (RESP2): `PING`, before it `AUTH` where there is a password, and after it `ROLE` where the
//! role is wanted. All are sent at once; the answers come in their order.
//!
//! | answer to `PING` | counts as |
//! |---|---|
//! | `+PONG` | good |
//! | `-NOAUTH` without a password | good: it answers, and clients bring passwords of their own. Whether it is still loading cannot be seen then |
//! | `-LOADING`, `-BUSY`, `-MISCONF`, `-MASTERDOWN`, any other error | bad |
//!
//! `ROLE` tells a primary's offset, and of a replica its offset and whether it is connected to its primary. How
//! far a replica is behind is the difference of two offsets, which only who sees both can tell. A sentinel is
//! bad where a role is wanted.

use std::sync::Arc;

use super::assemble::Line;
use super::{Probe, Progress, ended};
use crate::error::{Error, Result};
use crate::health::facts::{Facts, Link, Position, Role};
use crate::health::reason::{Reason, shown};
use crate::health::secret::Secret;

/// The longest line of a reply before its LF, in bytes; an error's text is in it.
pub const LINE_MAX: usize = 1024;
/// The longest string of a reply, in bytes.
pub const STRING_MAX: u32 = 1024;
/// The most elements of a reply, those of nested arrays too: a primary names each of its replicas.
pub const ELEMENTS_MAX: u32 = 16_384;
/// How deep arrays may nest.
pub const DEPTH_MAX: usize = 4;
/// The longest user name and password, in bytes.
pub const SECRET_MAX: usize = 1024;

/// What a Redis probe is told.
///
/// | option | unit | range | default | why that default |
/// |---|---|---|---|---|
/// | `user` | bytes | 1 to 1,024, with a password | none | the user `default` of Redis |
/// | `password` | bytes | 1 to 1,024 | none | `-NOAUTH` is an answer too |
/// | `role` | | yes or no | no | needs the right to `ROLE` |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The user to log in as (Redis 6 and later).
    pub user: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// Whether to ask for the role.
    pub role: bool,
}

/// Commands ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Redis {
    commands: Vec<u8>,
    has_password: bool,
    role: bool,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The commands hold the password.
        f.debug_struct("Redis").field("has_password", &self.has_password).field("role", &self.role).finish()
    }
}

impl Redis {
    /// Refuses what is out of range.
    pub fn new(options: &Options) -> Result<Self> {
        let fits = |length: usize| (1..=SECRET_MAX).contains(&length);
        if options.user.as_ref().is_some_and(|user| !fits(user.len())) {
            return Err(Error::invalid("user", format!("1 to {SECRET_MAX} bytes fit")));
        }
        if options.password.as_ref().is_some_and(|password| !fits(password.bytes().len())) {
            return Err(Error::invalid("password", format!("1 to {SECRET_MAX} bytes fit")));
        }
        if options.user.is_some() && options.password.is_none() {
            return Err(Error::invalid("user", "a user needs a password beside it"));
        }
        let mut commands = Vec::new();
        if let Some(password) = &options.password {
            let mut auth = vec![b"AUTH".as_slice()];
            auth.extend(options.user.as_ref().map(|user| user.as_bytes()));
            auth.push(password.bytes());
            command(&auth, &mut commands);
        }
        command(&[b"PING"], &mut commands);
        if options.role {
            command(&[b"ROLE"], &mut commands);
        }
        Ok(Self { commands, has_password: options.password.is_some(), role: options.role })
    }

    pub(super) fn tells_role(&self) -> bool {
        self.role
    }
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[derive(Debug)]
pub(super) struct Dialogue {
    redis: Arc<Redis>,
    reply: Reply,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Auth,
    Ping,
    Role,
}

impl Dialogue {
    pub(super) fn new(redis: Arc<Redis>) -> Self {
        Self { redis, reply: Reply::default(), step: Step::Ping }
    }

    fn step(&mut self, mut input: &[u8]) -> std::result::Result<Progress, Reason> {
        while self.reply.take(&mut input)? {
            let reply = &self.reply.values;
            match (self.step, reply.first()) {
                (Step::Auth, Some(Value::Simple(text))) if text == b"OK" => self.step = Step::Ping,
                (Step::Ping, Some(Value::Simple(text))) if text == b"PONG" => {
                    if !self.redis.role {
                        return Ok(Progress::Good(Facts::default()));
                    }
                    self.step = Step::Role;
                }
                (Step::Ping, Some(Value::Error(text)))
                    if is_without_login(text) && !self.redis.has_password =>
                {
                    if self.redis.role {
                        return Err(Reason::answer("ROLE needs a login: give the check a password"));
                    }
                    return Ok(Progress::Good(Facts::default()));
                }
                (Step::Role, Some(Value::String(_))) => return role(reply).map(Progress::Good),
                (step, first) => return Err(unexpected(step, first)),
            }
        }
        Ok(Progress::More)
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.reply = Reply::default();
        self.step = if self.redis.has_password { Step::Auth } else { Step::Ping };
        out.extend_from_slice(&self.redis.commands);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Progress {
        self.step(bytes).into()
    }

    fn handle_end(&mut self) -> Progress {
        ended(&format!("the answer to {}", self.step.command()), self.reply.line.part())
    }
}

impl Step {
    fn command(self) -> &'static str {
        match self {
            Step::Auth => "AUTH",
            Step::Ping => "PING",
            Step::Role => "ROLE",
        }
    }
}

fn is_without_login(error: &[u8]) -> bool {
    error.starts_with(b"NOAUTH")
}

fn unexpected(step: Step, value: Option<&Value>) -> Reason {
    let command = step.command();
    Reason::answer(match value {
        Some(Value::Error(text)) => {
            format!("{command} was refused: {}", String::from_utf8_lossy(text))
        }
        Some(Value::Simple(text) | Value::String(text)) => {
            format!("{command} was answered with {}", shown(text))
        }
        Some(Value::Integer(number)) => format!("{command} was answered with {number}"),
        Some(Value::Null) | None => format!("{command} was answered with nothing"),
    })
}

/// `master, offset, replicas` or `slave, host, port, state, offset`.
fn role(values: &[Value]) -> std::result::Result<Facts, Reason> {
    let position = |value: &Value| match value {
        // -1 until the first synchronization.
        Value::Integer(offset) => Some(u64::try_from(*offset).ok().map(Position::Bytes)),
        _ => None,
    };
    let facts = match values {
        [Value::String(word), offset, ..] if word == b"master" => {
            position(offset).map(|position| Facts { role: Some(Role::Primary), position, ..Facts::default() })
        }
        [Value::String(word), Value::String(_), Value::Integer(_), Value::String(state), offset]
            if word == b"slave" =>
        {
            let link = if state == b"connected" { Link::Up } else { Link::Down };
            position(offset).map(|position| Facts {
                role: Some(Role::Replica),
                position,
                link: Some(link),
                ..Facts::default()
            })
        }
        [Value::String(word), ..] if word == b"sentinel" => {
            return Err(Reason::answer("it is a sentinel, which has no data"));
        }
        _ => None,
    };
    facts.ok_or_else(|| unexpected(Step::Role, values.first()))
}

/// One reply, put together from what comes.
#[derive(Debug, Default)]
struct Reply {
    line: Line,
    string: Vec<u8>,
    /// How much of a string is to come, its CRLF included; `None` while a line is read.
    string_left: Option<usize>,
    /// How many elements of each open array are to come.
    open: Vec<u32>,
    elements: u32,
    /// The elements of the outermost array that are no arrays, up to [`VALUES_MAX`], or the one value.
    values: Vec<Value>,
    is_whole: bool,
}

/// `ROLE` of a replica has five.
const VALUES_MAX: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    String(Vec<u8>),
    Null,
}

impl Reply {
    /// Takes what is missing off `input`; `true` once the reply is whole.
    fn take(&mut self, input: &mut &[u8]) -> std::result::Result<bool, Reason> {
        if self.is_whole {
            (self.elements, self.is_whole) = (0, false);
            self.values.clear();
        }
        while !self.is_whole {
            if let Some(left) = &mut self.string_left {
                let (part, rest) = input.split_at((*left).min(input.len()));
                self.string.extend_from_slice(part);
                *input = rest;
                *left -= part.len();
                if *left > 0 {
                    return Ok(false);
                }
                self.string_left = None;
                let Some(text) = self.string.strip_suffix(b"\r\n") else {
                    return Err(Reason::answer(format!(
                        "no Redis: a string without its end, {}",
                        shown(&self.string)
                    )));
                };
                let text = text.to_vec();
                self.push(Value::String(text))?;
                continue;
            }
            // What is no Redis may never send a line's end.
            let first = self.line.part().first().or(input.first());
            if first.is_some_and(|byte| !b"+-:$*".contains(byte)) {
                let begin = [self.line.part(), input].concat();
                return Err(Reason::answer(format!(
                    "no Redis: the answer begins with {}",
                    shown(&begin[..1])
                )));
            }
            let Some(line) = self.line.take(input, LINE_MAX)? else { return Ok(false) };
            let Some((&kind, text)) = line.split_first() else { return Err(no_redis(line)) };
            let value = match kind {
                b'+' => Value::Simple(text.to_vec()),
                b'-' => Value::Error(text.to_vec()),
                b':' => Value::Integer(integer(text).ok_or_else(|| no_redis(line))?),
                b'$' => match integer(text).ok_or_else(|| no_redis(line))? {
                    -1 => Value::Null,
                    length => {
                        let length = u32::try_from(length).ok().filter(|length| *length <= STRING_MAX);
                        let Some(length) = length else {
                            return Err(Reason::answer(format!(
                                "a string of {} bytes; {STRING_MAX} at most are read",
                                String::from_utf8_lossy(text)
                            )));
                        };
                        self.string.clear();
                        self.string_left = Some(length as usize + 2);
                        continue;
                    }
                },
                _ => match integer(text).ok_or_else(|| no_redis(line))? {
                    -1 => Value::Null,
                    length => {
                        let length = u32::try_from(length).ok().filter(|length| *length <= ELEMENTS_MAX);
                        let Some(length) = length.filter(|_| self.open.len() < DEPTH_MAX) else {
                            return Err(Reason::answer(format!(
                                "an array of {} elements, {} deep; {ELEMENTS_MAX} and {DEPTH_MAX} at most are read",
                                String::from_utf8_lossy(text),
                                self.open.len() + 1
                            )));
                        };
                        if length > 0 {
                            self.open.push(length);
                            continue;
                        }
                        self.close();
                        continue;
                    }
                },
            };
            self.push(value)?;
        }
        Ok(true)
    }

    fn push(&mut self, value: Value) -> std::result::Result<(), Reason> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Reason::answer(format!("a reply of more than {ELEMENTS_MAX} elements")));
        }
        if self.open.len() <= 1 && self.values.len() < VALUES_MAX {
            self.values.push(value);
        }
        self.close();
        Ok(())
    }

    /// An element is whole, and with it the arrays whose last one it was.
    fn close(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.is_whole = true;
    }
}

fn no_redis(line: &[u8]) -> Reason {
    Reason::answer(format!("no Redis: the answer has the line {}", shown(line)))
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{answer, bytes_near, check_any};
    use super::super::{Kind, Progress};
    use super::*;

    fn kind(options: &Options) -> Kind {
        Kind::Redis(Arc::new(Redis::new(options).unwrap()))
    }

    fn plain() -> Kind {
        kind(&Options::default())
    }

    fn with_role() -> Kind {
        kind(&Options { user: Some("check".into()), password: Some("secret".into()), role: true })
    }

    #[test]
    fn a_pong_is_good() {
        let came = answer(&plain(), b"+PONG\r\n", false);
        assert_eq!(*came.facts(), Facts::default());
        assert_eq!(came.sent, b"*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn a_demand_for_a_password_is_an_answer_unless_the_role_is_wanted() {
        let refused = b"-NOAUTH Authentication required.\r\n";
        assert_eq!(*answer(&plain(), refused, false).facts(), Facts::default());
        let reason = answer(&kind(&Options { role: true, ..Options::default() }), refused, false).reason();
        assert!(reason.contains("give the check a password"), "{reason}");
        let unexpected = [b"+OK\r\n", refused.as_slice()].concat();
        assert!(answer(&with_role(), &unexpected, false).reason().contains("PING was refused: NOAUTH"));
    }

    #[test]
    fn a_role_is_told_with_its_offset() {
        let before = b"+OK\r\n+PONG\r\n";
        let asked = |role: &[u8]| answer(&with_role(), &[before, role].concat(), false);
        let primary = asked(
            b"*3\r\n$6\r\nmaster\r\n:3129659\r\n*2\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$7\r\n3129242\r\n\
              *3\r\n$9\r\n127.0.0.1\r\n$4\r\n9002\r\n$7\r\n3129543\r\n",
        );
        let expected = Facts {
            role: Some(Role::Primary),
            position: Some(Position::Bytes(3_129_659)),
            ..Facts::default()
        };
        assert_eq!(*primary.facts(), expected);
        let sent =
            "*3\r\n$4\r\nAUTH\r\n$5\r\ncheck\r\n$6\r\nsecret\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nROLE\r\n";
        assert_eq!(primary.sent, sent.as_bytes());
        assert_eq!(*asked(b"*3\r\n$6\r\nmaster\r\n:3129659\r\n*0\r\n").facts(), expected);

        let replica =
            asked(b"*5\r\n$5\r\nslave\r\n$9\r\n10.0.0.1\x00\r\n:6379\r\n$9\r\nconnected\r\n:77\r\n");
        let expected = Facts {
            role: Some(Role::Replica),
            position: Some(Position::Bytes(77)),
            link: Some(Link::Up),
            ..Facts::default()
        };
        assert_eq!(*replica.facts(), expected);
        let apart = asked(b"*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$7\r\nconnect\r\n:-1\r\n");
        let expected = Facts { position: None, link: Some(Link::Down), ..expected };
        assert_eq!(*apart.facts(), expected);
    }

    #[test]
    fn what_refuses_or_is_none_is_told() {
        let long = [b"-".as_slice(), &[b'e'; LINE_MAX]].concat();
        for (bytes, part) in [
            (b"-LOADING Redis is loading the dataset in memory\r\n".as_slice(), "refused: LOADING"),
            (b"-MISCONF stop-writes\r\n", "refused: MISCONF"),
            (b"-DENIED Redis is running in protected mode\r\n", "refused: DENIED"),
            (b"-ERR max number of clients reached\r\n", "max number of clients"),
            (b"+OK\r\n", r#"PING was answered with "OK""#),
            (b":1\r\n", "PING was answered with 1"),
            (b"$-1\r\n", "answered with nothing"),
            (b"*-1\r\n", "answered with nothing"),
            (b"*0\r\n", "answered with nothing"),
            (b"HTTP/1.1 400 Bad Request", r#"no Redis: the answer begins with "H""#),
            (b":x\r\n", r#"no Redis: the answer has the line ":x""#),
            (b"$4\r\nPONGxx", "without its end"),
            (b"$1025\r\n", "1024 at most"),
            (b"$-2\r\n", "1024 at most"),
            (b"*16385\r\n", "16384 and 4 at most"),
            (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "5 deep"),
            (&long, "more than 1024 bytes"),
        ] {
            let reason = answer(&plain(), bytes, false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        assert!(answer(&with_role(), b"-WRONGPASS no\r\n", false).reason().contains("AUTH was refused"));
        let role =
            |reply: &[u8]| answer(&with_role(), &[b"+OK\r\n+PONG\r\n", reply].concat(), false).reason();
        assert!(role(b"*2\r\n$8\r\nsentinel\r\n*1\r\n$1\r\nm\r\n").contains("sentinel"));
        assert!(role(b"-NOPERM no\r\n").contains("ROLE was refused: NOPERM"));
        assert!(role(b"*1\r\n$6\r\nmaster\r\n").contains("ROLE was answered with"));
        assert!(role(b"*2\r\n$6\r\nmaster\r\n$1\r\n1\r\n").contains("ROLE was answered with"));
        assert!(role(b"$4\r\nmain\r\n").contains(r#"ROLE was answered with "main""#));
        assert!(
            answer(&with_role(), b"+OK\r\n+PO", true).reason().contains(r#"answer to PING, after "+PO""#)
        );
    }

    #[test]
    fn replies_at_their_bounds() {
        let many = |count: u32| {
            let element = b":1\r\n".repeat(count as usize);
            [
                b"+OK\r\n+PONG\r\n*3\r\n$6\r\nmaster\r\n:5\r\n".to_vec(),
                format!("*{count}\r\n").into(),
                element,
            ]
            .concat()
        };
        answer(&with_role(), &many(ELEMENTS_MAX - 2), false).facts();
        assert!(answer(&with_role(), &many(ELEMENTS_MAX - 1), false).reason().contains("more than 16384"));
        let string = [b"$1024\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
        assert!(answer(&plain(), &string, false).reason().contains("xxx"));
        assert_eq!(answer(&plain(), b"*1\r\n*1\r\n*1\r\n*1\r\n:1", false).answer, Progress::More);
    }

    #[test]
    fn options_at_their_limits_and_passwords_unseen() {
        let with = |user: Option<&str>, password: Option<&str>| {
            let password = password.map(Secret::from);
            Redis::new(&Options { user: user.map(str::to_string), password, role: false })
        };
        let (longest, beyond) = ("x".repeat(SECRET_MAX), "x".repeat(SECRET_MAX + 1));
        assert!(with(Some(&longest), Some(&longest)).is_ok());
        assert!(with(None, Some(&beyond)).is_err() && with(None, Some("")).is_err());
        assert!(with(Some(&beyond), Some("x")).is_err() && with(Some(""), Some("x")).is_err());
        assert!(with(Some("user"), None).unwrap_err().to_string().contains("needs a password"));
        let options = Options { password: Some("hunter2".into()), ..Options::default() };
        for shown in [format!("{options:?}"), format!("{:?}", kind(&options))] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[
                b"+OK\r\n", b"+PONG\r\n", b"*3\r\n", b"$6\r\nmaster\r\n", b":5\r\n", b"*0\r\n", b"$5\r\nslave\r\n",
                b"*", b"1\r\n", b"-NOAUTH\r\n", b"*5\r\n", b"$9\r\nconnected\r\n", b"$-1\r\n",
            ]),
            size in 1usize..40,
        ) {
            check_any(&plain(), &bytes, size);
            check_any(&with_role(), &bytes, size);
        }
    }
}
