//! `trimtab store backup`: a directory that nobody has open, to another.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::told::{SpanTold, cluster, spans, tell_spans};
use crate::backup::{Options, backup_closed};
use crate::cli::{Failure, count, json};
use crate::error::Error;

/// Back up a store that nobody has open: all of it, or what came since the last time
///
/// The store's directory is not changed. If this stops midway the backup is as it was before.
#[derive(Args)]
pub(super) struct Arguments {
    /// The store's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The backup's directory; made if it is not there
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Begin anew with a snapshot, so that restoring is quick
    #[arg(long)]
    full: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    cluster: String,
    node: u64,
    /// The last entry that is in the backup.
    last: u64,
    /// The sequence of the snapshot that was added.
    snapshot: Option<u64>,
    entries: u64,
    bytes: u64,
    holds: Vec<SpanTold>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let options = Options { is_full: arguments.full };
    let report = backup_closed(&arguments.dir, &arguments.to, &options).map_err(|error| match error {
        Error::State { what: "log", .. } => Failure::Failed(format!(
            "{error}; a store that is open is backed up by the program that has it open (Store::backup, \
             trimtab_store_backup)"
        )),
        other => other.into(),
    })?;
    let manifest = &report.manifest;
    if arguments.json {
        let answer = Answer {
            cluster: cluster(&manifest.identity),
            node: manifest.identity.node,
            last: report.sequence,
            snapshot: (report.snapshot > 0).then_some(report.snapshot),
            entries: report.entries,
            bytes: report.bytes,
            holds: spans(manifest),
        };
        return Ok(json(out, &answer)?);
    }
    if report.snapshot > 0 {
        writeln!(out, "added a snapshot of entry {}", report.snapshot)?;
    }
    if report.entries > 0 {
        writeln!(
            out,
            "added the log up to entry {} ({})",
            report.sequence,
            count(report.entries as usize, "record")
        )?;
    }
    match report.bytes {
        0 => writeln!(out, "nothing new; the last entry is {}", report.sequence)?,
        bytes => writeln!(out, "{bytes} bytes")?,
    }
    Ok(tell_spans(manifest, out)?)
}
