//! [`Load`]: requests at a fixed rate, each on a connection of its own, whether or not others have been answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    Failed,
}

pub(crate) struct Record {
    pub(crate) begun: Instant,
    pub(crate) ending: Ending,
    /// The letter of who answered.
    pub(crate) by: u8,
}

pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Record>>>,
}

/// So many may be without an answer at once: at 2,000 a second a third of three seconds' requests, and more.
const THREADS: usize = 2048;
const STACK: usize = 64 * 1024;

impl Load {
    pub(crate) fn start(address: SocketAddr, rate: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(0));
        let start = Instant::now() + Duration::from_millis(100);
        let every = Duration::from_secs(1) / rate;
        let threads = (0..THREADS)
            .map(|_| {
                let (is_over, next) = (Arc::clone(&is_over), Arc::clone(&next));
                let thread = std::thread::Builder::new().stack_size(STACK);
                thread.spawn(move || ask_in_turn(address, start, every, &next, &is_over)).expect("a thread")
            })
            .collect();
        Self { is_over, threads }
    }

    /// Nothing new is asked from now on.
    pub(crate) fn ends(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Gives what became of every request, once each has an end.
    pub(crate) fn end(self) -> Vec<Record> {
        self.ends();
        self.threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    }
}

/// Takes the next request that is due, waits for its time and makes it, again and again.
fn ask_in_turn(
    address: SocketAddr,
    start: Instant,
    every: Duration,
    next: &AtomicU64,
    is_over: &AtomicBool,
) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let due = start + every * u32::try_from(turn).expect("not so long");
        loop {
            if is_over.load(Ordering::Relaxed) {
                return records;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        let begun = Instant::now();
        let (ending, by) = ask(address).map_or((Ending::Failed, 0), |by| (Ending::Answered, by));
        records.push(Record { begun, ending, by });
    }
}

/// One request; the letter of who answered.
fn ask(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.last() {
        Some(&letter) if answer.starts_with(b"HTTP/1.1 200 ") => Ok(letter),
        _ => Err(std::io::Error::other("no whole answer")),
    }
}
