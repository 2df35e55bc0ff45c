//! [`Operation`]: something to do, for `execute`, transactions and queues.

use std::sync::Arc;

use pyo3::prelude::*;
use trimtab::store::index::{
    self, Comparison, Condition, LifetimeCondition, OnRefusal, Operand, Relation, Step, Timestamp,
    Transaction,
};

use crate::convert::{self, Chosen, Key};
use crate::errors;
use crate::store::arguments::{self, Keys, Life, Value};

/// Something to do to a store: what Store.execute and a queue do by itself, and a transaction with others. It keeps
/// nothing of a store, and may be used as often as you like, with any store.
///
/// Keys and values are bytes-like, and copied. A ttl counts from when the operation is submitted.
#[pyclass(frozen, module = "trimtab")]
pub(crate) struct Operation {
    inner: Arc<Asked>,
}

enum Asked {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        condition: Condition,
        life: Life,
        previous: bool,
    },
    Delete {
        key: Vec<u8>,
        condition: Condition,
        previous: bool,
    },
    Increment {
        key: Vec<u8>,
        by: i64,
    },
    Append {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    SetLifetime {
        key: Vec<u8>,
        life: Life,
        condition: LifetimeCondition,
    },
    DeleteRange {
        keys: Keys,
        limit: u64,
    },
    Get {
        key: Vec<u8>,
    },
    Range {
        keys: Keys,
        limit: u64,
        reverse: bool,
    },
    LeaseGrant {
        id: u64,
        ttl_ms: u64,
    },
    LeaseKeepAlive {
        id: u64,
    },
    LeaseRevoke {
        id: u64,
    },
    Transaction {
        conditions: Vec<Compared>,
        then: Vec<Arc<Asked>>,
        otherwise: Vec<Arc<Asked>>,
        on_refusal: OnRefusal,
    },
}

/// A condition as Python has it: a key, a relation, the name of what is compared, and with what.
type GivenCondition<'py> = (Bound<'py, PyAny>, Chosen<Relation>, String, Bound<'py, PyAny>);

struct Compared {
    key: Vec<u8>,
    relation: Relation,
    what: What,
}

enum What {
    Number(Operand<'static>),
    Value(Vec<u8>),
}

#[pymethods]
impl Operation {
    /// Puts a value. See Store.put.
    #[staticmethod]
    #[pyo3(signature = (key, value, *, version = None, absent = false, present = false, ttl = None, at = None,
        lease = None, keep_lifetime = false, previous = false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn put(
        py: Python<'_>,
        key: Key<'_>,
        value: Value<'_>,
        version: Option<&Bound<'_, PyAny>>,
        absent: bool,
        present: bool,
        ttl: Option<&Bound<'_, PyAny>>,
        at: Option<&Bound<'_, PyAny>>,
        lease: Option<&Bound<'_, PyAny>>,
        keep_lifetime: bool,
        previous: bool,
    ) -> PyResult<Self> {
        let condition = arguments::condition(py, version, absent, present)?;
        let life = Life::new(py, ttl, at, lease, keep_lifetime)?;
        let (key, value) = (key.0.into_owned(), value.0.into_owned());
        Ok(Self::of(Asked::Put { key, value, condition, life, previous }))
    }

    /// Deletes a key. See Store.delete.
    #[staticmethod]
    #[pyo3(signature = (key, *, version = None, present = false, previous = false))]
    fn delete(
        py: Python<'_>,
        key: Key<'_>,
        version: Option<&Bound<'_, PyAny>>,
        present: bool,
        previous: bool,
    ) -> PyResult<Self> {
        let condition = arguments::condition(py, version, false, present)?;
        Ok(Self::of(Asked::Delete { key: key.0.into_owned(), condition, previous }))
    }

    /// Adds to a number. See Store.increment.
    #[staticmethod]
    #[pyo3(signature = (key, by = None), text_signature = "(key, by=1)")]
    fn increment(key: Key<'_>, by: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let by = by.map_or(Ok(1), |by| arguments::signed("by", by))?;
        Ok(Self::of(Asked::Increment { key: key.0.into_owned(), by }))
    }

    /// Appends to a value. See Store.append.
    #[staticmethod]
    fn append(key: Key<'_>, value: Value<'_>) -> Self {
        Self::of(Asked::Append { key: key.0.into_owned(), value: value.0.into_owned() })
    }

    /// Changes how long a key lives. See Store.set_lifetime.
    #[staticmethod]
    #[pyo3(signature = (key, *, ttl = None, at = None, lease = None, condition = None),
        text_signature = "(key, *, ttl=None, at=None, lease=None, condition=...)")]
    fn set_lifetime(
        py: Python<'_>,
        key: Key<'_>,
        ttl: Option<&Bound<'_, PyAny>>,
        at: Option<&Bound<'_, PyAny>>,
        lease: Option<&Bound<'_, PyAny>>,
        condition: Option<Chosen<LifetimeCondition>>,
    ) -> PyResult<Self> {
        let life = Life::new(py, ttl, at, lease, false)?;
        let condition = condition.map_or(LifetimeCondition::Always, |chosen| chosen.0);
        Ok(Self::of(Asked::SetLifetime { key: key.0.into_owned(), life, condition }))
    }

    /// Deletes the keys of a range. See Store.delete_range.
    #[staticmethod]
    #[pyo3(signature = (start = None, end = None, *, prefix = None, limit = None))]
    fn delete_range(
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if start.is_none() && end.is_none() && prefix.is_none() {
            return Err(arguments::nothing_said("delete_range"));
        }
        let keys = Keys::new(py, start, end, prefix)?;
        Ok(Self::of(Asked::DeleteRange { keys, limit: arguments::limit(limit)? }))
    }

    /// Reads a key, in its place among the writes.
    #[staticmethod]
    fn get(key: Key<'_>) -> Self {
        Self::of(Asked::Get { key: key.0.into_owned() })
    }

    /// Reads a range, in its place among the writes.
    ///
    /// - limit: the most keys; None (default) for as many as have value_max bytes together.
    #[staticmethod]
    #[pyo3(signature = (start = None, end = None, *, prefix = None, reverse = false, limit = None))]
    fn range(
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let keys = Keys::new(py, start, end, prefix)?;
        Ok(Self::of(Asked::Range { keys, limit: arguments::limit(limit)?, reverse }))
    }

    /// Begins a lease that lives for ttl (seconds or timedelta; 1 ms to 2^48 ms) without a keep-alive.
    ///
    /// - id: from 1, and none that is alive.
    #[staticmethod]
    fn lease_grant(id: &Bound<'_, PyAny>, ttl: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (id, ttl_ms) = (arguments::lease_id(id)?, arguments::ttl_millis(ttl)?);
        Ok(Self::of(Asked::LeaseGrant { id, ttl_ms }))
    }

    /// Prolongs a lease to its whole time from now.
    #[staticmethod]
    fn lease_keep_alive(id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::of(Asked::LeaseKeepAlive { id: arguments::lease_id(id)? }))
    }

    /// Ends a lease and deletes its keys.
    #[staticmethod]
    fn lease_revoke(id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::of(Asked::LeaseRevoke { id: arguments::lease_id(id)? }))
    }

    /// Several steps as one. See trimtab.Transaction, which makes it.
    ///
    /// - conditions: each a key, a relation, the name of what is compared, and with what.
    #[staticmethod]
    #[pyo3(signature = (conditions, then, otherwise, *, proceed = false))]
    fn _transaction(
        conditions: Vec<GivenCondition<'_>>,
        then: Vec<PyRef<'_, Self>>,
        otherwise: Vec<PyRef<'_, Self>>,
        proceed: bool,
    ) -> PyResult<Self> {
        let conditions = conditions.iter().map(|(key, relation, what, with)| {
            let number = || convert::whole::<u64>("condition", 64, with);
            let what = match &**what {
                "version" => What::Number(Operand::Version(number()?)),
                "created" => What::Number(Operand::Created(number()?)),
                "changes" => What::Number(Operand::Changes(number()?)),
                // 0: none.
                "lease" if matches!(number(), Ok(0)) => What::Number(Operand::Lease(0)),
                "lease" => What::Number(Operand::Lease(arguments::lease_id(with)?)),
                "value" => What::Value(convert::bytes("value", with.as_borrowed())?.into_owned()),
                other => {
                    let detail = format!("{other:?} is none of version, created, changes, lease, value");
                    return Err(errors::invalid(key.py(), "condition", detail));
                }
            };
            let key = convert::bytes("key", key.as_borrowed())?.into_owned();
            Ok(Compared { key, relation: relation.0, what })
        });
        let conditions = conditions.collect::<PyResult<_>>()?;
        let on_refusal = if proceed { OnRefusal::Continue } else { OnRefusal::Abort };
        let (then, otherwise) = (steps("then", &then)?, steps("otherwise", &otherwise)?);
        Ok(Self::of(Asked::Transaction { conditions, then, otherwise, on_refusal }))
    }

    fn __repr__(&self) -> String {
        format!("<trimtab.Operation {}>", self.inner.name())
    }
}

impl Operation {
    fn of(asked: Asked) -> Self {
        Self { inner: Arc::new(asked) }
    }

    /// As the library takes it, at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> index::Operation<'_> {
        match &*self.inner {
            Asked::LeaseGrant { id, ttl_ms } => index::Operation::LeaseGrant { id: *id, ttl_ms: *ttl_ms },
            Asked::LeaseKeepAlive { id } => index::Operation::LeaseKeepAlive { id: *id },
            Asked::LeaseRevoke { id } => index::Operation::LeaseRevoke { id: *id },
            Asked::Transaction { conditions, then, otherwise, on_refusal } => {
                index::Operation::Transaction(Transaction {
                    conditions: conditions.iter().map(Compared::comparison).collect(),
                    then: then.iter().filter_map(|step| step.step(now)).collect(),
                    otherwise: otherwise.iter().filter_map(|step| step.step(now)).collect(),
                    on_refusal: *on_refusal,
                })
            }
            step => index::Operation::Step(step.step(now).expect("what is none was told apart above")),
        }
    }

    /// Whether its answer has to do with when it is submitted: only then the clock is asked.
    pub(crate) fn needs_time(&self) -> bool {
        self.inner.needs_time()
    }
}

impl Asked {
    fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::Increment { .. } => "increment",
            Self::Append { .. } => "append",
            Self::SetLifetime { .. } => "set_lifetime",
            Self::DeleteRange { .. } => "delete_range",
            Self::Get { .. } => "get",
            Self::Range { .. } => "range",
            Self::LeaseGrant { .. } => "lease_grant",
            Self::LeaseKeepAlive { .. } => "lease_keep_alive",
            Self::LeaseRevoke { .. } => "lease_revoke",
            Self::Transaction { .. } => "transaction",
        }
    }

    fn needs_time(&self) -> bool {
        match self {
            Self::Put { life, .. } | Self::SetLifetime { life, .. } => matches!(life, Life::For(_)),
            Self::Transaction { then, otherwise, .. } => {
                then.iter().chain(otherwise).any(|step| step.needs_time())
            }
            _ => false,
        }
    }

    /// `None`: it is no step.
    fn step(&self, now: Timestamp) -> Option<Step<'_>> {
        Some(match self {
            Self::Put { key, value, condition, life, previous } => Step::Put {
                key,
                value,
                condition: *condition,
                lifetime: life.lifetime(now),
                previous: *previous,
            },
            Self::Delete { key, condition, previous } => {
                Step::Delete { key, condition: *condition, previous: *previous }
            }
            Self::Increment { key, by } => Step::Increment { key, by: *by },
            Self::Append { key, value } => Step::Append { key, value },
            Self::SetLifetime { key, life, condition } => {
                Step::SetLifetime { key, lifetime: life.lifetime(now), condition: *condition }
            }
            Self::DeleteRange { keys, limit } => Step::DeleteRange { range: keys.range(), limit: *limit },
            Self::Get { key } => Step::Get { key },
            Self::Range { keys, limit, reverse } => {
                Step::Range { range: keys.range(), limit: *limit, reverse: *reverse }
            }
            Self::LeaseGrant { .. }
            | Self::LeaseKeepAlive { .. }
            | Self::LeaseRevoke { .. }
            | Self::Transaction { .. } => return None,
        })
    }
}

impl Compared {
    fn comparison(&self) -> Comparison<'_> {
        let operand = match &self.what {
            What::Number(operand) => *operand,
            What::Value(value) => Operand::Value(value),
        };
        Comparison { key: &self.key, relation: self.relation, operand }
    }
}

fn steps(what: &'static str, given: &[PyRef<'_, Operation>]) -> PyResult<Vec<Arc<Asked>>> {
    let own = |operation: &PyRef<'_, Operation>| {
        if operation.inner.step(Timestamp::default()).is_some() {
            return Ok(Arc::clone(&operation.inner));
        }
        let detail = format!("{} stands alone, not in a transaction", operation.inner.name());
        Err(errors::invalid(operation.py(), what, detail))
    };
    given.iter().map(own).collect()
}
