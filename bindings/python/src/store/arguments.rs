//! What Python passes to a store, as the library takes it.

use std::borrow::Cow;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use trimtab::embedded::Call;
use trimtab::store::engine::Durability;
use trimtab::store::index::evict::Eviction;
use trimtab::store::index::{
    Condition, Lifetime, LifetimeCondition, Range, Relation, RequestId, Timestamp, prefix_end,
};

use crate::convert::{self, Choice, Chosen, Timeout};
use crate::errors;

/// A value: any bytes-like object. Only `bytes` is not copied.
pub(crate) struct Value<'a>(pub(crate) Cow<'a, [u8]>);

impl<'a, 'py> FromPyObject<'a, 'py> for Value<'a> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        convert::bytes("value", object).map(Value)
    }
}

impl Choice for Durability {
    const WHAT: &'static str = "durability";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (1, "memory", Durability::Memory),
        (2, "local", Durability::Local),
        (3, "quorum", Durability::Quorum),
        (4, "all", Durability::All),
    ];
}

impl Choice for Eviction {
    const WHAT: &'static str = "eviction";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "refuse", Eviction::Refuse), (1, "lru", Eviction::Lru), (2, "ttl", Eviction::Ttl)];
}

impl Choice for LifetimeCondition {
    const WHAT: &'static str = "condition";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "always", LifetimeCondition::Always),
        (4, "no-deadline", LifetimeCondition::NoDeadline),
        (5, "deadline", LifetimeCondition::Deadline),
        (6, "later", LifetimeCondition::Later),
        (7, "earlier", LifetimeCondition::Earlier),
    ];
}

impl Choice for Relation {
    const WHAT: &'static str = "relation";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "==", Relation::Equal),
        (1, "!=", Relation::NotEqual),
        (2, "<", Relation::Less),
        (3, ">", Relation::Greater),
    ];
}

/// How long to wait for an answer.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// As long as the store was told to.
    Usual,
    /// So long; `None`: as long as it takes.
    For(Option<Duration>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Wait {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        // What stubs and signatures show for it.
        if object.is(object.py().Ellipsis()) {
            return Ok(Self::Usual);
        }
        Ok(Self::For(object.extract::<Timeout>()?.0))
    }
}

/// A `trimtab.Request`, or a tuple like it.
#[derive(Clone, Copy)]
pub(crate) struct Request(pub(crate) RequestId);

impl<'a, 'py> FromPyObject<'a, 'py> for Request {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let wrong = || convert::wrong_argument("request", "a Request", &object);
        let pair = object.cast::<PyTuple>().map_err(|_| wrong())?;
        if pair.len() != 2 {
            return Err(wrong());
        }
        let (client, number) = (pair.get_item(0)?, pair.get_item(1)?);
        let client = convert::bytes("request.client", client.as_borrowed())?;
        let client: [u8; 16] = client.as_ref().try_into().map_err(|_| {
            let detail = format!("it has {} bytes, and 16 are wanted", client.len());
            errors::invalid(object.py(), "request.client", detail)
        })?;
        if client == [0; 16] {
            let detail = "all zero is no client; take 16 random bytes".into();
            return Err(errors::invalid(object.py(), "request.client", detail));
        }
        Ok(Self(RequestId { client, number: convert::whole("request.number", 64, &number)? }))
    }
}

/// How a write is to go, but for how long to wait.
pub(crate) fn call(durability: Option<Chosen<Durability>>, request: Option<Request>) -> Call {
    Call {
        durability: durability.map(|chosen| chosen.0),
        request: request.map(|request| request.0),
        nodes: 0,
        timeout: None,
    }
}

/// Keys from `start` on and before `end`, or those that begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Keys {
    pub(crate) const ALL: Self = Self { start: Vec::new(), end: None };

    pub(crate) fn new(
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        end: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let read = |what, given: Option<&Bound<'_, PyAny>>| {
            given.map(|given| convert::bytes(what, given.as_borrowed()).map(Cow::into_owned)).transpose()
        };
        let (start, end, prefix) = (read("start", start)?, read("end", end)?, read("prefix", prefix)?);
        match prefix {
            None => Ok(Self { start: start.unwrap_or_default(), end }),
            Some(prefix) if start.is_none() && end.is_none() => {
                Ok(Self { end: prefix_end(&prefix), start: prefix })
            }
            Some(_) => {
                let detail = "it stands alone: leave start and end out".into();
                Err(errors::invalid(py, "prefix", detail))
            }
        }
    }

    pub(crate) fn range(&self) -> Range<'_> {
        Range { start: &self.start, end: self.end.as_deref() }
    }
}

/// When to put or delete: at most one of the three.
pub(crate) fn condition(
    py: Python<'_>,
    version: Option<&Bound<'_, PyAny>>,
    absent: bool,
    present: bool,
) -> PyResult<Condition> {
    match (version, absent, present) {
        (None, false, false) => Ok(Condition::Always),
        (None, true, false) => Ok(Condition::Absent),
        (None, false, true) => Ok(Condition::Present),
        (Some(version), false, false) => Ok(Condition::Version(convert::whole("version", 64, version)?)),
        _ => Err(errors::invalid(
            py,
            "version",
            "of version, absent and present only one can be asked for".into(),
        )),
    }
}

/// How long a key is to live. A span counts from when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Fixed(Lifetime),
    /// So many milliseconds.
    For(u64),
}

impl Life {
    pub(crate) fn new(
        py: Python<'_>,
        ttl: Option<&Bound<'_, PyAny>>,
        at: Option<&Bound<'_, PyAny>>,
        lease: Option<&Bound<'_, PyAny>>,
        keep: bool,
    ) -> PyResult<Self> {
        match (ttl, at, lease, keep) {
            (None, None, None, false) => Ok(Self::Fixed(Lifetime::Unbounded)),
            (None, None, None, true) => Ok(Self::Fixed(Lifetime::Keep)),
            (Some(ttl), None, None, false) => ttl_millis(ttl).map(Self::For),
            (None, Some(at), None, false) => Ok(Self::Fixed(Lifetime::Until(moment(at)?))),
            (None, None, Some(lease), false) => Ok(Self::Fixed(Lifetime::Lease(lease_id(lease)?))),
            _ => {
                let detail = "of ttl, at, lease and keep_lifetime only one can be asked for".into();
                Err(errors::invalid(py, "ttl", detail))
            }
        }
    }

    pub(crate) fn lifetime(self, now: Timestamp) -> Lifetime {
        match self {
            Self::Fixed(lifetime) => lifetime,
            Self::For(millis) => Lifetime::Until(now.saturating_add(millis)),
        }
    }
}

/// A span of time in whole milliseconds, the next one where it lies between two.
pub(crate) fn ttl_millis(ttl: &Bound<'_, PyAny>) -> PyResult<u64> {
    let nanos = convert::span("ttl", ttl)?.as_nanos();
    Ok(u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// The id of a lease, or of a `trimtab.Lease`.
pub(crate) fn lease_id(lease: &Bound<'_, PyAny>) -> PyResult<u64> {
    let id = match lease.getattr("id") {
        Ok(id) => id,
        Err(_) => lease.clone(),
    };
    match convert::whole("lease", 64, &id)? {
        0 => Err(errors::invalid(lease.py(), "lease", "0 is no lease; ids are from 1".into())),
        id => Ok(id),
    }
}

/// A moment by the wall clock: seconds since the beginning of 1970, as `time.time()` gives them, or a `datetime`.
pub(crate) fn moment(at: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let seconds: f64 = match at.extract() {
        Ok(seconds) => seconds,
        Err(_) => match at.call_method0("timestamp") {
            Ok(seconds) => seconds.extract()?,
            Err(_) => return Err(convert::wrong_argument("at", "seconds since 1970 or a datetime", at)),
        },
    };
    if !(seconds >= 0.0 && seconds.is_finite()) {
        return Err(errors::invalid(at.py(), "at", format!("{seconds:?} is no moment from 1970 on")));
    }
    // Beyond what fits it is the last moment there is.
    Ok(Timestamp::from_millis((seconds * 1e3).round() as u64))
}

/// A moment as `time.time()` has it.
pub(crate) fn seconds_of(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1e3
}

/// How many at most; `None`: no limit.
pub(crate) fn limit(limit: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    let Some(given) = limit else { return Ok(0) };
    match convert::whole("limit", 64, given)? {
        0 => Err(errors::invalid(given.py(), "limit", "0 is no limit; leave it out for all".into())),
        limit => Ok(limit),
    }
}

/// A whole number that may be negative.
pub(crate) fn signed(what: &'static str, object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(number) = object.extract() {
        return Ok(number);
    }
    let number = object
        .call_method0("__index__")
        .map_err(|_| convert::wrong_argument(what, "a whole number", object))?;
    Err(errors::invalid(object.py(), what, format!("{number} is outside -2^63 to 2^63 - 1")))
}

/// Keywords that say nothing at all.
pub(crate) fn nothing_said(function: &str) -> PyErr {
    PyTypeError::new_err(format!("{function}() wants start, end or prefix; start=b'' means all keys"))
}
