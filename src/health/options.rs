//! What a check is told.
//!
//! | option | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `kind` | | [`Kind`] | tcp | asks nothing of a protocol |
//! | `interval` | time | 50 ms to 1 day | 2 s | HAProxy's: with `fall` 3 a silent backend is out within 8 s |
//! | `interval_transition` | time | as `interval` | `interval` | while the verdicts do not agree with the state |
//! | `interval_down` | time | as `interval` | `interval` | a backend that is down may be asked less often |
//! | `timeout` | time | 10 ms to 1 h | 1 s | nobody waits longer for an answer |
//! | `rise` | verdicts | 1 to 100 | 2 | one good answer may be luck |
//! | `fall` | verdicts | 1 to 100 | 3 | one or two bad ones may be bad luck |
//! | `initial` | | [`Initial`] | unknown | serves while nothing is known |
//! | `jitter` | share of the interval | 0 to 0.5 | 0.1 | many balancers do not fall into step |
//! | `target` | | [`Target`] | the backend | the check asks what clients ask |
//! | `role` | | [`Role`] | any | needs a kind that tells it |
//! | `lag_max` | time | 0 to 1 day | any | needs a kind that tells it |
//!
//! A probe begins at a beat and the next one an interval later, more or less the jitter. It runs for `timeout` at
//! most; beats that come meanwhile are left out. So `timeout` may be longer than an interval.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, within};
use crate::health::check::State;
use crate::health::facts::{Facts, Role};
use crate::health::probe::Kind;
use crate::health::reason::{Reason, Source};
use crate::time;

/// The shortest interval.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// The longest interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// The shortest timeout.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// The longest timeout.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// The most that `rise` and `fall` can be.
pub const VERDICTS_MAX: u32 = 100;
/// The most that `jitter` can be.
pub const JITTER_MAX: f64 = 0.5;
/// The longest `lag_max`.
pub const LAG_MAX: Duration = Duration::from_secs(86_400);

/// How to check a backend. Ranges, defaults and their reasons stand in the module's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What to ask.
    pub kind: Kind,
    /// From one probe to the next.
    pub interval: Duration,
    /// The same while verdicts do not agree with the state, and before any state is known.
    pub interval_transition: Option<Duration>,
    /// The same while the backend is down.
    pub interval_down: Option<Duration>,
    /// How long a probe may take, connecting included.
    pub timeout: Duration,
    /// How many good verdicts in a row bring a backend up.
    pub rise: u32,
    /// How many bad verdicts in a row take it down.
    pub fall: u32,
    /// Where it begins.
    pub initial: Initial,
    /// By how much an interval varies.
    pub jitter: f64,
    /// Where to connect.
    pub target: Target,
    /// The role the backend must have; another one is a bad verdict.
    pub role: Option<Role>,
    /// How far behind a replica may be; farther, or not known, is a bad verdict.
    pub lag_max: Option<Duration>,
}

/// Where a check begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Initial {
    /// Nothing is known; the backend serves. `rise` good verdicts bring it up, `fall` bad ones take it down.
    #[default]
    Unknown,
    /// Up until proven down.
    Up,
    /// Down until proven up.
    Down,
}

impl Initial {
    /// Every beginning with its name in configuration.
    pub const NAMES: [(&'static str, Initial); 3] =
        [("unknown", Initial::Unknown), ("up", Initial::Up), ("down", Initial::Down)];
}

/// Where a check connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// To the backend's own address.
    #[default]
    Backend,
    /// To this port at the backend's address.
    Port(NonZeroU16),
    /// Somewhere else.
    Inet(SocketAddr),
    /// To this unix socket; a leading `@` means the abstract name space.
    Unix(Arc<str>),
}

impl Target {
    /// Where to connect for a backend at `address`; `None` when it is a unix socket.
    pub fn inet(&self, address: SocketAddr) -> Option<SocketAddr> {
        match self {
            Target::Backend => Some(address),
            Target::Port(port) => Some(SocketAddr::new(address.ip(), port.get())),
            Target::Inet(target) => Some(*target),
            Target::Unix(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Backend => f.write_str("the backend's address"),
            Target::Port(port) => write!(f, "port {port}"),
            Target::Inet(address) => address.fmt(f),
            Target::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kind: Kind::Tcp,
            interval: Duration::from_secs(2),
            interval_transition: None,
            interval_down: None,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            initial: Initial::default(),
            jitter: 0.1,
            target: Target::default(),
            role: None,
            lag_max: None,
        }
    }
}

impl Options {
    /// Refuses what is out of range or does not go together, naming the option, what was given and what is
    /// allowed.
    pub fn check(&self) -> Result<()> {
        within("interval", self.interval, INTERVAL_MIN, INTERVAL_MAX)?;
        if let Some(interval) = self.interval_transition {
            within("interval_transition", interval, INTERVAL_MIN, INTERVAL_MAX)?;
        }
        if let Some(interval) = self.interval_down {
            within("interval_down", interval, INTERVAL_MIN, INTERVAL_MAX)?;
        }
        within("timeout", self.timeout, TIMEOUT_MIN, TIMEOUT_MAX)?;
        within("rise", self.rise, 1, VERDICTS_MAX)?;
        within("fall", self.fall, 1, VERDICTS_MAX)?;
        within("jitter", self.jitter, 0.0, JITTER_MAX)?;
        if let Target::Unix(path) = &self.target
            && (path.is_empty() || path.as_ref() == "@" || path.contains('\0'))
        {
            return Err(Error::invalid("target", "the unix socket has no name, or a NUL byte in it"));
        }
        if let Target::Inet(address) = &self.target
            && address.port() == 0
        {
            return Err(Error::invalid("target", format!("{address} has port 0; nothing listens there")));
        }
        if self.role.is_some() && !self.kind.tells_role() {
            let detail =
                "it needs a kind that tells the role (redis, postgres or mysql, with its own role = true)";
            return Err(Error::invalid("role", detail));
        }
        if let Some(lag) = self.lag_max {
            if !self.kind.tells_lag() {
                let detail =
                    "it needs a kind that tells the lag (postgres or mysql, with its own role = true)";
                return Err(Error::invalid("lag_max", detail));
            }
            if self.role == Some(Role::Primary) {
                return Err(Error::invalid(
                    "lag_max",
                    "a primary has no lag; leave it out, or ask for replicas",
                ));
            }
            within("lag_max", lag, Duration::ZERO, LAG_MAX)?;
        }
        Ok(())
    }

    /// What a check runs by.
    pub fn parse(self) -> Result<Settings> {
        self.check()?;
        Ok(Settings {
            interval: time::nanos(self.interval),
            interval_transition: time::nanos(self.interval_transition.unwrap_or(self.interval)),
            interval_down: time::nanos(self.interval_down.unwrap_or(self.interval)),
            options: self,
        })
    }
}

/// Options that were checked. All checks of a pool share one.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    options: Options,
    interval: u64,
    interval_transition: u64,
    interval_down: u64,
}

impl Settings {
    /// What was told.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The nanoseconds of `interval`, which the first probes are spread over.
    pub(super) fn interval(&self) -> u64 {
        self.interval
    }

    /// The nanoseconds to the next probe in this state; `is_settled` when the last verdict agrees with it.
    pub(super) fn interval_in(&self, state: State, is_settled: bool) -> u64 {
        match state {
            State::Up if is_settled => self.interval,
            State::Down if is_settled => self.interval_down,
            _ => self.interval_transition,
        }
    }

    /// How long an interval of `nanos` becomes, for a number drawn over 64 bits.
    pub(super) fn stretch(&self, nanos: u64, drawn: u64) -> u64 {
        let span = (nanos as f64 * self.options.jitter) as u64;
        nanos - span + crate::rng::below(drawn, 2 * span + 1)
    }

    /// What speaks against a backend whose probe was good.
    pub(super) fn objection(&self, facts: &Facts) -> Option<Reason> {
        if let Some(failure) = facts.orders.as_ref().and_then(|orders| orders.failure()) {
            return Some(failure);
        }
        let objection = |text: String| Some(Reason::new(Source::Requirement, text));
        if let Some(wanted) = self.options.role
            && facts.role != Some(wanted)
        {
            let is = facts.role.map_or("of no known role", Role::name);
            return objection(format!("it is {is}, wanted {}", wanted.name()));
        }
        let most = self.options.lag_max.filter(|_| facts.role != Some(Role::Primary))?;
        match facts.lag {
            Some(lag) if lag <= most => None,
            Some(lag) => objection(format!("it is {lag:?} behind, {most:?} at most are wanted")),
            None => objection("how far it is behind is not known: may the check's user see it?".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::facts::{Operational, Orders};
    use crate::health::probe::redis;

    fn redis(role: bool) -> Kind {
        Kind::Redis(Arc::new(
            redis::Redis::new(&redis::Options { role, ..redis::Options::default() }).unwrap(),
        ))
    }

    #[test]
    fn each_limit_holds_at_the_limit() {
        let good = Options::default;
        let ms = Duration::from_millis;
        let day = Duration::from_secs(86_400);
        for (what, options, fits) in [
            ("interval", Options { interval: ms(50), ..good() }, true),
            ("interval", Options { interval: ms(49), ..good() }, false),
            ("interval", Options { interval: day, ..good() }, true),
            ("interval", Options { interval: day + ms(1), ..good() }, false),
            ("interval_transition", Options { interval_transition: Some(ms(49)), ..good() }, false),
            ("interval_down", Options { interval_down: Some(day + ms(1)), ..good() }, false),
            ("timeout", Options { timeout: ms(10), ..good() }, true),
            ("timeout", Options { timeout: ms(9), ..good() }, false),
            ("timeout", Options { timeout: Duration::from_secs(3600), ..good() }, true),
            ("timeout", Options { timeout: Duration::from_secs(3601), ..good() }, false),
            ("rise", Options { rise: 0, ..good() }, false),
            ("rise", Options { rise: 100, ..good() }, true),
            ("fall", Options { fall: 101, ..good() }, false),
            ("jitter", Options { jitter: 0.5, ..good() }, true),
            ("jitter", Options { jitter: 0.51, ..good() }, false),
            ("jitter", Options { jitter: -0.1, ..good() }, false),
            ("jitter", Options { jitter: f64::NAN, ..good() }, false),
            ("target", Options { target: Target::Unix("".into()), ..good() }, false),
            ("target", Options { target: Target::Unix("@".into()), ..good() }, false),
            ("target", Options { target: Target::Unix("@app".into()), ..good() }, true),
            ("target", Options { target: Target::Inet("10.0.0.1:0".parse().unwrap()), ..good() }, false),
            ("role", Options { role: Some(Role::Primary), ..good() }, false),
            ("role", Options { role: Some(Role::Primary), kind: redis(false), ..good() }, false),
            ("role", Options { role: Some(Role::Primary), kind: redis(true), ..good() }, true),
            ("lag_max", Options { lag_max: Some(ms(1)), kind: redis(true), ..good() }, false),
        ] {
            match options.parse() {
                Ok(_) => assert!(fits, "{what} should be refused"),
                Err(Error::InvalidArgument { what: named, detail }) => {
                    assert!(!fits && named == what, "{what}: {named}: {detail}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn targets_are_beside_the_backend_or_elsewhere() {
        let backend: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        let to = |target: Target| target.inet(backend).map(|address| address.to_string());
        assert_eq!(to(Target::Backend).unwrap(), "[2001:db8::1]:80");
        assert_eq!(to(Target::Port(NonZeroU16::new(81).unwrap())).unwrap(), "[2001:db8::1]:81");
        assert_eq!(to(Target::Inet("10.0.0.1:9".parse().unwrap())).unwrap(), "10.0.0.1:9");
        assert_eq!(to(Target::Unix("/run/app.sock".into())), None);
    }

    #[test]
    fn an_interval_stretches_by_its_jitter_at_most() {
        let settings = |jitter| Options { jitter, ..Options::default() }.parse().unwrap();
        assert_eq!(settings(0.1).stretch(1000, 0), 900);
        assert_eq!(settings(0.1).stretch(1000, u64::MAX / 2), 1000);
        assert_eq!(settings(0.1).stretch(1000, u64::MAX), 1100);
        assert_eq!(settings(0.0).stretch(1000, u64::MAX), 1000);
    }

    #[test]
    fn intervals_follow_the_state() {
        let options = Options {
            interval: Duration::from_nanos(50_000_001),
            interval_transition: Some(Duration::from_nanos(50_000_002)),
            interval_down: Some(Duration::from_nanos(50_000_003)),
            ..Options::default()
        };
        let settings = options.parse().unwrap();
        for (state, is_settled, last) in [
            (State::Up, true, 1),
            (State::Up, false, 2),
            (State::Down, true, 3),
            (State::Down, false, 2),
            (State::Unknown, true, 2),
            (State::Unknown, false, 2),
        ] {
            assert_eq!(settings.interval_in(state, is_settled), 50_000_000 + last, "{state:?}");
        }
        let default = Options::default().parse().unwrap();
        assert_eq!(default.interval_in(State::Down, false), 2_000_000_000);
    }

    #[test]
    fn what_an_agent_says_against_its_backend_counts() {
        let settings = Options::default().parse().unwrap();
        let said = |operational| {
            let orders = Some(Orders { operational: Some(operational), ..Orders::default() });
            settings.objection(&Facts { orders, ..Facts::default() })
        };
        assert_eq!(said(Operational::Up), None);
        assert_eq!(said(Operational::Down).unwrap().to_string(), "agent: down");
    }

    #[test]
    fn a_role_can_be_required() {
        let options = Options { role: Some(Role::Replica), kind: redis(true), ..Options::default() };
        let settings = options.parse().unwrap();
        let objection = |role| settings.objection(&Facts { role, ..Facts::default() });
        assert_eq!(objection(Some(Role::Replica)), None);
        let reason = objection(Some(Role::Primary)).unwrap();
        assert_eq!(reason.to_string(), "requirement: it is primary, wanted replica");
        assert!(objection(None).is_some());
    }

    #[cfg(feature = "probes-sql")]
    #[test]
    fn a_lag_can_be_bounded() {
        use crate::health::probe::postgres;

        let told =
            postgres::Options { user: Some("check".into()), role: true, ..postgres::Options::default() };
        let kind = Kind::Postgres(Arc::new(postgres::Postgres::new(told).unwrap()));
        let options = Options { lag_max: Some(Duration::from_secs(5)), kind, ..Options::default() };
        assert!(Options { role: Some(Role::Primary), ..options.clone() }.check().is_err());
        assert!(
            Options { lag_max: Some(LAG_MAX + Duration::from_secs(1)), ..options.clone() }.check().is_err()
        );
        let settings = Options { role: None, ..options }.parse().unwrap();
        let objection = |role, lag: Option<u64>| {
            settings.objection(&Facts {
                role: Some(role),
                lag: lag.map(Duration::from_secs),
                ..Facts::default()
            })
        };
        assert_eq!(objection(Role::Replica, Some(5)), None);
        assert!(objection(Role::Replica, Some(6)).unwrap().text().contains("6s behind, 5s at most"));
        assert!(objection(Role::Replica, None).unwrap().text().contains("not known"));
        assert_eq!(objection(Role::Primary, None), None);
    }
}
