//! Whether a command that was put together in memory is one that could be read back.

use super::decode::Malformed;
use super::{Command, Comparison, KEY_MAX, Lifetime, Operand, Operation, Range, Settings, Step};

impl Command<'_> {
    /// What [`Command::decode`] would say of this command's encoding, without encoding it.
    ///
    /// # Errors
    ///
    /// As [`Command::decode`]: something is longer than `settings` allow, or a number outside its range.
    pub fn check(&self, settings: &Settings) -> Result<(), Malformed> {
        Checker { settings, operations: 0 }.operation(&self.operation)
    }
}

struct Checker<'s> {
    settings: &'s Settings,
    /// Steps, conditions and keys so far.
    operations: u64,
}

impl Checker<'_> {
    fn operation(&mut self, operation: &Operation<'_>) -> Result<(), Malformed> {
        match operation {
            Operation::Step(step) => self.step(step),
            Operation::Transaction(transaction) => {
                self.count(transaction.conditions.len())?;
                transaction.conditions.iter().try_for_each(|comparison| self.comparison(comparison))?;
                for steps in [&transaction.then, &transaction.otherwise] {
                    self.count(steps.len())?;
                    steps.iter().try_for_each(|step| self.step(step))?;
                }
                Ok(())
            }
            Operation::LeaseGrant { id, ttl_ms } => {
                lease(*id)?;
                in_range("ttl_ms", *ttl_ms, (1..=1 << 48).contains(ttl_ms))
            }
            Operation::LeaseKeepAlive { id } | Operation::LeaseRevoke { id } => lease(*id),
            Operation::Expire { .. } => Ok(()),
            Operation::Evict { keys } => {
                self.count(keys.len())?;
                keys.iter().try_for_each(|(given, _)| key(given))
            }
            Operation::Configure(settings) => Settings::from_fields(settings.fields()).map(|_| ()),
        }
    }

    fn step(&self, step: &Step<'_>) -> Result<(), Malformed> {
        match step {
            Step::Put { key: given, value, lifetime, .. } => {
                key(given)?;
                lives(*lifetime)?;
                self.value(value)
            }
            Step::Append { key: given, value } => {
                key(given)?;
                self.value(value)
            }
            Step::SetLifetime { key: given, lifetime, .. } => {
                key(given)?;
                lives(*lifetime)
            }
            Step::Delete { key: given, .. }
            | Step::Increment { key: given, .. }
            | Step::Get { key: given } => key(given),
            Step::DeleteRange { range: given, .. } | Step::Range { range: given, .. } => range(given),
        }
    }

    fn comparison(&self, comparison: &Comparison<'_>) -> Result<(), Malformed> {
        key(comparison.key)?;
        match comparison.operand {
            Operand::Value(value) => self.value(value),
            Operand::Version(_) | Operand::Created(_) | Operand::Changes(_) | Operand::Lease(_) => Ok(()),
        }
    }

    fn count(&mut self, count: usize) -> Result<(), Malformed> {
        self.operations = self.operations.saturating_add(count as u64);
        at_most("operations_max", self.operations, self.settings.operations_max)
    }

    fn value(&self, value: &[u8]) -> Result<(), Malformed> {
        at_most("value_max", value.len() as u64, self.settings.value_max)
    }
}

fn range(range: &Range<'_>) -> Result<(), Malformed> {
    key(range.start)?;
    range.end.map_or(Ok(()), key)
}

fn key(key: &[u8]) -> Result<(), Malformed> {
    at_most("key_max", key.len() as u64, KEY_MAX as u64)
}

fn lives(lifetime: Lifetime) -> Result<(), Malformed> {
    match lifetime {
        Lifetime::Lease(id) => lease(id),
        Lifetime::Unbounded | Lifetime::Keep | Lifetime::Until(_) => Ok(()),
    }
}

fn lease(id: u64) -> Result<(), Malformed> {
    in_range("lease", id, id != 0)
}

fn at_most(what: &'static str, given: u64, limit: u64) -> Result<(), Malformed> {
    if given <= limit { Ok(()) } else { Err(Malformed::TooLarge { what, limit }) }
}

fn in_range(what: &'static str, value: u64, is_in_range: bool) -> Result<(), Malformed> {
    if is_in_range { Ok(()) } else { Err(Malformed::OutOfRange { what, value }) }
}
