//! The steps of a dialogue with PostgreSQL.

use std::sync::Arc;

use super::super::assemble::Packet;
use super::super::{Entropy, Probe, Progress, ended};
use super::Postgres;
use super::messages::{ServerError, body_length, columns, write};
use super::scram::{self, Scram};
use super::{password, query};
use crate::health::facts::Facts;
use crate::health::reason::{Reason, shown};

#[derive(Debug)]
pub(in super::super) struct Dialogue {
    postgres: Arc<Postgres>,
    scram: Scram,
    packet: Packet<5>,
    step: Step,
    facts: Option<Facts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The server says what login it wants.
    Login,
    /// A password was sent.
    Password,
    /// The first message of SCRAM was sent.
    ScramFirst,
    /// The last message of SCRAM was sent.
    ScramLast,
    /// The login is done; the server sends what it likes until it is ready.
    Ready,
    /// The query was sent.
    Query,
}

impl Dialogue {
    pub(in super::super) fn new(postgres: Arc<Postgres>, entropy: Entropy) -> Self {
        Self {
            postgres,
            scram: Scram::new(entropy),
            packet: Packet::default(),
            step: Step::Login,
            facts: None,
        }
    }

    fn step(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        // Taken out so that a message may be looked at while the rest of us changes.
        let mut packet = std::mem::take(&mut self.packet);
        let mut answer = Ok(Progress::More);
        while answer == Ok(Progress::More) {
            let message = packet.take(&mut input, |header| body_length(header, self.step.expected()));
            answer = match message {
                Ok(Some((header, body))) => self.message(header[0], body, out),
                Ok(None) => break,
                Err(reason) => Err(reason),
            };
        }
        self.packet = packet;
        answer
    }

    fn message(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        match (self.step, kind) {
            // Notices, and what the server tells of itself.
            (_, b'N' | b'v' | b'S' | b'K') => {}
            (Step::Login, b'E') if self.postgres.user.is_none() => {
                let error = ServerError::parse(body);
                return if error.is_about_who_asks() {
                    Ok(Progress::Good(Facts::default()))
                } else {
                    Err(error.reason())
                };
            }
            (_, b'E') => return Err(ServerError::parse(body).reason()),
            (Step::Login, _) if self.postgres.user.is_none() => {
                farewell(out);
                return Ok(Progress::Good(Facts::default()));
            }
            (_, b'R') => self.authentication(body, out)?,
            (Step::Ready, b'Z') if self.postgres.role => {
                write(b'Q', &[query::QUERY.as_bytes(), b"\0"].concat(), out);
                self.step = Step::Query;
            }
            (Step::Ready, b'Z') => {
                farewell(out);
                return Ok(Progress::Good(Facts::default()));
            }
            (Step::Query, b'D') => {
                let columns = columns(body).filter(|_| self.facts.is_none());
                self.facts = Some(query::facts(&columns.unwrap_or_default())?);
            }
            (Step::Query, b'Z') => {
                let facts =
                    self.facts.take().ok_or_else(|| Reason::answer("the query for the role gave no row"))?;
                farewell(out);
                return Ok(Progress::Good(facts));
            }
            // The row's description, the end of the rows.
            _ => {}
        }
        Ok(Progress::More)
    }

    /// An authentication message: its first four bytes say which.
    fn authentication(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
        let Some((which, rest)) = body.split_first_chunk() else {
            return Err(Reason::answer("an authentication message without its kind"));
        };
        self.step = match (self.step, u32::from_be_bytes(*which)) {
            (Step::Login | Step::Password, 0) => Step::Ready,
            (Step::Login, 3) => {
                if !self.postgres.allow_cleartext {
                    return Err(Reason::answer(
                        "the server wants the password in clear text: let it ask for scram-sha-256 (pg_hba.conf), \
                         or allow it (allow_cleartext)",
                    ));
                }
                write(b'p', &[self.password()?, b"\0"].concat(), out);
                Step::Password
            }
            (Step::Login, 5) => {
                let salt = rest.try_into().map_err(|_| Reason::answer("an md5 login without its salt"))?;
                let user = self.postgres.user.as_deref().unwrap_or_default();
                let hash = password::md5(user, self.password()?, salt);
                write(b'p', &[hash.as_bytes(), b"\0"].concat(), out);
                Step::Password
            }
            (Step::Login, 10) => {
                let mut mechanisms = rest.split(|byte| *byte == 0);
                if !mechanisms.any(|mechanism| mechanism == scram::MECHANISM.as_bytes()) {
                    return Err(Reason::answer(format!(
                        "the server knows no {}, only {}",
                        scram::MECHANISM,
                        shown(rest)
                    )));
                }
                self.password()?;
                let first = self.scram.first();
                let length = u32::try_from(first.len()).expect("it is short").to_be_bytes();
                let body = [scram::MECHANISM.as_bytes(), b"\0", &length, first.as_bytes()].concat();
                write(b'p', &body, out);
                Step::ScramFirst
            }
            (Step::ScramFirst, 11) => {
                let postgres = Arc::clone(&self.postgres);
                let password = password_of(&postgres)?;
                write(b'p', self.scram.last(rest, password)?.as_bytes(), out);
                Step::ScramLast
            }
            (Step::ScramLast, 12) => {
                self.scram.finish(rest)?;
                Step::Password
            }
            (Step::ScramFirst | Step::ScramLast, 0) => {
                return Err(Reason::answer("the server did not prove that it knows the password"));
            }
            (Step::Login, kind) => {
                let name = match kind {
                    2 => "Kerberos",
                    7 => "GSSAPI",
                    9 => "SSPI",
                    _ => "something else",
                };
                return Err(Reason::answer(format!(
                    "the server wants a login by {name} ({kind}), which is not known here: let it ask for \
                     scram-sha-256 (pg_hba.conf)"
                )));
            }
            (_, kind) => return Err(Reason::answer(format!("a login went on with {kind}, out of turn"))),
        };
        Ok(())
    }

    fn password(&self) -> Result<&[u8], Reason> {
        password_of(&self.postgres)
    }
}

fn password_of(postgres: &Postgres) -> Result<&[u8], Reason> {
    let password = postgres.password.as_ref();
    password
        .map(|password| password.bytes())
        .ok_or_else(|| Reason::answer("the server wants a password: give the check one"))
}

impl Probe for Dialogue {
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.packet.clear();
        (self.step, self.facts) = (Step::Login, None);
        out.extend_from_slice(&self.postgres.startup);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.step(bytes, out).into()
    }

    fn handle_end(&mut self) -> Progress {
        let waiting_for = match self.step {
            Step::Login => "the server's demand for a login",
            Step::Password | Step::ScramFirst | Step::ScramLast => "the end of the login",
            Step::Ready => "the server was ready",
            Step::Query => "the answer to the query",
        };
        ended(waiting_for, self.packet.part())
    }
}

impl Step {
    /// The types of messages that may come.
    fn expected(self) -> &'static [u8] {
        match self {
            // Errors, notices, and another version of the protocol than asked for.
            Step::Login | Step::Password | Step::ScramFirst | Step::ScramLast => b"RENv",
            Step::Ready => b"ENSKZ",
            Step::Query => b"ENSTDCZ",
        }
    }
}

/// Terminate.
fn farewell(out: &mut Vec<u8>) {
    write(b'X', b"", out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{Outcome, answer, bytes_near, check_any, dialogue};
    use super::super::super::{Kind, Progress};
    use super::super::Options;
    use super::*;
    use crate::health::facts::{Position, Role};

    fn kind(options: Options) -> Kind {
        Kind::Postgres(Arc::new(Postgres::new(options).unwrap()))
    }

    fn nobody() -> Kind {
        kind(Options::default())
    }

    fn somebody() -> Options {
        Options { user: Some("check".into()), password: Some("secret".into()), ..Options::default() }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(kind, body, &mut bytes);
        bytes
    }

    fn login(kind: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&kind.to_be_bytes(), rest].concat())
    }

    fn error(state: &str, text: &str) -> Vec<u8> {
        message(b'E', format!("SFATAL\0C{state}\0M{text}\0\0").as_bytes())
    }

    fn ready() -> Vec<u8> {
        [message(b'S', b"server_version\x0015\0"), message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
    }

    fn row(columns: &[&str]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for column in columns {
            body.extend_from_slice(&u32::try_from(column.len()).unwrap().to_be_bytes());
            body.extend_from_slice(column.as_bytes());
        }
        [message(b'T', b"\0\0"), message(b'D', &body), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")]
            .concat()
    }

    fn said(kind: &Kind, parts: &[Vec<u8>]) -> Outcome {
        answer(kind, &parts.concat(), false)
    }

    const GOODBYE: &[u8] = b"X\0\0\0\x04";

    #[test]
    fn without_a_user_a_server_that_would_talk_to_others_is_good() {
        for (demand, farewell) in [
            (login(0, b""), GOODBYE),
            (login(5, b"salt"), GOODBYE),
            (login(10, b"SCRAM-SHA-256\0\0"), GOODBYE),
            (login(7, b""), GOODBYE),
            (error("28000", "no pg_hba.conf entry"), b"".as_slice()),
            (error("3D000", "database does not exist"), b""),
        ] {
            let came = said(&nobody(), &[demand]);
            assert_eq!(*came.facts(), Facts::default());
            let startup = super::super::Postgres::new(Options::default()).unwrap().startup;
            assert_eq!(came.sent, [&startup, farewell].concat());
        }
        for (state, text) in [("57P03", "the database system is starting up"), ("53300", "too many clients")]
        {
            let reason = said(&nobody(), &[error(state, text)]).reason();
            assert_eq!(reason, format!("answer: {text} ({state})"));
        }
    }

    #[test]
    fn logins_by_trust_md5_and_clear_text() {
        let trusted = said(&kind(somebody()), &[login(0, b""), ready()]);
        assert!(trusted.sent.ends_with(GOODBYE));
        trusted.facts();
        let hashed = said(&kind(somebody()), &[login(5, &[1, 2, 3, 4]), login(0, b""), ready()]);
        hashed.facts();
        let hash = [password::md5("check", b"secret", [1, 2, 3, 4]).as_bytes(), b"\0"].concat();
        assert!(hashed.sent.ends_with(&[message(b'p', &hash), GOODBYE.to_vec()].concat()));
        assert!(said(&kind(somebody()), &[login(3, b"")]).reason().contains("clear text"));
        let allowed = kind(Options { allow_cleartext: true, ..somebody() });
        let clear = said(&allowed, &[login(3, b""), login(0, b""), ready()]);
        assert!(clear.sent.ends_with(&[message(b'p', b"secret\0"), GOODBYE.to_vec()].concat()));
    }

    #[test]
    fn a_role_is_told() {
        let asks = kind(Options { role: true, ..somebody() });
        let came = said(&asks, &[login(0, b""), ready(), row(&["f", "1000", "f", "0", "0"])]);
        let query = message(b'Q', &[query::QUERY.as_bytes(), b"\0"].concat());
        assert!(came.sent.ends_with(&[query, GOODBYE.to_vec()].concat()));
        assert_eq!(came.facts().role, Some(Role::Primary));
        assert_eq!(came.facts().position, Some(Position::Bytes(1000)));
        let two_rows =
            [b"\0\x05".as_slice(), &[0, 0, 0, 1, b'f', 0, 0, 0, 1, b'5'], &[0, 0, 0, 1, b'f'], &[255; 8]]
                .concat();
        for (rows, part) in [
            (vec![row(&["f", "1000"])], "another row"),
            (vec![message(b'D', b"\0\x01")], "another row"),
            (vec![message(b'C', b"SELECT 0\0"), message(b'Z', b"I")], "no row"),
            (vec![error("42883", "function does not exist")], "function does not exist (42883)"),
            (vec![message(b'D', &two_rows), message(b'D', &two_rows)], "another row"),
        ] {
            let came = said(&asks, &[login(0, b""), ready(), rows.concat()]);
            assert!(came.reason().contains(part), "{}", came.reason());
        }
    }

    #[test]
    fn what_refuses_or_is_none_is_told() {
        let no_password = Options { password: None, ..somebody() };
        for (options, came, part) in [
            (
                somebody(),
                error("28P01", "password authentication failed for user \"check\""),
                "failed for user",
            ),
            (no_password.clone(), login(5, b"salt"), "give the check one"),
            (no_password, login(10, b"SCRAM-SHA-256\0\0"), "give the check one"),
            (somebody(), login(7, b""), "GSSAPI (7)"),
            (somebody(), login(99, b""), "something else (99)"),
            (somebody(), login(5, b"sal"), "without its salt"),
            (somebody(), login(10, b"SCRAM-SHA-256-PLUS\0\0"), r#"only "SCRAM-SHA-256-PLUS"#),
            (somebody(), login(11, b""), "(11)"),
            (somebody(), message(b'R', b"\0"), "without its kind"),
            (somebody(), b"HTTP/1.1 400".to_vec(), r#"no PostgreSQL: the answer begins with "HTTP/""#),
            (somebody(), message(b'Z', b"I"), "no PostgreSQL"),
            (somebody(), b"E\0\x01\0\0".to_vec(), "at most are read"),
            (somebody(), [login(0, b""), message(b'R', b"\0\0\0\0")].concat(), "no PostgreSQL"),
            (somebody(), [login(5, b"salt"), login(5, b"salt")].concat(), "out of turn"),
        ] {
            let reason = answer(&kind(options), &came, false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        let ends = |came: &[u8]| answer(&kind(somebody()), came, true).reason();
        assert!(ends(b"").contains("before the server's demand"));
        assert!(ends(b"R\0").contains(r#"after "R\x00""#));
        assert!(ends(&login(0, b"")).contains("was ready"));
    }

    /// Plays a server that knows `password`, with SCRAM.
    fn scram_login(options: Options, first: impl Fn(&str) -> String) -> (Progress, Progress) {
        let kind = kind(options);
        let mut dialogue = dialogue(&kind);
        let mut sent = Vec::new();
        dialogue.begin(&mut sent);
        sent.clear();
        dialogue.handle_bytes(&login(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), &mut sent);
        let text = String::from_utf8(sent.clone()).unwrap();
        assert!(text.contains("SCRAM-SHA-256\0\0\0\0"));
        let (_, nonce) = text.split_once("n,,n=,r=").unwrap();
        sent.clear();
        let after_first = dialogue.handle_bytes(&login(11, first(nonce).as_bytes()), &mut sent);
        (after_first, dialogue.handle_bytes(&login(0, b""), &mut sent))
    }

    #[test]
    fn scram_is_not_over_before_the_server_proved_itself() {
        let good = |nonce: &str| format!("r={nonce}xyz,s=AAAA,i=10");
        let (more, cut_short) = scram_login(somebody(), good);
        assert_eq!(more, Progress::More);
        let Progress::Bad(reason) = cut_short else { panic!("{cut_short:?}") };
        assert!(reason.text().contains("did not prove"));
        let (foreign, _) = scram_login(somebody(), |_| "r=xyz,s=AAAA,i=10".to_string());
        assert!(matches!(foreign, Progress::Bad(_)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            bytes in bytes_near(&[
                b"R\0\0\0\x08\0\0\0\0", b"R\0\0\0\x0c\0\0\0\x05salt", b"Z\0\0\0\x05I", b"S\0\0\0\x06a\0",
                b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", b"R\0\0\0\x08\0\0\0\x0b", b"E\0\0\0\x0dC28000\0\0\0",
                b"D\0\0\0\x06\0\0", b"D\0\0\0\x0b\0\x01\0\0\0\x01t", b"N\0\0\0\x04", b"R\0\0\0",
            ]),
            size in 1usize..40,
        ) {
            check_any(&nobody(), &bytes, size);
            check_any(&kind(Options { role: true, ..somebody() }), &bytes, size);
        }
    }
}
