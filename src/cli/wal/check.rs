//! `trimtab wal check`: whether a log is whole, and what is in it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::node;
use crate::cli::ctl::table::printable;
use crate::cli::{Failure, count};
use crate::driver::log::FileDisk;
use crate::error::{Damage, Error};
use crate::store::log::{Identity, Report, State, check};

/// Read all of a log and tell whether it is whole
#[derive(Args)]
pub(super) struct Arguments {
    /// The log's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    good: bool,
    #[serde(flatten)]
    found: Option<Found>,
    /// What is damaged.
    damage: Option<DamageTold>,
    /// The node of a cluster whose directory it is, where that is damaged. What is good has its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<node::Forgetting>,
    /// Why it was not read, when nothing is damaged.
    error: Option<String>,
}

#[derive(Serialize)]
struct Found {
    cluster: String,
    node: u64,
    segments: u64,
    records: u64,
    record_bytes: u64,
    first: Option<u64>,
    last: u64,
    committed: u64,
    epoch: u64,
    snapshot: Option<u64>,
    closed: bool,
    torn: Option<TornTold>,
    /// Damage in segments that the snapshot stands for.
    covered: Option<CoveredTold>,
}

#[derive(Serialize)]
struct CoveredTold {
    file: String,
    offset: u64,
    what: String,
    segments: u64,
}

#[derive(Serialize)]
struct TornTold {
    file: String,
    offset: u64,
    bytes: u64,
}

#[derive(Serialize)]
pub(in crate::cli) struct DamageTold {
    file: String,
    offset: u64,
    what: String,
    hint: String,
}

impl From<&Damage> for DamageTold {
    fn from(damage: &Damage) -> Self {
        Self {
            file: damage.file.clone(),
            offset: damage.offset,
            what: damage.what.clone(),
            hint: damage.hint.clone(),
        }
    }
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let disk = FileDisk::read_only(&arguments.dir);
    let checked = disk.as_ref().map_err(Clone::clone).and_then(|disk| check(disk, None, &mut |_| {}));
    let node = match (&disk, &checked) {
        (Ok(disk), Err(Error::Corrupt(damage))) => node::find(disk, damage)?,
        _ => None,
    };
    if arguments.json {
        return tell_json(checked, node, out);
    }
    if let Some(node) = node {
        writeln!(out, "{}", printable(&node.advice))?;
    }
    let (identity, state, report) = checked?;
    writeln!(out, "{identity}")?;
    writeln!(
        out,
        "{} with {} ({} bytes)",
        count(report.segments as usize, "segment"),
        count(report.records as usize, "record"),
        report.bytes
    )?;
    match report.first {
        Some(first) => writeln!(out, "entries {first} to {}, committed up to {}", report.last, state.commit)?,
        None => writeln!(out, "no entries; the next one is {}", report.last.next())?,
    }
    if let Some(snapshot) = report.snapshot {
        writeln!(out, "snapshot at entry {snapshot}")?;
    }
    if let Some(covered) = &report.covered {
        writeln!(
            out,
            "{} is damaged at byte {}: {}; the snapshot stands for all in it, and opening the log takes {} away",
            covered.file,
            covered.offset,
            covered.what,
            count(covered.segments as usize, "segment")
        )?;
    }
    match &report.torn {
        Some(torn) => writeln!(
            out,
            "torn tail: {} at byte {} of {}, never durable; opening the log cuts it off",
            count(torn.bytes as usize, "byte"),
            torn.offset,
            torn.file
        )?,
        None if report.is_closed => writeln!(out, "closed in order")?,
        None => writeln!(out, "not closed in order")?,
    }
    writeln!(out, "good")?;
    Ok(())
}

fn tell_json(
    checked: Result<(Identity, State, Report), Error>,
    node: Option<node::Forgetting>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let answer = match &checked {
        Ok((identity, state, report)) => Answer {
            good: true,
            found: Some(found(identity, state, report)),
            damage: None,
            node,
            error: None,
        },
        Err(Error::Corrupt(damage)) => {
            Answer { good: false, found: None, damage: Some((&**damage).into()), node, error: None }
        }
        Err(error) => Answer { good: false, found: None, damage: None, node, error: Some(error.to_string()) },
    };
    super::json(out, &answer)?;
    if answer.good { Ok(()) } else { Err(Failure::Told) }
}

fn found(identity: &Identity, state: &State, report: &Report) -> Found {
    Found {
        cluster: identity.cluster.iter().map(|byte| format!("{byte:02x}")).collect(),
        node: identity.node,
        segments: report.segments,
        records: report.records,
        record_bytes: report.bytes,
        first: report.first.map(|first| first.0),
        last: report.last.0,
        committed: state.commit.0,
        epoch: state.epoch.0,
        snapshot: report.snapshot.map(|snapshot| snapshot.0),
        closed: report.is_closed,
        torn: report.torn.as_ref().map(|torn| TornTold {
            file: torn.file.clone(),
            offset: torn.offset,
            bytes: torn.bytes,
        }),
        covered: report.covered.as_ref().map(|covered| CoveredTold {
            file: covered.file.clone(),
            offset: covered.offset,
            what: covered.what.clone(),
            segments: covered.segments,
        }),
    }
}
