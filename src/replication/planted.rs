//! Bugs planted on purpose, each of which the simulator's checkers must find. Only the simulator's build has them.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A write is answered as being on a quorum when it is in the primary's log.
    EarlyAnswer,
    /// A vote is not written down.
    ForgottenVote,
    /// The lease outlasts the promise it stands on.
    LongLease,
    /// What is durable here alone is applied, and seen.
    EarlyApply,
    /// What a new primary's entries replace stays in the log.
    KeptSuffix,
    /// Learners count as voters where an answer waits for a quorum.
    VotingLearner,
    /// A node that was restarted votes at once, whatever it had promised before.
    HastyVote,
    /// Messages leave before what they speak of is on disk.
    EarlyMessages,
    /// A read is answered by whoever takes itself for the primary.
    UncheckedRead,
    /// A request that comes again after a failover is done again.
    DoneTwice,
    /// A replica that asks for a position is shown what there is.
    IgnoredToken,
    /// A replica takes itself to be as fresh as its last message.
    FreshByHearsay,
    /// A node that feeds another passes on what is not committed.
    UncommittedFeed,
    /// A node that feeds another vouches for more than it knows.
    FedHearsay,
    /// A directory that was put back from an old copy is taken for the node's own.
    TrustedCopy,
    /// A node that begins a new cluster votes before it knows that the cluster is new.
    TrustedFounder,
    /// That another node was promoted by force is not written down by the one that it put out.
    ForgottenFence,
    /// A node that is opened goes by who was in the cluster as it last wrote it down, whatever its log proves.
    UnprovenChange,
}

impl Plant {
    /// Those that a random world seldom meets: tests beside the node lead to where they show.
    pub const BY_HAND: [Plant; 4] =
        [Plant::ForgottenVote, Plant::HastyVote, Plant::UncheckedRead, Plant::TrustedFounder];

    /// All of them.
    pub const ALL: [Plant; 18] = [
        Plant::EarlyAnswer,
        Plant::ForgottenVote,
        Plant::LongLease,
        Plant::EarlyApply,
        Plant::KeptSuffix,
        Plant::VotingLearner,
        Plant::HastyVote,
        Plant::EarlyMessages,
        Plant::UncheckedRead,
        Plant::DoneTwice,
        Plant::IgnoredToken,
        Plant::FreshByHearsay,
        Plant::UncommittedFeed,
        Plant::FedHearsay,
        Plant::TrustedCopy,
        Plant::TrustedFounder,
        Plant::ForgottenFence,
        Plant::UnprovenChange,
    ];
}
