//! [`Node`]: `trimtab run` in a process of its own. It can be killed as nothing else kills, and started again on what it
//! wrote.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;

use serde_json::Value;

use super::plan::PATIENCE;
use crate::error::{Error, Result};
use crate::sys;

pub(super) struct Node {
    running: Option<Running>,
    /// Its configuration.
    file: PathBuf,
    /// Where it runs.
    directory: PathBuf,
}

struct Running {
    child: Child,
    /// Reads what it tells, to the end.
    reader: JoinHandle<()>,
}

impl Node {
    /// One with this configuration, that runs in `directory` and writes below it.
    pub(super) fn start(directory: &Path, text: &str) -> Result<Self> {
        let file = directory.join("store.toml");
        std::fs::write(&file, text)
            .map_err(|error| Error::io(format!("write {}", file.display()), &error))?;
        let mut node = Self { running: None, file, directory: directory.into() };
        node.start_again()?;
        Ok(node)
    }

    /// Starts it where it was killed before; returns when it takes clients.
    pub(super) fn start_again(&mut self) -> Result<()> {
        assert!(self.running.is_none(), "a store is killed before it is started");
        let failed = |error| Error::io("start trimtab run for the store", &error);
        let command = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(command);
        command.arg("run").arg("--json").arg(&self.file);
        // Where its directory is.
        command.current_dir(&self.directory);
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

    /// Whether it was started and not killed.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let killed = running.child.kill().and_then(|()| running.child.wait());
        killed.map_err(|error| Error::io("kill the store", &error))?;
        let _ = running.reader.join();
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing more can be done about it.
        let _ = self.kill();
    }
}

fn is_started(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| event["event"] == "started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_itself_says_that_it_runs() {
        assert!(is_started(r#"{"detail":"resp on 127.0.0.1:1","event":"started"}"#));
        for line in ["", "started", r#"{"event":"stopped"}"#, r#"{"detail":"started"}"#] {
            assert!(!is_started(line), "{line}");
        }
    }
}
