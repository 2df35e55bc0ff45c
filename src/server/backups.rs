//! [`Backups`]: backups of a server's store while it runs, one at a time, each on a thread of its own.
//!
//! A backup ends with the server: when the last session is over the store closes, and what is being written is given
//! up, which leaves the backup as it was before. Nobody waits for one to end by itself.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::backup::{Manifest, Options, Report, Span};
use crate::driver::event::{Event, EventKind, Sink};
use crate::error::{Error, Result};
use crate::server::config::suggest::shown;
use crate::server::server::unix_ms;
use crate::sys::signal;

/// The backups of one server. Any thread may ask; nothing here waits for the disk but [`Backups::end`].
#[derive(Default)]
pub(super) struct Backups(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The number of the newest, from 1; 0: there was none.
    newest: u64,
    running: Option<RunningBackup>,
    /// The newest first.
    ended: VecDeque<EndedBackup>,
    /// The newest that was taken, and the newest that was not.
    good: Option<EndedBackup>,
    failed: Option<EndedBackup>,
    /// Of the one under way, and of those that are still telling of their end.
    threads: Vec<Joinable>,
    /// The server ends: none begins any more.
    is_over: bool,
}

/// A thread; without its handle while somebody waits for it.
struct Joinable {
    id: ThreadId,
    handle: Option<JoinHandle<()>>,
}

/// How many that have ended are kept.
const ENDED_MAX: usize = 16;
/// How many threads there may be: one takes a backup, the others have one and are telling of it.
const THREADS_MAX: usize = 16;

/// How the backups of a store stand, in the status of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupStatus {
    /// Whether one is under way.
    pub state: Activity,
    /// The one under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningBackup>,
    /// The newest that was taken since the server started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good: Option<EndedBackup>,
    /// The newest that failed, until a later one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<EndedBackup>,
}

/// The last backups, as `GET /v1/store/backup` tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RecentBackups {
    state: Activity,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<RunningBackup>,
    /// The newest first, [`ENDED_MAX`] at most.
    ended: VecDeque<EndedBackup>,
}

/// Whether one is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// None is.
    #[default]
    Idle,
    /// One is.
    Running,
}

/// A backup that is being taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningBackup {
    /// Its number, from 1, anew with each server.
    pub backup: u64,
    /// The directory.
    pub to: String,
    /// Whether it begins anew with a snapshot.
    pub full: bool,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
}

/// A backup that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndedBackup {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: RunningBackup,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it came to; `None` when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<BackupReport>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether what was asked for can never be, as that directory.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_misuse: bool,
}

/// What a backup came to, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The name of the store's cluster, in hexadecimal digits.
    pub cluster: String,
    /// The number of the store's node.
    pub node: u64,
    /// The last entry that is in the backup.
    pub last: u64,
    /// The sequence of the snapshot that was added.
    pub snapshot: Option<u64>,
    /// How many entries were added.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
    /// All that the backup holds now.
    pub holds: Vec<BackupSpan>,
}

/// Points that a backup can be gone back to, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSpan {
    /// The first entry.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The store's time at the first, in milliseconds since 1970.
    pub first_ms: u64,
    /// At the last.
    pub last_ms: u64,
}

impl Backups {
    /// Begins one, which `take` takes on a thread of its own, and gives its number. Does not wait for it.
    ///
    /// Errors: `InvalidArgument` for a path that is not absolute; `State` while another is under way and when the server
    /// ends; `Capacity`, `Io` for lack of a thread.
    pub(super) fn begin(
        self: &Arc<Self>,
        to: &str,
        is_full: bool,
        sink: Sink,
        take: impl FnOnce(&Path, &Options) -> Result<Report> + Send + 'static,
    ) -> Result<u64> {
        let path = PathBuf::from(to);
        if !path.is_absolute() {
            let detail = format!(
                "{} is not absolute, and the server's working directory is its own affair; write the whole path, \
                 from / on",
                shown(to)
            );
            return Err(Error::invalid("to", detail));
        }
        let mut kept = self.0.lock();
        if kept.is_over {
            return Err(Error::State {
                what: "server",
                detail: "ends; back its directory up when it has".into(),
            });
        }
        if let Some(running) = &kept.running {
            let detail = format!(
                "is being backed up to {} (backup {}); ask again when that has ended",
                shown(&running.to),
                running.backup
            );
            return Err(Error::State { what: "store", detail: detail.into() });
        }
        kept.threads.retain(|thread| thread.handle.as_ref().is_none_or(|handle| !handle.is_finished()));
        if kept.threads.len() >= THREADS_MAX {
            return Err(Error::Capacity {
                what: "backups that tell of their end",
                limit: THREADS_MAX as u64,
            });
        }
        let number = kept.newest + 1;
        let running = RunningBackup { backup: number, to: to.into(), full: is_full, began_ms: unix_ms() };
        let backups = Arc::clone(self);
        // The host's threads take its signals, not ours.
        let masked = signal::mask_all();
        let thread = thread::Builder::new()
            .name("trimtab/backup".into())
            .spawn(move || backups.take(&sink, || take(&path, &Options { is_full })));
        drop(masked);
        let handle = thread.map_err(|error| Error::io("make a thread", &error))?;
        kept.threads.push(Joinable { id: handle.thread().id(), handle: Some(handle) });
        kept.newest = number;
        kept.running = Some(running);
        Ok(number)
    }

    /// Has none begin any more. One that is under way gives up once the store is closed.
    pub(super) fn forbid(&self) {
        self.0.lock().is_over = true;
    }

    /// Waits for their threads, once the store is closed.
    pub(super) fn end(&self) {
        let handles: Vec<_> =
            self.0.lock().threads.iter_mut().filter_map(|thread| thread.handle.take()).collect();
        for handle in handles {
            let id = handle.thread().id();
            if id != thread::current().id() {
                // What it panicked of was told as an event.
                let _ = handle.join();
                self.0.lock().threads.retain(|thread| thread.id != id);
            }
        }
    }

    /// Whether this is a thread of theirs.
    pub(super) fn is_theirs(&self) -> bool {
        let current = thread::current().id();
        self.0.lock().threads.iter().any(|thread| thread.id == current)
    }

    /// How they stand; `None` when there was none yet.
    pub(super) fn status(&self) -> Option<BackupStatus> {
        let kept = self.0.lock();
        let failed = kept
            .failed
            .as_ref()
            .filter(|failed| kept.good.as_ref().is_none_or(|good| good.asked.backup < failed.asked.backup));
        (kept.newest > 0).then(|| BackupStatus {
            state: kept.state(),
            running: kept.running.clone(),
            good: kept.good.clone(),
            failed: failed.cloned(),
        })
    }

    /// The last ones.
    pub(super) fn recent(&self) -> RecentBackups {
        let kept = self.0.lock();
        RecentBackups { state: kept.state(), running: kept.running.clone(), ended: kept.ended.clone() }
    }

    /// The body of a backup's thread.
    fn take(&self, sink: &Sink, take: impl FnOnce() -> Result<Report>) {
        let began = Instant::now();
        // What a panic left half done goes with the job, and the files it was about are not in the manifest.
        let taken = std::panic::catch_unwind(AssertUnwindSafe(take));
        let (report, error) = match taken {
            Ok(Ok(report)) => (Some(BackupReport::from(&report)), None),
            Ok(Err(error)) => (None, Some(error)),
            Err(_) => {
                let detail = "panicked, which is a bug in trimtab";
                (None, Some(Error::State { what: "thread of the backup", detail: detail.into() }))
            }
        };
        let event = {
            // `begin` has the lock until it has noted what runs.
            let mut kept = self.0.lock();
            let asked = kept.running.take().expect("it is noted before its thread has the lock");
            let why = error.as_ref().map(|error| match error {
                Error::State { what: "store", .. } if kept.is_over => {
                    "the server ended before it; the backup is as it was before".to_string()
                }
                error => error.to_string(),
            });
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let is_misuse = matches!(error, Some(Error::InvalidArgument { .. }));
            let ended = EndedBackup { asked, took_ms, report, error: why, is_misuse };
            let event = ended.event();
            kept.ended.truncate(ENDED_MAX - 1);
            kept.ended.push_front(ended.clone());
            if ended.report.is_some() {
                kept.good = Some(ended);
            } else {
                kept.failed = Some(ended);
            }
            event
        };
        sink(&event);
    }
}

impl Kept {
    fn state(&self) -> Activity {
        if self.running.is_some() { Activity::Running } else { Activity::Idle }
    }
}

impl EndedBackup {
    fn event(&self) -> Event {
        let (number, to) = (self.asked.backup, shown(&self.asked.to));
        let error = self.error.as_deref().unwrap_or_default();
        match &self.report {
            Some(report) => {
                Event::of_server(EventKind::StoreBackupEnded(number), format!("{report} to {to}"))
            }
            None => Event::of_server(EventKind::StoreBackupFailed(number), format!("to {to}: {error}")),
        }
    }
}

impl std::fmt::Display for BackupReport {
    /// What was added, in a few words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.bytes == 0 {
            return write!(f, "nothing new behind entry {}", self.last);
        }
        if let Some(snapshot) = self.snapshot {
            write!(f, "a snapshot of entry {snapshot}, ")?;
        }
        write!(f, "{} entries up to {}, {} bytes", self.entries, self.last, self.bytes)
    }
}

impl From<&Report> for BackupReport {
    fn from(report: &Report) -> Self {
        let identity = &report.manifest.identity;
        Self {
            cluster: identity.cluster.iter().map(|byte| format!("{byte:02x}")).collect(),
            node: identity.node,
            last: report.sequence,
            snapshot: (report.snapshot > 0).then_some(report.snapshot),
            entries: report.entries,
            bytes: report.bytes,
            holds: BackupSpan::all(&report.manifest),
        }
    }
}

impl BackupSpan {
    /// All that a backup holds.
    pub(crate) fn all(manifest: &Manifest) -> Vec<Self> {
        let told = |Span { first, last, first_ms, last_ms }| Self { first, last, first_ms, last_ms };
        manifest.spans().into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::store::log::Identity;

    /// Backups, and what they tell.
    fn told() -> (Arc<Backups>, Sink, Receiver<Event>) {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let sink = Arc::new(move |event: &Event| sender.lock().send(event.clone()).expect("it is read"));
        (Arc::default(), sink, receiver)
    }

    /// One that waits until it is told what it came to.
    fn begin(backups: &Arc<Backups>, sink: &Sink, to: &str) -> Result<(u64, Sender<Result<Report>>)> {
        let (sender, receiver) = channel();
        let take = move |_: &Path, _: &Options| receiver.recv().expect("it is told or its sender is gone");
        Ok((backups.begin(to, false, Arc::clone(sink), take)?, sender))
    }

    fn report(sequence: u64) -> Report {
        let identity = Identity { cluster: [0xab; 16], node: 3 };
        Report { sequence, snapshot: 0, entries: 2, bytes: 99, manifest: Manifest::new(identity, 1 << 20) }
    }

    #[test]
    fn one_is_taken_at_a_time() {
        let (backups, sink, events) = told();
        assert_eq!(backups.status(), None);
        let (number, done) = begin(&backups, &sink, "/a").unwrap();
        assert_eq!(number, 1);
        let status = backups.status().unwrap();
        assert_eq!((status.state, status.running.unwrap().to), (Activity::Running, "/a".to_string()));
        let Err(Error::State { what: "store", detail }) = begin(&backups, &sink, "/b") else { panic!() };
        assert_eq!(detail, "is being backed up to \"/a\" (backup 1); ask again when that has ended");
        done.send(Ok(report(7))).unwrap();
        let event = events.recv().unwrap();
        assert_eq!(
            event.to_string(),
            r#"store-backup-ended value=1 detail="2 entries up to 7, 99 bytes to \"/a\"""#
        );
        // Who has heard of its end may begin the next.
        let (number, done) = begin(&backups, &sink, "/b").unwrap();
        assert_eq!(number, 2);
        let status = backups.status().unwrap();
        let good = status.good.unwrap();
        assert_eq!((good.asked.backup, good.report.unwrap().last, status.failed), (1, 7, None));
        done.send(Ok(report(9))).unwrap();
        events.recv().unwrap();
        backups.end();
    }

    #[test]
    fn what_fails_is_told_until_one_is_good() {
        let (backups, sink, events) = told();
        let (_, done) = begin(&backups, &sink, "/a").unwrap();
        done.send(Err(Error::invalid("directory", "/a has x in it"))).unwrap();
        let event = events.recv().unwrap();
        assert_eq!(event.kind, EventKind::StoreBackupFailed(1));
        assert_eq!(event.detail, "to \"/a\": invalid directory: /a has x in it");
        let failed = backups.status().unwrap().failed.unwrap();
        assert!(failed.is_misuse && failed.report.is_none());
        // A panic is one that failed, and the next is taken.
        drop(begin(&backups, &sink, "/b").unwrap());
        let event = events.recv().unwrap();
        assert_eq!(event.kind, EventKind::StoreBackupFailed(2));
        assert!(event.detail.contains("a bug in trimtab"), "{event}");
        let (_, done) = begin(&backups, &sink, "/a").unwrap();
        assert!(backups.status().unwrap().failed.is_some());
        done.send(Ok(report(1))).unwrap();
        events.recv().unwrap();
        let status = backups.status().unwrap();
        assert_eq!((status.good.unwrap().asked.backup, status.failed), (3, None));
        let ended: Vec<_> = backups.recent().ended.iter().map(|ended| ended.asked.backup).collect();
        assert_eq!(ended, [3, 2, 1]);
    }

    #[test]
    fn only_the_last_are_kept() {
        let (backups, sink, events) = told();
        for number in 1..=ENDED_MAX as u64 + 3 {
            let (begun, done) = begin(&backups, &sink, "/a").unwrap();
            assert_eq!(begun, number);
            done.send(Ok(report(number))).unwrap();
            events.recv().unwrap();
            // Its thread may tell the event before it ends.
            backups.end();
        }
        let recent = backups.recent();
        assert_eq!((recent.ended.len(), recent.ended[0].asked.backup), (ENDED_MAX, ENDED_MAX as u64 + 3));
    }

    #[test]
    fn the_server_that_ends_waits_for_the_thread_and_says_so() {
        let (backups, sink, events) = told();
        let (_, done) = begin(&backups, &sink, "/a").unwrap();
        backups.forbid();
        let Err(Error::State { what: "server", .. }) = begin(&backups, &sink, "/b") else { panic!() };
        done.send(Err(Error::State { what: "store", detail: "is closed; open it again".into() })).unwrap();
        backups.end();
        // It has told it by then.
        let event = events.try_recv().unwrap();
        assert_eq!(event.detail, "to \"/a\": the server ended before it; the backup is as it was before");
    }

    #[test]
    fn a_thread_knows_that_it_is_theirs_until_it_has_ended() {
        let (backups, sink, events) = told();
        let (ask, asked) = channel::<()>();
        let (sender, is_theirs) = channel();
        let theirs = Arc::clone(&backups);
        let take = move |_: &Path, _: &Options| {
            asked.recv().expect("it is asked");
            sender.send(theirs.is_theirs()).expect("it is read");
            Ok(report(1))
        };
        backups.begin("/a", false, Arc::clone(&sink), take).unwrap();
        assert!(!backups.is_theirs());
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| backups.end());
            while backups.0.lock().threads.iter().any(|thread| thread.handle.is_some()) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            // Somebody waits for it by now.
            ask.send(()).unwrap();
            assert!(is_theirs.recv().unwrap());
            ending.join().unwrap();
        });
        assert_eq!(events.recv().unwrap().kind, EventKind::StoreBackupEnded(1));
        assert!(backups.0.lock().threads.is_empty());
    }

    #[test]
    fn a_path_that_is_not_whole_is_refused() {
        let (backups, sink, _events) = told();
        for to in ["", "backup", "./backup", "../backup", "~/backup"] {
            let Err(Error::InvalidArgument { what: "to", detail }) = begin(&backups, &sink, to) else {
                panic!("{to}")
            };
            assert!(detail.contains("write the whole path"), "{detail}");
        }
        assert_eq!(backups.status(), None);
    }
}
