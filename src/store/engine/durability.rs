//! [`Durability`]: what a write asks for, and what its answer says was reached.

use crate::error::{Error, Result};

/// Where a write is when it is answered. Each has what those before it have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In memory, and on its way to disk: a crash may take it, and with it all that came later, but none of what
    /// came before.
    Memory,
    /// On this disk: it is there after a crash.
    #[default]
    Local,
    /// On the disks of more than half of the nodes. Needs replication.
    Quorum,
    /// On the disks of all nodes. Needs replication.
    All,
}

impl Durability {
    /// Each with its name in configurations.
    pub const NAMES: [(&'static str, Durability); 4] = [
        ("memory", Durability::Memory),
        ("local", Durability::Local),
        ("quorum", Durability::Quorum),
        ("all", Durability::All),
    ];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, it)| *it == self).map_or("", |(name, _)| name)
    }

    /// `Unsupported` for what one node alone cannot give.
    pub(super) fn check(self) -> Result<()> {
        if self <= Durability::Local {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "durability",
            detail: format!(
                "{} needs replication, and this store is on one node: ask for memory or local",
                self.name()
            )
            .into(),
        })
    }
}
