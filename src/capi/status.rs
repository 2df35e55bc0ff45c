//! The codes, and which failure gets which.

use std::fmt;

use crate::error::Error;

/// How a call went: 0 is good, errors are negative. A code keeps its number and its meaning for ever; new
/// ones may come, so treat one you do not know as an error.
pub type trimtab_status = i32;

/// It worked.
pub const TRIMTAB_OK: trimtab_status = 0;
/// A pointer that must not be NULL was. Nothing was changed.
pub const TRIMTAB_E_NULL: trimtab_status = -1;
/// An argument cannot be right; the detail names it and says what would be. Nothing was changed.
pub const TRIMTAB_E_INVALID_ARGUMENT: trimtab_status = -2;
/// A backend with this name or address is in the pool already. Nothing was changed.
pub const TRIMTAB_E_EXISTS: trimtab_status = -3;
/// There is nothing with this name or number (any more).
pub const TRIMTAB_E_NOT_FOUND: trimtab_status = -4;
/// A named limit is reached; it can be tried again when something was given back. Nothing was changed.
pub const TRIMTAB_E_CAPACITY: trimtab_status = -5;
/// No backend may take this connection now; the detail says why, and explain tells it one by one.
pub const TRIMTAB_E_NO_BACKEND: trimtab_status = -6;
/// The pick was reported done before, or is none of this pool's. Nothing was counted.
pub const TRIMTAB_E_STALE_PICK: trimtab_status = -7;
/// A string is not UTF-8; the detail says from which byte. Nothing was changed.
pub const TRIMTAB_E_UTF8: trimtab_status = -8;
/// A struct's `struct_size` is less than the first release's: it was not set, most likely.
pub const TRIMTAB_E_STRUCT_SIZE: trimtab_status = -9;
/// A bug in trimtab, stopped at this call, which may have done something. The handles it was given answer
/// `TRIMTAB_E_CLOSED` from now on.
pub const TRIMTAB_E_PANIC: trimtab_status = -10;
/// This handle saw a `TRIMTAB_E_PANIC`; it can only be freed.
pub const TRIMTAB_E_CLOSED: trimtab_status = -11;
/// A wait reached its deadline; what was waited for goes on. A write may be done, or not, or still be.
pub const TRIMTAB_E_TIMED_OUT: trimtab_status = -12;
/// The system refused something; the detail names it and gives the system's words.
pub const TRIMTAB_E_IO: trimtab_status = -13;
/// A configuration that cannot be; the detail gives file, line, column and what to do. Nothing was started.
pub const TRIMTAB_E_CONFIG: trimtab_status = -14;
/// The call does not fit the state of the handle: started twice, turned after its end.
pub const TRIMTAB_E_STATE: trimtab_status = -15;
/// The process forked since the handle was made: in the child it can only be freed.
pub const TRIMTAB_E_FORKED: trimtab_status = -16;
/// What was asked for, or what lies on disk, is of a kind this release does not know; the detail says which.
pub const TRIMTAB_E_UNSUPPORTED: trimtab_status = -17;
/// Data on disk are not what was written there; the detail gives file, offset and what to do. Nothing was changed.
pub const TRIMTAB_E_CORRUPT: trimtab_status = -18;
// Kept for later, with this meaning: -19 stale epoch.
/// This node is not the cluster's primary; the detail names who is, where that is known. Nothing was changed.
pub const TRIMTAB_E_NOT_PRIMARY: trimtab_status = -20;
/// No primary holds a quorum of the cluster at present. Nothing was changed.
pub const TRIMTAB_E_NO_QUORUM: trimtab_status = -21;
/// Another primary's writes took the place of this one: it was not done, and will not be.
pub const TRIMTAB_E_SUPERSEDED: trimtab_status = -22;
/// The primary was lost before it said what came of a write: it may have been done, or still be. One with a client and a
/// number may be sent again, as it was, and is not done twice; `trimtab_store_outcome` tells too. Without, only what is
/// there tells.
pub const TRIMTAB_E_UNKNOWN_OUTCOME: trimtab_status = -23;

/// Every code with its name.
const NAMES: [(trimtab_status, &str); 23] = [
    (TRIMTAB_OK, "TRIMTAB_OK"),
    (TRIMTAB_E_NULL, "TRIMTAB_E_NULL"),
    (TRIMTAB_E_INVALID_ARGUMENT, "TRIMTAB_E_INVALID_ARGUMENT"),
    (TRIMTAB_E_EXISTS, "TRIMTAB_E_EXISTS"),
    (TRIMTAB_E_NOT_FOUND, "TRIMTAB_E_NOT_FOUND"),
    (TRIMTAB_E_CAPACITY, "TRIMTAB_E_CAPACITY"),
    (TRIMTAB_E_NO_BACKEND, "TRIMTAB_E_NO_BACKEND"),
    (TRIMTAB_E_STALE_PICK, "TRIMTAB_E_STALE_PICK"),
    (TRIMTAB_E_UTF8, "TRIMTAB_E_UTF8"),
    (TRIMTAB_E_STRUCT_SIZE, "TRIMTAB_E_STRUCT_SIZE"),
    (TRIMTAB_E_PANIC, "TRIMTAB_E_PANIC"),
    (TRIMTAB_E_CLOSED, "TRIMTAB_E_CLOSED"),
    (TRIMTAB_E_TIMED_OUT, "TRIMTAB_E_TIMED_OUT"),
    (TRIMTAB_E_IO, "TRIMTAB_E_IO"),
    (TRIMTAB_E_CONFIG, "TRIMTAB_E_CONFIG"),
    (TRIMTAB_E_STATE, "TRIMTAB_E_STATE"),
    (TRIMTAB_E_FORKED, "TRIMTAB_E_FORKED"),
    (TRIMTAB_E_UNSUPPORTED, "TRIMTAB_E_UNSUPPORTED"),
    (TRIMTAB_E_CORRUPT, "TRIMTAB_E_CORRUPT"),
    (TRIMTAB_E_NOT_PRIMARY, "TRIMTAB_E_NOT_PRIMARY"),
    (TRIMTAB_E_NO_QUORUM, "TRIMTAB_E_NO_QUORUM"),
    (TRIMTAB_E_SUPERSEDED, "TRIMTAB_E_SUPERSEDED"),
    (TRIMTAB_E_UNKNOWN_OUTCOME, "TRIMTAB_E_UNKNOWN_OUTCOME"),
];

/// The constant's name.
pub(super) fn name(status: trimtab_status) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == status).map(|(_, name)| *name)
}

/// Why a call failed: the library's own error, or one that only C can make.
#[derive(Debug)]
pub(super) enum Failure {
    Library(Error),
    Null {
        what: &'static str,
    },
    /// `valid` bytes were UTF-8, the next is not.
    Utf8 {
        what: &'static str,
        valid: usize,
    },
    StructSize {
        what: &'static str,
        given: u32,
        least: usize,
    },
    /// More elements than any memory holds.
    Length {
        what: &'static str,
        given: usize,
    },
    /// Not a handle of this type, or freed.
    NotAHandle {
        what: &'static str,
    },
    Closed {
        what: &'static str,
    },
    Panic {
        message: String,
    },
}

impl Failure {
    pub(super) fn status(&self) -> trimtab_status {
        match self {
            Failure::Library(error) => match error {
                Error::InvalidArgument { .. } => TRIMTAB_E_INVALID_ARGUMENT,
                Error::Exists { .. } => TRIMTAB_E_EXISTS,
                Error::NotFound { .. } => TRIMTAB_E_NOT_FOUND,
                Error::Capacity { .. } => TRIMTAB_E_CAPACITY,
                Error::NoBackend(_) => TRIMTAB_E_NO_BACKEND,
                Error::StalePick => TRIMTAB_E_STALE_PICK,
                Error::TimedOut { .. } => TRIMTAB_E_TIMED_OUT,
                Error::Io { .. } => TRIMTAB_E_IO,
                Error::Config(_) => TRIMTAB_E_CONFIG,
                Error::State { .. } => TRIMTAB_E_STATE,
                Error::Forked { .. } => TRIMTAB_E_FORKED,
                Error::Unsupported { .. } => TRIMTAB_E_UNSUPPORTED,
                Error::Corrupt(_) => TRIMTAB_E_CORRUPT,
                Error::NotPrimary { .. } => TRIMTAB_E_NOT_PRIMARY,
                Error::NoQuorum => TRIMTAB_E_NO_QUORUM,
                Error::Superseded => TRIMTAB_E_SUPERSEDED,
                Error::UnknownOutcome => TRIMTAB_E_UNKNOWN_OUTCOME,
            },
            Failure::Null { .. } => TRIMTAB_E_NULL,
            Failure::Utf8 { .. } => TRIMTAB_E_UTF8,
            Failure::StructSize { .. } => TRIMTAB_E_STRUCT_SIZE,
            Failure::Length { .. } | Failure::NotAHandle { .. } => TRIMTAB_E_INVALID_ARGUMENT,
            Failure::Closed { .. } => TRIMTAB_E_CLOSED,
            Failure::Panic { .. } => TRIMTAB_E_PANIC,
        }
    }
}

impl From<Error> for Failure {
    #[inline]
    fn from(error: Error) -> Self {
        Failure::Library(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Library(error) => error.fmt(f),
            Failure::Null { what } => write!(f, "{what} is NULL"),
            Failure::Utf8 { what, valid } => write!(f, "{what} is not UTF-8 from byte {valid} on"),
            Failure::StructSize { what, given, least } => write!(
                f,
                "{what} has struct_size {given}, the first release's is {least}; set it to sizeof the struct before the call"
            ),
            Failure::Length { what, given } => write!(f, "{what} cannot have {given} elements"),
            Failure::NotAHandle { what } => write!(f, "{what} is freed, or a handle of another type"),
            Failure::Closed { what } => write!(f, "{what} saw a panic before; free it"),
            Failure::Panic { message } => write!(f, "a bug in trimtab: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_run_on_and_every_one_has_a_name() {
        let kept = -19;
        let codes = (0..).map(|at: i32| -at).filter(|code| *code != kept);
        for (expected, (code, text)) in codes.zip(NAMES) {
            assert_eq!(code, expected);
            assert_eq!(name(code), Some(text));
        }
        assert_eq!(name(1), None);
        assert_eq!(name(kept), None);
        assert_eq!(name(i32::MIN), None);
    }
}
