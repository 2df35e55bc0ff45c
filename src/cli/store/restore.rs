//! `trimtab store restore`: a backup into an empty directory.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::told::cluster;
use crate::backup::{Manifest, Point, RestoreOptions, read_manifest, restore};
use crate::cli::moment::{parse, rfc3339};
use crate::cli::{Failure, json};

/// Restore a backup into an empty directory: to its end, to an entry, or to a time
///
/// The restored store gets an identity of its own: it is node 1 of a new cluster, and neither the nodes of the old one nor a
/// configuration that names the old one take it for what it was before. With --same-identity it keeps the old one; that is
/// refused for a store that has replicated, since it would have forgotten what it promised the others.
#[derive(Args)]
pub(super) struct Arguments {
    /// The backup's directory
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The directory to restore into; made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Go back to how it was after this entry
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "to_time")]
    to_sequence: Option<u64>,
    /// Go back to how it was at this time: RFC 3339 (2026-11-26T04:00:00Z), or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse)]
    to_time: Option<u64>,
    /// Keep the identity of the store that was backed up; that one must never be opened again
    #[arg(long)]
    same_identity: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    cluster: String,
    node: u64,
    /// The last entry of the restored store.
    last: u64,
    clock_ms: u64,
    snapshot: Option<u64>,
    entries: u64,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let point = match (arguments.to_sequence, arguments.to_time) {
        (Some(sequence), _) => Point::Sequence(sequence),
        (None, Some(clock_ms)) => Point::Time(clock_ms),
        (None, None) => Point::End,
    };
    let identity = match arguments.same_identity {
        true => Some(read_manifest(&arguments.backup)?.identity),
        false => None,
    };
    if let Point::Time(clock_ms) = point {
        check_time(clock_ms, &read_manifest(&arguments.backup)?)?;
    }
    let restored = restore(&arguments.backup, &arguments.dir, &RestoreOptions { point, identity })?;
    if arguments.json {
        let answer = Answer {
            cluster: cluster(&restored.identity),
            node: restored.identity.node,
            last: restored.sequence,
            clock_ms: restored.clock_ms,
            snapshot: (restored.snapshot > 0).then_some(restored.snapshot),
            entries: restored.entries,
        };
        return Ok(json(out, &answer)?);
    }
    match restored.sequence {
        0 => writeln!(out, "restored an empty store")?,
        last => writeln!(out, "restored up to entry {last}, of {}", rfc3339(restored.clock_ms))?,
    }
    Ok(writeln!(out, "it is {}", restored.identity)?)
}

/// Times are told as they are asked for, and as `verify` prints them; the library counts milliseconds.
fn check_time(clock_ms: u64, manifest: &Manifest) -> Result<(), Failure> {
    let spans = manifest.spans();
    if spans.is_empty() || spans.iter().any(|span| (span.first_ms..=span.last_ms).contains(&clock_ms)) {
        return Ok(());
    }
    let held = spans.iter().map(|span| format!("{} to {}", rfc3339(span.first_ms), rfc3339(span.last_ms)));
    let held = held.collect::<Vec<_>>().join(" and ");
    Err(Failure::Misused(format!("{} is not in the backup, which holds {held}", rfc3339(clock_ms))))
}
