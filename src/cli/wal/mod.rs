//! `trimtab wal`: looking at a write-ahead log's directory, and mending it.

mod check;
mod dump;
mod node;
mod repair;

pub(super) use check::DamageTold;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::{Failure, json};

/// Look at a store's write-ahead log, and mend it
///
/// All of it works on the directory alone. `check` and `dump` change nothing, and may be used while the store is
/// open; what is being written meanwhile may then look like a torn tail.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 good, 1 the log is damaged or cannot be read, 2 misused.

Examples:
  trimtab wal check data
  trimtab wal dump --from 1000 data
  trimtab wal repair --yes data")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Dump(dump::Arguments),
    Repair(repair::Arguments),
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments, out),
        Command::Dump(arguments) => dump::run(arguments, out),
        Command::Repair(arguments) => repair::run(arguments, out),
    }
}
