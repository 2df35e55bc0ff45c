//! The queries for the role and the lag, and what their answers mean.
//!
//! Servers before MySQL 8.0.22 and MariaDB 10.5.1 know `SHOW SLAVE STATUS` alone, and MySQL 8.4 knows it no more:
//! who does not understand the one is asked the other. A replica of several primaries is as far behind as it is
//! behind the farthest, and linked when all links are.

use std::time::Duration;

use super::rows::Row;
use crate::health::facts::{FILE_MAX, Facts, Link, Position, Role};
use crate::health::reason::{Reason, shown};

pub(super) const READ_ONLY: &str = "SELECT @@global.read_only";
pub(super) const STATUS: &str = "SHOW REPLICA STATUS";
pub(super) const STATUS_BEFORE: &str = "SHOW SLAVE STATUS";

const IO_RUNNING: [&str; 2] = ["Replica_IO_Running", "Slave_IO_Running"];
const SQL_RUNNING: [&str; 2] = ["Replica_SQL_Running", "Slave_SQL_Running"];
const BEHIND: [&str; 2] = ["Seconds_Behind_Source", "Seconds_Behind_Master"];
const READ_FILE: [&str; 2] = ["Source_Log_File", "Master_Log_File"];
const READ_OFFSET: [&str; 2] = ["Read_Source_Log_Pos", "Read_Master_Log_Pos"];
const DONE_FILE: [&str; 2] = ["Relay_Source_Log_File", "Relay_Master_Log_File"];
const DONE_OFFSET: [&str; 2] = ["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"];

/// Whether a column of the status is looked at.
pub(super) fn keeps(column: &str) -> bool {
    [IO_RUNNING, SQL_RUNNING, BEHIND, READ_FILE, READ_OFFSET, DONE_FILE, DONE_OFFSET]
        .iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(column))
}

/// The role, as [`READ_ONLY`] was answered.
pub(super) fn role(rows: &[Row]) -> Result<Role, Reason> {
    let value = match rows {
        [row] => row.value(&["@@global.read_only"]),
        _ => None,
    };
    match value {
        Some("0" | "OFF") => Ok(Role::Primary),
        // MariaDB has other words for more than ON.
        Some(value) if !value.is_empty() => Ok(Role::Replica),
        _ => Err(Reason::answer("the query for read_only was answered with another row than it has")),
    }
}

/// What the status adds to the role. Without rows the server follows nobody.
pub(super) fn facts(role: Role, rows: &[Row]) -> Result<Facts, Reason> {
    let mut facts = Facts { role: Some(role), ..Facts::default() };
    for (at, row) in rows.iter().enumerate() {
        let is_first = at == 0;
        let runs = |names| row.value(names).is_some_and(|value| value.eq_ignore_ascii_case("Yes"));
        let link = if runs(&IO_RUNNING) && runs(&SQL_RUNNING) { Link::Up } else { Link::Down };
        facts.link = Some(if facts.link == Some(Link::Down) { Link::Down } else { link });
        let lag = number(row, &BEHIND)?.map(Duration::from_secs);
        let (read, done) = (number(row, &READ_OFFSET)?, number(row, &DONE_OFFSET)?);
        let file = row.value(&DONE_FILE).filter(|file| !file.is_empty() && file.len() <= FILE_MAX);
        let is_same_file = file.is_some() && file == row.value(&READ_FILE);
        let bytes = read.zip(done).filter(|_| is_same_file).map(|(read, done)| read.saturating_sub(done));
        if is_first {
            (facts.lag, facts.lag_bytes) = (lag, bytes);
            facts.position =
                file.zip(done).map(|(file, offset)| Position::File { file: file.into(), offset });
        } else {
            // What is not known of one link is not known of all.
            facts.lag = facts.lag.zip(lag).map(|(a, b)| a.max(b));
            facts.lag_bytes = facts.lag_bytes.zip(bytes).map(|(a, b)| a.max(b));
            facts.position = None;
        }
    }
    Ok(facts)
}

/// A number, `None` for NULL.
fn number(row: &Row, names: &[&str]) -> Result<Option<u64>, Reason> {
    let Some(text) = row.value(names) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| Reason::answer(format!("{} is no number: {}", names[0], shown(text.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::packets;
    use super::super::rows::{Answer, Rows};
    use super::*;

    fn rows(columns: &[&str], values: &[&[Option<&str>]]) -> Vec<Row> {
        let mut rows = Rows::default();
        for packet in packets(columns, values) {
            if let Answer::Rows(rows) = rows.take(&packet, |_| true).unwrap() {
                return rows;
            }
        }
        panic!("no end");
    }

    const NEW: [&str; 7] = [
        "Replica_IO_Running",
        "Replica_SQL_Running",
        "Seconds_Behind_Source",
        "Source_Log_File",
        "Read_Source_Log_Pos",
        "Relay_Source_Log_File",
        "Exec_Source_Log_Pos",
    ];
    const OLD: [&str; 7] = [
        "Slave_IO_Running",
        "Slave_SQL_Running",
        "Seconds_Behind_Master",
        "Master_Log_File",
        "Read_Master_Log_Pos",
        "Relay_Master_Log_File",
        "Exec_Master_Log_Pos",
    ];

    #[test]
    fn read_only_tells_the_role() {
        let role_of = |value| role(&rows(&["@@global.read_only"], &[&[value]]));
        assert_eq!(role_of(Some("0")), Ok(Role::Primary));
        assert_eq!(role_of(Some("OFF")), Ok(Role::Primary));
        assert_eq!(role_of(Some("1")), Ok(Role::Replica));
        assert_eq!(role_of(Some("NO_LOCK")), Ok(Role::Replica));
        assert!(role_of(None).is_err() && role_of(Some("")).is_err() && role(&[]).is_err());
    }

    #[test]
    fn the_status_tells_the_lag() {
        let row =
            [Some("Yes"), Some("Yes"), Some("3"), Some("bin.7"), Some("900"), Some("bin.7"), Some("700")];
        for columns in [NEW, OLD] {
            assert!(columns.iter().all(|column| keeps(column)) && !keeps("Replica_IO_State"));
            let found = facts(Role::Replica, &rows(&columns, &[&row])).unwrap();
            let expected = Facts {
                role: Some(Role::Replica),
                position: Some(Position::File { file: "bin.7".into(), offset: 700 }),
                lag: Some(Duration::from_secs(3)),
                lag_bytes: Some(200),
                link: Some(Link::Up),
                orders: None,
            };
            assert_eq!(found, expected);
        }
        let stopped =
            [Some("Connecting"), Some("Yes"), None, Some("bin.8"), Some("4"), Some("bin.7"), Some("700")];
        let found = facts(Role::Replica, &rows(&NEW, &[&stopped])).unwrap();
        assert_eq!((found.link, found.lag, found.lag_bytes), (Some(Link::Down), None, None));
        let follows_nobody = facts(Role::Primary, &[]).unwrap();
        assert_eq!(follows_nobody, Facts { role: Some(Role::Primary), ..Facts::default() });
    }

    #[test]
    fn of_several_primaries_the_farthest_counts() {
        let one = [Some("Yes"), Some("Yes"), Some("3"), Some("a"), Some("900"), Some("a"), Some("700")];
        let two = [Some("Yes"), Some("Yes"), Some("9"), Some("b"), Some("900"), Some("b"), Some("899")];
        let three = [Some("No"), Some("Yes"), None, Some("b"), Some("900"), Some("b"), Some("899")];
        let both = facts(Role::Replica, &rows(&NEW, &[&one, &two])).unwrap();
        assert_eq!((both.lag, both.lag_bytes), (Some(Duration::from_secs(9)), Some(200)));
        assert_eq!((both.link, both.position), (Some(Link::Up), None));
        for order in [[&one, &three, &two], [&three, &two, &one]] {
            let all = facts(Role::Replica, &rows(&NEW, &order.map(|row| row.as_slice()))).unwrap();
            assert_eq!((all.lag, all.link), (None, Some(Link::Down)));
        }
    }

    #[test]
    fn what_is_no_number_is_told() {
        let row = [Some("Yes"), Some("Yes"), Some("soon"), None, None, None, None];
        let reason = facts(Role::Replica, &rows(&OLD, &[&row])).unwrap_err();
        assert!(reason.text().contains("soon"), "{reason}");
        let long = "x".repeat(FILE_MAX + 1);
        let row = [None, None, None, Some(long.as_str()), Some("1"), Some(long.as_str()), Some("1")];
        assert_eq!(facts(Role::Replica, &rows(&OLD, &[&row])).unwrap().position, None);
    }
}
