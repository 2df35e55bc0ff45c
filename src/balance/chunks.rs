//! An array that grows without moving what it holds, so that counters keep their place while threads
//! count on them.

use once_cell::race::OnceBox;

/// Cells at fixed places, made [`CHUNK`] at a time; a chunk never moves once it is there.
///
/// Two growers at once both make the chunk, and one throws its own away. Nobody ever waits for another, as
/// with `OnceLock`: a child forked while another thread grew the array would wait for a thread it has not.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    // Boxed: a lane that held the places itself would not fit a small stack while it is made.
    chunks: Box<[OnceBox<[T; CHUNK]>]>,
}

impl<T: Default> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceBox::new()).collect() }
    }

    /// Makes the cells below `len` exist. Allocates; safe beside readers and other growers.
    pub(crate) fn grow(&self, len: u32) {
        for chunk in &self.chunks[..(len as usize).div_ceil(CHUNK)] {
            chunk.get_or_init(|| {
                let cells: Vec<T> = (0..CHUNK).map(|_| T::default()).collect();
                let Ok(cells) = cells.into_boxed_slice().try_into() else {
                    unreachable!("it has CHUNK cells")
                };
                cells
            });
        }
    }
}

impl<T> Chunks<T> {
    /// The cell at `index`, which a call of `grow` has made.
    #[inline(always)]
    pub(crate) fn at(&self, index: u32) -> &T {
        let chunk = self.chunks[index as usize / CHUNK].get();
        let chunk = chunk.expect("a slot is handed out only after every array has grown to hold it");
        &chunk[index as usize % CHUNK]
    }
}

/// Cells in a chunk.
const CHUNK: usize = 256;
const CHUNKS: usize = SLOTS_MAX / CHUNK;
/// How many cells there can be: twice the backends, since those of removed backends wait for their last
/// `done`.
pub(crate) const SLOTS_MAX: usize = 2 * crate::balance::options::BACKENDS_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let chunks: Chunks<std::sync::atomic::AtomicU32> = Chunks::new();
        chunks.grow(5000);
        for index in 0..5000 {
            chunks.at(index).store(index, std::sync::atomic::Ordering::Relaxed);
        }
        for index in 0..5000 {
            assert_eq!(chunks.at(index).load(std::sync::atomic::Ordering::Relaxed), index);
        }
        chunks.grow(SLOTS_MAX as u32);
        chunks.at(SLOTS_MAX as u32 - 1).store(7, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(chunks.at(4999).load(std::sync::atomic::Ordering::Relaxed), 4999);
    }
}
