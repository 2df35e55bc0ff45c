//! Commands to bytes.

use super::{
    Command, Comparison, Condition, Lifetime, LifetimeCondition, OnRefusal, Operand, Operation, Range,
    Relation, Step, Transaction, VERSION,
};
use crate::store::index::time::Timestamp;
use crate::store::index::wire::{put_bytes, put_varint, zigzag};

impl Command<'_> {
    /// Appends the encoding to `out`. Every command has exactly one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_at(self.time, out);
    }

    /// [`Command::encode`] with another time.
    pub(in crate::store) fn encode_at(&self, time: Timestamp, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(u8::from(self.request.is_some()));
        put_varint(out, time.as_millis());
        if let Some(request) = &self.request {
            out.extend_from_slice(&request.client);
            put_varint(out, request.number);
        }
        put_operation(out, &self.operation);
    }
}

fn put_operation(out: &mut Vec<u8>, operation: &Operation<'_>) {
    match operation {
        Operation::Step(step) => put_step(out, step),
        Operation::Transaction(transaction) => put_transaction(out, transaction),
        Operation::LeaseGrant { id, ttl_ms } => {
            out.push(0x20);
            put_varint(out, *id);
            put_varint(out, *ttl_ms);
        }
        Operation::LeaseKeepAlive { id } => {
            out.push(0x21);
            put_varint(out, *id);
        }
        Operation::LeaseRevoke { id } => {
            out.push(0x22);
            put_varint(out, *id);
        }
        Operation::Expire { limit } => {
            out.push(0x23);
            put_varint(out, *limit);
        }
        Operation::Evict { keys } => {
            out.push(0x24);
            put_varint(out, keys.len() as u64);
            for (key, version) in keys {
                put_bytes(out, key);
                put_varint(out, *version);
            }
        }
        Operation::Configure(settings) => {
            out.push(0x25);
            settings.fields().into_iter().for_each(|field| put_varint(out, field));
        }
    }
}

fn put_step(out: &mut Vec<u8>, step: &Step<'_>) {
    match step {
        Step::Put { key, value, condition, lifetime, previous } => {
            out.push(0x01);
            put_bytes(out, key);
            put_condition(out, *condition);
            put_lifetime(out, *lifetime);
            out.push(u8::from(*previous));
            put_bytes(out, value);
        }
        Step::Delete { key, condition, previous } => {
            out.push(0x02);
            put_bytes(out, key);
            put_condition(out, *condition);
            out.push(u8::from(*previous));
        }
        Step::Increment { key, by } => {
            out.push(0x03);
            put_bytes(out, key);
            put_varint(out, zigzag(*by));
        }
        Step::Append { key, value } => {
            out.push(0x04);
            put_bytes(out, key);
            put_bytes(out, value);
        }
        Step::SetLifetime { key, lifetime, condition } => {
            out.push(0x05);
            put_bytes(out, key);
            put_lifetime(out, *lifetime);
            out.push(match condition {
                LifetimeCondition::Always => 0,
                LifetimeCondition::NoDeadline => 1,
                LifetimeCondition::Deadline => 2,
                LifetimeCondition::Later => 3,
                LifetimeCondition::Earlier => 4,
            });
        }
        Step::DeleteRange { range, limit } => {
            out.push(0x06);
            put_range(out, range);
            put_varint(out, *limit);
        }
        Step::Get { key } => {
            out.push(0x07);
            put_bytes(out, key);
        }
        Step::Range { range, limit, reverse } => {
            out.push(0x08);
            put_range(out, range);
            put_varint(out, *limit);
            out.push(u8::from(*reverse));
        }
    }
}

fn put_transaction(out: &mut Vec<u8>, transaction: &Transaction<'_>) {
    out.push(0x10);
    out.push(match transaction.on_refusal {
        OnRefusal::Abort => 0,
        OnRefusal::Continue => 1,
    });
    put_varint(out, transaction.conditions.len() as u64);
    for comparison in &transaction.conditions {
        put_comparison(out, comparison);
    }
    for steps in [&transaction.then, &transaction.otherwise] {
        put_varint(out, steps.len() as u64);
        for step in steps {
            put_step(out, step);
        }
    }
}

fn put_comparison(out: &mut Vec<u8>, comparison: &Comparison<'_>) {
    put_bytes(out, comparison.key);
    out.push(match comparison.relation {
        Relation::Equal => 0,
        Relation::NotEqual => 1,
        Relation::Less => 2,
        Relation::Greater => 3,
    });
    let (what, number) = match comparison.operand {
        Operand::Version(number) => (0, number),
        Operand::Created(number) => (1, number),
        Operand::Changes(number) => (2, number),
        Operand::Lease(number) => (3, number),
        Operand::Value(value) => {
            out.push(4);
            return put_bytes(out, value);
        }
    };
    out.push(what);
    put_varint(out, number);
}

fn put_condition(out: &mut Vec<u8>, condition: Condition) {
    match condition {
        Condition::Always => out.push(0),
        Condition::Absent => out.push(1),
        Condition::Present => out.push(2),
        Condition::Version(version) => {
            out.push(3);
            put_varint(out, version);
        }
    }
}

fn put_lifetime(out: &mut Vec<u8>, lifetime: Lifetime) {
    match lifetime {
        Lifetime::Unbounded => out.push(0),
        Lifetime::Keep => out.push(1),
        Lifetime::Until(deadline) => {
            out.push(2);
            put_varint(out, deadline.as_millis());
        }
        Lifetime::Lease(id) => {
            out.push(3);
            put_varint(out, id);
        }
    }
}

fn put_range(out: &mut Vec<u8>, range: &Range<'_>) {
    put_bytes(out, range.start);
    out.push(u8::from(range.end.is_some()));
    if let Some(end) = range.end {
        put_bytes(out, end);
    }
}
