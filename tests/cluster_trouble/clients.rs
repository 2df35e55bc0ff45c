//! Clients that write and read registers through whatever node answers, and what they saw.
//!
//! A register is read by adding nothing to it, which goes to the primary and through the log. Beside that each client counts
//! in a key of its own and reads it on the same connection by GET, which a replica answers from what it has: it must have
//! what that client was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use redis::{Commands, Connection, RedisResult};
use trimtab::sim::cluster::checker::{self, Action, Operation, Verdict};

use crate::nodes::{VOTERS, connect, until};

const CLIENTS: usize = 5;
/// Of one register, so that a history can be decided.
const OPERATIONS: u64 = 60;

/// What all clients saw.
struct Seen {
    begun: Instant,
    histories: Mutex<BTreeMap<u64, Vec<Operation>>>,
    next: AtomicU64,
    acknowledged: AtomicU64,
    /// Looks at keys of one's own.
    looks: AtomicU64,
    is_over: AtomicBool,
}

pub(crate) struct Clients {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

fn key(register: u64) -> String {
    format!("register:{register}")
}

impl Clients {
    pub(crate) fn start() -> Self {
        let seen = Arc::new(Seen {
            begun: Instant::now(),
            histories: Mutex::default(),
            // Value 0 is none.
            next: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let run = |client: usize| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || seen.run(client))
        };
        let threads = (0..CLIENTS).map(run).collect();
        Self { seen, threads }
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.seen.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more writes are acknowledged.
    #[track_caller]
    pub(crate) fn until_more(&self, what: &str, count: u64) {
        let before = self.acknowledged();
        until(what, || self.acknowledged() >= before + count);
    }

    /// Has them end, reads every register once more, and checks what they saw.
    #[track_caller]
    pub(crate) fn check(self) {
        self.seen.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("no client fails");
        }
        let mut connection = None;
        let mut histories = std::mem::take(&mut *self.seen.histories.lock().unwrap());
        for (register, history) in &mut histories {
            let start = self.seen.now();
            let mut value = None;
            until("the last look at a register", || {
                value = read(&mut connection, 1 + (*register as usize) % VOTERS, *register).ok();
                value.is_some()
            });
            let action = Action::Read(value.expect("it was waited for"));
            history.push(Operation { action, start, end: Some(self.seen.now()) });
        }
        let (mut decided, mut operations) = (0, 0);
        for (register, history) in &histories {
            operations += history.len();
            match checker::check(history) {
                Verdict::Linearizable => decided += 1,
                Verdict::Unknown => {}
                Verdict::Impossible => panic!("register {register} cannot have been so: {history:#?}"),
            }
        }
        assert!(decided * 10 >= histories.len() * 9, "{decided} of {} were decided", histories.len());
        let looks = self.seen.looks.load(Ordering::SeqCst);
        assert!(looks > 0, "no client looked at its own key");
        println!(
            "{operations} operations on {} registers, {decided} decided; {looks} looks",
            histories.len()
        );
    }
}

impl Seen {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    fn run(&self, client: usize) {
        let mut node = client % VOTERS + 1;
        let mut connection = None;
        let mut at = client as u64;
        let mut own = Own { client, errors: 0, count: 0 };
        while !self.is_over.load(Ordering::SeqCst) {
            match own.take_turn(&mut connection, node) {
                Ok(()) => self.looks.fetch_add(1, Ordering::SeqCst),
                Err(_) => {
                    connection = None;
                    node = node % VOTERS + 1;
                    continue;
                }
            };
            let value = self.next.fetch_add(1, Ordering::SeqCst);
            let register = value / OPERATIONS;
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let is_write = (at >> 40).is_multiple_of(2);
            let start = self.now();
            let result = if is_write {
                write(&mut connection, node, register, value).map(|()| Action::Write(value))
            } else {
                read(&mut connection, node, register).map(Action::Read)
            };
            let end = self.now();
            let operation = match result {
                Ok(action) => {
                    self.acknowledged.fetch_add(u64::from(is_write), Ordering::SeqCst);
                    Some(Operation { action, start, end: Some(end) })
                }
                Err(_) => {
                    // Another one may know.
                    connection = None;
                    node = node % VOTERS + 1;
                    // What came of a write nobody knows.
                    is_write.then_some(Operation { action: Action::Write(value), start, end: None })
                }
            };
            if let Some(operation) = operation {
                self.histories.lock().unwrap().entry(register).or_default().push(operation);
            }
        }
    }
}

/// A key that one client alone writes. A write that was not answered may be done at any time later, so another key follows.
struct Own {
    client: usize,
    errors: u64,
    count: u64,
}

impl Own {
    /// Counts up, and looks on the same connection whether that is seen.
    fn take_turn(&mut self, connection: &mut Option<Connection>, node: usize) -> RedisResult<()> {
        let key = format!("own:{}:{}", self.client, self.errors);
        self.errors += 1;
        let connection = at(connection, node)?;
        connection.set::<_, _, ()>(&key, self.count + 1)?;
        self.count += 1;
        let seen: Option<u64> = connection.get(&key)?;
        assert_eq!(seen, Some(self.count), "{key} as node {node} shows it");
        self.errors -= 1;
        Ok(())
    }
}

fn at(connection: &mut Option<Connection>, node: usize) -> RedisResult<&mut Connection> {
    match connection {
        Some(connection) => Ok(connection),
        None => Ok(connection.insert(connect(node)?)),
    }
}

fn write(connection: &mut Option<Connection>, node: usize, register: u64, value: u64) -> RedisResult<()> {
    at(connection, node)?.set(key(register), value)
}

fn read(connection: &mut Option<Connection>, node: usize, register: u64) -> RedisResult<u64> {
    at(connection, node)?.incr(key(register), 0)
}
