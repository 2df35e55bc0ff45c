//! What `[store]` tells the store itself: the library's options under the library's names. `docs/configuration.md` has unit,
//! range and default of each.

use std::time::Duration;

use crate::embedded::Options;
use crate::error::Error;
use crate::server::config::STORE_BYTES_MAX;
use crate::server::config::duration::show as show_duration;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::size::show;
use crate::store::index::KEY_MAX;
use crate::store::index::evict::Eviction;
use crate::store::log;

const MEMORY_MIN: u64 = 64 << 10;
pub(super) const SEGMENT_MIN: u64 = 16 << 10;
const SEGMENT_MAX: u64 = 1 << 30;
const SEGMENT_GRAIN: u64 = 4 << 10;
/// What is in a record beside a long key and its value, or beside the value alone with a short one, at most.
const COMMAND_BYTES: u64 = 1 << 10;
/// The log cannot do without three; and a snapshot.
const SEGMENTS_MIN: u64 = 4;
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads them; what is wrong is told, and has its default.
pub(super) fn read(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Options {
    let mut options = Options::default();
    let mut reader = Reader { fields, problems };
    let engine = &mut options.engine;
    if let Some(eviction) = fields.choice("eviction", &Eviction::NAMES, &[], reader.problems) {
        engine.eviction = eviction.value;
        let has_bound = fields.has("memory_max");
        if eviction.value != Eviction::Refuse && !has_bound {
            let message = "eviction needs memory_max, at which it begins";
            reader.problems.add(eviction.at, message, "add memory_max = \"1GiB\"");
        }
    }
    let log = &mut engine.log;
    reader.size("segment_bytes", SEGMENT_MIN, SEGMENT_MAX, &mut log.segment_bytes);
    if !log.segment_bytes.is_multiple_of(SEGMENT_GRAIN) {
        let given = std::mem::replace(&mut log.segment_bytes, Options::default().engine.log.segment_bytes);
        let message = format!("segment_bytes {} is no multiple of {}", show(given), show(SEGMENT_GRAIN));
        let below = given - given % SEGMENT_GRAIN;
        let hint = format!("write {} or {}", show(below), show(below + SEGMENT_GRAIN));
        reader.problems.add(fields.value_at("segment_bytes"), message, hint);
    }
    reader.size("pending_bytes_max", 64 << 10, 4 << 30, &mut log.pending_bytes_max);
    reader.size("kept_bytes", 0, STORE_BYTES_MAX, &mut log.kept_bytes);
    reader.time("disk_retry", MILLISECOND, HOUR, &mut log.retry);
    let least = SEGMENTS_MIN * log.segment_bytes;
    let disk_bytes_max = reader.size_or_none("disk_bytes_max", least, STORE_BYTES_MAX);
    log.disk_bytes_max = disk_bytes_max;

    let settings = &mut engine.settings;
    settings.memory_max =
        reader.size_or_none("memory_max", MEMORY_MIN, STORE_BYTES_MAX).unwrap_or(settings.memory_max);
    reader.size("value_max", 1, 512 << 20, &mut settings.value_max);
    reader.count("operations_max", 1, 1 << 20, &mut settings.operations_max);
    reader.count("clients_max", 1, 1 << 24, &mut settings.clients_max);
    reader.size("client_bytes_max", 1 << 10, STORE_BYTES_MAX, &mut settings.client_bytes_max);

    reader.time("flush_interval", MILLISECOND, HOUR, &mut engine.flush_interval);
    reader.size("flush_bytes", 4 << 10, 4 << 30, &mut engine.flush_bytes);
    reader.size("snapshot_bytes", 64 << 10, STORE_BYTES_MAX, &mut engine.snapshot_bytes);
    reader.time("snapshot_retry", MILLISECOND, DAY, &mut engine.snapshot_retry);
    reader.count("eviction_places", 1, 1 << 28, &mut engine.eviction_places);
    reader.size("history_bytes_max", 0, STORE_BYTES_MAX, &mut engine.index.history_bytes_max);

    reader.time("timeout", MILLISECOND, DAY, &mut options.timeout);
    reader.count("waiting_max", 1, 1 << 24, &mut options.waiting_max);
    reader.time_or_none(
        "scrub_interval",
        MILLISECOND,
        366 * DAY,
        &mut options.scrub_interval,
        "\"0s\" is only when it is asked for",
    );
    reader.size("scrub_bytes_per_second", 64 << 10, 1 << 40, &mut options.scrub_bytes_per_second);

    let (value_max, log) = (&mut options.engine.settings.value_max, &options.engine.log);
    if !fields.has("value_max") && log.segment_bytes >= SEGMENT_MIN {
        // Beside a key; where segments are so short that no long one fits, half of the room.
        let payload = log.payload_bytes_max() as u64;
        *value_max = payload.saturating_sub(KEY_MAX as u64 + COMMAND_BYTES).max(payload / 2).min(*value_max);
    }
    let value_max = *value_max;
    let room = (log.payload_bytes_max() as u64).saturating_sub(COMMAND_BYTES);
    if fields.has("value_max") && value_max > room {
        let message = format!(
            "value_max {} is more than the {room} bytes that fit beside a key, with segment_bytes = {}",
            show(value_max),
            show(log.segment_bytes)
        );
        let longest = log::Options { segment_bytes: SEGMENT_MAX, ..log.clone() };
        let hint = match log.payload_bytes_max() < longest.payload_bytes_max() {
            true => "a value lies in one segment: make it shorter, or segments longer",
            false => "no record of the log is longer: make it shorter",
        };
        reader.problems.add(fields.value_at("value_max"), message, hint);
    }
    if let Err(error) = options.check() {
        told(error, "segment_bytes", fields, reader.problems);
    }
    options
}

/// What the library says of options of which each is in its range: that they do not go together.
///
/// - `other`: the key that is told of where the one in question is not there.
pub(super) fn told(error: Error, other: &str, fields: &Fields<'_, '_>, problems: &mut Problems<'_>) {
    let key = match &error {
        Error::InvalidArgument { what, .. } => *what,
        _ => other,
    };
    let at = fields.value_at(if fields.has_known(key) { key } else { other });
    problems.add(at, format!("{key} {}", error.into_detail()), "");
}

/// Takes what is there and in its range over into an option.
pub(super) struct Reader<'r, 'a, 't, 'p> {
    pub(super) fields: &'r Fields<'a, 't>,
    pub(super) problems: &'r mut Problems<'p>,
}

impl Reader<'_, '_, '_, '_> {
    pub(super) fn size(&mut self, key: &str, least: u64, most: u64, to: &mut u64) {
        let given = self.fields.size(key, self.problems);
        if let Some(given) = given.filter(|given| self.is_size(key, given, least, most, "")) {
            *to = given.value;
        }
    }

    /// A size for which 0 is no limit.
    fn size_or_none(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        let given = self.fields.size(key, self.problems)?;
        let is_right = given.value == 0 || self.is_size(key, &given, least, most, "0 is no limit");
        Some(given.value).filter(|bytes| is_right && *bytes > 0)
    }

    fn is_size(&mut self, key: &str, given: &At<u64>, least: u64, most: u64, hint: &'static str) -> bool {
        let is_right = (least..=most).contains(&given.value);
        if !is_right {
            let message = format!("{key} {} is outside {} to {}", show(given.value), show(least), show(most));
            self.problems.add(given.at, message, hint);
        }
        is_right
    }

    pub(super) fn count<T: TryFrom<i128>>(&mut self, key: &str, least: u64, most: u64, to: &mut T) {
        let given = self.fields.integer(key, i128::from(least)..=i128::from(most), self.problems);
        if let Some(given) = given {
            *to = given.value;
        }
    }

    pub(super) fn time(&mut self, key: &str, least: Duration, most: Duration, to: &mut Duration) {
        let given = self.fields.duration(key, self.problems);
        if let Some(given) = given.filter(|given| self.is_time(key, given, least, most, "")) {
            *to = given.value;
        }
    }

    /// A time for which `"0s"` is never.
    pub(super) fn time_or_none(
        &mut self,
        key: &str,
        least: Duration,
        most: Duration,
        to: &mut Option<Duration>,
        hint: &'static str,
    ) {
        let Some(given) = self.fields.duration(key, self.problems) else { return };
        if given.value.is_zero() {
            *to = None;
        } else if self.is_time(key, &given, least, most, hint) {
            *to = Some(given.value);
        }
    }

    fn is_time(
        &mut self,
        key: &str,
        given: &At<Duration>,
        least: Duration,
        most: Duration,
        hint: &'static str,
    ) -> bool {
        let is_right = (least..=most).contains(&given.value);
        if !is_right {
            let (value, least, most) = (given.value, show_duration(least), show_duration(most));
            let message = format!("{key} {} is outside {least} to {most}", show_duration(value));
            self.problems.add(given.at, message, hint);
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::schema::STORE;
    use crate::server::config::syntax;
    use crate::store::index::{Command, Condition, Lifetime, Operation, RequestId, Step, Timestamp};

    fn read_text(text: &str) -> (Options, Vec<String>) {
        let mut problems = Problems::new(text, "t");
        let root = syntax::parse(text, &mut problems).expect("it is TOML");
        let fields = Fields::new(&root, &STORE, 0, &mut problems);
        let options = read(&fields, &mut problems);
        (options, problems.finish().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_longest_value_that_is_taken_fits_a_record() {
        for (segment, most) in
            [("16KiB", 5_072), ("64KiB", 41_936), ("64MiB", 50_324_432), ("1GiB", (64 << 20) - 1_024)]
        {
            let text = |value: u64| format!("segment_bytes = {segment:?}\nvalue_max = {value}");
            let (options, told) = read_text(&text(most));
            assert!(told.is_empty(), "{told:?}");
            let value = vec![0; most as usize];
            let put = Step::Put {
                key: &[b'k'; 900],
                value: &value,
                condition: Condition::Version(u64::MAX),
                lifetime: Lifetime::Until(Timestamp::from_millis(u64::MAX)),
                previous: true,
            };
            let request = Some(RequestId { client: [0; 16], number: u64::MAX });
            let time = Timestamp::from_millis(u64::MAX);
            let mut encoded = Vec::new();
            Command { time, request, operation: Operation::Step(put) }.encode(&mut encoded);
            let fits = options.engine.log.payload_bytes_max();
            assert!(encoded.len() <= fits && encoded.len() > fits - 128, "{segment}: {}", encoded.len());
            let (_, told) = read_text(&text(most + 1));
            assert!(told.len() == 1 && told[0].contains(&format!("the {most} bytes that fit")), "{told:?}");
        }
    }
}
