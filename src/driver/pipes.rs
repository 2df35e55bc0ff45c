//! Pipes for `splice`: as few as carry bytes at the moment, kept for the next use.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::proxy::flow::Moved;
use crate::sys;

/// A pipe and how many bytes are in it.
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// A worker's pipes that carry nothing now.
pub(crate) struct Pipes {
    free: Vec<Pipe>,
    /// No more are made: the system refused one. Cleared when descriptors are free again.
    is_refused: bool,
}

/// Room asked for in a pipe. With the 64 KiB a pipe has otherwise, pages of 4 KiB fill it after 64 KiB of
/// payload; 1 MiB is the most that the system grants by default.
const PIPE_BYTES: i32 = 1 << 20;
/// The most a single call moves.
const MOVE_MAX: usize = 1 << 20;
/// Idle pipes kept; more are closed.
const FREE_MAX: usize = 64;
/// What one turn may move for one flow before others have theirs.
const TURN_BYTES: u64 = 4 << 20;

impl Pipes {
    pub(crate) fn new() -> Self {
        Self { free: Vec::new(), is_refused: false }
    }

    /// An empty pipe; `None` when the system gives none.
    pub(crate) fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.free.pop() {
            return Some(pipe);
        }
        if self.is_refused {
            return None;
        }
        match sys::pipe::pipe() {
            Ok((read, write)) => {
                // A user has a share of pages for pipes. What is refused leaves the pipe at its usual size.
                let _ = sys::pipe::set_size(write.as_fd(), PIPE_BYTES);
                Some(Pipe { read, write, held: 0 })
            }
            Err(_) => {
                self.is_refused = true;
                None
            }
        }
    }

    /// Descriptors are free again: the next pipe asked for is asked of the system.
    pub(crate) fn refill(&mut self) {
        self.is_refused = false;
    }

    /// Closes those that carry nothing, where descriptors are short. `false` when there was none.
    pub(crate) fn release(&mut self) -> bool {
        let had_some = !self.free.is_empty();
        self.free.clear();
        had_some
    }

    /// Takes a pipe back. One with bytes in it is closed.
    pub(crate) fn give(&mut self, pipe: Pipe) {
        self.is_refused = false;
        if pipe.held == 0 && self.free.len() < FREE_MAX {
            self.free.push(pipe);
        }
    }
}

/// Which side failed a move.
pub(crate) enum Broken {
    Source,
    Sink,
    /// This kind of socket cannot be spliced.
    Unfit,
}

impl Pipe {
    /// Bytes in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves bytes from `source` through the pipe to `sink` until one of them has enough, or this turn's share
    /// is used up: then neither is blocked in the answer.
    pub(crate) fn relay(
        &mut self,
        source: BorrowedFd<'_>,
        sink: BorrowedFd<'_>,
        mut ended: bool,
    ) -> (Moved, Option<Broken>) {
        let mut moved =
            Moved { bytes: 0, in_pipe: 0, source_blocked: false, sink_blocked: false, source_ended: ended };
        let mut broken = None;
        while moved.bytes < TURN_BYTES {
            if self.held == 0 && !ended && !moved.source_blocked {
                match sys::pipe::splice(source, self.write.as_fd(), MOVE_MAX, false) {
                    Ok(0) => ended = true,
                    Ok(bytes) => self.held = bytes,
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => moved.source_blocked = true,
                        io::ErrorKind::Interrupted => {}
                        io::ErrorKind::InvalidInput => {
                            broken = Some(Broken::Unfit);
                            break;
                        }
                        _ => {
                            broken = Some(Broken::Source);
                            break;
                        }
                    },
                }
            }
            if self.held == 0 {
                if ended || moved.source_blocked {
                    break;
                }
                continue;
            }
            match sys::pipe::splice(self.read.as_fd(), sink, self.held, false) {
                Ok(bytes) => {
                    self.held -= bytes.min(self.held);
                    moved.bytes += bytes as u64;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        moved.sink_blocked = true;
                        break;
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => {
                        broken = Some(Broken::Sink);
                        break;
                    }
                },
            }
        }
        moved.in_pipe = self.held;
        moved.source_ended = ended;
        (moved, broken)
    }
}
