//! Whether counts are as they should be. Pure: counts in, what is wrong out, in words.

use std::collections::BTreeMap;

use super::ledger::Counts;

/// What the server counted by itself, at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Testimony {
    pub(super) accepted: u64,
    pub(super) retries: u64,
    /// Sessions that ended, by cause.
    pub(super) closed: BTreeMap<&'static str, u64>,
}

impl Testimony {
    /// Sessions that ended by this cause.
    pub(super) fn closed(&self, cause: &str) -> u64 {
        self.closed.get(cause).copied().unwrap_or(0)
    }
}

/// Nothing failed.
pub(super) fn nothing_failed(counts: &Counts) -> Option<String> {
    (counts.failed > 0).then(|| {
        let why = counts.failure.as_deref().unwrap_or("not known");
        format!("{}, the first: {why}", number(counts.failed, "failure"))
    })
}

/// Each backend was given an equal share of the connections, within `tolerance` connections.
pub(super) fn equal_shares(counts: &Counts, names: &[&str], tolerance: u64) -> Option<String> {
    let sum = counts.connections_sum();
    let backends = counts.connections.len() as u64;
    // Multiplied out, so that nothing is rounded.
    let is_off = |count: &u64| (count * backends).abs_diff(sum) > tolerance * backends;
    let (at, count) = counts.connections.iter().enumerate().find(|(_, count)| is_off(count))?;
    Some(format!(
        "{} was given {count} of {sum} connections, which is more than {tolerance} off an equal share",
        names[at]
    ))
}

/// `backend` was given none of the connections.
pub(super) fn nothing_new(counts: &Counts, backend: usize, name: &str) -> Option<String> {
    let count = counts.connections[backend];
    (count > 0).then(|| format!("{name} was given {}", number(count, "new connection")))
}

/// Nothing broke but connections that were `open` to the backend that was stopped.
pub(super) fn cut_within(counts: &Counts, open: u64) -> Option<String> {
    let broken = counts.cut + counts.closed_idle;
    (broken > open).then(|| format!("{} broke, though only {open} were open", number(broken, "connection")))
}

/// Every one of the requests `begun` came to an end that is counted.
pub(super) fn every_request_ended(total: &Counts, begun: u64) -> Option<String> {
    let ended = total.requests();
    (ended < begun).then(|| format!("of {} only {ended} came to an end", number(begun, "request")))
}

/// What the server counted agrees with the clients: nothing was turned away or timed out, and backends broke
/// no more than the connections `open` when one was stopped.
pub(super) fn server_agrees(testimony: &Testimony, open: u64) -> Option<String> {
    let good = ["finished", "backend_reset", "client_reset", "backend_down"];
    let bad = testimony.closed.iter().find(|(cause, count)| **count > 0 && !good.contains(*cause));
    if let Some((cause, count)) = bad {
        return Some(format!("the server counted {} as {cause}", number(*count, "session")));
    }
    let broken = testimony.closed("backend_reset") + testimony.closed("backend_down");
    (broken > open).then(|| {
        format!(
            "the server saw {} broken by backends or cut, though only {open} were open",
            number(broken, "session")
        )
    })
}

/// A number of things, in words.
pub(super) fn number(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["web-01", "web-02", "web-03"];

    fn connections(connections: [u64; 3]) -> Counts {
        Counts { connections: connections.to_vec(), ..Counts::new(3) }
    }

    #[test]
    fn a_failure_is_told_with_the_first_reason() {
        assert_eq!(nothing_failed(&Counts::new(3)), None);
        let counts = Counts { failed: 2, failure: Some("no answer in 10 s".into()), ..Counts::new(3) };
        let wrong = nothing_failed(&counts).unwrap();
        assert_eq!(wrong, "2 failures, the first: no answer in 10 s");
    }

    #[test]
    fn shares_are_equal_up_to_the_tolerance_and_no_further() {
        for good in [[100, 100, 100], [80, 110, 110], [120, 90, 90], [0, 0, 0], [101, 100, 100]] {
            assert_eq!(equal_shares(&connections(good), &NAMES, 20), None, "{good:?}");
        }
        for (bad, name) in [([79, 110, 111], "web-01"), ([90, 121, 89], "web-02"), ([150, 150, 0], "web-01")]
        {
            let wrong = equal_shares(&connections(bad), &NAMES, 20).unwrap();
            assert!(wrong.starts_with(name) && wrong.contains("of 300 connections"), "{bad:?}: {wrong}");
        }
        assert!(equal_shares(&connections([60, 60, 1]), &NAMES, 20).unwrap().starts_with("web-03"));
        // A third of a connection off the tolerance.
        assert!(equal_shares(&connections([1, 0, 0]), &NAMES, 0).is_some());
    }

    #[test]
    fn one_connection_is_more_than_none() {
        assert_eq!(nothing_new(&connections([5, 0, 5]), 1, "web-02"), None);
        let wrong = nothing_new(&connections([5, 1, 5]), 1, "web-02").unwrap();
        assert_eq!(wrong, "web-02 was given 1 new connection");
    }

    #[test]
    fn no_more_breaks_than_was_open() {
        let counts = Counts { cut: 1, closed_idle: 2, ..Counts::new(3) };
        assert_eq!(cut_within(&counts, 3), None);
        assert_eq!(cut_within(&counts, 2).unwrap(), "3 connections broke, though only 2 were open");
    }

    #[test]
    fn a_request_without_an_end_is_missed() {
        let total = Counts { answered: 7, cut: 2, failed: 1, ..Counts::new(3) };
        assert_eq!(every_request_ended(&total, 10), None);
        assert_eq!(every_request_ended(&total, 11).unwrap(), "of 11 requests only 10 came to an end");
    }

    #[test]
    fn the_server_has_a_say() {
        let closed = |causes: &[(&'static str, u64)]| Testimony {
            closed: causes.iter().copied().collect(),
            ..Testimony::default()
        };
        let good = closed(&[("finished", 900), ("backend_reset", 3), ("no_backend", 0)]);
        assert_eq!(server_agrees(&good, 3), None);
        assert!(server_agrees(&good, 2).unwrap().contains("3 sessions broken"));
        for cause in ["no_backend", "connect_failed", "idle_timeout", "stopped", "client_left"] {
            let wrong = server_agrees(&closed(&[("finished", 900), (cause, 1)]), 3).unwrap();
            assert_eq!(wrong, format!("the server counted 1 session as {cause}"));
        }
    }
}
