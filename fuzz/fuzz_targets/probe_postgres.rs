//! Messages of PostgreSQL, mostly with the right lengths. In SCRAM the server knows the client's nonce, so the
//! exchange goes on, but not the password, so it never ends well.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::probe::postgres::{Options, Postgres};
use trimtab::health::{Kind, Progress};

#[path = "../common/dialogue.rs"]
mod dialogue;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    has_user: bool,
    role: bool,
    parts: Vec<Part<'a>>,
    cuts: dialogue::Cuts,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Raw(&'a [u8]),
    Message(u8, &'a [u8]),
    Authentication(u8, &'a [u8]),
    Mechanisms,
    ScramFirst { more: &'a str, salt: u8, rounds: u32 },
    ScramLast(&'a [u8]),
    Error(&'a str, &'a str),
    Ready,
    Row(Vec<Option<&'a [u8]>>),
    GoodRow { is_replica: bool, numbers: [Option<i64>; 3], has_receiver: bool },
}

const SALTS: [&str; 3] = ["AAAA", "c2FsdA==", ""];

fuzz_target!(|run: Run<'_>| {
    let options = Options {
        user: run.has_user.then(|| "check".into()),
        password: run.has_user.then(|| "secret".into()),
        role: run.has_user && run.role,
        ..Options::default()
    };
    let kind = Kind::Postgres(Arc::new(Postgres::new(options).expect("it is right")));
    // What the client says to a server that wants SCRAM: its nonce is the same in each run.
    let mut first = dialogue::dialogue(&kind);
    let mut sent = Vec::new();
    first.begin(&mut sent);
    first.handle_bytes(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"), &mut sent);
    let sent = String::from_utf8_lossy(&sent);
    let nonce = sent.split_once("n,,n=,r=").map_or("", |(_, nonce)| nonce);

    let mut bytes = Vec::new();
    let (mut is_login_plain, mut has_scram) = (false, false);
    for part in &run.parts {
        bytes.extend(match part {
            Part::Raw(raw) => {
                is_login_plain = true;
                raw.to_vec()
            }
            Part::Message(kind, body) => {
                is_login_plain = true;
                message(*kind, body)
            }
            Part::Authentication(kind, rest) => {
                is_login_plain |= matches!(kind, 0 | 3 | 5);
                message(b'R', &[&[0, 0, 0, *kind], *rest].concat())
            }
            Part::Mechanisms => message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
            Part::ScramFirst { more, salt, rounds } => {
                has_scram = true;
                // Few rounds, or too many.
                let rounds = if rounds % 8 == 0 { *rounds | 0x1_0001 } else { rounds % 40 };
                let salt = SALTS[usize::from(*salt) % SALTS.len()];
                let text = format!("r={nonce}{more},s={salt},i={rounds}");
                message(b'R', &[b"\0\0\0\x0b", text.as_bytes()].concat())
            }
            Part::ScramLast(rest) => message(b'R', &[b"\0\0\0\x0cv=", *rest].concat()),
            Part::Error(state, text) => message(b'E', format!("C{state}\0M{text}\0\0").as_bytes()),
            Part::Ready => message(b'Z', b"I"),
            Part::Row(columns) => message(b'D', &row(columns)),
            Part::GoodRow { is_replica, numbers, has_receiver } => {
                let boolean = |is: bool| Some(if is { b"t".to_vec() } else { b"f".to_vec() });
                let [position, bytes, millis] = numbers.map(|n| n.map(|n| n.to_string().into_bytes()));
                let columns = [boolean(*is_replica), position, boolean(*has_receiver), bytes, millis];
                let columns: Vec<_> = columns.iter().map(|column| column.as_deref()).collect();
                message(b'D', &row(&columns))
            }
        });
    }
    let answer = dialogue::check(&kind, &bytes, &run.cuts, !has_scram);
    if run.has_user && !is_login_plain {
        assert!(!matches!(answer, Progress::Good(_)), "nobody proved to know the password");
    }
});

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn row(columns: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        match column {
            None => body.extend_from_slice(&[0xff; 4]),
            Some(value) => {
                body.extend_from_slice(&(value.len() as u32).to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    body
}
