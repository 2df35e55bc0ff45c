//! What must last: state machines and codecs without I/O. `driver` does with files what they say.
//!
//! | folder | what |
//! |---|---|
//! | `log` | the write-ahead log: what is appended lasts, in order |
//! | `index` | what the commands in the log build, and what is read |
//! | `engine` | the join of both: when a write is seen, and when it is acknowledged |
//! | `backup` | copies of a log that grow, and going back to a point in them |

pub mod backup;
pub mod engine;
pub mod index;
pub mod log;
