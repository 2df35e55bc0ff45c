//! trimtab: load balancing, linked in.
pub mod balance;
pub mod capi;
pub mod error;
pub mod rng;
pub(crate) mod sync;
mod sys;
pub mod time;
pub use error::{Error, Result};
