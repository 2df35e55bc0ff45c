//! [`StoreStatus`]: what a server shows of its store.

use serde::Serialize;

use crate::driver::resp::shared::SharedClients;
use crate::embedded::{ScrubStatus, Store};
use crate::error::Error;
use crate::server::backups::BackupStatus;
use crate::server::config;
use crate::store::engine::Report;
use crate::store::log::Covered;

/// What a store and its Redis clients come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreStatus {
    /// The name of this node, where the configuration gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The directory.
    pub dir: String,
    /// What a write reaches before it is answered.
    pub durability: &'static str,
    /// On how many nodes' disks it is beside that; 0: as `durability` says.
    pub nodes: u32,
    /// The last entry of the log.
    pub sequence: u64,
    /// The last one on disk.
    pub durable: u64,
    /// The last one applied.
    pub applied: u64,
    /// The sequence of the last snapshot; 0: none.
    pub snapshot: u64,
    /// Keys.
    pub keys: u64,
    /// Bytes of the index.
    pub memory_bytes: u64,
    /// The most of them; 0: no limit.
    pub memory_max: u64,
    /// Bytes of segments and snapshots.
    pub disk_bytes: u64,
    /// Bytes that wait to be on disk.
    pub pending_bytes: u64,
    /// Writes to disk, each with a sync.
    pub flushes: u64,
    /// Why nothing is taken any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why there is no room for more at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What the last snapshot failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_error: Option<String>,
    /// What opening it found.
    pub opening: OpeningStatus,
    /// What reading again what lies on disk has found.
    pub scrub: ScrubbingStatus,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots that failed.
    pub snapshots_failed: u64,
    /// Writes for which the clock had gone back, so that time stood still in the store.
    pub clock_steps: u64,
    /// Commands that took out what had expired.
    pub expiries: u64,
    /// Commands that made room by letting keys go.
    pub evictions: u64,
    /// How its backups stand; `None` when none was asked for since the server started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Its Redis clients, where they are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientsStatus>,
}

/// What opening a store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpeningStatus {
    /// The log had been closed in order, or there was none.
    pub was_closed: bool,
    /// Segments with records.
    pub segments: u64,
    /// Entries that were applied on top of the snapshot.
    pub replayed: u64,
    /// A batch that never became durable and was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn: Option<TornStatus>,
    /// Damage in segments that a snapshot stands for: they were taken away, and nothing is lost with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covered: Option<CoveredStatus>,
    /// By how much the latest time in the store was ahead of the clock, in milliseconds: until the clock has come there, time
    /// stands still in the store.
    pub ahead_ms: u64,
    /// Why the settings asked for are not in force, if so: those of before are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_refused: Option<String>,
}

/// A torn tail. Nobody was told that what it held is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TornStatus {
    /// The file.
    pub file: String,
    /// Where the log ended when it was cut off.
    pub offset: u64,
    /// How many bytes behind that were recognised as the batch's.
    pub bytes: u64,
}

/// Damage in segments that a snapshot stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoveredStatus {
    /// The first file that is damaged.
    pub file: String,
    /// Where it is.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// How many segments were taken away.
    pub segments: u64,
}

/// What reading again what lies on a store's disk has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScrubbingStatus {
    /// Passes that came to their end.
    pub passes: u64,
    /// Bytes found good, of all passes.
    pub verified_bytes: u64,
    /// When the last pass ended, in milliseconds since 1970; 0: none has.
    pub finished_ms: u64,
    /// How often something was found damaged, or could not be read.
    pub damages: u64,
    /// How often a snapshot took the place of what was found damaged.
    pub mended: u64,
    /// What was found last, with file and byte, until a later pass has found everything good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// The Redis clients of a [`StoreStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientsStatus {
    /// Where they are served.
    pub address: String,
    /// There at present.
    pub present: u32,
    /// The most at once.
    pub maxclients: u32,
    /// Taken in so far.
    pub accepted: u64,
    /// Turned away, for there were as many as may be.
    pub refused: u64,
    /// Attempts to accept that failed.
    pub accept_errors: u64,
    /// Commands done.
    pub commands: u64,
    /// Commands answered with an error.
    pub errors: u64,
    /// Keys that commands which only read have looked up, and found.
    pub hits: u64,
    /// Likewise, and were not there.
    pub misses: u64,
    /// Cut for what they sent.
    pub protocol_errors: u64,
    /// Cut for not reading what they had asked for.
    pub slow: u64,
    /// Ended for having said nothing for too long.
    pub idle: u64,
    /// Writes made up anew, for others had changed what they had read.
    pub retries: u64,
}

impl StoreStatus {
    /// `None` once it is closed.
    pub(in crate::server) fn read(
        from: &config::Store,
        store: &Store,
        clients: Option<(&SharedClients, String)>,
        backup: Option<BackupStatus>,
    ) -> Option<Self> {
        let status = store.status().ok()?;
        let told = |error: Option<Error>| error.map(|error| error.to_string());
        Some(Self {
            node: from.node.clone(),
            dir: from.dir.display().to_string(),
            durability: from.durability.name(),
            nodes: from.nodes,
            sequence: status.sequence,
            durable: status.durable,
            applied: status.applied,
            snapshot: status.snapshot,
            keys: status.keys,
            memory_bytes: status.memory_bytes,
            memory_max: from.options.engine.settings.memory_max,
            disk_bytes: status.disk_bytes,
            pending_bytes: status.pending_bytes,
            flushes: status.counts.flushes,
            failure: told(status.failure),
            problem: told(status.problem),
            snapshot_error: told(status.snapshot_error),
            opening: OpeningStatus::of(store.report()),
            scrub: ScrubbingStatus::of(status.scrub),
            snapshots: status.counts.snapshots,
            snapshots_failed: status.counts.snapshots_failed,
            clock_steps: status.counts.clock_steps,
            expiries: status.counts.expiries,
            evictions: status.counts.evictions,
            backup,
            clients: clients.map(|(shared, address)| ClientsStatus::read(shared, address)),
        })
    }
}

impl OpeningStatus {
    fn of(report: &Report) -> Self {
        let log = &report.log;
        let torn = log.torn.as_ref();
        Self {
            was_closed: log.is_closed || log.records == 0,
            segments: log.segments,
            replayed: report.replayed,
            torn: torn.map(|torn| TornStatus {
                file: torn.file.clone(),
                offset: torn.offset,
                bytes: torn.bytes,
            }),
            covered: log.covered.as_ref().map(|it| CoveredStatus {
                file: it.file.clone(),
                offset: it.offset,
                what: it.what.clone(),
                segments: it.segments,
            }),
            ahead_ms: report.ahead_ms,
            settings_refused: report.settings_refused.as_ref().map(Error::to_string),
        }
    }
}

impl ScrubbingStatus {
    fn of(status: ScrubStatus) -> Self {
        Self {
            passes: status.passes,
            verified_bytes: status.verified_bytes,
            finished_ms: status.finished_ms,
            damages: status.damages,
            mended: status.mended,
            damage: status.damage.map(|damage| damage.to_string()),
        }
    }
}

/// From how far on it is told that the clock is behind the store's time: less is what clocks of several nodes differ by.
const AHEAD_TOLD_MS: u64 = 1_000;

/// What an operator may want to know of what opening found, in words; `None`: nothing.
pub(in crate::server) fn found_by(report: &Report) -> Option<String> {
    let mut found = Vec::new();
    if let Some(torn) = &report.log.torn {
        found.push(format!(
            "a torn tail was cut off: {} bytes behind byte {} of {}, which nobody was told are durable",
            torn.bytes, torn.offset, torn.file
        ));
    }
    if let Some(Covered { file, offset, what, segments }) = &report.log.covered {
        found.push(format!(
            "{file} is damaged at byte {offset}: {what}; a snapshot stands for all in it, so nothing is lost, and {segments} \
             of the log's files are taken away: look at the disk"
        ));
    }
    if report.ahead_ms >= AHEAD_TOLD_MS {
        found.push(format!(
            "the clock is {} ms behind the latest time in the store, where time stands still until then",
            report.ahead_ms
        ));
    }
    if let Some(why) = &report.settings_refused {
        found.push(format!("the settings asked for are not in force, and those of before are: {why}"));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

impl ClientsStatus {
    fn read(shared: &SharedClients, address: String) -> Self {
        Self {
            address,
            present: shared.present(),
            maxclients: shared.options.clients_max,
            accepted: shared.sum(|counters| &counters.accepted),
            refused: shared.sum(|counters| &counters.refused),
            accept_errors: shared.sum(|counters| &counters.accept_errors),
            commands: shared.sum(|counters| &counters.commands),
            errors: shared.sum(|counters| &counters.errors),
            hits: shared.sum(|counters| &counters.hits),
            misses: shared.sum(|counters| &counters.misses),
            protocol_errors: shared.sum(|counters| &counters.protocol_errors),
            slow: shared.sum(|counters| &counters.slow),
            idle: shared.sum(|counters| &counters.idle),
            retries: shared.sum(|counters| &counters.retries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::log::{Report as Log, Sequence, Torn};

    fn report(torn: Option<Torn>, ahead_ms: u64, settings_refused: Option<Error>) -> Report {
        let log = Log {
            segments: 1,
            records: 3,
            bytes: 300,
            first: Some(Sequence(1)),
            last: Sequence(2),
            snapshot: None,
            torn,
            covered: None,
            is_closed: false,
        };
        Report { log, replayed: 2, ahead_ms, settings_refused }
    }

    #[test]
    fn what_is_to_be_looked_at_is_told_and_nothing_else() {
        assert_eq!(found_by(&report(None, 0, None)), None);
        assert_eq!(found_by(&report(None, AHEAD_TOLD_MS - 1, None)), None, "clocks of nodes differ");
        let torn = Torn { file: "data/1.wal".into(), offset: 8_192, bytes: 72 };
        let refused = Error::invalid("settings", "too long");
        let all = report(Some(torn.clone()), 1_500, Some(refused.clone()));
        let told = found_by(&all).expect("there is something");
        assert_eq!(
            told,
            "a torn tail was cut off: 72 bytes behind byte 8192 of data/1.wal, which nobody was told are durable; the clock is \
             1500 ms behind the latest time in the store, where time stands still until then; the settings asked for are not in \
             force, and those of before are: invalid settings: too long"
        );
        let status = OpeningStatus::of(&all);
        let TornStatus { file, offset, bytes } = status.torn.expect("it is there");
        assert_eq!((file, offset, bytes), (torn.file, torn.offset, torn.bytes));
        assert_eq!((status.was_closed, status.segments, status.replayed), (false, 1, 2));
        assert_eq!((status.ahead_ms, status.settings_refused), (1_500, Some(refused.to_string())));
        let none = Log { records: 0, ..report(None, 0, None).log };
        assert!(
            OpeningStatus::of(&Report { log: none, ..report(None, 0, None) }).was_closed,
            "there was no log"
        );
    }
}
