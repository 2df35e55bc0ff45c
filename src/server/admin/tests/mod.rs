//! Conversations without a socket.

mod events;
mod framing;
mod properties;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::balance::{Admin, Backend, Options, Policy};
use crate::error::Error;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::changes::ClusterChanges;
use crate::server::journal::Journal;
use crate::server::statistics::{AdminStatistics, CheckStatus, ServerStatistics};

/// One pool `app` of `web-01`, `web-02` and a backend that is named like its address, and one `still` with the
/// policy static, and one `nodes` of the store's. What is ordered is written down.
struct Fake {
    pools: Vec<(&'static str, Arc<Pool>)>,
    orders: Mutex<Vec<String>>,
    journal: Arc<Journal>,
    #[cfg(feature = "store")]
    standing: Mutex<Option<Standing>>,
}

/// How the check of every backend stands here.
fn check() -> CheckStatus {
    CheckStatus {
        kind: "tcp",
        state: "up",
        since_ms: 1,
        good_in_a_row: 2,
        bad_in_a_row: 0,
        probes: 2,
        failed: 0,
        failure_source: None,
        failure: None,
        failure_ago_ms: None,
        role: None,
        lag_ms: None,
        lag_bytes: None,
    }
}

fn with_checks(mut pool: PoolStatus) -> PoolStatus {
    for backend in &mut pool.backends {
        backend.check = Some(check());
    }
    pool
}

impl Fake {
    fn new() -> Arc<Self> {
        let pool = |policy| Arc::new(Pool::new(Options { policy, lanes: 1, ..Options::default() }).unwrap());
        let (app, still) = (pool(Policy::RoundRobin), pool(Policy::Static));
        for (name, address) in
            [(Some("web-01"), "10.0.0.1:80"), (Some("web-02"), "10.0.0.2:80"), (None, SOCKET)]
        {
            let backend = Backend { name: name.map(String::from), ..Backend::parse(address).unwrap() };
            app.add(backend.clone()).unwrap();
            still.add(backend).unwrap();
        }
        let nodes = pool(Policy::RoundRobin);
        nodes.add(Backend { name: Some("db-1".into()), ..Backend::parse("10.0.0.9:6379").unwrap() }).unwrap();
        let orders = Mutex::new(Vec::new());
        let journal = Arc::new(Journal::default());
        Arc::new(Self {
            pools: vec![("app", app), ("still", still), ("nodes", nodes)],
            orders,
            journal,
            #[cfg(feature = "store")]
            standing: Mutex::new(None),
        })
    }

    fn app(&self) -> &Pool {
        &self.pools[0].1
    }

    fn admin_of(&self, name: &str) -> Admin {
        self.app().backend(self.app().find(name).unwrap()).unwrap().admin
    }
}

impl Instance for Fake {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            version: "0",
            state: "running",
            pid: 1,
            workers: 1,
            totals: ServerStatistics::default(),
            listeners: Vec::new(),
            pools: self
                .pools
                .iter()
                .map(|(name, pool)| with_checks(PoolStatus::read(name, pool, None)))
                .collect(),
            #[cfg(feature = "store")]
            store: None,
            #[cfg(feature = "replication")]
            splits: Vec::new(),
            admin: AdminStatistics::default(),
        }
    }

    fn pool_names(&self) -> Vec<&str> {
        self.pools.iter().map(|(name, _)| *name).collect()
    }

    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        self.pools.iter().find(|(known, _)| *known == name).map(|(_, pool)| Arc::clone(pool))
    }

    fn is_of_store(&self, pool: &str) -> bool {
        pool == "nodes"
    }

    fn backend_status(&self, _: &str, statistics: BackendStatistics) -> BackendStatus {
        BackendStatus { check: Some(check()), statistics }
    }

    fn pool_status(&self, name: &str) -> Option<PoolStatus> {
        self.pool(name).map(|pool| with_checks(PoolStatus::read(name, &pool, None)))
    }

    #[cfg(feature = "store")]
    fn standing(&self) -> Result<Standing> {
        self.standing.lock().clone().ok_or(Error::NotFound { what: "store", value: "here".into() })
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn cluster(&self) -> Result<ClusterTold> {
        Err(Error::State { what: "store", detail: "is in no cluster".into() })
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn change_cluster(&self, order: ClusterOrder, timeout: Option<Duration>) -> Result<u64> {
        self.orders.lock().push(format!("{order:?} within {timeout:?}"));
        Ok(3)
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn abort_transfer(&self) -> Result<bool> {
        self.orders.lock().push("abort transfer".into());
        Ok(true)
    }

    #[cfg(all(feature = "store", feature = "replication"))]
    fn follow_change(&self, number: u64) -> Result<FollowedChange> {
        Arc::<ClusterChanges>::default().follow(number)
    }

    fn follow(&self, start: Start, goes_on: bool) -> Result<Follower> {
        self.journal.follow(start, goes_on)
    }

    #[cfg(feature = "store")]
    fn back_up(&self, to: &str, is_full: bool) -> Result<u64> {
        let mut orders = self.orders.lock();
        orders.push(format!("backup {to} {is_full}"));
        Ok(orders.len() as u64)
    }

    #[cfg(feature = "store")]
    fn recent_backups(&self) -> Result<RecentBackups> {
        Ok(RecentBackups::default())
    }

    fn drain(&self, timeout: Option<Duration>) -> Result<()> {
        self.orders.lock().push(format!("drain {timeout:?}"));
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        self.orders.lock().push("stop".into());
        Err(Error::State { what: "server", detail: "has ended".into() })
    }
}

const SOCKET: &str = "unix:/run/app.sock";
const JSON: &str = "Host: x\r\nContent-Type: application/json\r\n";

fn dialogue(instance: &Arc<Fake>, is_loopback: bool) -> Dialogue {
    let weak = Arc::downgrade(instance);
    Dialogue::new(weak, if is_loopback { Reach::Loopback } else { Reach::All })
}

/// One answer as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    status: u16,
    fields: Vec<(String, String)>,
    body: Value,
}

impl Heard {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn ends(&self) -> bool {
        self.field("connection") == Some("close")
    }

    fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// Takes the answers apart. `bodiless` tells which of them are to a HEAD.
fn heard(mut bytes: &[u8], bodiless: &[bool]) -> Vec<Heard> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes).unwrap() else { panic!("cut off") };
        bytes = &bytes[length..];
        let status = response.code.unwrap();
        if status == 100 {
            continue;
        }
        let fields: Vec<_> = response
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8(field.value.to_vec()).unwrap();
                (field.name.to_ascii_lowercase(), value)
            })
            .collect();
        let mut one = Heard { status, fields, body: Value::Null };
        assert_eq!(one.field("cache-control"), Some("no-store"));
        assert!(!response.reason.unwrap().is_empty());
        if status == 204 {
            assert_eq!(one.field("content-length"), None);
        } else {
            let length: usize = one.field("content-length").unwrap().parse().unwrap();
            assert_eq!(one.field("content-type"), Some("application/json"));
            if !bodiless.get(all.len()).is_some_and(|bodiless| *bodiless) {
                assert_eq!(bytes[length - 1], b'\n');
                one.body = serde_json::from_slice(&bytes[..length]).unwrap();
                bytes = &bytes[length..];
            }
        }
        all.push(one);
    }
    all
}

/// Says all of `text` and hears one answer.
fn ask(instance: &Arc<Fake>, text: impl AsRef<[u8]>) -> Heard {
    let mut answer = Vec::new();
    let goes_on = dialogue(instance, false).handle_bytes(text.as_ref(), &mut answer);
    let mut all = heard(&answer, &[]);
    assert_eq!(all.len(), 1, "{all:?}");
    let one = all.remove(0);
    // The rest of a body that was refused may still be taken.
    assert!(goes_on || one.ends());
    one
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn change(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{JSON}Content-Length: {}\r\n\r\n{body}", body.len())
}

const WEB_01: &str = "/v1/pools/app/backends/web-01";
