//! `ctl events`

use std::io::Write;

use clap::Args;

use crate::cli::Failure;
use crate::cli::ctl::client::Client;
use crate::cli::ctl::status;
use crate::cli::ctl::table::printable;
use crate::cli::ctl::told::Event;
use crate::cli::moment::rfc3339;

/// Show what happens, as it does
///
/// One line for each event, until the server ends or the command is interrupted. A reader that is too slow
/// misses events; a line says how many were lost.
#[derive(Args)]
pub(super) struct Arguments {
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Show the latest N first, of which the server keeps 1024
    #[arg(long, value_name = "N", conflicts_with = "since")]
    recent: Option<u64>,
    /// Show those first that came after the event of this number
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    /// Show what there was, and do not wait for more
    #[arg(long)]
    no_follow: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    client: &Client,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut lines = client.follow(&arguments.path())?;
    let mut shown_so_far = 0;
    while arguments.count.is_none_or(|count| shown_so_far < count) {
        let Some(line) = lines.next_line().map_err(|trouble| client.tell(trouble))? else {
            return match arguments.count {
                Some(count) if !arguments.no_follow => {
                    Err(Failure::Failed(format!("the server ended after {shown_so_far} of {count} events")))
                }
                _ => Ok(()),
            };
        };
        let text =
            if json { String::from_utf8_lossy(&line).into_owned() } else { shown(&status::read(&line)?) };
        writeln!(out, "{text}")?;
        out.flush()?;
        shown_so_far += 1;
    }
    Ok(())
}

impl Arguments {
    fn path(&self) -> String {
        let mut query = match (self.recent, self.since) {
            (Some(count), _) => format!("recent={count}"),
            (None, Some(number)) => format!("since={number}"),
            // What there was is what is wanted when nothing else is.
            (None, None) if self.no_follow => format!("recent={}", u64::MAX),
            (None, None) => String::new(),
        };
        if self.no_follow {
            query.push_str("&follow=false");
        }
        if query.is_empty() { "/v1/events".into() } else { format!("/v1/events?{query}") }
    }
}

/// The time, the event's name and its facts.
fn shown(event: &Event) -> String {
    let mut text = String::new();
    if event.unix_ms > 0 {
        text.push_str(&rfc3339(event.unix_ms));
        text.push(' ');
    }
    text.push_str(&event.event);
    let facts = [
        ("listener", &event.listener),
        ("pool", &event.pool),
        ("backend", &event.backend),
        ("node", &event.node),
        ("value", &event.value),
    ];
    for (key, value) in facts {
        if let Some(value) = value {
            text.push_str(&format!(" {key}={value}"));
        }
    }
    if let Some(detail) = &event.detail {
        text.push_str(&format!(" detail={detail:?}"));
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_facts() {
        let read = |text: &str| status::read::<Event>(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
        let drained = read(
            r#"{"backend":"web-01","event":"backend-admin","pool":"app","sequence":7,"unix_ms":1,"value":"drain"}"#,
        );
        let expected = "1970-01-01T00:00:00.001Z backend-admin pool=app backend=web-01 value=drain";
        assert_eq!(shown(&drained), expected);
        let primary = read(r#"{"event":"cluster-primary","node":"db-2","value":"3"}"#);
        assert_eq!(shown(&primary), "cluster-primary node=db-2 value=3");
        assert_eq!(shown(&read(r#"{"event":"lost","value":"17"}"#)), "lost value=17");
        let odd = read("{\"event\":\"started\",\"listener\":\"a\\u001bb\",\"detail\":\"two\\nlines\"}");
        assert_eq!(shown(&odd), "started listener=a\u{fffd}b detail=\"two\\nlines\"");
    }

    #[test]
    fn what_is_asked_for_goes_into_the_query() {
        let path = |count, recent, since, no_follow| Arguments { count, recent, since, no_follow }.path();
        assert_eq!(path(Some(3), None, None, false), "/v1/events");
        assert_eq!(path(None, Some(20), None, false), "/v1/events?recent=20");
        assert_eq!(path(None, None, Some(7), true), "/v1/events?since=7&follow=false");
        assert_eq!(path(None, None, None, true), format!("/v1/events?recent={}&follow=false", u64::MAX));
    }
}
