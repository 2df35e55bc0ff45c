//! `[[listener]]`

use std::time::Duration;

use crate::balance::MAXCONN_MAX;
use crate::server::config::duration::show;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::schema::TIMEOUTS;
use crate::server::config::{AcceptProxy, BACKLOG_MAX, Bind, TIMEOUT_MAX, TIMEOUT_MIN, Timeouts};

const BACKLOG_DEFAULT: u32 = 4096;

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
}

/// Reads one listener.
pub(super) fn read<'a>(fields: &Fields<'a, '_>, problems: &mut Problems<'_>) -> Read<'a> {
    // There is one mode to choose, so the choice says nothing more.
    fields.choice("mode", &[("tcp", ())], &["http"], problems);
    let accept = [("off", AcceptProxy::Off), ("accept", AcceptProxy::Required)];
    let timeouts = fields.table("timeouts", &TIMEOUTS, problems);
    Read {
        name: name(fields, problems),
        bind: bind(fields, problems),
        pool: fields.required_text("pool", problems),
        maxconn: fields
            .integer("maxconn", 0..=i128::from(MAXCONN_MAX), problems)
            .map_or(0, |maxconn| maxconn.value),
        backlog: fields
            .integer("backlog", 1..=i128::from(BACKLOG_MAX), problems)
            .map_or(BACKLOG_DEFAULT, |backlog| backlog.value),
        proxy_protocol: fields
            .choice("proxy_protocol", &accept, &[], problems)
            .map_or(AcceptProxy::default(), |choice| choice.value),
        abort_on_close: fields.boolean("abort_on_close", problems).is_some_and(|abort| abort.value),
        timeouts: timeouts.map_or_else(Timeouts::default, |fields| read_timeouts(&fields, problems)),
    }
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
