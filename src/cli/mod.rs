//! The command: arguments in, text out, an exit code. No logic of its own.
//!
//! Exit codes: 0 good, 1 failed, 2 misused. What is asked for goes to standard output, everything else to
//! standard error; `--json` gives one JSON value instead of text.

mod check;
mod ctl;
mod demo;
mod moment;
mod pick;
mod run;
mod store;
mod wal;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Steers traffic: which backend takes the next connection, and why.
#[derive(Parser)]
#[command(name = "trimtab", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Ctl(ctl::Arguments),
    Demo(demo::Arguments),
    Pick(pick::Arguments),
    Run(run::Arguments),
    Store(store::Arguments),
    Wal(wal::Arguments),
    /// Print a completion script
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print a manual page in roff
    #[command(hide = true)]
    Man {
        /// The subcommand it is of, and that one's own: `ctl drain`
        subcommand: Vec<String>,
    },
}

const EXIT_CODES: &str = "Exit codes: 0 good, 1 failed, 2 misused.";

/// Why a command stops.
enum Failure {
    /// It was asked for something that cannot be: exit code 2.
    Misused(String),
    /// It did not work: exit code 1.
    Failed(String),
    /// Likewise, and what is to be said about it was said: exit code 1.
    Told,
    /// Whoever reads what it says has seen enough: exit code 0.
    Unread,
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::InvalidArgument { .. } | crate::Error::Exists { .. } => {
                Failure::Misused(error.to_string())
            }
            other => Failure::Failed(other.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::Failed(error.to_string()),
        }
    }
}

/// Runs the command whose name and arguments are `arguments`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors; clap knows which goes where.
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(1),
            };
        }
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let ran = run(arguments.command, &mut out);
    let flushed = out.flush().map_err(Failure::from);
    match ran.and(flushed) {
        Ok(()) | Err(Failure::Unread) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::from(1),
        Err(Failure::Misused(why)) => stop(2, &why),
        Err(Failure::Failed(why)) => stop(1, &why),
    }
}

fn run(command: Command, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Ctl(arguments) => ctl::run(&arguments, out),
        // Its exit code is an answer too, which is not to be good because nobody heard the rest.
        Command::Demo(arguments) => demo::run(&arguments, out).map_err(|failure| match failure {
            Failure::Unread => Failure::Failed("nobody reads what the demo tells".into()),
            other => other,
        }),
        Command::Pick(arguments) => pick::run(&arguments, out),
        Command::Run(arguments) => run::run(&arguments),
        Command::Store(arguments) => store::run(&arguments, out),
        Command::Wal(arguments) => wal::run(&arguments, out),
        Command::Completions { shell } => {
            // Into memory first: the generator takes a failed write for a bug.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "trimtab", &mut script);
            Ok(out.write_all(&script)?)
        }
        Command::Man { subcommand } => Ok(clap_mangen::Man::new(page(&subcommand)?).render(out)?),
    }
}

/// The command, or a subcommand under its full name.
fn page(path: &[String]) -> Result<clap::Command, Failure> {
    let mut command = Arguments::command();
    command.build();
    for name in path {
        command = match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => return Err(Failure::Misused(format!("there is no subcommand {name:?}"))),
        };
    }
    Ok(command)
}

/// `1 worker`, `2 workers`.
fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One value, on a line of its own.
fn json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)
}

fn stop(code: u8, why: &str) -> ExitCode {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "trimtab: {why}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
