//! Bugs planted on purpose, each of which the simulator's checkers must find. Only the simulator's build has them.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The position of what a client has written is not kept.
    ForgottenToken,
    /// A client that leaves its home does not see to it that it reads no less elsewhere.
    WayBack,
    /// A node is asked for what it is not known to have.
    StaleReplica,
    /// A connection to a primary of before is kept.
    KeptEpoch,
    /// A write that had left when its connection broke is sent again.
    SentTwice,
    /// Of a write that had left it is told that it was not done.
    CertainDoubt,
    /// A write that was refused is sent again although one behind it was done.
    Overtaken,
    /// A read behind one that was refused keeps its answer, which may be newer than that of the one before.
    PassedRead,
    /// A read does not wait for the write before it.
    HastyRead,
    /// A connection that watched is replaced by one that does not.
    ForgottenWatch,
    /// An answer of which the client has a part is asked for anew.
    ToldTwice,
    /// A node that is primary again does what was said to it before.
    LateWrite,
}

impl Plant {
    /// Those that a random world seldom meets: tests beside the listener lead to where they show.
    pub const BY_HAND: [Plant; 2] = [Plant::Overtaken, Plant::PassedRead];

    /// All of them.
    pub const ALL: [Plant; 12] = [
        Plant::ForgottenToken,
        Plant::WayBack,
        Plant::StaleReplica,
        Plant::KeptEpoch,
        Plant::SentTwice,
        Plant::CertainDoubt,
        Plant::Overtaken,
        Plant::PassedRead,
        Plant::HastyRead,
        Plant::ForgottenWatch,
        Plant::ToldTwice,
        Plant::LateWrite,
    ];
}
