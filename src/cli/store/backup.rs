//! `trimtab store backup`: a directory that nobody has open, or the store of a running server, to another directory.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::online;
use super::told::tell_spans;
use crate::backup::{Options, backup_closed};
use crate::cli::{Failure, count, ctl, json};
use crate::error::Error;
use crate::server::BackupReport;

/// Back up a store: all of it, or what came since the last time
///
/// DIR is the directory of a store that nobody has open; it is not changed. With --admin it is the store of a running
/// server, which goes on meanwhile. The server writes the backup: TO is a whole path where it runs, and its user must
/// be allowed to write there. If this stops midway the backup is as it was before; a server goes on by itself when
/// the command is interrupted. A backup takes about 250,000 additions (its manifest may have 64 MiB); the next one is refused, and
/// another backup is to be begun in an empty directory.
#[derive(Args)]
#[command(override_usage = "trimtab store backup [OPTIONS] <DIR> <TO>
       trimtab store backup [OPTIONS] --admin <ADDRESS> <TO>")]
pub(super) struct Arguments {
    /// The store's directory; not given with --admin
    #[arg(value_name = "DIR")]
    first: OsString,
    /// The backup's directory; made if it is not there
    #[arg(value_name = "TO")]
    second: Option<OsString>,
    /// Back up the store of the running server that is asked here: unix:/path, /path, unix:@name, ip:port
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// How long connecting to the server may take, and each answer; the backup takes what it takes
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = ctl::time, requires = "admin")]
    timeout: Duration,
    /// Begin anew with a snapshot, so that restoring is quick
    #[arg(long)]
    full: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let Arguments { first, second, admin, timeout, full, json: is_json } = arguments;
    let report = match (admin, second) {
        (Some(admin), None) => online::back_up(admin, *timeout, first, *full)?,
        (None, Some(to)) => closed(Path::new(first), Path::new(to), *full)?,
        (Some(_), Some(_)) => {
            return Err(Failure::Misused(
                "with --admin there is no DIR, for the server knows its own; give TO alone".into(),
            ));
        }
        (None, None) => {
            return Err(Failure::Misused(
                "give the store's directory and the backup's; or --admin ADDRESS to have a running server do it".into(),
            ));
        }
    };
    match is_json {
        true => Ok(json(out, &report)?),
        false => Ok(tell(&report, out)?),
    }
}

/// Backs up a directory.
fn closed(from: &Path, to: &Path, is_full: bool) -> Result<BackupReport, Failure> {
    let report = backup_closed(from, to, &Options { is_full }).map_err(|error| match error {
        Error::State { what: "log", .. } => Failure::Failed(format!(
            "{error}; a store that is open is backed up by the program that has it open: trimtab store backup \
             --admin ADDRESS TO for a trimtab run, Store::backup and trimtab_store_backup in one's own"
        )),
        other => other.into(),
    })?;
    Ok(BackupReport::from(&report))
}

fn tell(report: &BackupReport, out: &mut impl Write) -> std::io::Result<()> {
    if let Some(snapshot) = report.snapshot {
        writeln!(out, "added a snapshot of entry {snapshot}")?;
    }
    if report.entries > 0 {
        let records = count(report.entries as usize, "record");
        writeln!(out, "added the log up to entry {} ({records})", report.last)?;
    }
    match report.bytes {
        0 => writeln!(out, "nothing new; the last entry is {}", report.last)?,
        bytes => writeln!(out, "{bytes} bytes")?,
    }
    tell_spans(&report.holds, out)
}
