//! `[[listener]]`

use std::time::Duration;

use crate::balance::MAXCONN_MAX;
use crate::server::config::duration::show;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::schema::TIMEOUTS;
use crate::server::config::{
    AcceptProxy, BACKLOG_MAX, Bind, QUEUE_MAX, Reads, SPLIT_CLIENTS_MAX, TIMEOUT_MAX, TIMEOUT_MIN, Timeouts,
};

const BACKLOG_DEFAULT: u32 = 4096;
const QUEUE_DEFAULT: u32 = 1024;

/// A listener whose references are not resolved yet. What is `None` was told as a problem.
pub(super) struct Read<'a> {
    pub(super) name: Option<At<&'a str>>,
    pub(super) bind: Option<At<Bind>>,
    pub(super) pool: Option<At<&'a str>>,
    pub(super) maxconn: u32,
    pub(super) backlog: u32,
    pub(super) proxy_protocol: AcceptProxy,
    pub(super) abort_on_close: bool,
    pub(super) timeouts: Timeouts,
    /// What a listener has that splits reads from writes.
    pub(super) split: Option<Split>,
}

/// What a listener has that splits reads from writes.
pub(super) struct Split {
    pub(super) reads: Reads,
    pub(super) max_age: Duration,
    pub(super) catch_up: Duration,
    pub(super) queue_max: u32,
    /// Whether `timeouts.idle` was said: otherwise silence has no bound.
    pub(super) has_idle: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Tcp,
    Split,
}

/// Keys of a listener that relays, and of one that splits reads from writes.
const TCP_KEYS: [&str; 3] = ["pool", "proxy_protocol", "abort_on_close"];
const SPLIT_KEYS: [&str; 4] = ["reads", "max_age", "catch_up", "queue_max"];
const SPLIT_TIMEOUTS: [&str; 4] = ["connect", "queue", "idle", "drain"];
const MAX_AGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3_600));
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// Reads one listener.
pub(super) fn read<'a>(fields: &Fields<'a, '_>, problems: &mut Problems<'_>) -> Read<'a> {
    let modes = [("tcp", Mode::Tcp), ("resp-split", Mode::Split)];
    let mode = fields.choice("mode", &modes, &["http"], problems);
    let is_split = mode.as_ref().is_some_and(|mode| mode.value == Mode::Split);
    // Which keys go with a mode that is none nobody knows.
    let is_known = mode.is_some() || !fields.has("mode");
    let accept = [("off", AcceptProxy::Off), ("accept", AcceptProxy::Required)];
    let timeouts = fields.table("timeouts", &TIMEOUTS, problems);
    Read {
        name: name(fields, problems),
        bind: bind(fields, problems),
        pool: match (is_split, is_known) {
            (true, _) => None,
            (false, true) => fields.required_text("pool", problems),
            (false, false) => fields.text("pool", problems),
        },
        maxconn: fields
            .integer(
                "maxconn",
                0..=i128::from(if is_split { SPLIT_CLIENTS_MAX } else { MAXCONN_MAX }),
                problems,
            )
            .map_or(0, |maxconn| maxconn.value),
        backlog: fields
            .integer("backlog", 1..=i128::from(BACKLOG_MAX), problems)
            .map_or(BACKLOG_DEFAULT, |backlog| backlog.value),
        proxy_protocol: fields
            .choice("proxy_protocol", &accept, &[], problems)
            .map_or(AcceptProxy::default(), |choice| choice.value),
        abort_on_close: fields.boolean("abort_on_close", problems).is_some_and(|abort| abort.value),
        split: if is_known { read_split(fields, timeouts.as_ref(), is_split, problems) } else { None },
        timeouts: timeouts.map_or_else(Timeouts::default, |fields| read_timeouts(&fields, problems)),
    }
}

fn read_split(
    fields: &Fields<'_, '_>,
    timeouts: Option<&Fields<'_, '_>>,
    is_split: bool,
    problems: &mut Problems<'_>,
) -> Option<Split> {
    let foreign = if is_split { &TCP_KEYS[..] } else { &SPLIT_KEYS };
    for key in foreign.iter().filter(|key| fields.has(key)) {
        let (message, hint) = match is_split {
            true => (
                format!(
                    "{key} is not for a listener of mode \"resp-split\", which leads to the nodes of [store]"
                ),
                "take it out",
            ),
            false => (
                format!("{key} is for listeners of mode \"resp-split\""),
                "add mode = \"resp-split\", or take it out",
            ),
        };
        problems.add(fields.value_at(key), message, hint);
    }
    if !is_split {
        return None;
    }
    if cfg!(not(feature = "replication")) {
        let message = "a listener of mode \"resp-split\" is not in this build of trimtab";
        problems.add(fields.value_at("mode"), message, "build with the feature replication");
    }
    for key in ["header", "half_closed"] {
        if let Some(timeouts) = timeouts.filter(|timeouts| timeouts.has(key)) {
            let message = format!("{key} is not for a listener of mode \"resp-split\"");
            let hint = format!("it has {}", SPLIT_TIMEOUTS.join(", "));
            problems.add(timeouts.value_at(key), message, hint);
        }
    }
    let choices = [("any", Reads::Any), ("replicas", Reads::Replicas), ("primary", Reads::Primary)];
    let mut time =
        |key: &'static str, range: (Duration, Duration), default| match fields.duration(key, problems) {
            Some(At { value, .. }) if (range.0..=range.1).contains(&value) => value,
            Some(At { at, value }) => {
                let range = format!("{} to {}", show(range.0), show(range.1));
                problems.add(at, format!("{key} {} is outside {range}", show(value)), "");
                default
            }
            None => default,
        };
    let max_age = time("max_age", MAX_AGE, Duration::from_secs(1));
    let catch_up = time("catch_up", (Duration::ZERO, CATCH_UP_MAX), Duration::from_millis(50));
    let has_idle = timeouts.is_some_and(|timeouts| timeouts.has("idle"));
    Some(Split {
        reads: fields
            .choice("reads", &choices, &[], problems)
            .map_or(Reads::default(), |choice| choice.value),
        max_age,
        catch_up,
        queue_max: fields
            .integer("queue_max", 0..=i128::from(QUEUE_MAX), problems)
            .map_or(QUEUE_DEFAULT, |max| max.value),
        has_idle,
    })
}

/// A `bind` that must be there.
pub(super) fn bind(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<At<Bind>> {
    let At { at, value: text } = fields.required_text("bind", problems)?;
    match text.parse() {
        Ok(value) => Some(At { at, value }),
        Err(error) => {
            problems.add(at, format!("bind {}", error.into_detail()), "");
            None
        }
    }
}

/// A `name` that must be there and be one.
pub(super) fn name<'a>(fields: &Fields<'a, '_>, problems: &mut Problems<'_>) -> Option<At<&'a str>> {
    let name = fields.required_text("name", problems)?;
    check_name(name, problems).then_some(name)
}

/// Whether `name` can be one, which is told otherwise.
pub(super) fn check_name(name: At<&str>, problems: &mut Problems<'_>) -> bool {
    match crate::balance::backend::check_name(name.value) {
        Ok(()) => true,
        Err(error) => {
            problems.add(name.at, format!("this is no name: {}", error.into_detail()), "");
            false
        }
    }
}

fn read_timeouts(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Timeouts {
    let default = Timeouts::default();
    let mut timeout = |key: &'static str, default: Duration| match fields.duration(key, problems) {
        Some(At { value, .. }) if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) => value,
        Some(At { at, value }) => {
            let range = format!("{} to {}", show(TIMEOUT_MIN), show(TIMEOUT_MAX));
            let hint =
                if value.is_zero() { "no timeout can be off; write a long one, such as \"30d\"" } else { "" };
            problems.add(at, format!("{key} {} is outside {range}", show(value)), hint);
            default
        }
        None => default,
    };
    Timeouts {
        connect: timeout("connect", default.connect),
        header: timeout("header", default.header),
        idle: timeout("idle", default.idle),
        half_closed: timeout("half_closed", default.half_closed),
        queue: timeout("queue", default.queue),
        drain: timeout("drain", default.drain),
    }
}
