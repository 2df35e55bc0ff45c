//! `trimtab run`: a server in the foreground until a signal ends it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::Failure;
use crate::server::{Server, State};
use crate::sys;

/// Run a server until it is told to end
///
/// SIGTERM and SIGINT end it gracefully: nothing new is accepted, and sessions have the longest
/// `timeouts.drain` of the listeners, and `drain` of the store, to end by themselves. A second one, or SIGQUIT, ends it at once; the store is
/// closed in order either way. SIGHUP reads the certificates of the links between nodes anew, and nothing else: the
/// configuration is read at the start alone. SIGUSR1 and SIGUSR2 do nothing, and are told.
/// The exit code is 1 when the store had failed, and the last line says which writes may not be on disk.
/// What happens is told on standard error, one line each. The limit of open descriptors is raised as far as the
/// system lets it: each session takes two, and bulk four more while it moves.
#[derive(Args)]
pub(super) struct Arguments {
    /// The configuration; `-` reads standard input
    file: PathBuf,
    /// Tell each event as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::check::load(&arguments.file)?;
    // A limit that cannot be raised is still one to run with.
    let _ = sys::limits::raise_descriptors();
    // The loops change the same entries, one at a time.
    #[cfg(feature = "store")]
    if config.store.is_some() {
        sys::heap::share_one();
    }
    // Before the server starts, so that a signal that comes meanwhile is not lost.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])?;
    let handle = signals.handle();
    let json = arguments.json;
    let server = Server::with_events(config, move |event| {
        let line = if json { event.to_json() } else { format!("trimtab: {event}") };
        // Whoever closed standard error does not want to know.
        let _ = writeln!(std::io::stderr(), "{line}");
    })?;
    server.start()?;
    std::thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            let mut is_draining = false;
            for signal in signals.forever() {
                if let Some((name, detail)) = without_end(server, signal) {
                    tell(json, name, &detail);
                    continue;
                }
                let told = if signal == SIGQUIT || is_draining { server.stop() } else { server.drain(None) };
                is_draining = true;
                if told.is_err() || server.state() == State::Stopped {
                    break;
                }
            }
        });
        let ended = server.wait(None);
        handle.close();
        ended
    })?;
    // The last lines may be on their way.
    let _ = std::io::stderr().flush();
    #[cfg(feature = "store")]
    if let Some(why) = server.store_failure() {
        return Err(Failure::Failed(format!("the store was not closed in order: {why}")));
    }
    Ok(())
}

/// What a signal does that does not end the server: its name, and what came of it. `None`: it ends it.
fn without_end(server: &Server, signal: i32) -> Option<(&'static str, String)> {
    match signal {
        SIGHUP => {
            let detail = match reload(server) {
                Ok(()) => READ_ANEW.to_owned(),
                Err(crate::Error::State { .. } | crate::Error::NotFound { .. }) => NO_LINKS.to_owned(),
                Err(error) => format!("nothing was read anew: {error}"),
            };
            Some(("SIGHUP", detail))
        }
        SIGUSR1 => Some(("SIGUSR1", NOTHING.to_owned())),
        SIGUSR2 => Some(("SIGUSR2", NOTHING.to_owned())),
        _ => None,
    }
}

const NOTHING: &str = "it means nothing here; SIGTERM ends the server, SIGHUP reads certificates anew";

const READ_ANEW: &str =
    "the certificates of the links were read anew; what else is changed in the configuration needs a restart";

/// Not how to make a cluster: whoever asks has changed something, and wants to know what became of it.
const NO_LINKS: &str = "nothing was read anew: there are no links with certificates here, and what is changed in the configuration needs a \
                        restart; trimtab check tells whether that would start";

#[cfg(feature = "replication")]
fn reload(server: &Server) -> crate::Result<()> {
    server.reload_certificates()
}

#[cfg(not(feature = "replication"))]
fn reload(_: &Server) -> crate::Result<()> {
    let detail = "are not in this build; there are no certificates".into();
    Err(crate::Error::State { what: "clusters", detail })
}

/// Tells of a signal as events are told.
fn tell(json: bool, name: &str, detail: &str) {
    let line = match json {
        true => serde_json::json!({ "event": "signal", "value": name, "detail": detail }).to_string(),
        false => format!("trimtab: signal value={name} detail={detail:?}"),
    };
    // As above.
    let _ = writeln!(std::io::stderr(), "{line}");
}
