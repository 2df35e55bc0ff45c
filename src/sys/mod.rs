//! The system calls that std lacks, each behind a safe function. Unsafe code is allowed here and in
//! `capi` alone.

#![allow(unsafe_code)]

pub(crate) mod clock;
