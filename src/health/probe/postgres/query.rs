//! Who takes writes, and how far behind is who does not.
//!
//! The functions may be called by any user. `lag` is 0 while a replica has replayed all it received and goes on
//! receiving; otherwise it is the age of the last transaction it replayed, which grows while the primary is idle
//! and the link is down: never less than the truth, at times more. `lag_bytes` is what it received and has not
//! replayed.

use std::time::Duration;

use crate::health::facts::{Facts, Link, Position, Role};
use crate::health::reason::Reason;

pub(super) const QUERY: &str = "\
SELECT pg_is_in_recovery(), \
CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') \
ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END, \
EXISTS (SELECT FROM pg_stat_wal_receiver), \
pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), \
CAST(1000 * EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS bigint)";

/// Reads the one row of the answer.
pub(super) fn facts(columns: &[Option<&[u8]>]) -> Result<Facts, Reason> {
    read(columns)
        .ok_or_else(|| Reason::answer("the query for the role was answered with another row than it has"))
}

fn read(columns: &[Option<&[u8]>]) -> Option<Facts> {
    let [is_replica, position, has_receiver, bytes, millis] = columns else { return None };
    let position = number(*position)?.map(Position::Bytes);
    if !boolean(*is_replica)? {
        return Some(Facts { role: Some(Role::Primary), position, ..Facts::default() });
    }
    let link = if boolean(*has_receiver)? { Link::Up } else { Link::Down };
    let (bytes, millis) = (number(*bytes)?, number(*millis)?);
    let lag = if link == Link::Up && bytes == Some(0) { Some(0) } else { millis };
    Some(Facts {
        role: Some(Role::Replica),
        position,
        lag: lag.map(Duration::from_millis),
        lag_bytes: bytes,
        link: Some(link),
        orders: None,
    })
}

fn boolean(column: Option<&[u8]>) -> Option<bool> {
    match column? {
        b"t" => Some(true),
        b"f" => Some(false),
        _ => None,
    }
}

/// A number or NULL; `None` when it is neither. What is below zero, such as the age of what a primary whose
/// clock is ahead wrote, is zero.
fn number(column: Option<&[u8]>) -> Option<Option<u64>> {
    let Some(text) = column else { return Some(None) };
    let number: i128 = std::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(number.max(0)).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [&str; 5]) -> Option<Facts> {
        let columns = columns.map(|text| if text == "NULL" { None } else { Some(text.as_bytes()) });
        facts(&columns).ok()
    }

    #[test]
    fn rows_are_facts() {
        // A primary that was promoted still knows what it received before.
        let primary = row(["f", "50331648", "f", "0", "86400000"]).unwrap();
        let expected = Facts {
            role: Some(Role::Primary),
            position: Some(Position::Bytes(50_331_648)),
            ..Facts::default()
        };
        assert_eq!(primary, expected);
        let replica = |columns| {
            let facts = row(columns).unwrap();
            assert_eq!((facts.role, facts.position), (Some(Role::Replica), Some(Position::Bytes(7))));
            (facts.link.unwrap(), facts.lag.map(|lag| lag.as_millis()), facts.lag_bytes)
        };
        assert_eq!(replica(["t", "7", "t", "0", "99000"]), (Link::Up, Some(0), Some(0)));
        assert_eq!(replica(["t", "7", "t", "512", "1500"]), (Link::Up, Some(1500), Some(512)));
        assert_eq!(replica(["t", "7", "f", "0", "99000"]), (Link::Down, Some(99_000), Some(0)));
        assert_eq!(replica(["t", "7", "f", "NULL", "99000"]), (Link::Down, Some(99_000), None));
        assert_eq!(replica(["t", "7", "t", "512", "NULL"]), (Link::Up, None, Some(512)));
        assert_eq!(replica(["t", "7", "t", "-512", "-3"]), (Link::Up, Some(0), Some(0)));
    }

    #[test]
    fn other_rows_are_none() {
        for bad in [
            ["x", "7", "t", "0", "0"],
            ["NULL", "7", "t", "0", "0"],
            ["t", "x", "t", "0", "0"],
            ["t", "18446744073709551616", "t", "0", "0"],
            ["t", "7", "NULL", "0", "0"],
            ["t", "7", "t", "0.5", "0"],
        ] {
            assert_eq!(row(bad), None, "{bad:?}");
        }
        assert!(facts(&[]).is_err() && facts(&[Some(b"t".as_slice()); 6]).is_err());
    }
}
