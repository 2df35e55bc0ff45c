//! [`Store`]: a store in a process of its own, `trimtab run` with a directory that is taken away at the end. It can be
//! killed as nothing else kills, and started again on what it wrote.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::counters::{self, Client, Said};
use super::plan::{BACKENDS, PATIENCE};
use crate::error::{Error, Result};
use crate::sys;

pub(super) struct Store {
    running: Option<Running>,
    address: SocketAddr,
    /// Bound to the address and never listening, so that the port is nobody else's while the store is down.
    _held: Socket,
    text: String,
    file: PathBuf,
    /// With the configuration and what it writes; it goes with this.
    directory: TempDir,
}

struct Running {
    child: Child,
    /// Reads what it tells, to the end.
    reader: JoinHandle<()>,
}

impl Store {
    /// Starts one on a port that the system chooses.
    pub(super) fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("trimtab-demo-").tempdir();
        let directory = directory.map_err(|error| Error::io("make a directory for the store", &error))?;
        let (address, held) = hold_port().map_err(|error| Error::io("find a port for the store", &error))?;
        let text = text(address);
        let file = directory.path().join("store.toml");
        std::fs::write(&file, &text)
            .map_err(|error| Error::io(format!("write {}", file.display()), &error))?;
        let mut store = Self { running: None, address, _held: held, text, file, directory };
        store.start_again()?;
        Ok(store)
    }

    /// Starts it where it was killed before; returns when it takes clients.
    pub(super) fn start_again(&mut self) -> Result<()> {
        assert!(self.running.is_none(), "a store is killed before it is started");
        let failed = |error| Error::io("start trimtab run for the store", &error);
        let command = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(command);
        command.arg("run").arg("--json").arg(&self.file);
        // Where its directory is.
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Should this process be killed, it ends as well.
        sys::child::end_with_parent(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let told = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::Builder::new().name("store/told".into()).spawn(move || {
            for line in told.lines().map_while(std::io::Result::ok) {
                // Nobody waits for lines once it runs, and they are read all the same.
                let _ = sender.send(line);
            }
        });
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                // It was started just now and was not waited for.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(error));
            }
        };
        let running = self.running.insert(Running { child, reader });
        let mut last = String::from("nothing");
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if is_started(&line) => return Ok(()),
                Ok(line) => last = line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::TimedOut { what: "the store to start" });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = running.child.wait().map_err(failed)?;
                    return Err(Error::State {
                        what: "store",
                        detail: format!("did not start, {ended}; the last it said: {last}").into(),
                    });
                }
            }
        }
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let killed = running.child.kill().and_then(|()| running.child.wait());
        killed.map_err(|error| Error::io("kill the store", &error))?;
        let _ = running.reader.join();
        Ok(())
    }

    /// What it has counted, for each backend.
    pub(super) fn counters(&self) -> Result<Vec<u64>> {
        let failed = |error| Error::io("read the counters in the store", &error);
        let mut client = Client::connect(self.address).map_err(failed)?;
        let read = |name: &&str| match client.ask(&["GET", &counters::key(name)]).map_err(failed)? {
            Said::Nothing => Ok(0),
            Said::Text(text) if let Ok(number) = text.parse() => Ok(number),
            other => {
                let detail = format!("has {other:?} where a counter should be").into();
                Err(Error::State { what: "store", detail })
            }
        };
        BACKENDS.iter().map(read).collect()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configuration that it runs.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Its directory goes with it.
        let _ = self.kill();
    }
}

fn is_started(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| event["event"] == "started")
}

fn hold_port() -> std::io::Result<(SocketAddr, Socket)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().expect("it was bound to an IP address");
    Ok((address, socket))
}

fn text(address: SocketAddr) -> String {
    format!(
        "\
[store]
dir = \"data\"               # below where it is started
resp = \"{address}\"   # any Redis client
durability = \"local\"       # what it acknowledges is on this disk
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Config;

    #[test]
    fn the_configuration_is_good() {
        Config::parse(&text(SocketAddr::from(([127, 0, 0, 1], 6379))), "store.toml").unwrap();
    }

    #[test]
    fn only_the_word_itself_says_that_it_runs() {
        assert!(is_started(r#"{"detail":"resp on 127.0.0.1:1","event":"started"}"#));
        for line in ["", "started", r#"{"event":"stopped"}"#, r#"{"detail":"started"}"#] {
            assert!(!is_started(line), "{line}");
        }
    }
}
