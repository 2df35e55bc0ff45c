//! Plays the servers of `tests/data/dialogues` again.

use std::sync::Arc;

use super::redis;
use super::testing::{Outcome, answer};
use super::{Kind, smtp, tls};
#[cfg(feature = "probes-sql")]
use super::{mysql, postgres};
use crate::health::facts::{Facts, Link, Position, Role};

/// What both sides said, and whether the server ended the connection.
struct Recorded {
    sent: Vec<u8>,
    came: Vec<u8>,
    ends: bool,
}

impl Recorded {
    fn parse(text: &str) -> Self {
        let mut recorded = Self { sent: Vec::new(), came: Vec::new(), ends: false };
        for line in text.lines() {
            match line.split_once(' ').unwrap() {
                (">", hex) => recorded.sent.extend(bytes(hex)),
                ("<", hex) => recorded.came.extend(bytes(hex)),
                ("=", "end") => recorded.ends = true,
                other => panic!("{other:?}"),
            }
        }
        recorded
    }
}

fn bytes(hex: &str) -> impl Iterator<Item = u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len() / 2).map(move |at| digits[2 * at] << 4 | digits[2 * at + 1])
}

macro_rules! play {
    ($kind:expr, $file:literal) => {
        play(&$kind, include_str!(concat!("../../../tests/data/dialogues/", $file, ".txt")))
    };
}

/// The probe says what it said then; its answer.
fn play(kind: &Kind, text: &str) -> Outcome {
    let recorded = Recorded::parse(text);
    assert!(recorded.came.len() > 5);
    let outcome = answer(kind, &recorded.came, recorded.ends);
    assert_eq!(outcome.sent, recorded.sent);
    outcome
}

fn primary(position: Option<u64>) -> Facts {
    Facts { role: Some(Role::Primary), position: position.map(Position::Bytes), ..Facts::default() }
}

#[cfg(feature = "probes-sql")]
#[test]
fn postgresql() {
    let kind = |user: Option<&str>, password: Option<&str>, role| {
        let options = postgres::Options {
            user: user.map(str::to_string),
            password: password.map(Into::into),
            database: user.map(|_| "postgres".to_string()),
            role,
            allow_cleartext: false,
        };
        Kind::Postgres(Arc::new(postgres::Postgres::new(options).unwrap()))
    };
    let check = || kind(Some("check"), Some("secret"), true);
    let replica = |position, lag: u64, lag_bytes, link| Facts {
        role: Some(Role::Replica),
        position: Some(Position::Bytes(position)),
        lag: Some(std::time::Duration::from_millis(lag)),
        lag_bytes: Some(lag_bytes),
        link: Some(link),
        orders: None,
    };
    assert_eq!(*play!(kind(None, None, false), "postgres-nobody").facts(), Facts::default());
    assert_eq!(*play!(check(), "postgres-scram-primary").facts(), primary(Some(50_331_744)));
    assert_eq!(*play!(check(), "postgres-scram-replica").facts(), replica(50_331_744, 0, 0, Link::Up));
    assert_eq!(*play!(check(), "postgres-lagging").facts(), replica(50_331_744, 55_862, 64_680, Link::Up));
    assert_eq!(*play!(check(), "postgres-cut-off").facts(), replica(50_396_424, 4_889, 0, Link::Down));
    let wrong = play!(kind(Some("check"), Some("wrong"), true), "postgres-scram-wrong").reason();
    assert!(wrong.contains("password authentication failed") && wrong.contains("28P01"), "{wrong}");
    // The ligature is what SASLprep takes apart.
    let unicode = kind(Some("check2"), Some("пароль \u{fb00}"), false);
    assert_eq!(*play!(unicode, "postgres-scram-unicode").facts(), Facts::default());
    let hashed = kind(Some("md5user"), Some("secret"), true);
    assert_eq!(*play!(hashed, "postgres-md5").facts(), primary(Some(50_331_744)));
    assert_eq!(*play!(kind(Some("trusty"), None, true), "postgres-trust").facts(), primary(Some(50_331_744)));
}

#[cfg(feature = "probes-sql")]
#[test]
fn mariadb() {
    let kind = |user: Option<&str>, password: Option<&str>, role| {
        let options =
            mysql::Options { user: user.map(str::to_string), password: password.map(Into::into), role };
        Kind::Mysql(Arc::new(mysql::Mysql::new(options).unwrap()))
    };
    let check = || kind(Some("check"), Some("secret"), true);
    let replica = |lag: Option<u64>, link| Facts {
        role: Some(Role::Replica),
        position: Some(Position::File { file: "bin.000001".into(), offset: 756 }),
        lag: lag.map(std::time::Duration::from_secs),
        lag_bytes: Some(0),
        link: Some(link),
        orders: None,
    };
    assert_eq!(*play!(kind(None, None, false), "mariadb-nobody").facts(), Facts::default());
    assert_eq!(*play!(check(), "mariadb-primary").facts(), primary(None));
    assert_eq!(*play!(check(), "mariadb-replica").facts(), replica(Some(0), Link::Up));
    assert_eq!(*play!(check(), "mariadb-stopped").facts(), replica(None, Link::Down));
    let no_rights = play!(kind(Some("norights"), Some("secret"), true), "mariadb-norights");
    assert_eq!(*no_rights.facts(), Facts { role: Some(Role::Replica), ..Facts::default() });
    let unknown = play!(kind(Some("ed"), Some("secret"), false), "mariadb-ed25519").reason();
    assert!(unknown.contains("client_ed25519"), "{unknown}");
    let wrong = play!(kind(Some("check"), Some("wrong"), true), "mariadb-wrong").reason();
    assert!(wrong.contains("Access denied for user 'check'") && wrong.contains("1045"), "{wrong}");
}

#[test]
fn redis() {
    let kind = |password: Option<&str>, role| {
        let options = redis::Options { user: None, password: password.map(Into::into), role };
        Kind::Redis(Arc::new(redis::Redis::new(&options).unwrap()))
    };
    assert_eq!(*play!(kind(None, false), "redis-noauth").facts(), Facts::default());
    assert_eq!(*play!(kind(Some("secret"), true), "redis-primary").facts(), primary(Some(28)));
    let replica = |position: Option<u64>, link| Facts {
        role: Some(Role::Replica),
        position: position.map(Position::Bytes),
        link: Some(link),
        ..Facts::default()
    };
    assert_eq!(*play!(kind(Some("secret"), true), "redis-replica").facts(), replica(Some(28), Link::Up));
    assert_eq!(*play!(kind(Some("secret"), true), "redis-cut-off").facts(), replica(None, Link::Down));
    assert!(play!(kind(Some("wrong"), true), "redis-wrong").reason().contains("WRONGPASS"));
}

#[test]
fn openssl() {
    let kind = |options| Kind::Tls(Arc::new(tls::Tls::new(&options).unwrap()));
    let named = || tls::Options {
        server_name: Some("app.example.org".into()),
        alpn: vec!["h2".into(), "http/1.1".into()],
    };
    assert_eq!(*play!(kind(named()), "tls-1.3").facts(), Facts::default());
    assert_eq!(*play!(kind(named()), "tls-1.2").facts(), Facts::default());
    assert!(play!(kind(tls::Options::default()), "tls-refused").reason().contains("protocol_version"));
}

#[test]
fn mail() {
    let kind = Kind::Smtp(Arc::new(smtp::Smtp::new(smtp::Options::default()).unwrap()));
    assert_eq!(*play!(kind, "smtp").facts(), Facts::default());
}
