//! Bytes to commands.

use std::fmt;

use super::{
    Command, Comparison, Condition, KEY_MAX, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation,
    Range, Relation, RequestId, Settings, Step, Transaction, VERSION,
};
use crate::store::index::time::Timestamp;
use crate::store::index::wire::{take, take_bytes, take_varint, unzigzag};

/// Why bytes are no command, or none that is allowed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A later version of this library wrote it.
    Version {
        /// The version it has.
        found: u8,
    },
    /// It ends too early, or a number is not in its shortest form.
    Cut {
        /// What was being read.
        what: &'static str,
    },
    /// A byte that means nothing here.
    Unknown {
        /// What was being read.
        what: &'static str,
        /// The byte.
        found: u8,
    },
    /// Something is longer than its limit.
    TooLarge {
        /// The limit by its name: `"key_max"`, `"value_max"`, `"operations_max"`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A number outside its range.
    OutOfRange {
        /// The field by its name.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// Bytes behind its end.
    Trailing,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Version { found } => {
                write!(f, "the command has version {found}, this library reads version {VERSION}; update it")
            }
            Malformed::Cut { what } => {
                write!(f, "the command ends within its {what}, or the number is not minimal")
            }
            Malformed::Unknown { what, found } => write!(f, "the byte {found:#04x} is no {what}"),
            Malformed::TooLarge { what, limit } => write!(f, "longer than {what} = {limit}; split it"),
            Malformed::OutOfRange { what, value } => write!(f, "{what} = {value} is out of its range"),
            Malformed::Trailing => f.write_str("there are bytes behind the command's end"),
        }
    }
}

impl std::error::Error for Malformed {}

impl<'a> Command<'a> {
    /// The command that `bytes` are, no longer than `settings` allow. Memory is taken for what is there, not for
    /// what a length says.
    pub fn decode(bytes: &'a [u8], settings: &Settings) -> Result<Self, Malformed> {
        let mut from = Decoder { bytes, settings, operations: 0 };
        let version = from.byte("version")?;
        if version != VERSION {
            return Err(Malformed::Version { found: version });
        }
        let has_request = from.flag("flags")?;
        let time = Timestamp::from_millis(from.number("time")?);
        let request = match has_request {
            true => {
                let client = take(&mut from.bytes, 16).and_then(|client| client.try_into().ok());
                let client = client.ok_or(Malformed::Cut { what: "client" })?;
                Some(RequestId { client, number: from.number("request number")? })
            }
            false => None,
        };
        let operation = from.operation()?;
        if !from.bytes.is_empty() {
            return Err(Malformed::Trailing);
        }
        Ok(Command { time, request, operation })
    }
}

/// The key that an encoded command names first, if it is a single step. Nothing else of it is looked at: to have memory
/// fetched.
pub(in crate::store::index) fn first_key(mut command: &[u8]) -> Option<&[u8]> {
    let [version, has_request, rest @ ..] = command else { return None };
    if *version != VERSION {
        return None;
    }
    command = rest;
    take_varint(&mut command)?;
    if *has_request != 0 {
        take(&mut command, 16)?;
        take_varint(&mut command)?;
    }
    let (operation, mut rest) = command.split_first()?;
    if matches!(operation, 0x01..=0x08) { take_bytes(&mut rest) } else { None }
}

struct Decoder<'a, 's> {
    bytes: &'a [u8],
    settings: &'s Settings,
    /// Steps, conditions and keys so far.
    operations: u64,
}

impl<'a> Decoder<'a, '_> {
    fn operation(&mut self) -> Result<Operation<'a>, Malformed> {
        let kind = self.byte("operation")?;
        Ok(match kind {
            0x10 => Operation::Transaction(self.transaction()?),
            0x20 => {
                let id = self.lease()?;
                let ttl_ms = self.number("ttl_ms")?;
                if !(1..=1 << 48).contains(&ttl_ms) {
                    return Err(Malformed::OutOfRange { what: "ttl_ms", value: ttl_ms });
                }
                Operation::LeaseGrant { id, ttl_ms }
            }
            0x21 => Operation::LeaseKeepAlive { id: self.lease()? },
            0x22 => Operation::LeaseRevoke { id: self.lease()? },
            0x23 => Operation::Expire { limit: self.number("limit")? },
            0x24 => {
                let count = self.count("keys")?;
                let mut keys = Vec::new();
                for _ in 0..count {
                    keys.push((self.key()?, self.number("version")?));
                }
                Operation::Evict { keys }
            }
            0x25 => {
                let mut fields = [0; 5];
                for field in &mut fields {
                    *field = self.number("settings")?;
                }
                Operation::Configure(Settings::from_fields(fields)?)
            }
            kind => Operation::Step(self.step(kind)?),
        })
    }

    fn step(&mut self, kind: u8) -> Result<Step<'a>, Malformed> {
        Ok(match kind {
            0x01 => {
                let key = self.key()?;
                let (condition, lifetime) = (self.condition()?, self.lifetime()?);
                let previous = self.flag("previous")?;
                Step::Put { key, value: self.value()?, condition, lifetime, previous }
            }
            0x02 => {
                let (key, condition) = (self.key()?, self.condition()?);
                Step::Delete { key, condition, previous: self.flag("previous")? }
            }
            0x03 => Step::Increment { key: self.key()?, by: unzigzag(self.number("increment")?) },
            0x04 => Step::Append { key: self.key()?, value: self.value()? },
            0x05 => {
                let (key, lifetime) = (self.key()?, self.lifetime()?);
                let condition = match self.byte("condition")? {
                    0 => LifetimeCondition::Always,
                    1 => LifetimeCondition::NoDeadline,
                    2 => LifetimeCondition::Deadline,
                    3 => LifetimeCondition::Later,
                    4 => LifetimeCondition::Earlier,
                    found => return Err(Malformed::Unknown { what: "condition of a lifetime", found }),
                };
                Step::SetLifetime { key, lifetime, condition }
            }
            0x06 => {
                let range = self.range()?;
                Step::DeleteRange { range, limit: self.number("limit")? }
            }
            0x07 => Step::Get { key: self.key()? },
            0x08 => {
                let (range, limit) = (self.range()?, self.number("limit")?);
                Step::Range { range, limit, reverse: self.flag("reverse")? }
            }
            found => return Err(Malformed::Unknown { what: "operation", found }),
        })
    }

    fn transaction(&mut self) -> Result<Transaction<'a>, Malformed> {
        let on_refusal = match self.byte("transaction")? {
            0 => OnRefusal::Abort,
            1 => OnRefusal::Continue,
            found => return Err(Malformed::Unknown { what: "way with refusals", found }),
        };
        let mut conditions = Vec::new();
        for _ in 0..self.count("conditions")? {
            conditions.push(self.comparison()?);
        }
        Ok(Transaction { conditions, then: self.steps()?, otherwise: self.steps()?, on_refusal })
    }

    fn steps(&mut self) -> Result<Vec<Step<'a>>, Malformed> {
        let mut steps = Vec::new();
        for _ in 0..self.count("steps")? {
            let kind = self.byte("operation")?;
            steps.push(self.step(kind)?);
        }
        Ok(steps)
    }

    fn comparison(&mut self) -> Result<Comparison<'a>, Malformed> {
        let key = self.key()?;
        let relation = match self.byte("relation")? {
            0 => Relation::Equal,
            1 => Relation::NotEqual,
            2 => Relation::Less,
            3 => Relation::Greater,
            found => return Err(Malformed::Unknown { what: "relation", found }),
        };
        let operand = match self.byte("operand")? {
            0 => Operand::Version(self.number("version")?),
            1 => Operand::Created(self.number("version")?),
            2 => Operand::Changes(self.number("changes")?),
            3 => Operand::Lease(self.number("lease")?),
            4 => Operand::Value(self.value()?),
            found => return Err(Malformed::Unknown { what: "operand", found }),
        };
        Ok(Comparison { key, relation, operand })
    }

    fn condition(&mut self) -> Result<Condition, Malformed> {
        Ok(match self.byte("condition")? {
            0 => Condition::Always,
            1 => Condition::Absent,
            2 => Condition::Present,
            3 => Condition::Version(self.number("version")?),
            found => return Err(Malformed::Unknown { what: "condition", found }),
        })
    }

    fn lifetime(&mut self) -> Result<Lifetime, Malformed> {
        Ok(match self.byte("lifetime")? {
            0 => Lifetime::Unbounded,
            1 => Lifetime::Keep,
            2 => Lifetime::Until(Timestamp::from_millis(self.number("deadline")?)),
            3 => Lifetime::Lease(self.lease()?),
            found => return Err(Malformed::Unknown { what: "lifetime", found }),
        })
    }

    fn range(&mut self) -> Result<Range<'a>, Malformed> {
        let start = self.key()?;
        let end = if self.flag("end of the range")? { Some(self.key()?) } else { None };
        Ok(Range { start, end })
    }

    fn lease(&mut self) -> Result<u64, Malformed> {
        match self.number("lease")? {
            0 => Err(Malformed::OutOfRange { what: "lease", value: 0 }),
            id => Ok(id),
        }
    }

    /// How many follow, all those before counted with them.
    fn count(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let count = self.number(what)?;
        let limit = self.settings.operations_max;
        self.operations = self.operations.saturating_add(count);
        if self.operations > limit {
            return Err(Malformed::TooLarge { what: "operations_max", limit });
        }
        Ok(count)
    }

    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        self.bounded("key", "key_max", KEY_MAX as u64)
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        self.bounded("value", "value_max", self.settings.value_max)
    }

    fn bounded(&mut self, what: &'static str, limit: &'static str, most: u64) -> Result<&'a [u8], Malformed> {
        let mut rest = self.bytes;
        let len = take_varint(&mut rest).ok_or(Malformed::Cut { what })?;
        if len > most {
            return Err(Malformed::TooLarge { what: limit, limit: most });
        }
        take_bytes(&mut self.bytes).ok_or(Malformed::Cut { what })
    }

    fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
        take_varint(&mut self.bytes).ok_or(Malformed::Cut { what })
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(Malformed::Unknown { what, found }),
        }
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed::Cut { what })?;
        self.bytes = rest;
        Ok(*first)
    }
}
