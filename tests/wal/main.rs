//! The write-ahead log on real files, and its format as it was recorded.
#![cfg(feature = "store")]

mod golden;
