//! `trimtab wal dump`: the records of a log, one a line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::Failure;
use crate::driver::log::FileDisk;
use crate::store::log::record::{Body, Record};
use crate::store::log::{File, check, dump};

/// Print a log's records, one a line: file, offset, kind, epoch, sequence, clock, and what it says
///
/// Of an entry the length of its payload is printed, or the payload itself in hexadecimal digits. A log that is damaged
/// is printed as far as its records go; what is wrong is told at the end, with exit code 1.
#[derive(Args)]
pub(super) struct Arguments {
    /// The log's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Leave out records before this sequence
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,
    /// Print payloads in hexadecimal digits
    #[arg(long)]
    payload: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    file: String,
    offset: u64,
    kind: &'static str,
    epoch: u64,
    sequence: u64,
    clock_ms: u64,
    /// Of entries and memberships.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// Of the rest, what they say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    says: BTreeMap<&'static str, u64>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let disk = FileDisk::read_only(&arguments.dir)?;
    let mut written = Ok(());
    dump(&disk, &mut |file, offset, record| {
        if record.sequence.0 >= arguments.from {
            written = tell(arguments, out, file, offset, record);
        }
        written.is_ok()
    })?;
    written?;
    check(&disk, None, &mut |_| {}).map(|_| ()).map_err(Failure::from)
}

fn tell(
    arguments: &Arguments,
    out: &mut impl Write,
    file: File,
    offset: u64,
    record: &Record<'_>,
) -> std::io::Result<()> {
    let (payload, says): (Option<&[u8]>, Vec<(&'static str, u64)>) = match record.body {
        Body::Entry(payload) | Body::Membership(payload) => (Some(payload), Vec::new()),
        Body::Vote(vote) => (None, vec![("epoch", vote.epoch.0), ("node", vote.node)]),
        Body::Commit(sequence) => (None, vec![("through", sequence.0)]),
        Body::Replace(sequence) => (None, vec![("from", sequence.0)]),
        Body::Snapshot(mark) => {
            let says = [("sequence", mark.sequence.0), ("epoch", mark.epoch.0)];
            (None, says.into_iter().chain([("restart", u64::from(mark.is_restart))]).collect())
        }
        Body::Open { nonce, cut_bytes } => (None, vec![("nonce", nonce), ("cut_bytes", cut_bytes)]),
        Body::Close => (None, Vec::new()),
    };
    let digits = payload
        .filter(|_| arguments.payload)
        .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if arguments.json {
        let line = Line {
            file: file.to_string(),
            offset,
            kind: record.body.name(),
            epoch: record.epoch.0,
            sequence: record.sequence.0,
            clock_ms: record.clock_ms,
            payload_bytes: payload.map(<[u8]>::len),
            payload: digits,
            says: says.into_iter().collect(),
        };
        return super::json(out, &line);
    }
    write!(
        out,
        "{file} {offset} {} epoch={} sequence={} clock_ms={}",
        record.body.name(),
        record.epoch,
        record.sequence,
        record.clock_ms
    )?;
    if let Some(payload) = payload {
        write!(out, " bytes={}", payload.len())?;
    }
    if let Some(digits) = digits {
        write!(out, " payload={digits}")?;
    }
    for (name, value) in says {
        write!(out, " {name}={value}")?;
    }
    writeln!(out)
}
