//! A running instance, made from one configuration: listeners, pools, admin.
//!
//! | file or folder | owns |
//! |---|---|
//! | `config/` | the configuration's text and what is wrong with it |
//! | `server` | [`Server`]: the life of an instance |
//! | `assembly` | from a configuration to sockets, pools and workers |
//! | `store` | its store, and how Redis clients are served from it |
//! | `backups` | backups of its store while it runs |
//! | `files` | whether the files that a configuration names are as the start needs them |
//! | `checker` | a check in the hands of a loop of one's own |
//! | `statistics` | what it counted |
//! | `journal` | its last events, and who follows them |
//! | `admin/` | what it is asked and told while running, over HTTP |

pub mod admin;
mod assembly;
#[cfg(feature = "store")]
pub(crate) mod backups;
#[cfg(all(feature = "store", feature = "replication"))]
mod changes;
mod checker;
pub mod config;
mod files;
mod journal;
#[expect(clippy::module_inception, reason = "the type of the folder's name has a file of its own")]
mod server;
#[cfg(feature = "replication")]
mod split;
pub mod statistics;
#[cfg(feature = "store")]
mod store;

#[cfg(feature = "replication")]
pub use crate::driver::event::ClusterKind;
pub use crate::driver::event::{Event, EventKind};
#[cfg(feature = "store")]
pub use backups::{
    Activity as BackupActivity, BackupReport, BackupSpan, BackupStatus, EndedBackup, RunningBackup,
};
#[cfg(all(feature = "store", feature = "replication"))]
pub use changes::{ClusterChange, ClusterTold, NodeTold};
pub use checker::Checker;
pub use config::Config;
pub use server::{Server, State};
pub use statistics::{AdminStatistics, ListenerStatistics, PoolStatus, ServerStatistics, Status};
#[cfg(feature = "store")]
pub use statistics::{ClientsStatus, StoreStatus};
