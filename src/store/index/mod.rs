//! The index.
pub(crate) mod tree;
mod wire;
