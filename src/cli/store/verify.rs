//! `trimtab store verify`: whether a backup is whole.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::told::{cluster, tell_spans};
use crate::backup::verify;
use crate::cli::wal::DamageTold;
use crate::cli::{Failure, count, json};
use crate::error::Error;
use crate::server::BackupSpan;

/// Read all of a backup and tell whether it is whole, and what it holds
#[derive(Args)]
pub(super) struct Arguments {
    /// The backup's directory
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
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
    /// Why it was not read, when nothing is damaged.
    error: Option<String>,
}

#[derive(Serialize)]
struct Found {
    cluster: String,
    node: u64,
    replicated: bool,
    files: usize,
    bytes: u64,
    holds: Vec<BackupSpan>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let verified = verify(&arguments.backup);
    if arguments.json {
        let (found, damage, error) = match &verified {
            Ok(manifest) => {
                let found = Found {
                    cluster: cluster(&manifest.identity),
                    node: manifest.identity.node,
                    replicated: manifest.is_replicated,
                    files: manifest.parts.len(),
                    bytes: manifest.bytes(),
                    holds: BackupSpan::all(manifest),
                };
                (Some(found), None, None)
            }
            Err(Error::Corrupt(damage)) => (None, Some((&**damage).into()), None),
            Err(error) => (None, None, Some(error.to_string())),
        };
        json(out, &Answer { good: found.is_some(), found, damage, error })?;
        return if verified.is_ok() { Ok(()) } else { Err(Failure::Told) };
    }
    let manifest = verified?;
    writeln!(out, "{}", manifest.identity)?;
    writeln!(out, "{} ({} bytes)", count(manifest.parts.len(), "file"), manifest.bytes())?;
    tell_spans(&BackupSpan::all(&manifest), out)?;
    Ok(writeln!(out, "good")?)
}
