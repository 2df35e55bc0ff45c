//! Why a link ended: [`End`], and [`Fault`] for what the other side did wrong.

use std::fmt;

use crate::peer::hello::Refusal;
use crate::peer::{Class, Kind};

/// Why a link ended, or was not made.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side refused this node.
    Refused(Refusal),
    /// This node refused the other side.
    RefusedHere(Refusal),
    /// What the other side sent cannot be.
    Fault(Fault),
    /// It did not say who it is in time.
    Late,
    /// It did not answer for too long.
    Silent,
    /// It ended the connection, in the middle of it.
    Gone,
    /// It said that it ends.
    Left,
    /// It began a new connection.
    Replaced,
    /// It made room for newer ones while nobody knew who it was.
    Displaced,
    /// The owner took the node out, or ended all.
    Closed,
    /// It speaks TLS and none is wanted here, or the other way round, and nothing more could be learned.
    Security(&'static str),
    /// TLS failed.
    Tls(String),
    /// The system said so.
    Io {
        /// The system's number for it (`errno`), 0 when it gave none.
        code: i32,
        /// The system's words.
        detail: String,
    },
}

/// What another side did that none of ours does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It begins as no node does.
    Stranger,
    /// It begins as TLS does.
    Tls,
    /// A frame is longer than any of its kind.
    TooLong {
        /// How long it says it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A frame is of no known kind.
    UnknownKind(u8),
    /// A frame is not as it was sent.
    Damaged,
    /// A frame cannot be.
    Malformed(&'static str),
    /// A frame comes when it cannot.
    Unexpected(Kind),
    /// It sent more than it may before that was taken.
    Window(Class),
}

impl End {
    /// Whether dialling again soon is in vain: somebody has to act first.
    pub fn is_refusal(&self) -> bool {
        match self {
            End::Refused(refusal) | End::RefusedHere(refusal) => !refusal.reason.is_passing(),
            End::Security(_) | End::Tls(_) => true,
            End::Fault(fault) => matches!(fault, Fault::Stranger | Fault::Tls),
            _ => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Refused(refusal) => write!(f, "it refused this node: {refusal}"),
            End::RefusedHere(refusal) => write!(f, "it was refused: {refusal}"),
            End::Fault(fault) => fault.fmt(f),
            End::Late => f.write_str("it did not say who it is in time"),
            End::Silent => f.write_str("it did not answer any more"),
            End::Gone => f.write_str("it broke the connection off"),
            End::Left => f.write_str("it ended the link"),
            End::Replaced => f.write_str("it began a new connection"),
            End::Displaced => f.write_str("it made room for newer connections before it said who it is"),
            End::Closed => f.write_str("the link was ended here"),
            End::Security(what) => f.write_str(what),
            End::Tls(what) => f.write_str(what),
            End::Io { detail, .. } => f.write_str(detail),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Stranger => f.write_str("what answers there is no node of trimtab; check the address"),
            Fault::Tls => {
                f.write_str("it speaks TLS, and peer_tls is \"insecure-plaintext\" here; set both alike")
            }
            Fault::TooLong { bytes, limit } => {
                write!(f, "it sent a frame or message of {bytes} bytes, where {limit} are the most")
            }
            Fault::UnknownKind(kind) => write!(f, "it sent a frame of the unknown kind {kind}"),
            Fault::Damaged => f.write_str("it sent a frame that was changed on its way"),
            Fault::Malformed(what) => write!(f, "it sent a frame that cannot be: {what}"),
            Fault::Unexpected(kind) => write!(f, "it sent a frame of the kind {kind:?} out of turn"),
            Fault::Window(class) => {
                write!(f, "it sent more {} messages than were taken", class.as_str())
            }
        }
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        End::Fault(fault)
    }
}
