//! `trimtab wal repair`: cuts a damaged log off where the damage begins.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::check::DamageTold;
use super::node;
use crate::cli::ctl::table::printable;
use crate::cli::{Failure, count};
use crate::driver::log::FileDisk;
use crate::error::Error;
use crate::store::log::{Disk, Repair, lock};

/// Cut a damaged log off where the damage begins; what came later is lost
///
/// A torn tail needs no repair: opening the log cuts it. Without --yes it only tells what it would do. What it changes is
/// copied to the folder "damaged" in the log's directory first. A backup or another node is the better way when there
/// is one, since entries that were acknowledged may be among those that are lost. The directory of a node of a cluster is
/// written down as damaged before: its node votes for nobody until the others have given it what it lacks. One of three or more
/// needs no repair: started, it mends its log by itself, or it is given an empty directory, which the others fill.
#[derive(Args)]
pub(super) struct Arguments {
    /// The log's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    /// What is wrong, if anything.
    damage: Option<DamageTold>,
    /// The node of a cluster whose directory it is.
    node: Option<node::Forgetting>,
    /// The file that is cut, and where.
    cut: Option<CutTold>,
    removed: Vec<String>,
    done: bool,
    /// The last entry, when it was done.
    last: Option<u64>,
}

#[derive(Serialize)]
struct CutTold {
    file: String,
    offset: u64,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let source = FileDisk::read_only(&arguments.dir)?;
    let Some(repair) = Repair::plan(&source)? else {
        if arguments.json {
            let answer =
                Answer { damage: None, node: None, cut: None, removed: Vec::new(), done: false, last: None };
            return Ok(super::json(out, &answer)?);
        }
        return Ok(writeln!(out, "good: there is nothing to repair")?);
    };
    let node = node::find(&source, &repair.damage)?;
    let mut last = None;
    if arguments.yes {
        let disk = FileDisk::new(&arguments.dir)?;
        lock(&disk)?;
        set_aside(&disk, &repair)?;
        // From here on it has forgotten something, whatever comes in between.
        node::mark(&disk)?;
        last = Some(repair.run(&disk)?.1);
    }
    if arguments.json {
        let answer = Answer {
            damage: Some((&*repair.damage).into()),
            node,
            cut: repair.cut.map(|(file, offset)| CutTold { file: file.to_string(), offset }),
            removed: repair.removed.iter().map(ToString::to_string).collect(),
            done: arguments.yes,
            last: last.map(|last| last.0),
        };
        super::json(out, &answer)?;
    } else {
        let damage = &repair.damage;
        writeln!(out, "{} is damaged at byte {}: {}", damage.file, damage.offset, damage.what)?;
        if let Some((file, offset)) = repair.cut {
            writeln!(out, "{}: cut off at byte {offset}", file)?;
        }
        for file in &repair.removed {
            writeln!(out, "{file}: removed")?;
        }
        match last {
            Some(last) => {
                writeln!(out, "done: the last entry is {last}; the files as they were are in damaged/")?
            }
            None => writeln!(
                out,
                "nothing was done; {} would be changed or removed with --yes, and the entries there lost",
                count(repair.touched().count(), "file")
            )?,
        }
        match node {
            None => {}
            Some(node) if !arguments.yes => writeln!(out, "{}", printable(&node.advice))?,
            Some(node) if node.is_mendable => writeln!(
                out,
                "the directory is written down as damaged: its node votes for nobody until the others have given it what it \
                 lacks"
            )?,
            Some(_) => writeln!(
                out,
                "the directory is written down as damaged: its node votes for nobody, and with so few voters nobody can take \
                 it in again. If a learner has more, promote that by force, else this directory: trimtab store promote --dir \
                 DIR --force"
            )?,
        }
    }
    if arguments.yes { Ok(()) } else { Err(Failure::Told) }
}

/// Copies what will be changed, durably, with the folder that it is copied to.
fn set_aside(disk: &FileDisk, repair: &Repair) -> Result<(), Failure> {
    let aside = FileDisk::new(disk.dir().join("damaged"))?;
    repair.set_aside(disk, &aside)?;
    Ok(disk.sync_names().map_err(|error| Error::io("sync the directory", &error))?)
}
