//! What may be in a directory before something is put there.

use std::fs;
use std::path::Path;

use crate::driver::log::Folder;
use crate::error::{Error, Result};
use crate::store::log::File;

/// The names in a directory; none when it is not there.
fn names(dir: &Path) -> Result<Vec<String>> {
    Folder::check(dir)?;
    let failed = |error: &std::io::Error| Error::io(format!("list the directory {}", dir.display()), error);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| failed(&error))?.file_name().to_string_lossy().into_owned();
        // What a file system has at its root is nobody's.
        if name != "lost+found" {
            names.push(name);
        }
    }
    Ok(names)
}

/// A backup is put beside the store in `store`: what is in its directory goes with it.
pub(super) fn check_apart(store: &Path, dir: &Path) -> Result<()> {
    // What is not there yet is made in what is.
    let there = dir.ancestors().find_map(|it| match it.as_os_str().is_empty() {
        true => fs::canonicalize(".").ok(),
        false => fs::canonicalize(it).ok(),
    });
    match (fs::canonicalize(store), there) {
        (Ok(store), Some(there)) if there.starts_with(&store) => Err(Error::invalid(
            "directory",
            format!("{} is in that of the store, {}; take one elsewhere", dir.display(), store.display()),
        )),
        _ => Ok(()),
    }
}

/// A backup is put into an empty directory, or where one is.
pub(super) fn check_backup(dir: &Path) -> Result<()> {
    let names = names(dir)?;
    let is_backup = names.iter().any(|name| name.parse() == Ok(File::Manifest));
    let stranger = names.iter().find(|name| match name.parse::<File>() {
        Ok(File::Lock | File::NextManifest) => false,
        Ok(File::Segment(_) | File::Spare(_) | File::Restoring) => true,
        Ok(_) => !is_backup,
        Err(()) => !is_backup,
    });
    match stranger {
        Some(name) => Err(Error::invalid(
            "directory",
            format!("{} has {name} in it and is no backup; take an empty one", dir.display()),
        )),
        None => Ok(()),
    }
}

/// A store is restored into an empty directory, or where a restore has stopped midway.
pub(super) fn check_restored(dir: &Path) -> Result<()> {
    let names = names(dir)?;
    let is_begun = names.iter().any(|name| name.parse() == Ok(File::Restoring));
    let stranger = names.iter().find(|name| match name.parse::<File>() {
        Ok(File::Lock) => false,
        Ok(File::Segment(_) | File::Spare(_) | File::Snapshot(_) | File::Unfinished(_) | File::Restoring) => {
            !is_begun
        }
        _ => true,
    });
    match stranger {
        Some(name) => Err(Error::invalid(
            "directory",
            format!("{} has {name} in it; restore into an empty one", dir.display()),
        )),
        None => Ok(()),
    }
}
