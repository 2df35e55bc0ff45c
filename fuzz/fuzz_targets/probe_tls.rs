//! Records of TLS, mostly with the right lengths.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::Kind;
use trimtab::health::probe::tls::{Options, Tls};

#[path = "../common/dialogue.rs"]
mod dialogue;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    parts: Vec<Part<'a>>,
    /// Of how many bytes of messages one record is.
    record: u8,
    cuts: dialogue::Cuts,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Any(&'a [u8]),
    Alert(u8, u8),
    Message(u8, &'a [u8]),
    ServerHello { version: [u8; 2], session: &'a [u8], suite: u8, extensions: &'a [u8] },
}

const SUITES: [[u8; 2]; 4] = [[0x13, 0x01], [0xc0, 0x2f], [0x00, 0x9c], [0x00, 0x2f]];

fuzz_target!(|run: Run<'_>| {
    let mut bytes = Vec::new();
    for part in &run.parts {
        match part {
            Part::Any(any) => bytes.extend_from_slice(any),
            Part::Alert(level, number) => bytes.extend_from_slice(&[21, 3, 3, 0, 2, *level, *number]),
            Part::Message(kind, body) => records(*kind, body, run.record, &mut bytes),
            Part::ServerHello { version, session, suite, extensions } => {
                let mut body = if version[0] < 0x80 { vec![3, 3] } else { version.to_vec() };
                body.extend_from_slice(&[7; 32]);
                let session = &session[..session.len().min(32)];
                body.push(session.len() as u8);
                body.extend_from_slice(session);
                body.extend_from_slice(&SUITES[usize::from(*suite) % SUITES.len()]);
                body.push(0);
                if !extensions.is_empty() {
                    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
                    body.extend_from_slice(extensions);
                }
                records(2, &body, run.record, &mut bytes);
            }
        }
    }
    let options = Options { server_name: Some("app.example.org".into()), alpn: vec!["h2".into()] };
    let kind = Kind::Tls(Arc::new(Tls::new(&options).expect("it is right")));
    dialogue::check(&kind, &bytes, &run.cuts, true);
});

fn records(kind: u8, body: &[u8], size: u8, bytes: &mut Vec<u8>) {
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[kind], &length[1..], body].concat();
    for part in message.chunks(usize::from(size).max(1)) {
        bytes.extend_from_slice(&[22, 3, 3]);
        bytes.extend_from_slice(&(part.len() as u16).to_be_bytes());
        bytes.extend_from_slice(part);
    }
}
