//! What must last: state machines and codecs without I/O. `driver` does with files what they say.

pub mod log;
