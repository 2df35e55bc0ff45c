//! `check` of a pool: what is asked of its backends, how often, and what they must be.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use crate::balance::Address;
use crate::error::Error;
use crate::health::facts::Role;
use crate::health::options::{Initial, LAG_MAX, Options, Target, VERDICTS_MAX};
use crate::health::probe::pattern::Pattern;
use crate::health::probe::{Kind, agent, http, mysql, postgres, redis, script, smtp, tls};
use crate::health::secret::Secret;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::schema::{CHECK, EXPECT_HEADER, HEADER, STEP};
use crate::server::config::suggest::shown;
use crate::server::config::{Check, Login, LoginKind};

/// The keys that every kind has.
const COMMON: [&str; 10] = [
    "kind",
    "interval",
    "interval_transition",
    "interval_down",
    "timeout",
    "rise",
    "fall",
    "initial",
    "jitter",
    "address",
];

/// A kind by its name, and the keys that are its own.
#[derive(Clone, Copy)]
struct Form {
    kind: Asked,
    keys: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Tcp,
    Script,
    Http,
    Tls,
    Redis,
    Postgres,
    Mysql,
    Smtp,
    Agent,
}

const LOGIN: &[&str] = &["port", "user", "password_file"];

const FORMS: [(&str, Form); 9] = [
    ("tcp", Form { kind: Asked::Tcp, keys: &["port"] }),
    ("script", Form { kind: Asked::Script, keys: &["port", "steps"] }),
    (
        "http",
        Form {
            kind: Asked::Http,
            keys: &[
                "port",
                "method",
                "path",
                "host",
                "headers",
                "statuses",
                "expect",
                "expect_regex",
                "expect_headers",
            ],
        },
    ),
    ("tls", Form { kind: Asked::Tls, keys: &["port", "server_name", "alpn"] }),
    ("redis", Form { kind: Asked::Redis, keys: LOGIN }),
    (
        "postgres",
        Form {
            kind: Asked::Postgres,
            keys: &["port", "user", "password_file", "database", "allow_cleartext"],
        },
    ),
    ("mysql", Form { kind: Asked::Mysql, keys: LOGIN }),
    ("smtp", Form { kind: Asked::Smtp, keys: &["port", "name"] }),
    ("agent", Form { kind: Asked::Agent, keys: &["port", "send"] }),
];

/// Reads the check of a pool, with the role and the lag that the pool asks for.
pub(super) fn read(pool: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<Check> {
    let roles = [("primary", Role::Primary), ("replica", Role::Replica)];
    let role = pool.choice("role", &roles, &[], problems);
    let lag_max = pool.duration("lag_max", problems);
    let Some(fields) = pool.table("check", &CHECK, problems) else {
        // The nodes of a store are asked nothing; that it does not go together is told with them.
        let is_of_store = pool.has("store");
        for (key, at) in [("role", role.map(|role| role.at)), ("lag_max", lag_max.map(|lag| lag.at))] {
            if let Some(at) = at.filter(|_| !is_of_store) {
                let hint = "add check = { kind = \"postgres\", user = \"monitor\" }, or mysql or redis";
                problems.add(at, format!("{key} needs a check that tells it"), hint);
            }
        }
        return None;
    };
    let forms = FORMS;
    let form = match fields.has("kind") {
        true => fields.choice("kind", &forms, &[], problems)?.value,
        false => FORMS[0].1,
    };
    foreign_keys(&fields, form, problems);
    let mut asked = Asking { fields: &fields, problems, role: role.is_some() || lag_max.is_some() };
    let (kind, login) = asked.kind(form.kind)?;
    let options = common(&fields, kind, problems);
    let mut check = Check { options, login };
    if let Some(At { at, value }) = role {
        set(&mut check.options, at, "role", problems, |options| options.role = Some(value));
    }
    if let Some(At { at, value }) = lag_max {
        if value > LAG_MAX {
            problems.add(at, "lag_max is more than a day".to_string(), "");
        }
        // Who is behind is a replica.
        set(&mut check.options, at, "lag_max", problems, |options| {
            options.lag_max = Some(value);
            options.role = options.role.or(Some(Role::Replica));
        });
    }
    Some(check)
}

fn foreign_keys(fields: &Fields<'_, '_>, form: Form, problems: &mut Problems<'_>) {
    let name = FORMS.iter().find(|(_, known)| known.kind == form.kind).map_or("", |(name, _)| name);
    for key in CHECK.names() {
        if fields.has(key) && !COMMON.contains(&key) && !form.keys.contains(&key) {
            let at = fields.value_at(key);
            let kinds: Vec<_> =
                FORMS.iter().filter(|(_, form)| form.keys.contains(&key)).map(|(name, _)| *name).collect();
            let hint = format!("take it out, or choose the kind {}", kinds.join(" or "));
            problems.add(at, format!("{key} does not go with the kind {name}"), hint);
        }
    }
}

fn common(fields: &Fields<'_, '_>, kind: Kind, problems: &mut Problems<'_>) -> Options {
    let mut options = Options { kind, ..Options::default() };
    type Set = fn(&mut Options, Duration);
    let durations: [(&'static str, Set); 4] = [
        ("interval", |options, value| options.interval = value),
        ("interval_transition", |options, value| options.interval_transition = Some(value)),
        ("interval_down", |options, value| options.interval_down = Some(value)),
        ("timeout", |options, value| options.timeout = value),
    ];
    for (key, change) in durations {
        if let Some(At { at, value }) = fields.duration(key, problems) {
            set(&mut options, at, key, problems, |options| change(options, value));
        }
    }
    let verdicts = 1..=i128::from(VERDICTS_MAX);
    if let Some(rise) = fields.integer("rise", verdicts.clone(), problems) {
        options.rise = rise.value;
    }
    if let Some(fall) = fields.integer("fall", verdicts, problems) {
        options.fall = fall.value;
    }
    if let Some(initial) = fields.choice("initial", &Initial::NAMES, &[], problems) {
        options.initial = initial.value;
    }
    if let Some(At { at, value }) = fields.number("jitter", problems) {
        set(&mut options, at, "jitter", problems, |options| options.jitter = value);
    }
    let port = fields.integer::<u16>("port", 1..=65_535, problems);
    if let Some(port) = port.and_then(|port| NonZeroU16::new(port.value)) {
        options.target = Target::Port(port);
    }
    if let Some(At { at, value: text }) = fields.text("address", problems) {
        if port.is_some() {
            problems.add(at, "a check has port or address, not both", "the address has a port of its own");
        }
        match text.parse::<Address>() {
            Ok(Address::Inet(address)) => options.target = Target::Inet(address),
            Ok(Address::Unix(path)) => options.target = Target::Unix(path),
            Err(error) => problems.add(at, format!("address {}", error.into_detail()), ""),
        }
    }
    options
}

/// Makes a change when the check takes it.
fn set(
    options: &mut Options,
    at: usize,
    key: &str,
    problems: &mut Problems<'_>,
    change: impl FnOnce(&mut Options),
) {
    let mut changed = options.clone();
    change(&mut changed);
    match changed.check() {
        Ok(()) => *options = changed,
        Err(error) => problems.add(at, format!("{key}: {}", error.into_detail()), ""),
    }
}

/// Reads what is asked.
struct Asking<'f, 'a, 't, 'p, 'q> {
    fields: &'f Fields<'a, 't>,
    problems: &'p mut Problems<'q>,
    /// Whether the role is to be told.
    role: bool,
}

impl Asking<'_, '_, '_, '_, '_> {
    fn kind(&mut self, asked: Asked) -> Option<(Kind, Option<Login>)> {
        let made = match asked {
            Asked::Tcp => Ok(Kind::Tcp),
            Asked::Script => self.script()?,
            Asked::Http => self.http()?,
            Asked::Tls => {
                let server_name = self.text("server_name");
                let alpn = self.fields.texts("alpn", self.problems).unwrap_or_default();
                tls::Tls::new(&tls::Options { server_name, alpn }).map(|tls| Kind::Tls(tls.into()))
            }
            Asked::Smtp => {
                let name = self.text("name");
                let options = name.map_or_else(smtp::Options::default, |name| smtp::Options { name });
                smtp::Smtp::new(options).map(|smtp| Kind::Smtp(smtp.into()))
            }
            Asked::Agent => {
                let send = self.text("send").unwrap_or_default().into_bytes();
                agent::Agent::new(agent::Options { send }).map(|agent| Kind::Agent(agent.into()))
            }
            Asked::Redis => return self.login(LoginKind::Redis),
            Asked::Postgres => return self.login(LoginKind::Postgres),
            Asked::Mysql => return self.login(LoginKind::Mysql),
        };
        self.made(made).map(|kind| (kind, None))
    }

    /// The password is in a file, which is read when the server is made; all else is checked here.
    fn login(&mut self, kind: LoginKind) -> Option<(Kind, Option<Login>)> {
        let login = Login {
            kind,
            user: self.text("user"),
            password_file: self.text("password_file").map(PathBuf::from),
            password_at: self.problems.position(self.fields.value_at("password_file")),
            database: if kind == LoginKind::Postgres { self.text("database") } else { None },
            allow_cleartext: kind == LoginKind::Postgres
                && self.fields.boolean("allow_cleartext", self.problems).is_some_and(|allow| allow.value),
            role: self.role,
        };
        let stand_in = login.password_file.as_ref().map(|_| Secret::from("stand-in"));
        let made = login.ask(stand_in);
        self.made(made).map(|kind| (kind, Some(login)))
    }

    fn http(&mut self) -> Option<Result<Kind, Error>> {
        let mut options = http::Options { host: self.text("host"), ..http::Options::default() };
        if let Some(method) = self.text("method") {
            options.method = method;
        }
        if let Some(path) = self.text("path") {
            options.path = path;
        }
        for fields in self.fields.tables("headers", &HEADER, self.problems) {
            let name = fields.required_text("name", self.problems)?;
            let value = fields.required_text("value", self.problems)?;
            options.headers.push((name.value.to_string(), value.value.to_string()));
        }
        if let Some(ranges) = self.fields.texts("statuses", self.problems) {
            options.statuses = http::Statuses::none();
            for range in ranges {
                let (first, last) = range.split_once('-').unwrap_or((&range, &range));
                let added = match (first.trim().parse(), last.trim().parse()) {
                    (Ok(first), Ok(last)) => options.statuses.add(first, last).map_err(Error::into_detail),
                    _ => Err(format!("{} is no status and no range of them", shown(&range))),
                };
                if let Err(why) = added {
                    let at = self.fields.value_at("statuses");
                    self.problems.add(at, format!("statuses: {why}"), "write [\"200-299\", \"401\"]");
                    return None;
                }
            }
        }
        options.body = self.pattern(self.fields, "expect", "expect_regex")?;
        for fields in self.fields.tables("expect_headers", &EXPECT_HEADER, self.problems) {
            let name = fields.required_text("name", self.problems)?.value.to_string();
            let value = self.pattern(&fields, "value", "value_regex")?;
            options.expect_headers.push(http::ExpectHeader { name, value });
        }
        Some(http::Http::new(options).map(|http| Kind::Http(http.into())))
    }

    fn script(&mut self) -> Option<Result<Kind, Error>> {
        if !self.fields.has("steps") {
            let hint = "for example steps = [{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]";
            self.problems.add(self.fields.at(), "steps is missing in pool.check", hint);
            return None;
        }
        let mut steps = Vec::new();
        for fields in self.fields.tables("steps", &STEP, self.problems) {
            let given: Vec<_> = STEP.names().filter(|key| fields.has(key)).collect();
            let [key] = given[..] else {
                let hint = format!("known are {}", STEP.names().collect::<Vec<_>>().join(", "));
                self.problems.add(fields.at(), "a step has one key, which says what it does", hint);
                return None;
            };
            let At { at, value } = fields.text(key, self.problems)?;
            let step = match key {
                "send" => Ok(script::Step::Send(value.as_bytes().to_vec())),
                "send_hex" => script::Step::send_hex(value),
                "expect" => Pattern::bytes(value.as_bytes()).map(script::Step::Expect),
                "expect_hex" => Pattern::hex(value).map(script::Step::Expect),
                _ => Pattern::regex(value).map(script::Step::Expect),
            };
            match step {
                Ok(step) => steps.push(step),
                Err(error) => {
                    self.problems.add(at, format!("{key}: {}", error.into_detail()), "");
                    return None;
                }
            }
        }
        Some(script::Script::new(steps).map(|script| Kind::Script(script.into())))
    }

    /// `Some(None)` when neither key is there, `None` when one of them is wrong.
    fn pattern(&mut self, fields: &Fields<'_, '_>, text: &str, regex: &str) -> Option<Option<Pattern>> {
        let (key, made) = match (fields.has(text), fields.has(regex)) {
            (false, false) => return Some(None),
            (true, true) => {
                self.problems.add(
                    fields.value_at(regex),
                    format!("{text} and {regex} exclude each other"),
                    "",
                );
                return None;
            }
            (true, false) => (text, Pattern::bytes(fields.text(text, self.problems)?.value.as_bytes())),
            (false, true) => (regex, Pattern::regex(fields.text(regex, self.problems)?.value)),
        };
        match made {
            Ok(pattern) => Some(Some(pattern)),
            Err(error) => {
                self.problems.add(fields.value_at(key), format!("{key}: {}", error.into_detail()), "");
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.fields.text(key, self.problems).map(|text| text.value.to_string())
    }

    fn made(&mut self, made: Result<Kind, Error>) -> Option<Kind> {
        match made {
            Ok(kind) => Some(kind),
            Err(error) => {
                let at = match &error {
                    Error::InvalidArgument { what, .. }
                        if CHECK.key(what).is_some() && self.fields.has(what) =>
                    {
                        self.fields.value_at(what)
                    }
                    _ => self.fields.at(),
                };
                self.problems.add(at, error.to_string(), "");
                None
            }
        }
    }
}

impl Login {
    /// What to ask, with this password.
    pub(in crate::server) fn ask(&self, password: Option<Secret>) -> Result<Kind, Error> {
        match self.kind {
            LoginKind::Redis => {
                let options = redis::Options { user: self.user.clone(), password, role: self.role };
                redis::Redis::new(&options).map(|redis| Kind::Redis(redis.into()))
            }
            LoginKind::Postgres => {
                let options = postgres::Options {
                    user: self.user.clone(),
                    password,
                    database: self.database.clone(),
                    role: self.role,
                    allow_cleartext: self.allow_cleartext,
                };
                postgres::Postgres::new(options).map(|postgres| Kind::Postgres(postgres.into()))
            }
            LoginKind::Mysql => {
                let options = mysql::Options { user: self.user.clone(), password, role: self.role };
                mysql::Mysql::new(options).map(|mysql| Kind::Mysql(mysql.into()))
            }
        }
    }
}
