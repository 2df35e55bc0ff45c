//! What commands may be at most.

use super::decode::Malformed;

/// The longest key, in bytes.
pub const KEY_MAX: usize = 64 * 1_024;

/// What the index keeps to. Part of its state: every node must decide alike, so they are changed by a command.
///
/// | setting | unit | range | default | why |
/// |---|---|---|---|---|
/// | `memory_max` | bytes, as [`State::memory`](crate::store::index::State::memory) counts | 0 or from 65,536 | 0: no limit | a limit must fit the machine |
/// | `value_max` | bytes | 1 to 512 MiB | 16 MiB | a value travels in one record |
/// | `operations_max` | steps and conditions of a transaction, keys of an eviction | 1 to 1,048,576 | 10,000 | a command is applied in one go |
/// | `clients_max` | clients whose requests are remembered | 1 to 16,777,216 | 10,000 | who asked longest ago is forgotten first |
/// | `client_bytes_max` | bytes of remembered answers, of all clients | 1,024 to 2^48 | 64 MiB | answers may have values in them |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes the index may come to by what would make it grow; 0: no limit.
    pub memory_max: u64,
    /// The longest value.
    pub value_max: u64,
    /// The most steps and conditions of one transaction, and the most keys of one eviction.
    pub operations_max: u64,
    /// The most clients whose requests are remembered.
    pub clients_max: u64,
    /// The most bytes of remembered answers.
    pub client_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_max: 0,
            value_max: 16 << 20,
            operations_max: 10_000,
            clients_max: 10_000,
            client_bytes_max: 64 << 20,
        }
    }
}

impl Settings {
    /// In the order in which they are written, each with its name and range.
    pub(in crate::store::index) fn fields(&self) -> [u64; 5] {
        [self.memory_max, self.value_max, self.operations_max, self.clients_max, self.client_bytes_max]
    }

    pub(in crate::store::index) fn from_fields(fields: [u64; 5]) -> Result<Self, Malformed> {
        const RANGES: [(&str, u64, u64); 5] = [
            ("memory_max", 65_536, u64::MAX),
            ("value_max", 1, 512 << 20),
            ("operations_max", 1, 1 << 20),
            ("clients_max", 1, 1 << 24),
            ("client_bytes_max", 1_024, 1 << 48),
        ];
        for ((what, least, most), value) in RANGES.into_iter().zip(fields) {
            let is_off = what == "memory_max" && value == 0;
            if !is_off && !(least..=most).contains(&value) {
                return Err(Malformed::OutOfRange { what, value });
            }
        }
        let [memory_max, value_max, operations_max, clients_max, client_bytes_max] = fields;
        Ok(Self { memory_max, value_max, operations_max, clients_max, client_bytes_max })
    }
}
