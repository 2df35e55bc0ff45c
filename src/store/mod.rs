//! The store: a write-ahead log, and the index that its commands build.

pub mod index;
