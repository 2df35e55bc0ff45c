//! Where a test's database servers live: a folder, an address and a user that are not those of any other server of
//! the machine.

use std::fs::{self, DirBuilder, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::until;

/// A folder, which goes when the test is over.
pub(crate) struct Home {
    path: PathBuf,
    /// The name of who owns it and runs what runs in it.
    user: String,
    /// The numbers of that user and its group; `None` for who runs the test.
    become_ids: Option<[u32; 2]>,
    address: Ipv4Addr,
}

impl Home {
    /// Database servers refuse to be run by root: for root everything here is the work of `user`.
    pub(crate) fn new(user: &str) -> Self {
        let process = std::process::id();
        let path = std::env::temp_dir().join(format!("trimtab-databases-{process}-{user}"));
        // Within, who may do everything needs no password.
        DirBuilder::new().mode(0o700).create(&path).expect("the temporary folder is writable");
        let is_root = fs::metadata(&path).unwrap().uid() == 0;
        let become_ids = is_root.then(|| {
            let ids = ["-u", "-g"].map(|what| id(&[what, user]).parse().expect("a number"));
            chown(&path, Some(ids[0]), Some(ids[1])).unwrap();
            ids
        });
        let user = if is_root { user.to_string() } else { id(&["-un"]) };
        // Whatever else asks for a port meanwhile asks for one of another address.
        let [_, a, b, c] = process.to_be_bytes();
        Self { path, user, become_ids, address: Ipv4Addr::new(127, 64 | (a & 63), b, c) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Addresses for two servers.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        let listeners = [(); 2].map(|()| TcpListener::bind((self.address, 0)).unwrap());
        listeners.map(|listener| listener.local_addr().unwrap())
    }

    /// A command that runs in the folder.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.path).stdin(Stdio::null()).env("HOME", &self.path).env("LC_ALL", "C");
        if let Some([user, group]) = self.become_ids {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts a server whose words go to the file `log`.
    pub(crate) fn start(&self, mut command: Command, log: &str) -> Daemon {
        let log = self.path.join(log);
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Daemon { child: spawned(command.spawn(), &command), log }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A server that runs. It is killed when the test is over, unless it has ended.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Waits until it is ready, and tells why when it has ended instead.
    #[track_caller]
    pub(crate) fn await_ready(&mut self, mut is_ready: impl FnMut() -> bool) {
        until("the server is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            is_ready()
        });
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: &str) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end("KILL");
    }
}

/// Runs a command to its end; what it says, without the last line's end, or what it complains of.
pub(crate) fn run(mut command: Command) -> Result<String, String> {
    let output = spawned(command.output(), &command);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_string())
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
    }
}

/// What the system says of a user.
fn id(arguments: &[&str]) -> String {
    let mut command = Command::new("id");
    command.args(arguments);
    run(command).unwrap_or_else(|why| panic!("id {arguments:?}: {why}; `make setup` installs its server"))
}

fn spawned<T>(started: std::io::Result<T>, command: &Command) -> T {
    started.unwrap_or_else(|error| panic!("{command:?}: {error}; `make setup` installs it"))
}
