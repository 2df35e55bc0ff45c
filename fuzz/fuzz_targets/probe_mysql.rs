//! Packets of MySQL, mostly with the right lengths.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::Kind;
use trimtab::health::probe::mysql::{Mysql, Options};

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
    Packet(u8, &'a [u8]),
    Greeting(u8, u32),
    Ok,
    Error(u16),
    Switch(u8, &'a [u8]),
    More(u8),
    /// An answer with these columns, and rows of these values.
    Rows {
        columns: Vec<u8>,
        rows: Vec<Vec<Option<&'a [u8]>>>,
    },
}

const PLUGINS: [&[u8]; 4] =
    [b"mysql_native_password", b"caching_sha2_password", b"client_ed25519", b"mysql_clear_password"];
const COLUMNS: [&[u8]; 8] = [
    b"@@global.read_only",
    b"Slave_IO_Running",
    b"Replica_SQL_Running",
    b"Seconds_Behind_Source",
    b"Relay_Master_Log_File",
    b"Exec_Master_Log_Pos",
    b"Master_Log_File",
    b"Read_Master_Log_Pos",
];

fuzz_target!(|run: Run<'_>| {
    let mut bytes = Vec::new();
    for part in &run.parts {
        match part {
            Part::Raw(raw) => bytes.extend_from_slice(raw),
            Part::Packet(number, body) => packet(*number, body, &mut bytes),
            Part::Greeting(plugin, missing) => {
                let [a, b, c, d] = (!(missing & missing.rotate_left(7))).to_le_bytes();
                let mut body = b"\x0a10.11.19-MariaDB\0\x01\0\0\x0001234567\0".to_vec();
                body.extend_from_slice(&[a, b, 45, 2, 0, c, d, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                body.extend_from_slice(b"89abcdefghij\0");
                body.extend_from_slice(plugin_name(*plugin));
                body.push(0);
                packet(0, &body, &mut bytes);
            }
            Part::Ok => packet(2, &[0, 0, 0, 2, 0, 0, 0], &mut bytes),
            Part::Error(code) => {
                let code = [1045, 1064, 1227, *code][usize::from(code % 4)].to_le_bytes();
                packet(2, &[&[0xff], code.as_slice(), b"#HY000no"].concat(), &mut bytes);
            }
            Part::Switch(plugin, scramble) => {
                packet(2, &[b"\xfe", plugin_name(*plugin), b"\0", scramble].concat(), &mut bytes);
            }
            Part::More(kind) => packet(2, &[1, *kind], &mut bytes),
            Part::Rows { columns, rows } => {
                packet(1, &[columns.len() as u8], &mut bytes);
                for column in columns {
                    let name = COLUMNS[usize::from(*column) % COLUMNS.len()];
                    let body = [b"\x03def\0\0\0".as_slice(), &[name.len() as u8], name, b"\0\x0c"].concat();
                    packet(2, &body, &mut bytes);
                }
                packet(3, &[0xfe, 0, 0, 2, 0], &mut bytes);
                for row in rows {
                    let mut body = Vec::new();
                    for value in row {
                        match value {
                            None => body.push(0xfb),
                            Some(value) => {
                                let value = &value[..value.len().min(250)];
                                body.push(value.len() as u8);
                                body.extend_from_slice(value);
                            }
                        }
                    }
                    packet(4, &body, &mut bytes);
                }
                packet(5, &[0xfe, 0, 0, 2, 0], &mut bytes);
            }
        }
    }
    let options = Options {
        user: run.has_user.then(|| "check".into()),
        password: run.has_user.then(|| "secret".into()),
        role: run.has_user && run.role,
    };
    let kind = Kind::Mysql(Arc::new(Mysql::new(options).expect("it is right")));
    dialogue::check(&kind, &bytes, &run.cuts, true);
});

fn plugin_name(at: u8) -> &'static [u8] {
    PLUGINS[usize::from(at) % PLUGINS.len()]
}

fn packet(number: u8, body: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes()[..3]);
    bytes.push(number);
    bytes.extend_from_slice(body);
}
