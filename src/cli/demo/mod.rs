//! `trimtab demo`: three web backends behind a server, load, and steps that break something; what they cost
//! is counted, and the counts decide how it ends. Everything is in this process and on loopback.
//!
//! | file | owns |
//! |---|---|
//! | `steps/` | what is done and how it is judged, one file for each step |
//! | `play` | the order, the time, the way to the report |
//! | `stage` | what runs: backends, server, clients; the configuration |
//! | `backend`, `orders` | a small web server that can be stopped as by a crash, and frozen |
//! | `load` | the clients |
//! | `store`, `counters` | a store of three nodes and a learner, where the clients count what they were answered |
//! | `node` | a process of it, which can be killed and started again |
//! | `tally` | what it acknowledged, and whether it has it |
//! | `beats`, `freshness` | times written to it and read of the learner, and whether they are as fresh as they must be |
//! | `http` | what the two say to each other |
//! | `ledger`, `desk` | what the clients saw, and the lock over it |
//! | `judge` | whether counts are as they should be |
//! | `report`, `voice` | the table, the JSON, the lines on the way |
//! | `plan` | the figures |

mod backend;
mod beats;
mod counters;
mod desk;
mod freshness;
mod http;
mod judge;
mod ledger;
mod load;
mod node;
mod orders;
mod plan;
mod play;
mod report;
mod stage;
mod steps;
mod store;
mod tally;
mod voice;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use self::desk::Desk;
use self::ledger::Ledger;
use self::plan::{BACKENDS, CLIENTS, SECONDS_DEFAULT, SECONDS_MAX};
use self::voice::Voice;
use super::Failure;

/// Show what trimtab is for: backends stop and are drained under load, and losses are counted
///
/// Runs three small web backends, a server in front of them and clients in this process, on ports of loopback
/// that the system chooses, and a store of three nodes and a learner, each a process of its own, where the clients count what they were answered. One backend is stopped abruptly and comes back, another is drained and made ready
/// again, a third stands still, as one that hangs does, until its check finds out; the
/// store's primary is killed with -9 and another node takes over, then all its nodes are and start again. Ends with a table and with
/// `demo: ok` when no request was lost but those on their way to a backend that was stopped or stood still, and
/// every backend was given what it should be, and the store has every count it acknowledged; otherwise with `demo: failed: WHAT`.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 the counts hold, 1 they do not or it was interrupted, 2 misused.")]
pub(super) struct Arguments {
    /// About how long it takes in seconds, 1 to 3600; it goes on until there is enough to judge by
    #[arg(long, value_name = "N", default_value_t = SECONDS_DEFAULT,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(SECONDS_MAX)))]
    seconds: u32,
    /// Print JSON; how it goes is told on standard error
    #[arg(long)]
    json: bool,
    /// Print the result only
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let desk = Arc::new(Desk::new(Ledger::new(CLIENTS, BACKENDS.len())));
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let listening = Arc::clone(&desk);
    let listener = std::thread::spawn(move || {
        for signal in signals.forever() {
            if listening.is_interrupted() {
                // Whoever says it twice does not want to wait.
                let _ = emulate_default_handler(signal);
            }
            listening.interrupt();
        }
    });
    let mut err = io::stderr();
    let mut voice = match (arguments.quiet, arguments.json) {
        (true, _) => Voice::silent(),
        (false, true) => Voice::new(&mut err, io::stderr().is_terminal()),
        (false, false) => Voice::new(out, io::stdout().is_terminal()),
    };
    let report = play::play(arguments.seconds, &desk, &mut voice)?;
    voice.say("")?;
    handle.close();
    listener.join().expect("it panics nowhere");
    let result = report.result();
    if arguments.json {
        writeln!(out, "{}", report.to_json().map_err(io::Error::from)?)?;
        out.flush()?;
        if !arguments.quiet {
            writeln!(io::stderr(), "{result}")?;
        }
    } else if arguments.quiet {
        writeln!(out, "{result}")?;
    } else {
        writeln!(out, "{}{result}", report.table())?;
    }
    if report.is_good() { Ok(()) } else { Err(Failure::Told) }
}
