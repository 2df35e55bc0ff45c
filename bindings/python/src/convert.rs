//! What Python passes, as the library takes it. What has the wrong type is a `TypeError`; what has the
//! right one and a value that cannot be is an `InvalidArgumentError` that names the argument.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDelta, PyFloat, PyInt, PyMemoryView, PyString};
use trimtab::balance::{
    Adaptive, Address, Admin, BackendId, Backups, Formula, Hash, Observed, Outcome, Policy, Scope,
};
use trimtab::health::passive;
use trimtab::time::Instant;

use crate::errors;

/// A key: any bytes-like object. Only `bytes` is not copied.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, [u8]>);

impl<'a, 'py> FromPyObject<'a, 'py> for Key<'a> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        bytes("key", object).map(Key)
    }
}

/// Any bytes-like object. Only `bytes` is not copied.
#[inline]
pub(crate) fn bytes<'a>(what: &'static str, object: Borrowed<'a, '_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    match object.extract::<&'a [u8]>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes)),
        Err(_) => copied(what, object).map(Cow::Owned),
    }
}

#[cold]
fn copied(what: &'static str, object: Borrowed<'_, '_, PyAny>) -> PyResult<Vec<u8>> {
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "argument '{what}': bytes-like wanted, not str; encode it: {what}.encode()"
        )));
    }
    let view = PyMemoryView::from(&object).map_err(|_| wrong_argument(what, "bytes-like", &object))?;
    Ok(view.call_method0("tobytes")?.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// One of a fixed set of values that C and Python number alike and configuration names.
pub(crate) trait Choice: Sized + Copy + 'static {
    /// The argument, by its name in the interface.
    const WHAT: &'static str;
    /// Number, name and value.
    const ALL: &'static [(i64, &'static str, Self)];
}

impl Choice for Policy {
    const WHAT: &'static str = "policy";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "round-robin", Policy::RoundRobin),
        (1, "static", Policy::Static),
        (2, "first", Policy::First),
        (3, "random", Policy::Random),
        (4, "least-connections", Policy::LeastConnections),
        (5, "power-of-two", Policy::PowerOfTwo),
        (6, "peak-ewma", Policy::PeakEwma),
        (7, "fastest", Policy::Fastest),
        (8, "observed", Policy::Observed),
        (9, "predictive", Policy::Predictive),
        (10, "source", Policy::Source),
        (11, "hash", Policy::Hash),
    ];
}

impl Choice for Hash {
    const WHAT: &'static str = "hash";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "ring", Hash::Ring), (1, "maglev", Hash::Maglev), (2, "rendezvous", Hash::Rendezvous)];
}

impl Choice for Backups {
    const WHAT: &'static str = "backups";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "one", Backups::One), (1, "all", Backups::All), (2, "spill", Backups::Spill)];
}

impl Choice for Formula {
    const WHAT: &'static str = "formula";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "trimtab", Formula::Trimtab), (1, "f5-k6406", Formula::F5K6406)];
}

impl Choice for Scope {
    const WHAT: &'static str = "adaptive.scope";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "backend", Scope::Backend), (1, "pool", Scope::Pool)];
}

impl Choice for Admin {
    const WHAT: &'static str = "admin";
    const ALL: &'static [(i64, &'static str, Self)] =
        &[(0, "ready", Admin::Ready), (1, "drain", Admin::Drain), (2, "maintenance", Admin::Maintenance)];
}

impl Choice for Observed {
    const WHAT: &'static str = "observed";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "unknown", Observed::Unknown),
        (1, "up", Observed::Up),
        (2, "down", Observed::Down),
        (3, "ejected", Observed::Ejected),
    ];
}

impl Choice for Outcome {
    const WHAT: &'static str = "outcome";
    const ALL: &'static [(i64, &'static str, Self)] = &[
        (0, "success", Outcome::Success),
        (1, "connect-failed", Outcome::ConnectFailed),
        (2, "failed", Outcome::Failed),
        (3, "timed-out", Outcome::TimedOut),
        (4, "cancelled", Outcome::Cancelled),
    ];
}

/// A choice as an argument: its number (an `IntEnum` is one) or its name.
pub(crate) struct Chosen<T>(pub(crate) T);

impl<'a, 'py, T: Choice> FromPyObject<'a, 'py> for Chosen<T> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyInt>()
            && let Ok(number) = object.extract::<i64>()
            && let Some((_, _, value)) = T::ALL.iter().find(|(known, _, _)| *known == number)
        {
            return Ok(Chosen(*value));
        }
        named(object)
    }
}

#[cold]
fn named<T: Choice>(object: Borrowed<'_, '_, PyAny>) -> PyResult<Chosen<T>> {
    let py = object.py();
    let names = || T::ALL.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
    if object.is_instance_of::<PyInt>() {
        let numbers = match T::ALL {
            [(0, ..), .., (last, ..)] if *last == T::ALL.len() as i64 - 1 => format!("0 to {last}"),
            all => all.iter().map(|(number, ..)| number.to_string()).collect::<Vec<_>>().join(", "),
        };
        let detail = format!("{} is none of {numbers} ({})", object.as_any(), names());
        return Err(errors::invalid(py, T::WHAT, detail));
    }
    if !object.is_instance_of::<PyString>() {
        return Err(wrong_argument(T::WHAT, "an enumeration member, its number or its name", &object));
    }
    let given = text(T::WHAT, &object)?;
    let found = T::ALL.iter().find(|(_, name, _)| *name == given);
    found.map(|(_, _, value)| Chosen(*value)).ok_or_else(|| {
        const SHOWN_MAX: usize = 80;
        let shown: String = given.chars().take(SHOWN_MAX).collect();
        errors::invalid(py, T::WHAT, format!("{shown:?} is none of {}", names()))
    })
}

/// The number of `value` in C and in Python's enumeration.
pub(crate) fn number<T: Choice + PartialEq>(value: T) -> i64 {
    let found = T::ALL.iter().find(|(_, _, known)| *known == value);
    found.map(|(number, _, _)| *number).expect("ALL holds every value the binding was built with")
}

/// A `str` as UTF-8. Python's may hold halves of surrogate pairs, which have none.
pub(crate) fn text<'a>(what: &'static str, object: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let text = object.cast::<PyString>().map_err(|_| wrong_argument(what, "str", object))?;
    text.to_str().map_err(|error| {
        if error.is_instance_of::<PyUnicodeEncodeError>(object.py()) {
            return errors::invalid(
                object.py(),
                what,
                "it holds a lone surrogate, which is not UTF-8".into(),
            );
        }
        error
    })
}

/// A whole number that fits `T`. The library checks the range that the argument itself has.
pub(crate) fn whole<T: TryFrom<u64>>(
    what: &'static str,
    bits: u32,
    object: &Bound<'_, PyAny>,
) -> PyResult<T> {
    if let Ok(number) = object.extract::<u64>()
        && let Ok(number) = T::try_from(number)
    {
        return Ok(number);
    }
    let number =
        object.call_method0("__index__").map_err(|_| wrong_argument(what, "a whole number", object))?;
    // 2^bits - 1, also when bits are 64.
    let most = u64::MAX >> (64 - bits);
    Err(errors::invalid(object.py(), what, format!("{number} is outside 0 to {most}")))
}

/// A whole number of a range, where Python's own numbers have none.
pub(crate) fn within(
    what: &'static str,
    range: RangeInclusive<u64>,
    object: &Bound<'_, PyAny>,
) -> PyResult<u64> {
    if let Ok(number) = object.extract::<u64>()
        && range.contains(&number)
    {
        return Ok(number);
    }
    let number =
        object.call_method0("__index__").map_err(|_| wrong_argument(what, "a whole number", object))?;
    let (least, most) = range.into_inner();
    Err(errors::invalid(object.py(), what, format!("{number} is outside {least} to {most}")))
}

/// A span of time: seconds or a `timedelta`.
pub(crate) fn span(what: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Duration> {
    if object.is_instance_of::<PyDelta>() {
        return object
            .extract()
            .map_err(|_| errors::invalid(object.py(), what, format!("{object} is less than no time")));
    }
    let seconds = number_of_seconds(what, object)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| not_a_time(object.py(), what, seconds))
}

/// How long to wait at most: a span of time, or for ever.
pub(crate) struct Timeout(pub(crate) Option<Duration>);

impl Timeout {
    /// Only looks.
    pub(crate) const NONE: Self = Self(Some(Duration::ZERO));
    /// As long as it takes.
    pub(crate) const EVER: Self = Self(None);
}

impl<'a, 'py> FromPyObject<'a, 'py> for Timeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() { Ok(Self::EVER) } else { span("timeout", &object).map(|span| Self(Some(span))) }
    }
}

/// A retry budget: a share, or none.
pub(crate) struct Budget(pub(crate) Option<f64>);

impl Budget {
    /// What it is unless told otherwise.
    pub(crate) const USUAL: Self = Self(Some(0.2));
}

impl<'a, 'py> FromPyObject<'a, 'py> for Budget {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() { Ok(Self(None)) } else { object.extract().map(|share| Self(Some(share))) }
    }
}

/// A `trimtab.Outlier`.
pub(crate) fn outlier(given: &Bound<'_, PyAny>) -> PyResult<passive::Options> {
    check_class(given, "Outlier")?;
    let number = |of: &Bound<'_, PyAny>, what, name| whole::<u32>(what, 32, &of.getattr(name)?);
    let time = |name: &'static str| span(name, &given.getattr(name)?);
    let part = |name: &str| given.getattr(name).map(|part| (!part.is_none()).then_some(part));
    let consecutive_errors = part("consecutive_errors")?;
    let success_rate = part("success_rate")?.map(|rate| {
        check_class(&rate, "SuccessRate")?;
        Ok::<_, PyErr>(passive::SuccessRate {
            factor: rate.getattr("factor")?.extract()?,
            hosts_min: number(&rate, "success_rate.hosts_min", "hosts_min")?,
            requests_min: number(&rate, "success_rate.requests_min", "requests_min")?,
        })
    });
    let failure_percentage = part("failure_percentage")?.map(|failure| {
        check_class(&failure, "FailurePercentage")?;
        Ok::<_, PyErr>(passive::FailurePercentage {
            percent: number(&failure, "failure_percentage.percent", "percent")?,
            hosts_min: number(&failure, "failure_percentage.hosts_min", "hosts_min")?,
            requests_min: number(&failure, "failure_percentage.requests_min", "requests_min")?,
        })
    });
    Ok(passive::Options {
        consecutive_errors: consecutive_errors
            .map(|errors| whole("consecutive_errors", 32, &errors))
            .transpose()?,
        interval: time("interval")?,
        ejection_time: time("ejection_time")?,
        ejection_time_max: time("ejection_time_max")?,
        ejection_jitter: time("ejection_jitter")?,
        ejection_percent_max: number(given, "ejection_percent_max", "ejection_percent_max")?,
        success_rate: success_rate.transpose()?,
        failure_percentage: failure_percentage.transpose()?,
    })
}

/// A `trimtab.Adaptive`.
pub(crate) fn adaptive(given: &Bound<'_, PyAny>) -> PyResult<Adaptive> {
    check_class(given, "Adaptive")?;
    let number = |what, name| whole::<u32>(what, 32, &given.getattr(name)?);
    let time = |what, name| span(what, &given.getattr(name)?);
    let share = |name| given.getattr(name)?.extract::<f64>();
    Ok(Adaptive {
        scope: given.getattr("scope")?.extract::<Chosen<Scope>>()?.0,
        min: number("adaptive.min", "min")?,
        max: number("adaptive.max", "max")?,
        window: time("adaptive.window", "window")?,
        percentile: share("percentile")?,
        rtt_interval: time("adaptive.rtt_interval", "rtt_interval")?,
        rtt_jitter: share("rtt_jitter")?,
        rtt_requests: number("adaptive.rtt_requests", "rtt_requests")?,
        rtt_buffer: share("rtt_buffer")?,
        rtt_pins: given.getattr("rtt_pins")?.extract()?,
    })
}

fn check_class(given: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    let class = errors::class(given.py(), "trimtab._types", name)?;
    if given.is_instance(&class)? {
        return Ok(());
    }
    Err(wrong_type(&format!("trimtab.{name}"), given))
}

/// The IP address, with the scope of a link-local one; of a unix socket the path.
pub(crate) fn host<'py>(py: Python<'py>, address: &Address) -> Bound<'py, PyString> {
    match address {
        Address::Inet(std::net::SocketAddr::V6(address)) if address.scope_id() != 0 => {
            PyString::new(py, &format!("{}%{}", address.ip(), address.scope_id()))
        }
        Address::Inet(address) => PyString::new(py, &address.ip().to_string()),
        Address::Unix(path) => PyString::new(py, path),
    }
}

/// The port; 0 of a unix socket.
pub(crate) fn port(address: &Address) -> u16 {
    match address {
        Address::Inet(address) => address.port(),
        Address::Unix(_) => 0,
    }
}

/// What kind of address it is, as a `trimtab.Family`.
pub(crate) fn family<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    let number = match address {
        Address::Unix(_) => 0,
        Address::Inet(address) if address.is_ipv4() => 4,
        Address::Inet(_) => 6,
    };
    errors::class(py, "trimtab._enums", "Family")?.call1((number,))
}

/// A span of time in nanoseconds: what a timing is reported in.
#[inline]
pub(crate) fn span_nanos(what: &'static str, object: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(object) = object else { return Ok(None) };
    if let Ok(seconds) = object.cast::<PyFloat>() {
        return nanos(object.py(), what, seconds.value()).map(Some);
    }
    span(what, object).map(|span| Some(trimtab::time::nanos(span)))
}

/// A moment: seconds on the clock of `time.monotonic()`.
#[inline]
pub(crate) fn moment(object: &Bound<'_, PyAny>) -> PyResult<Instant> {
    nanos(object.py(), "now", number_of_seconds("now", object)?).map(Instant::from_nanos)
}

/// `moment` in seconds: the nearest that `convert::moment` does not take back to an earlier moment, so that
/// who waits for a deadline and reports its very value is not told to wait again.
pub(crate) fn seconds_of(moment: Instant) -> f64 {
    let mut seconds = moment.as_nanos() as f64 / NANOS;
    while rounded(seconds) < moment.as_nanos() {
        seconds = seconds.next_up();
    }
    seconds
}

/// The id of a backend. No number can be a wrong one, only one that no backend has.
#[inline]
pub(crate) fn id(object: &Bound<'_, PyAny>) -> PyResult<BackendId> {
    match object.extract() {
        Ok(id) => Ok(BackendId::from_u64(id)),
        Err(_) if object.is_instance_of::<PyInt>() => Err(errors::no_backend_of_id(object.py(), object)),
        Err(_) => Err(wrong_argument("id", "a backend's number", object)),
    }
}

#[cold]
pub(crate) fn wrong_type(wanted: &str, object: &Bound<'_, PyAny>) -> PyErr {
    match object.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!("{wanted} wanted, not {name}")),
        Err(error) => error,
    }
}

/// `wrong_type` with the argument's name.
#[cold]
pub(crate) fn wrong_argument(what: &str, wanted: &str, object: &Bound<'_, PyAny>) -> PyErr {
    wrong_type(&format!("argument '{what}': {wanted}"), object)
}

#[inline]
fn nanos(py: Python<'_>, what: &'static str, seconds: f64) -> PyResult<u64> {
    if seconds >= 0.0 && seconds.is_finite() {
        Ok(rounded(seconds))
    } else {
        Err(not_a_time(py, what, seconds))
    }
}

#[inline]
fn rounded(seconds: f64) -> u64 {
    // From 584 years on it is the last moment there is.
    (seconds * NANOS).round_ties_even() as u64
}

#[inline]
fn number_of_seconds(what: &str, object: &Bound<'_, PyAny>) -> PyResult<f64> {
    object.extract().map_err(|_| wrong_argument(what, "seconds", object))
}

#[cold]
fn not_a_time(py: Python<'_>, what: &'static str, seconds: f64) -> PyErr {
    errors::invalid(py, what, format!("{seconds:?} is no number of seconds from 0 on"))
}

const NANOS: f64 = 1e9;
