//! A directory in memory that can be taken anew from the same files, as often as bits are flipped in them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use trimtab::store::log::{Disk, File};

#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) RefCell<BTreeMap<File, Vec<u8>>>);

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Memory {
    fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<File>> {
        Ok(self.0.borrow().keys().copied().collect())
    }

    fn bytes(&self, file: File) -> io::Result<u64> {
        self.0.borrow().get(&file).map(|bytes| bytes.len() as u64).ok_or_else(missing)
    }

    fn read(&self, file: File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let files = self.0.borrow();
        let from = files.get(&file).ok_or_else(missing)?.get(offset as usize..).unwrap_or(&[]);
        let read = from.len().min(into.len());
        into[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn create(&self, file: File, bytes: u64) -> io::Result<()> {
        self.0.borrow_mut().insert(file, vec![0; bytes as usize]);
        Ok(())
    }

    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let content = files.get_mut(&file).ok_or_else(missing)?;
        let end = offset as usize + bytes.len();
        content.resize(content.len().max(end), 0);
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _: File) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: File, to: File) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let bytes = files.remove(&from).ok_or_else(missing)?;
        files.insert(to, bytes);
        Ok(())
    }

    fn remove(&self, file: File) -> io::Result<()> {
        self.0.borrow_mut().remove(&file).map(|_| ()).ok_or_else(missing)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}
