//! What `[store]` tells a node of consensus: the library's options under the library's names. `docs/configuration.md` has unit,
//! range and default of each.

use std::time::Duration;

use crate::error::Error;
use crate::replication::Options;
use crate::server::config::STORE_BYTES_MAX;
use crate::server::config::duration::show as show_duration;
use crate::server::config::engine::{Reader, SEGMENT_MIN, told};
use crate::server::config::fields::Fields;
use crate::server::config::problems::Problems;
use crate::server::config::size::show;

/// The keys.
pub(super) const KEYS: [&str; 15] = [
    "transfer_timeout",
    "tick",
    "heartbeat_ticks",
    "election_ticks",
    "clock_drift_permille",
    "slow_flush",
    "handover_pause",
    "message_bytes",
    "inflight_messages",
    "uncommitted_bytes_max",
    "tail_bytes",
    "kept_bytes_max",
    "snapshot_rate",
    "snapshot_window",
    "snapshot_timeout",
];

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads them over what `options` has; what is wrong is told, and stays as it was.
///
/// - `sources`: by how many nodes this one is fed.
/// - `segment_bytes`: of the log.
pub(super) fn read(
    mut options: Options,
    sources: usize,
    segment_bytes: u64,
    fields: &Fields<'_, '_>,
    problems: &mut Problems<'_>,
) -> Options {
    let mut before = options.clone();
    let mut reader = Reader { fields, problems };
    let ms = Duration::from_millis;
    reader.time("transfer_timeout", ms(10), HOUR, &mut options.transfer_timeout);
    reader.time("tick", ms(1), ms(1_000), &mut options.tick);
    reader.count("heartbeat_ticks", 1, 100, &mut options.heartbeat_ticks);
    reader.count("election_ticks", 5, 10_000, &mut options.election_ticks);
    reader.count("clock_drift_permille", 0, 200, &mut options.clock_drift_permille);
    reader.time_or_none("slow_flush", ms(10), HOUR, &mut options.slow_flush, "\"0s\" is never");
    reader.time("handover_pause", ms(1_000), DAY, &mut options.handover_pause);
    if segment_bytes >= SEGMENT_MIN {
        options.message_bytes = options.message_bytes.min(segment_bytes / 8);
    }
    reader.size("message_bytes", 1 << 10, 16 << 20, &mut options.message_bytes);
    reader.count("inflight_messages", 1, 4_096, &mut options.inflight_messages);
    reader.size("uncommitted_bytes_max", 64 << 10, 4 << 30, &mut options.uncommitted_bytes_max);
    reader.size("tail_bytes", 0, 4 << 30, &mut options.tail_bytes);
    reader.size("kept_bytes_max", 0, STORE_BYTES_MAX, &mut options.kept_bytes_max);
    reader.size("snapshot_rate", 0, STORE_BYTES_MAX, &mut options.snapshot_rate);
    reader.count("snapshot_window", 1, 1_024, &mut options.snapshot_window);
    reader.time("snapshot_timeout", ms(1_000), DAY, &mut options.snapshot_timeout);
    if fields.has("message_bytes") && options.message_bytes > segment_bytes / 8 {
        let message = format!(
            "message_bytes {} is more than an eighth of segment_bytes, which are {}",
            show(options.message_bytes),
            show(segment_bytes)
        );
        let hint = format!("{} are the most; make it shorter, or segments longer", show(segment_bytes / 8));
        reader.problems.add(fields.value_at("message_bytes"), message, hint);
        options.message_bytes = segment_bytes / 8;
    }
    before.message_bytes = options.message_bytes;
    // Sources are numbers only when they run; here it matters whether there are some.
    let checked = Options { feed_from: vec![1; sources], ..options.clone() };
    if let Err(error) = checked.check(segment_bytes) {
        if !told_where_it_comes_from(&error, &checked, fields, problems) {
            told(error, "tick", fields, problems);
        }
        return before;
    }
    options
}

/// What does not go with the default of a key that is not there is told at the key that is.
fn told_where_it_comes_from(
    error: &Error,
    options: &Options,
    fields: &Fields<'_, '_>,
    problems: &mut Problems<'_>,
) -> bool {
    let Error::InvalidArgument { what, .. } = error else { return false };
    let given = |keys: &[&'static str]| keys.iter().copied().find(|key| fields.has(key));
    let Options { tick, heartbeat_ticks, election_ticks, .. } = *options;
    let (key, message, hint) = match *what {
        "election_ticks" if !fields.has("election_ticks") => {
            let Some(key) = given(&["heartbeat_ticks"]) else { return false };
            let least = 5 * heartbeat_ticks;
            let message = format!(
                "heartbeat_ticks {heartbeat_ticks} needs {least} election_ticks or more, and they are {election_ticks}"
            );
            (key, message, format!("add election_ticks = {least}, or lower it"))
        }
        "feed_timeout" if !fields.has("feed_timeout") => {
            let Some(key) = given(&["election_ticks", "tick"]) else { return false };
            let election = show_duration(tick * election_ticks);
            let timeout = show_duration(options.feed_timeout);
            let message =
                format!("{key}: an election takes {election}, which is more than feed_timeout, {timeout}");
            (key, message, format!("add feed_timeout = \"{election}\", or lower it"))
        }
        _ => return false,
    };
    problems.add(fields.value_at(key), message, hint);
    true
}
