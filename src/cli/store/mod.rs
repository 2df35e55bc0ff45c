//! `trimtab store`: looking after a store's directory.

mod backup;
mod cluster;
mod directory;
mod online;
mod restore;
mod told;
mod verify;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::Failure;

/// Back up a store, verify backups and restore them; look after the cluster that it is in
///
/// A backup is a directory that grows by what came since the last time, and can be gone back to anywhere within.
/// A store that a running server has open is backed up by that server: `trimtab store backup --admin ADDRESS TO`. A cluster is asked and changed through a server that is one
/// of its nodes.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 good, 1 failed or damaged, 2 misused.

Examples:
  trimtab store backup data /mnt/backup/data
  trimtab store backup --admin /run/trimtab.sock /mnt/backup/data
  trimtab store verify /mnt/backup/data
  trimtab store restore /mnt/backup/data restored
  trimtab store restore --to-time 2026-11-26T04:00:00Z /mnt/backup/data restored
  trimtab store status --admin /run/trimtab.sock
  trimtab store transfer --admin /run/trimtab.sock db-2
  trimtab store transfer --admin /run/trimtab.sock --abort
  trimtab store add --admin /run/trimtab.sock db-4 10.0.0.4:7400
  trimtab store promote --admin /run/trimtab.sock db-4
  trimtab store remove --admin /run/trimtab.sock db-1
  trimtab store replace --admin /run/trimtab.sock db-2 db-4
  trimtab store reload --admin /run/trimtab.sock
  trimtab store promote --dir data --force
  trimtab store directory --copy data")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Verify(verify::Arguments),
    Status(cluster::Status),
    Transfer(cluster::Transfer),
    Add(cluster::Add),
    Promote(cluster::Promote),
    Remove(cluster::Remove),
    Replace(cluster::Replace),
    Reload(cluster::Reload),
    Directory(directory::Arguments),
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::Backup(arguments) => backup::run(arguments, out),
        Command::Restore(arguments) => restore::run(arguments, out),
        Command::Verify(arguments) => verify::run(arguments, out),
        Command::Status(arguments) => arguments.run(out),
        Command::Transfer(arguments) => arguments.run(out),
        Command::Add(arguments) => arguments.run(out),
        Command::Promote(arguments) => arguments.run(out),
        Command::Remove(arguments) => arguments.run(out),
        Command::Replace(arguments) => arguments.run(out),
        Command::Reload(arguments) => arguments.run(out),
        Command::Directory(arguments) => directory::run(arguments, out),
    }
}
