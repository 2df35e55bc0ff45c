//! [`Lingering`]: a connection on which all is said, and whose other side may be sending still.
//!
//! Whoever closes on bytes that it has not read, or that come when it has closed, has the system break the connection off, and
//! that takes from the other side what it has not read: the answer that says why. So the half is ended, what comes is read and
//! thrown away, and the socket is closed when the other side has ended its half too, or has had its time:
//!
//! | bound | | why |
//! |---|---|---|
//! | [`SILENCE_MAX`] | without a byte | who sends nothing any more has had the time to read |
//! | [`LINGER_MAX`] | in all | who drips bytes has no place for ever |
//! | [`LINGER_BYTES_MAX`] | that come | who sends without end is not read without end |

use std::net::Shutdown;
use std::time::Duration;

use socket2::Socket;

use crate::driver::net;
use crate::time::Instant;

/// How a step of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It waits for an event.
    Waits,
    /// There may be more to do.
    More,
    Over,
}

#[derive(Debug)]
pub(crate) struct Lingering {
    begun: Instant,
    /// When a byte last came.
    touched: Instant,
    /// How many bytes more are read.
    left: u64,
}

/// How long the other side may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long it has to leave.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// Bytes that are read of it: as many as Redis takes for one request, so any that is meant for a Redis is read to its end.
const LINGER_BYTES_MAX: u64 = 1 << 30;

impl Lingering {
    /// Ends the half of a socket on which all is written. `None`: the other side has gone.
    pub(crate) fn begin(socket: &Socket, now: Instant) -> Option<Self> {
        socket.shutdown(Shutdown::Write).ok()?;
        Some(Self { begun: now, touched: now, left: LINGER_BYTES_MAX })
    }

    /// Reads once, and throws it away.
    pub(crate) fn step(&mut self, socket: &Socket, buffer: &mut [u8], now: Instant) -> Step {
        match net::read(socket, buffer) {
            Ok(None) => Step::Waits,
            Ok(Some(bytes @ 1..)) if (bytes as u64) < self.left => {
                self.left -= bytes as u64;
                self.touched = now;
                Step::More
            }
            Ok(Some(_)) | Err(_) => Step::Over,
        }
    }

    /// When it is over, whoever is there.
    pub(crate) fn deadline(&self) -> Instant {
        self.touched.saturating_add(SILENCE_MAX).min(self.begun.saturating_add(LINGER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Lingering, Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = Socket::from(ours);
        let lingering = Lingering::begin(&ours, Instant::START).expect("somebody is there");
        (lingering, ours, theirs)
    }

    fn at(millis: u64) -> Instant {
        Instant::START.saturating_add(Duration::from_millis(millis))
    }

    #[test]
    fn who_goes_on_sending_is_read_until_it_ends_its_half() {
        let (mut lingering, ours, mut theirs) = pair();
        let mut buffer = [0; 16];
        assert_eq!(theirs.read(&mut buffer).unwrap(), 0, "our half has ended");
        assert_eq!(lingering.step(&ours, &mut buffer, at(0)), Step::Waits);
        theirs.write_all(&[b'x'; 24]).unwrap();
        assert_eq!(lingering.step(&ours, &mut buffer, at(0)), Step::More);
        assert_eq!(lingering.step(&ours, &mut buffer, at(0)), Step::More);
        assert_eq!(lingering.step(&ours, &mut buffer, at(0)), Step::Waits);
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(lingering.step(&ours, &mut buffer, at(0)), Step::Over);
    }

    #[test]
    fn each_byte_gives_it_time_but_not_for_ever() {
        let (mut lingering, ours, mut theirs) = pair();
        assert_eq!(lingering.deadline(), at(2_000));
        for second in 1..=29 {
            theirs.write_all(b"x").unwrap();
            assert_eq!(lingering.step(&ours, &mut [0; 16], at(second * 1_000)), Step::More);
            assert_eq!(lingering.deadline(), at((second * 1_000 + 2_000).min(30_000)));
        }
        // Nothing has come: it has no more time.
        assert_eq!(lingering.step(&ours, &mut [0; 16], at(29_500)), Step::Waits);
        assert_eq!(lingering.deadline(), at(30_000));
    }

    #[test]
    fn who_sends_without_end_is_not_read_without_end() {
        let (mut lingering, ours, mut theirs) = pair();
        lingering.left = 40;
        let mut buffer = [0; 16];
        theirs.write_all(&[b'x'; 100]).unwrap();
        let steps = [Step::More, Step::More, Step::Over];
        assert_eq!(steps.map(|_| lingering.step(&ours, &mut buffer, at(0))), steps);
    }
}
