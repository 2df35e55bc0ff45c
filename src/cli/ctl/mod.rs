//! `trimtab ctl`: asks and tells a running server, over its admin interface.
//!
//! | file | owns |
//! |---|---|
//! | `address` | where the server is asked |
//! | `client`, `answer`, `stream` | a connection, and HTTP over it |
//! | `member` | `POOL/BACKEND` |
//! | `change` | what changes something |
//! | `status`, `told`, `table` | what there is, as text |
//! | `events` | what happens, as it does |

pub(in crate::cli) mod address;
mod answer;
mod change;
pub(in crate::cli) mod client;
mod events;
mod member;
pub(in crate::cli) mod status;
pub(in crate::cli) mod stream;
pub(in crate::cli) mod table;
pub(in crate::cli) mod told;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::Failure;
use crate::cli::ctl::client::Client;
use crate::server::config::duration;

/// Ask and change a running server
///
/// Speaks with the admin interface of a server, where the table [admin] of its configuration has it listen.
/// A member is POOL/BACKEND, both by their names; a backend without a name has its address for one. What is
/// changed lasts until the server ends: the configuration stays as it is.
#[derive(Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Where the server is asked: unix:/path, /path, unix:@name, ip:port [default: TRIMTAB_ADMIN of the
    /// environment]
    #[arg(long, global = true, help_heading = SERVER, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Take the address from the table [admin] of this configuration
    #[arg(long, global = true, help_heading = SERVER, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long connecting may take, and each answer
    #[arg(long, global = true, help_heading = SERVER, value_name = "TIME", default_value = "5s", value_parser = time)]
    timeout: Duration,
    /// Print the server's answer as it is, in JSON
    #[arg(long, global = true, help_heading = SERVER)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Status(status::Arguments),
    Drain(change::Drain),
    /// Give a backend traffic again
    Ready(change::Member),
    /// Take a backend out of service
    Maintain(change::Member),
    Weight(change::Weight),
    Maxconn(change::Maxconn),
    Tier(change::Tier),
    Add(change::Add),
    /// Take a backend out of its pool; its sessions go on
    Remove(change::Member),
    Events(events::Arguments),
    /// End the server at once, with all its sessions
    Stop,
}

/// What the options of every verb are told under.
const SERVER: &str = "The server and its answer";

const EXAMPLES: &str = "Exit codes: 0 good, 1 the server cannot be asked or refused, 2 misused.

Examples:
  export TRIMTAB_ADMIN=/run/trimtab.sock
  trimtab ctl status
  trimtab ctl drain app/web-01
  trimtab ctl add app/web-04 10.0.0.4:80 --weight 2
  trimtab ctl events --recent 20
  trimtab ctl drain --all --within 30s";

/// Reads `5s`, for clap.
pub(in crate::cli) fn time(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|why| format!("{why}; {}", duration::FORM))?;
    if time.is_zero() { Err("it must be longer than nothing".into()) } else { Ok(time) }
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let address = address::choose(arguments.admin.as_deref(), arguments.config.as_deref())?;
    let client = Client::new(address, arguments.timeout);
    let json = arguments.json;
    match &arguments.verb {
        Verb::Status(what) => status::run(what, &client, json, out),
        Verb::Drain(what) => what.run(&client, json, out),
        Verb::Ready(what) => what.set_admin("ready", &client, json, out),
        Verb::Maintain(what) => what.set_admin("maintenance", &client, json, out),
        Verb::Weight(what) => what.run(&client, json, out),
        Verb::Maxconn(what) => what.run(&client, json, out),
        Verb::Tier(what) => what.run(&client, json, out),
        Verb::Add(what) => what.run(&client, json, out),
        Verb::Remove(what) => what.remove(&client, json, out),
        Verb::Events(what) => events::run(what, &client, json, out),
        Verb::Stop => change::stop(&client, json, out),
    }
}
