//! What must last: a write-ahead log, and the index that its commands build. State machines and codecs without I/O;
//! `driver` does with files what they say.

pub mod index;
pub mod log;
