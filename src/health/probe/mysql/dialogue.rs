//! The steps of a dialogue with MySQL.

use std::sync::Arc;

use super::super::assemble::Packet;
use super::super::{Probe, Progress, ended};
use super::Mysql;
use super::packets::{Greeting, ServerError, body_length, switch, write};
use super::rows::{Answer, Row, Rows};
use super::{password, replica};
use crate::health::facts::{Facts, Role};
use crate::health::reason::{Reason, shown};

#[derive(Debug)]
pub(in super::super) struct Dialogue {
    mysql: Arc<Mysql>,
    packet: Packet<4>,
    step: Step,
    rows: Rows,
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    /// A login was sent.
    Login,
    /// A login by another plugin was sent, as the server wanted it.
    Switched,
    /// `read_only` was asked for.
    ReadOnly,
    Status,
    /// The same in its old words.
    StatusBefore,
}

impl Dialogue {
    pub(in super::super) fn new(mysql: Arc<Mysql>) -> Self {
        Self { mysql, packet: Packet::default(), step: Step::Greeting, rows: Rows::default(), role: None }
    }

    fn step(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        // Taken out so that a packet may be looked at while the rest of us changes.
        let mut packet = std::mem::take(&mut self.packet);
        let mut answer = Ok(Progress::More);
        while answer == Ok(Progress::More) {
            answer = match packet.take(&mut input, body_length) {
                Ok(Some((header, body))) => self.take(header[3], body, out),
                Ok(None) => break,
                Err(reason) => Err(reason),
            };
        }
        self.packet = packet;
        answer
    }

    fn take(&mut self, number: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        match self.step {
            Step::Greeting => self.greeting(body, out),
            Step::Login | Step::Switched => self.login(number, body, out),
            Step::ReadOnly => match self.rows.take(body, |_| true)? {
                Answer::More => Ok(Progress::More),
                Answer::Refused(error) => Err(error.reason()),
                Answer::Rows(rows) => {
                    self.role = Some(replica::role(&rows)?);
                    self.ask(Step::Status, out);
                    Ok(Progress::More)
                }
            },
            Step::Status | Step::StatusBefore => match self.rows.take(body, replica::keeps)? {
                Answer::More => Ok(Progress::More),
                Answer::Refused(error) => self.refused(&error, out),
                Answer::Rows(rows) => self.over(&rows, out),
            },
        }
    }

    fn greeting(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        if let Some(error) = ServerError::parse(body) {
            return Err(error.reason());
        }
        let Some(greeting) = Greeting::parse(body) else {
            return Err(Reason::answer(format!("no MySQL: the answer begins with {}", shown(body))));
        };
        if !greeting.is_recent() {
            return Err(Reason::answer("the server is older than MySQL 4.1"));
        }
        // What another plugin wants, the server says when it is offered a wrong one.
        let plugin = if greeting.plugin == password::CACHING { password::CACHING } else { password::NATIVE };
        let proof = password::proof(plugin, self.mysql.password(), &greeting.scramble)?;
        greeting.write_login(self.mysql.user.as_deref().unwrap_or_default(), plugin, &proof, out);
        self.step = Step::Login;
        Ok(Progress::More)
    }

    fn login(&mut self, number: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        match body {
            [0, ..] if self.mysql.role => {
                self.ask(Step::ReadOnly, out);
                Ok(Progress::More)
            }
            [0, ..] => {
                farewell(out);
                Ok(Progress::Good(Facts::default()))
            }
            // caching_sha2_password: the hash was right, and OK follows.
            [1, 3] => Ok(Progress::More),
            [1, 4] => Err(Reason::answer(
                "caching_sha2_password wants the whole password, which needs TLS, since nobody has logged in with it \
                 for a while: log in once from elsewhere, or let the check's user have mysql_native_password",
            )),
            [0xfe, ..] if self.step == Step::Login => {
                let unknown = || Reason::answer("the server wants a login from before MySQL 4.1");
                let (plugin, scramble) = switch(body).ok_or_else(unknown)?;
                let proof = password::proof(plugin, self.mysql.password(), scramble)?;
                write(number.wrapping_add(1), &proof, out);
                self.step = Step::Switched;
                Ok(Progress::More)
            }
            [0xff, ..] => {
                let error = ServerError::parse(body)
                    .ok_or_else(|| Reason::answer(format!("an error is not understood: {}", shown(body))))?;
                if self.mysql.user.is_none() && error.is_about_who_asks() {
                    return Ok(Progress::Good(Facts::default()));
                }
                Err(error.reason())
            }
            _ => Err(Reason::answer(format!("a login was answered with {}", shown(body)))),
        }
    }

    /// The status was not told.
    fn refused(&mut self, error: &ServerError, out: &mut Vec<u8>) -> Result<Progress, Reason> {
        const NOT_UNDERSTOOD: u16 = 1064;
        const NO_RIGHT: u16 = 1227;
        match error.code {
            NOT_UNDERSTOOD if self.step == Step::Status => {
                self.ask(Step::StatusBefore, out);
                Ok(Progress::More)
            }
            NO_RIGHT => self.over(&[], out),
            _ => Err(error.reason()),
        }
    }

    fn ask(&mut self, step: Step, out: &mut Vec<u8>) {
        const QUERY: u8 = 3;
        self.step = step;
        self.rows = Rows::default();
        write(0, &[&[QUERY], step.query().as_bytes()].concat(), out);
    }

    fn over(&mut self, rows: &[Row], out: &mut Vec<u8>) -> Result<Progress, Reason> {
        let role = self.role.ok_or_else(|| Reason::answer("the status was told before the role"))?;
        let facts = replica::facts(role, rows)?;
        farewell(out);
        Ok(Progress::Good(facts))
    }
}

impl Mysql {
    fn password(&self) -> &[u8] {
        self.password.as_ref().map_or(b"", |password| password.bytes())
    }
}

impl Probe for Dialogue {
    fn begin(&mut self, _: &mut Vec<u8>) -> Progress {
        self.packet.clear();
        (self.step, self.role) = (Step::Greeting, None);
        Progress::More
    }

    fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        self.step(bytes, out).into()
    }

    fn handle_end(&mut self) -> Progress {
        let waiting_for = match self.step {
            Step::Greeting => "the greeting".to_string(),
            Step::Login | Step::Switched => "the end of the login".to_string(),
            step => format!("the answer to {}", step.query()),
        };
        ended(&waiting_for, self.packet.part())
    }
}

impl Step {
    fn query(self) -> &'static str {
        match self {
            Step::Greeting | Step::Login | Step::Switched => "",
            Step::ReadOnly => replica::READ_ONLY,
            Step::Status => replica::STATUS,
            Step::StatusBefore => replica::STATUS_BEFORE,
        }
    }
}

/// COM_QUIT.
fn farewell(out: &mut Vec<u8>) {
    write(0, &[1], out);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::super::testing::{Outcome, answer, bytes_near, check_any};
    use super::super::super::{Kind, Progress};
    use super::super::packets::tests::{ALL, WITHOUT_PLUGINS, greeting};
    use super::super::rows::tests::packets;
    use super::super::{Options, PACKET_MAX};
    use super::*;
    use crate::health::facts::Link;

    fn kind(options: Options) -> Kind {
        Kind::Mysql(Arc::new(Mysql::new(options).unwrap()))
    }

    fn nobody() -> Kind {
        kind(Options::default())
    }

    fn somebody() -> Options {
        Options { user: Some("check".into()), password: Some("secret".into()), role: false }
    }

    fn asks() -> Kind {
        kind(Options { role: true, ..somebody() })
    }

    fn packet(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(number, body, &mut bytes);
        bytes
    }

    fn error(number: u8, code: u16, text: &str) -> Vec<u8> {
        packet(number, &[&[0xff], code.to_le_bytes().as_slice(), b"#HY000", text.as_bytes()].concat())
    }

    fn rows(columns: &[&str], values: &[&[Option<&str>]]) -> Vec<u8> {
        let packets = packets(columns, values);
        packets.iter().zip(1..).map(|(body, number)| packet(number, body)).collect::<Vec<_>>().concat()
    }

    fn hello() -> Vec<u8> {
        packet(0, &greeting(ALL, password::NATIVE))
    }

    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const GOODBYE: &[u8] = &[1, 0, 0, 0, 1];

    fn said(kind: &Kind, parts: &[Vec<u8>]) -> Outcome {
        answer(kind, &parts.concat(), false)
    }

    #[test]
    fn without_a_user_a_refused_login_is_good() {
        let denied = said(&nobody(), &[hello(), error(2, 1045, "Access denied for user ''@'x'")]);
        assert_eq!(*denied.facts(), Facts::default());
        // 32 fixed bytes, no name, no proof, the plugin's name.
        assert_eq!(denied.sent.len(), 4 + 32 + 1 + 1 + 22);
        assert_eq!(denied.sent[..4], [56, 0, 0, 1]);
        said(&nobody(), &[hello(), packet(2, b"\xfecaching_sha2_password\x0001234567890123456789\0")]);
        let switched = [hello(), packet(2, b"\xfesha256_password\0xyz\0"), error(4, 1045, "denied")];
        assert!(said(&nobody(), &switched).sent.ends_with(&[0, 0, 0, 3]));
        said(&nobody(), &switched).facts();
        let anonymous = said(&nobody(), &[hello(), packet(2, OK)]);
        assert!(anonymous.sent.ends_with(GOODBYE));
        for (came, part) in [
            (vec![error(0, 1040, "Too many connections")], "Too many connections (1040)"),
            (vec![error(0, 1129, "Host 'x' is blocked")], "is blocked"),
            (vec![error(0, 1130, "Host 'x' is not allowed to connect")], "not allowed"),
            (vec![hello(), error(2, 1053, "Server shutdown in progress")], "shutdown"),
        ] {
            assert!(said(&nobody(), &came).reason().contains(part));
        }
    }

    #[test]
    fn logins_by_both_plugins_and_switches() {
        let scramble = b"0123456789abcdefghij";
        for (first, plugin) in [
            (password::NATIVE, password::NATIVE),
            (password::CACHING, password::CACHING),
            (b"client_ed25519", password::NATIVE),
        ] {
            let came = said(&kind(somebody()), &[packet(0, &greeting(ALL, first)), packet(2, OK)]);
            came.facts();
            let proof = password::proof(plugin, b"secret", scramble).unwrap();
            let length = [u8::try_from(proof.len()).unwrap()];
            let end = [b"check\0".as_slice(), &length, &proof, plugin, b"\0", GOODBYE].concat();
            assert!(came.sent.ends_with(&end));
        }
        let old = said(&kind(somebody()), &[packet(0, &greeting(WITHOUT_PLUGINS, b"")), packet(2, OK)]);
        old.facts();
        assert!(!old.sent.windows(21).any(|part| part == password::NATIVE));
        let fast = [packet(0, &greeting(ALL, password::CACHING)), packet(2, &[1, 3]), packet(3, OK)];
        said(&kind(somebody()), &fast).facts();
        let demand = [b"\xfecaching_sha2_password\0".as_slice(), scramble, b"\0"].concat();
        let switched = [hello(), packet(2, &demand), packet(4, &[1, 3]), packet(5, OK)];
        let came = said(&kind(somebody()), &switched);
        came.facts();
        let proof = password::proof(password::CACHING, b"secret", scramble).unwrap();
        assert!(came.sent.ends_with(&[packet(3, &proof), GOODBYE.to_vec()].concat()));
    }

    #[test]
    fn a_role_is_told_with_its_lag() {
        let read_only = |value| rows(&["@@global.read_only"], &[&[Some(value)]]);
        let login = [hello(), packet(2, OK)].concat();
        let primary = said(&asks(), &[login.clone(), read_only("0"), rows(&["Replica_IO_Running"], &[])]);
        assert_eq!(*primary.facts(), Facts { role: Some(Role::Primary), ..Facts::default() });
        let asked =
            [b"\x1a\0\0\0\x03SELECT @@global.read_only".as_slice(), b"\x14\0\0\0\x03SHOW REPLICA STATUS"];
        assert!(primary.sent.ends_with(&[&asked.concat(), GOODBYE].concat()));
        let columns = ["Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"];
        let status = rows(&columns, &[&[Some("Yes"), Some("Yes"), Some("4")]]);
        let before = said(&asks(), &[login.clone(), read_only("1"), error(1, 1064, "syntax"), status]);
        let facts = before.facts();
        assert_eq!((facts.role, facts.link), (Some(Role::Replica), Some(Link::Up)));
        assert_eq!(facts.lag, Some(Duration::from_secs(4)));
        let no_right =
            said(&asks(), &[login.clone(), read_only("1"), error(1, 1227, "Access denied; you need")]);
        assert_eq!(*no_right.facts(), Facts { role: Some(Role::Replica), ..Facts::default() });
        let twice = [login.clone(), read_only("1"), error(1, 1064, "syntax"), error(1, 1064, "again")];
        assert!(said(&asks(), &twice).reason().contains("again (1064)"));
        let refused = said(&asks(), &[login, error(1, 1193, "Unknown system variable")]);
        assert!(refused.reason().contains("Unknown system variable"));
    }

    #[test]
    fn what_refuses_or_is_none_is_told() {
        let bodies = |first: &[u8], second: &[u8]| [packet(0, first), packet(2, second)].concat();
        let good = greeting(ALL, password::NATIVE);
        for (came, part) in [
            (
                bodies(&good, b"\xff\x15\x04#28000Access denied for user 'check'"),
                "Access denied for user 'check' (1045)",
            ),
            (bodies(&greeting(ALL, password::CACHING), &[1, 4]), "needs TLS"),
            (bodies(&good, b"\xfemysql_clear_password\0"), "clear text"),
            (bodies(&good, b"\xfeclient_ed25519\0xyz"), "client_ed25519"),
            (bodies(&good, &[0xfe]), "before MySQL 4.1"),
            (bodies(&good, &[1, 9]), "answered with"),
            (bodies(&good, &[0xff]), "an error is not understood"),
            (bodies(&greeting(1, b""), OK), "older than MySQL 4.1"),
            (bodies(&[9, 0], OK), r#"no MySQL: the answer begins with "\t\x00""#),
            (b"HTTP/1.1 400 Bad Request".to_vec(), "no MySQL: the answer begins with \"HTTP\""),
            (b"\0\0\0\0".to_vec(), "a packet has 0 bytes"),
        ] {
            let reason = answer(&kind(somebody()), &came, false).reason();
            assert!(reason.contains(part), "{reason}");
        }
        let twice = [
            hello(),
            packet(2, b"\xfemysql_native_password\0xyz"),
            packet(4, b"\xfemysql_native_password\0xyz"),
        ];
        assert!(said(&kind(somebody()), &twice).reason().contains("answered with"));
        let ends = |came: &[u8]| answer(&asks(), came, true).reason();
        assert!(ends(b"").contains("before the greeting"));
        assert!(ends(&hello()).contains("end of the login"));
        assert!(ends(&[hello(), packet(2, OK)].concat()).contains("answer to SELECT @@global.read_only"));
        let [a, b, c, _] = (PACKET_MAX as u32).to_le_bytes();
        assert_eq!(answer(&nobody(), &[a, b, c, 0], false).answer, Progress::More);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_panics(
            packets in proptest::collection::vec(bytes_near(&[
                b"\x0a8\0\0\0\0\x0001234567\0", b"\xff\xff\x2d\0\0\xff\xff\x15\0\0\0\0\0\0\0\0\0\0", b"89abcdefghij\0",
                b"mysql_native_password\0", b"\0\0\0\x02\0\0\0", b"\x01", b"\xfe\0\0\0\0", b"\xff\x15\x04#28000",
                b"\x03def\0\0\0\x01a\0", b"\x011", b"\xfb",
            ]), 0..6),
            size in 1usize..40,
            extra in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let framed: Vec<u8> = packets.iter().map(|body| packet(0, body)).collect::<Vec<_>>().concat();
            let bytes = [framed, extra].concat();
            check_any(&nobody(), &bytes, size);
            check_any(&asks(), &bytes, size);
            check_any(&asks(), &[hello(), packet(2, OK), bytes].concat(), size);
        }
    }
}
