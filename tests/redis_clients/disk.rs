//! Bad disks under a server: a sync that fails, one that hangs, no room; whoever writes and syncs, a thread of the store's or
//! the worker itself. Writes are refused and say why, reads go on, and what was acknowledged is there again.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bad_disk::{BadDisk, SmallDisk, without_rights};
use crate::folder::Folder;
use crate::process::{Running, until};
use crate::support::{Client, config, encoded};

/// What the threads' names begin with.
const WORKER: &str = "trimtab/";
const FLUSHER: &str = "trimtab-flush";

fn address(running: &Running) -> SocketAddr {
    running.status()["store"]["clients"]["address"].as_str().unwrap().parse().unwrap()
}

/// A client of this worker: a connection's number says whose it is.
fn connect_to(address: SocketAddr, worker: u32, workers: u32) -> Client {
    let mut others = Vec::new();
    loop {
        let mut client = Client::connect(address);
        if (client.number("CLIENT ID") - 1) % i64::from(workers) == i64::from(worker) {
            return client;
        }
        others.push(client);
    }
}

fn expect(client: &mut Client, count: u64) {
    for number in 0..count {
        let text = number.to_string();
        assert_eq!(client.ask(&format!("GET k{number}")), format!("${}|{text}", text.len()));
    }
}

/// A server on a disk that can be told to be bad.
struct Scene {
    disk: BadDisk,
    workers: u32,
    data: Folder,
    /// Goes last.
    _tools: Folder,
}

impl Scene {
    fn new(workers: u32) -> Self {
        let tools = Folder::new();
        Self { disk: BadDisk::new(tools.path()), workers, data: Folder::new(), _tools: tools }
    }

    fn start(&self, environment: &[(&str, PathBuf)]) -> (Running, SocketAddr) {
        self.start_with("", environment)
    }

    fn start_with(&self, lines: &str, environment: &[(&str, PathBuf)]) -> (Running, SocketAddr) {
        let config = config(&self.data.file("data"), self.workers, lines);
        let running = Running::start_by("exec", environment, &config);
        let address = address(&running);
        (running, address)
    }

    /// Starts it on the disk again, which is good now: everything up to `count` is there, and writes are taken.
    fn expect_again(&self, count: u64) {
        let (running, address) = self.start(&[]);
        let mut client = Client::connect(address);
        expect(&mut client, count);
        assert_eq!(client.ask("SET more 1"), "+OK");
        running.end();
    }
}

/// `call` fails with `errno` for threads that are called so.
fn fail(workers: u32, call: &str, errno: i32, who: &str) {
    let scene = Scene::new(workers);
    let (running, address) = scene.start(&scene.disk.environment());
    let mut client = connect_to(address, 0, workers);
    let mut reader = connect_to(address, workers - 1, workers);
    assert_eq!(client.ask("SET k0 0"), "+OK");
    scene.disk.set(call, &format!("{errno} {who}"));
    // Until it is one of those that does it: a worker when the disk has been quick for a while.
    let mut count = 1;
    let deadline = Instant::now() + crate::process::DEADLINE;
    let refused = loop {
        let answer = client.ask(&format!("SET k{count} {count}"));
        if answer != "+OK" {
            break answer;
        }
        count += 1;
        assert!(Instant::now() < deadline, "{who} does nothing");
    };
    let met = scene.disk.met();
    assert!(met.len() == 1 && met[0].starts_with(who), "once, and never again: {met:?}");
    let is_told = |answer: &str| {
        answer.starts_with("-MISCONF the store takes no writes: ")
            && answer.contains(&format!("(os error {errno})"))
            && answer.contains("open it again")
    };
    assert!(is_told(&refused), "{refused}");
    // The disk is well again, and nobody believes it.
    scene.disk.mend(call);
    for client in [&mut client, &mut reader] {
        client.send(&[encoded(&[b"INCR", b"n"]), encoded(&[b"GET", b"k0"])].concat());
        let refused = client.answer();
        assert!(is_told(&refused), "{refused}");
        assert_eq!(client.answer(), "$1|0", "reads go on");
        assert_eq!(client.ask("MULTI"), "+OK");
        assert_eq!(client.ask("SET k0 changed"), "+QUEUED");
        let refused = client.ask("EXEC");
        assert!(is_told(&refused), "{refused}");
        expect(client, count);
        assert_eq!(client.ask(&format!("GET k{count}")), "$-1", "what was refused is not seen");
        assert_eq!(client.number("DBSIZE"), count as i64);
    }
    running.until_told("it has failed", |count| count("store-failed") == 1);
    let details = running.details("store-failed");
    assert!(details[0].contains(&format!("(os error {errno})")), "{details:?}");
    let told = running.status()["store"]["failure"].to_string();
    assert!(told.contains("open it again"), "{told}");
    assert_eq!((running.count("store-full"), running.count("store-recovered")), (0, 0));
    let persistence = client.ask("INFO persistence");
    for field in ["aof_last_write_status:err", "aof_enabled:1", "rdb_last_bgsave_status:ok"] {
        assert!(persistence.contains(field), "{field}: {persistence}");
    }
    let said = running.end_badly();
    assert!(said.contains("not closed in order") && said.contains(&format!("(os error {errno})")), "{said}");
    scene.expect_again(count);
}

#[test]
fn writes_in_memory_that_a_failed_store_did_not_bring_to_disk_are_told_at_the_end() {
    let scene = Scene::new(1);
    let lines = "durability = \"memory\"\nflush_interval = \"50ms\"";
    let (running, address) = scene.start_with(lines, &scene.disk.environment());
    let mut client = Client::connect(address);
    let persistence = client.ask("INFO persistence");
    let fields = [
        "loading:0",
        "rdb_bgsave_in_progress:0",
        "rdb_last_save_time:1",
        "rdb_last_bgsave_status:ok",
        "aof_enabled:1",
        "aof_last_bgrewrite_status:ok",
        "aof_last_write_status:ok",
        "aof_current_size:",
    ];
    for field in fields {
        assert!(persistence.contains(field), "{field}: {persistence}");
    }
    scene.disk.set("fdatasync", "5");
    let mut count = 0;
    let refused = loop {
        let answer = client.ask(&format!("SET k{count} {count}"));
        if answer != "+OK" {
            break answer;
        }
        count += 1;
    };
    assert!(refused.starts_with("-MISCONF "), "{refused}");
    let said = running.end_badly();
    let written = format!("writes 1 to {count} are not known to be on disk");
    assert!(
        said.starts_with("trimtab: the store was not closed in order: ") && said.contains(&written),
        "{said}"
    );
}

#[test]
fn a_sync_that_fails_in_a_worker_stops_writes_and_loses_nothing() {
    for workers in [1, 2] {
        fail(workers, "fdatasync", libc::EIO, WORKER);
    }
}

#[test]
fn a_write_that_fails_in_a_worker_stops_writes_and_loses_nothing() {
    fail(1, "pwrite", libc::ENOSPC, WORKER);
    fail(2, "pwrite", libc::EIO, WORKER);
}

#[test]
fn a_sync_that_fails_in_the_thread_for_it_stops_writes_and_loses_nothing() {
    for workers in [1, 2] {
        fail(workers, "fdatasync", libc::EIO, FLUSHER);
    }
}

/// Writes `k0`, `k1` and so on, each when the one before is acknowledged, until it is told to stop or is refused.
struct Writer {
    acknowledged: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    refused: Arc<Mutex<Option<String>>>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(mut client: Client) -> Self {
        let (acknowledged, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let refused = Arc::new(Mutex::new(None));
        let thread = {
            let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
            let refused = Arc::clone(&refused);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let number = acknowledged.load(Ordering::Relaxed);
                    client.say(&format!("SET k{number} {number}"));
                    match client.try_answer().as_deref() {
                        Some("+OK") => acknowledged.store(number + 1, Ordering::Relaxed),
                        Some(other) => {
                            *refused.lock().unwrap() = Some(other.to_string());
                            return;
                        }
                        // It was killed.
                        None => return,
                    }
                }
            })
        };
        Self { acknowledged, is_over, refused, thread }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap().clone()
    }

    /// Ends it; gives how many were acknowledged.
    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Waits until a sync of these threads hangs.
fn hang(disk: &BadDisk, who: &str) -> std::fs::File {
    let before = disk.met().len();
    disk.set("fdatasync", &format!("hang {who}"));
    let mut held = None;
    until("a sync hangs", || {
        held = disk.hanging();
        held.is_some()
    });
    let met = disk.met();
    assert!(met.len() == before + 1 && met[before].starts_with(who), "{met:?}");
    held.expect("it was waited for")
}

#[test]
fn a_disk_that_hangs_in_a_worker_holds_up_that_one_and_no_other_after_it() {
    for workers in [1, 2] {
        let scene = Scene::new(workers);
        let (running, address) = scene.start(&scene.disk.environment());
        let mut other = connect_to(address, workers - 1, workers);
        let writer = Writer::start(connect_to(address, 0, workers));
        until("it writes", || writer.acknowledged() > 0);

        // The worker that syncs stands still; another one reads, and takes writes that wait.
        let held = hang(&scene.disk, WORKER);
        let since = Instant::now();
        let before = writer.acknowledged();
        if workers > 1 {
            expect(&mut other, before);
            assert_eq!(other.ask(&format!("GET k{before}")), "$-1", "it is on no disk");
        }
        other.send(&[encoded(&[b"SET", b"other", b"1"]), encoded(&[b"GET", b"other"])].concat());
        // A disk that takes so long is not a quick one.
        until("it hangs for a while", || since.elapsed() > Duration::from_millis(20));
        assert_eq!(writer.acknowledged(), before, "nothing is acknowledged that is on no disk");
        scene.disk.mend("fdatasync");
        drop(held);
        assert_eq!((other.answer().as_str(), other.answer().as_str()), ("+OK", "$1|1"));
        until("it goes on", || writer.acknowledged() > before);

        // Now it is known to be slow: a thread waits for it, and all workers go on.
        let held = hang(&scene.disk, FLUSHER);
        let before = writer.acknowledged();
        let mut third = Client::connect(address);
        for client in [&mut other, &mut third] {
            expect(client, before);
            assert_eq!(client.ask(&format!("GET k{before}")), "$-1", "it is on no disk");
        }
        assert_eq!(running.status()["store"]["clients"]["present"], 3);
        other.say("SET other 2");
        assert_eq!(third.ask("GET other"), "$1|1");
        assert_eq!(writer.acknowledged(), before);
        scene.disk.mend("fdatasync");
        drop(held);
        assert_eq!(other.answer(), "+OK");
        until("it goes on", || writer.acknowledged() > before);

        // Killed while it hangs.
        let held = hang(&scene.disk, "trimtab");
        let before = writer.acknowledged();
        drop(running);
        scene.disk.mend("fdatasync");
        drop(held);
        assert_eq!(writer.end(), before);
        scene.expect_again(before);
    }
}

#[test]
fn a_disk_that_hangs_in_a_worker_and_fails_then_answers_all_who_wait() {
    for workers in [1, 2] {
        let scene = Scene::new(workers);
        let (running, address) = scene.start(&scene.disk.environment());
        let mut other = connect_to(address, workers - 1, workers);
        let writer = Writer::start(connect_to(address, 0, workers));
        until("it writes", || writer.acknowledged() > 0);
        let held = hang(&scene.disk, WORKER);
        let count = writer.acknowledged();
        other.send(&[encoded(&[b"SET", b"other", b"1"]), encoded(&[b"GET", b"other"])].concat());
        scene.disk.set("fdatasync", "5");
        drop(held);
        until("it is refused", || writer.refused().is_some());
        let refused = writer.refused().unwrap();
        assert!(refused.starts_with("-MISCONF ") && refused.contains("(os error 5)"), "{refused}");
        assert_eq!(writer.end(), count);
        // Whoever waited behind it, and whatever comes.
        let refused = other.answer();
        assert!(refused.starts_with("-MISCONF ") && refused.contains("(os error 5)"), "{refused}");
        assert_eq!(other.answer(), "$-1");
        expect(&mut other, count);
        running.until_told("it has failed", |count| count("store-failed") == 1);
        drop(running);
        scene.expect_again(count);
    }
}

const VALUE_BYTES: usize = 1 << 20;

fn large(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(VALUE_BYTES / 8)
}

fn set_large(client: &mut Client, number: u64) -> String {
    client.send(&encoded(&[b"SET", number.to_string().as_bytes(), &large(number)]));
    client.answer()
}

fn expect_large(client: &mut Client, count: u64) {
    assert_eq!(client.number("DBSIZE"), count as i64);
    for number in 0..count {
        assert!(client.bytes(&format!("GET {number}")) == large(number), "{number}");
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_reads_and_recovers_without_a_restart() {
    for workers in [1, 2] {
        let folder = Folder::new();
        // Room for the first segment, 64 MiB, and neither for a second nor for a snapshot.
        let disk = SmallDisk::new(folder.path(), 320);
        let filler = disk.path("filler");
        std::fs::write(&filler, vec![1; 250 << 20]).expect("there is room for the filler");
        let config = config(&folder.file("data"), workers, "");
        let running = Running::start_by(&disk.by(), &[], &config);
        let mut clients: Vec<Client> =
            (0..workers).map(|worker| connect_to(address(&running), worker, workers)).collect();
        let mut count = 0;
        let refused = loop {
            let at = count as usize % clients.len();
            match set_large(&mut clients[at], count).as_str() {
                "+OK" => count += 1,
                other => break other.to_string(),
            }
        };
        assert!(refused.starts_with("-MISCONF the store takes no writes: "), "{refused}");
        assert!(refused.contains("(os error 28); appends are taken again when there is room"), "{refused}");
        assert!(count > 50, "{count}");
        // Where a snapshot comes and goes there may be room in between, and none again.
        running.until_told("it is full", |count| count("store-full") > count("store-recovered"));
        let details = running.details("store-full");
        assert!(details[0].contains("(os error 28)"), "{details:?}");
        for client in &mut clients {
            let refused = set_large(client, count);
            assert!(refused.starts_with("-MISCONF "), "{refused}");
            expect_large(client, count);
        }
        assert!(running.status()["store"]["problem"].to_string().contains("(os error 28)"));

        // With room, without a restart.
        std::fs::remove_file(&filler).expect("the filler goes");
        let client = &mut clients[0];
        until("writes are taken again", || match set_large(client, count).as_str() {
            "+OK" => true,
            refused => {
                assert!(refused.starts_with("-MISCONF "), "{refused}");
                false
            }
        });
        count += 1;
        running.until_told("it says so", |count| count("store-recovered") == count("store-full"));
        for client in &mut clients {
            assert_eq!(set_large(client, count), "+OK");
            count += 1;
        }
        expect_large(&mut clients[0], count);
        assert_eq!(running.count("store-failed"), 0);

        // Killed, and started on what is there.
        drop(running);
        let running = Running::start_by(&disk.by(), &[], &config);
        let mut client = Client::connect(address(&running));
        expect_large(&mut client, count);
        assert_eq!(set_large(&mut client, count), "+OK");
        running.end();
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_refused_with_what_to_do() {
    let folder = Folder::new();
    let disk = SmallDisk::new(folder.path(), 8);
    disk.set_writable(false);
    let told = Running::refused_by(&disk.by(), &config(folder.path().to_str().unwrap(), 1, ""));
    assert!(told.contains("(os error 30); mount it for reading and writing, or name "), "{told}");
    drop(disk);
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    let told = Running::refused_by(without_rights(), &config(&folder.file("data"), 1, ""));
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(told.contains("(os error 13); give the directory to the user that this runs as"), "{told}");
}
