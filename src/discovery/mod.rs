//! Where members come from when they are not written down.
pub mod domain;
pub mod exchange;
pub mod file;
pub mod found;
pub mod hosts;
pub mod lookup;
pub mod members;
pub mod message;
pub mod name;
pub mod options;
pub mod query;
pub mod resolv_conf;
pub mod tame;
#[cfg(test)]
mod tests;
pub mod watch;
