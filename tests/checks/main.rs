//! Checks and discovery of `trimtab run` against real nginx, Redis and dnsmasq.

#![cfg(target_os = "linux")]

#[path = "../shared/address.rs"]
mod address;
mod bad_input;
mod dns;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod nginx;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "what the tests of hostile clients measure is not measured here")]
mod process;
mod redis;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use address::own_address;
use folder::Folder;
use process::Running;

/// A server of another make, which ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Server {
    fn start(command: &mut Command, address: SocketAddr, folder: Folder) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, address, folder }
    }

    fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    SocketAddr::from((own_address(), 7400))
}

/// The program of this name, also where not every user's PATH leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no {name}; install it (packaging/setup.sh does)"))
}

/// A backend's part of the status.
fn backend(running: &Running, pool: usize, name: &str) -> Value {
    let status = running.status();
    let backends = status["pools"][pool]["backends"].as_array().unwrap().clone();
    backends.into_iter().find(|backend| backend["name"] == name).unwrap_or(Value::Null)
}
