//! `trimtab wal repair`: cuts a damaged log off where the damage begins.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::check::DamageTold;
use crate::cli::{Failure, count};
use crate::driver::log::FileDisk;
use crate::error::Error;
use crate::store::log::{Repair, lock};

/// Cut a damaged log off where the damage begins; what came later is lost
///
/// A torn tail needs no repair: opening the log cuts it. Without --yes it only tells what it would do. What it changes is
/// copied to the folder "damaged" in the log's directory first. A backup or another node is the better way when there
/// is one, since entries that were acknowledged may be among those that are lost.
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
    let Some(repair) = Repair::plan(&FileDisk::read_only(&arguments.dir)?)? else {
        if arguments.json {
            let answer = Answer { damage: None, cut: None, removed: Vec::new(), done: false, last: None };
            return Ok(super::json(out, &answer)?);
        }
        return Ok(writeln!(out, "good: there is nothing to repair")?);
    };
    let mut last = None;
    if arguments.yes {
        let disk = FileDisk::new(&arguments.dir)?;
        lock(&disk)?;
        set_aside(arguments, &repair)?;
        last = Some(repair.run(&disk)?.1);
    }
    if arguments.json {
        let answer = Answer {
            damage: Some((&*repair.damage).into()),
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
    }
    if arguments.yes { Ok(()) } else { Err(Failure::Told) }
}

/// Copies what will be changed.
fn set_aside(arguments: &Arguments, repair: &Repair) -> Result<(), Failure> {
    let folder = arguments.dir.join("damaged");
    let failed = |what: String, error: std::io::Error| Failure::from(Error::io(what, &error));
    std::fs::create_dir_all(&folder)
        .map_err(|error| failed(format!("make the directory {}", folder.display()), error))?;
    for file in repair.touched() {
        let (from, to) = (arguments.dir.join(file.to_string()), folder.join(file.to_string()));
        if to.exists() {
            let why =
                format!("{} is there already, from an earlier repair; move it away first", to.display());
            return Err(Failure::Failed(why));
        }
        std::fs::copy(&from, &to)
            .and_then(|_| std::fs::File::open(&to)?.sync_all())
            .map_err(|error| failed(format!("copy {} to {}", from.display(), to.display()), error))?;
    }
    Ok(())
}
