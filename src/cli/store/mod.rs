//! `trimtab store`: looking after a store's directory.

mod backup;
mod online;
mod restore;
mod told;
mod verify;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::Failure;

/// Back up a store's directory, verify backups and restore them
///
/// A backup is a directory that grows by what came since the last time, and can be gone back to anywhere within.
/// A store that a running server has open is backed up by that server: `trimtab store backup --admin ADDRESS TO`.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 good, 1 failed or damaged, 2 misused.

Examples:
  trimtab store backup data /mnt/backup/data
  trimtab store backup --admin /run/trimtab.sock /mnt/backup/data
  trimtab store verify /mnt/backup/data
  trimtab store restore /mnt/backup/data restored
  trimtab store restore --to-time 2026-11-26T04:00:00Z /mnt/backup/data restored")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Verify(verify::Arguments),
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::Backup(arguments) => backup::run(arguments, out),
        Command::Restore(arguments) => restore::run(arguments, out),
        Command::Verify(arguments) => verify::run(arguments, out),
    }
}
