//! The checks that know roles, with the databases they are for: a port that always reaches who takes writes, and
//! one that reaches who follows it closely enough, while the roles move.

#![cfg(target_os = "linux")]

#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod home;
mod mariadb;
mod postgres;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "not all that can be seen from outside is looked at here")]
mod process;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use home::Home;
use process::Running;

/// The password of the user that checks.
const PASSWORD: &str = "what nobody guesses";

/// Two servers behind a port for writes and one for reads. A third pool asks with a wrong password. `check` is the
/// kind of the checks and what else it needs.
fn balance(home: &Home, check: &str, servers: [SocketAddr; 2]) -> Running {
    let pool = |name: &str, more: &str, password: &str| {
        let file = home.path().join(format!("{name}.password"));
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let file = file.display();
        format!(
            "[[pool]]\nname = \"{name}\"\n{more}\nbackend = [{{ name = \"one\", address = \"{}\" }}, \
             {{ name = \"two\", address = \"{}\" }}]\n[pool.check]\n{check}\nuser = \"monitor\"\n\
             password_file = \"{file}\"\ninterval = \"200ms\"\ninitial = \"down\"\n",
            servers[0], servers[1],
        )
    };
    let listener = |name: &str, pool: &str| {
        format!("[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\npool = \"{pool}\"\n")
    };
    let parts = [
        "[runtime]\nworkers = 2\n".to_string(),
        listener("writes", "primary"),
        listener("reads", "replica"),
        pool("primary", "role = \"primary\"", PASSWORD),
        pool("replica", "role = \"replica\"\nlag_max = \"5s\"", PASSWORD),
        pool("locked-out", "", "a guess"),
    ];
    Running::start(&parts.concat(), None)
}

fn port(running: &Running, listener: &str) -> u16 {
    let status = running.status();
    let found = status["listeners"].as_array().unwrap().iter().find(|found| found["name"] == listener);
    let address = found.expect("it is there")["address"].as_str().unwrap();
    address.parse::<SocketAddr>().unwrap().port()
}

fn backends(running: &Running, pool: &str) -> Vec<Value> {
    let status = running.status();
    let found = status["pools"].as_array().unwrap().iter().find(|found| found["name"] == pool);
    found.expect("it is there")["backends"].as_array().unwrap().clone()
}

/// Waits until the backends of a pool are as wanted, and shows how they are when they never get there.
#[track_caller]
fn await_backends(running: &Running, pool: &str, what: &str, is_so: impl Fn(&[Value]) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let backends = backends(running, pool);
        if is_so(&backends) {
            return;
        }
        assert!(Instant::now() < end, "waited in vain: {what}: {backends:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until of a pool just these serve.
#[track_caller]
fn await_serving(running: &Running, pool: &str, names: &[&str]) {
    await_backends(running, pool, &format!("of {pool} {names:?} serve"), |backends| {
        let serving = backends.iter().filter(|backend| backend["serving"] == true);
        serving.map(|backend| backend["name"].as_str().unwrap()).eq(names.iter().copied())
    });
}

/// Waits until a backend is down for a reason that says this.
#[track_caller]
fn await_failure(running: &Running, pool: &str, backend: &str, source: &str, says: &str) {
    await_backends(
        running,
        pool,
        &format!("{backend} of {pool} is down, for {source}: {says}"),
        |backends| {
            let found = backends.iter().find(|found| found["name"] == backend).expect("it is there");
            let check = &found["check"];
            found["observed"] == "down"
                && check["failure_source"] == source
                && check["failure"].as_str().is_some_and(|failure| failure.contains(says))
        },
    );
}
