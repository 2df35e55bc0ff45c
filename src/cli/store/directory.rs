//! `trimtab store directory`: what a node's directory is taken for when it is next opened.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;
#[cfg(feature = "replication")]
use crate::cli::ctl::table::printable;
#[cfg(feature = "replication")]
use crate::cli::json;

/// Tell whether a node's directory is as the node left it, or say so, before it is opened again
///
/// A directory that was copied is seen for what it is. What brings a whole volume back, such as a snapshot of it, is not:
/// say --copy then, and the node votes for nobody until the others have taken it in again, which they do by themselves.
/// When the directories of all nodes were moved nobody would vote: say --original of each, if nothing in them is older than
/// what the node left. What is said counts for the next start alone.
#[derive(Args)]
pub(super) struct Arguments {
    /// The store's directory, that nobody has open
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// It was put back from a copy: its node may have forgotten what it promised
    #[arg(long, conflicts_with = "original")]
    copy: bool,
    /// It is as the node left it, though it was moved
    #[arg(long)]
    original: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "replication")]
pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    use crate::embedded::{Directory, look_at_directory, mark_directory};
    let Arguments { dir, copy, original, json: is_json } = arguments;
    let marked = match (copy, original) {
        (true, _) => mark_directory(dir, Directory::Copy)?,
        (_, true) => mark_directory(dir, Directory::Original)?,
        _ => look_at_directory(dir)?,
    };
    if *is_json {
        return Ok(json(out, &marked)?);
    }
    let what = match marked.seen {
        "original" => "as the node left it",
        "copy" => "a copy: the node votes for nobody until the others have taken it in again",
        "damaged" => "damaged: the node votes for nobody until the others have taken it in again",
        _ => "not opened to the end yet",
    };
    let (node, cluster) = (printable(&marked.node), printable(&marked.cluster));
    Ok(writeln!(out, "the directory of {node} in the cluster {cluster}, {what}")?)
}

#[cfg(not(feature = "replication"))]
pub(super) fn run(arguments: &Arguments, _: &mut impl Write) -> Result<(), Failure> {
    let _ = (&arguments.dir, arguments.copy, arguments.original, arguments.json);
    Err(Failure::Misused("this build of trimtab has no clusters".into()))
}
