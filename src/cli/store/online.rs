//! A backup that a running server takes: ordered over its admin interface, and followed by its events.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::Failure;
use crate::cli::ctl::client::{Client, Trouble};
use crate::cli::ctl::status::read;
use crate::cli::ctl::table::printable;
use crate::cli::ctl::told::Event;
use crate::cli::ctl::{address, stream::Lines};
use crate::server::BackupReport;

/// Where backups are ordered, and told of.
const PATH: &str = "/v1/store/backup";

#[derive(Deserialize)]
struct Ordered {
    backup: u64,
}

/// The last backups.
#[derive(Deserialize)]
struct Recent {
    ended: Vec<Ended>,
}

#[derive(Deserialize)]
struct Ended {
    backup: u64,
    report: Option<BackupReport>,
    error: Option<String>,
    #[serde(default)]
    is_misuse: bool,
}

/// Has the server at `admin` take a backup, and waits for its end. `timeout` is for each answer.
pub(super) fn back_up(
    admin: &str,
    timeout: Duration,
    to: &OsStr,
    is_full: bool,
) -> Result<BackupReport, Failure> {
    let to = whole(to)?;
    let client = Client::new(address::choose(Some(admin), None)?, timeout);
    // Before it is ordered, or its end may come before anybody listens.
    let mut events = client.follow("/v1/events")?;
    let body = serde_json::json!({ "to": to, "full": is_full });
    let ordered: Ordered = read(&client.ask("POST", PATH, Some(&body))?)?;
    let told = wait(&mut events, &client, ordered.backup)?;
    let gone = |failure| match (failure, &told) {
        // It may end between the two.
        (Failure::Failed(why), Some(told)) => Failure::Failed(format!("{why}; the last it told was: {told}")),
        (failure, _) => failure,
    };
    let recent: Recent = read(&client.ask("GET", PATH, None).map_err(gone)?)?;
    let ended = recent.ended.into_iter().find(|ended| ended.backup == ordered.backup);
    match ended {
        Some(Ended { report: Some(report), .. }) => Ok(report),
        Some(Ended { error, is_misuse, .. }) => {
            let why = printable(
                &error.unwrap_or_else(|| "the backup failed, and the server does not say why".into()),
            );
            Err(if is_misuse { Failure::Misused(why) } else { Failure::Failed(why) })
        }
        None => Err(Failure::Failed(format!(
            "backup {} of the server has ended and is no longer among its last ones; trimtab store verify tells what \
             {to} holds",
            ordered.backup
        ))),
    }
}

/// The path, when it means the same to the server.
fn whole(to: &OsStr) -> Result<&str, Failure> {
    let Some(text) = to.to_str() else {
        let detail =
            format!("{} is not UTF-8, and the server is asked in JSON; take another name", to.display());
        return Err(Failure::Misused(detail));
    };
    if Path::new(text).is_absolute() {
        return Ok(text);
    }
    let hint = match std::path::absolute(text) {
        Ok(path) => format!("; if it sees the same files as this command, write {}", path.display()),
        Err(_) => String::new(),
    };
    Err(Failure::Misused(format!(
        "with --admin the server writes to {text:?}, so it must be a whole path, from / on{hint}"
    )))
}

/// Waits until the backup has ended. Gives the event that says so; `None` when it may have been lost.
fn wait(events: &mut Lines, client: &Client, backup: u64) -> Result<Option<String>, Failure> {
    loop {
        let ended = |why: &str| {
            Failure::Failed(format!(
                "{why} before it told how the backup ended; it is as it was before, or has all that was to be added: \
                 trimtab store verify tells"
            ))
        };
        let line = match events.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Err(ended("the server ended")),
            Err(Trouble::Gone) => return Err(ended("the server was gone")),
            Err(trouble) => return Err(client.tell(trouble)),
        };
        let event: Event = read(&line)?;
        let is_ours = event.value.as_deref() == Some(&backup.to_string());
        match event.event.as_str() {
            "store-backup-ended" | "store-backup-failed" if is_ours => {
                return Ok(Some(format!("{} {}", event.event, printable(&event.detail.unwrap_or_default()))));
            }
            // It may be among what was lost. If it is not, its end is still to come.
            "lost" if has_ended(client, backup)? => return Ok(None),
            _ => {}
        }
    }
}

fn has_ended(client: &Client, backup: u64) -> Result<bool, Failure> {
    let recent: Recent = read(&client.ask("GET", PATH, None)?)?;
    Ok(recent.ended.iter().any(|ended| ended.backup >= backup))
}
