//! Probes as dialogues: what to send, and whether what comes back is good. None knows a socket or a clock.
//!
//! Whoever drives one connects, then calls [`Dialogue::begin`] and sends what that wrote; hands over what
//! comes by [`Dialogue::handle_bytes`] and tells of the end by [`Dialogue::handle_end`], until the answer is
//! other than [`Progress::More`]. What was written by then is a farewell: it is sent if the socket takes it at
//! once, and not waited for. Then the connection is closed. A connection that could not be made is a
//! [`Verdict::Bad`](super::Verdict::Bad) of its own; time is the [`Check`](super::Check)'s.
//!
//! | kind | file | good is |
//! |---|---|---|
//! | `tcp` | | a connection |
//! | `script` | `script` | every step found what it expects |
//! | `http` | `http/` | an accepted status, and what the headers and the body must hold |
//! | `tls` | `tls` | a ServerHello |
//! | `redis` | `redis` | `+PONG`, and with `role` an answer to `ROLE` |
//! | `postgres` | `postgres/` | a login, and with `role` an answer to a query; without a user the protocol |
//! | `mysql` | `mysql/` | the same of MySQL and MariaDB |
//! | `smtp` | `smtp` | 220, and 250 to `EHLO` |
//! | `agent` | `agent` | a line of orders |
//!
//! `script` and `http` need the feature `probes`, `postgres` and `mysql` the feature `probes-sql`.
//!
//! What comes of a dialogue depends on the bytes, never on the pieces they came in. What it keeps is bounded by
//! the constants of each file, what it reads at all by [`ANSWER_MAX`].

use std::fmt;
use std::sync::Arc;

use crate::health::facts::Facts;
use crate::health::reason::Reason;
use crate::rng::Rng;

pub mod agent;
mod assemble;
#[cfg(feature = "probes")]
pub mod http;
#[cfg(feature = "probes-sql")]
pub mod mysql;
#[cfg(feature = "probes")]
pub mod pattern;
#[cfg(feature = "probes-sql")]
pub mod postgres;
#[cfg(test)]
mod recorded;
pub mod redis;
#[cfg(feature = "probes")]
pub mod script;
pub mod smtp;
#[cfg(test)]
mod testing;
pub mod tls;

/// The most bytes a dialogue reads. A peer that has said so much without an end is not waited for.
pub const ANSWER_MAX: usize = 256 * 1024;

/// How far a dialogue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send what was written and wait for more.
    More,
    /// The backend is good.
    Good(Facts),
    /// The backend is not good.
    Bad(Reason),
}

/// One kind of probe over one connection.
pub trait Probe: fmt::Debug + Send {
    /// Begins on a connection just made, with nothing left of an earlier one. What is to be sent is added to
    /// `out`.
    fn begin(&mut self, out: &mut Vec<u8>) -> Progress;
    /// Takes what came. Not called again after an answer other than [`Progress::More`].
    fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress;
    /// The backend ended its half: nothing more will come. Answers other than [`Progress::More`].
    fn handle_end(&mut self) -> Progress;
}

/// What a dialogue cannot guess must come from outside: bytes from the system's generator, or in tests and
/// simulations from a seeded one. They go into nonces.
#[derive(Clone, Copy)]
pub struct Entropy([u8; 32]);

impl Entropy {
    /// Takes bytes of the system's generator.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws from a seeded generator: the same dialogue each time, and one that an onlooker can foretell.
    pub fn seeded(rng: &mut Rng) -> Self {
        let mut bytes = [0; 32];
        fill(&mut bytes, rng);
        Self(bytes)
    }

    /// Other bytes for each `number`, as hard to guess as these: one owner draws once for many dialogues.
    #[must_use]
    pub fn varied(&self, number: u64) -> Self {
        let mut bytes = self.0;
        let mut rng = Rng::new(number);
        let mut mask = [0; 32];
        fill(&mut mask, &mut rng);
        for (byte, mask) in bytes.iter_mut().zip(mask) {
            *byte ^= mask;
        }
        Self(bytes)
    }

    #[cfg(feature = "probes-sql")]
    fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A generator for what need not be secret.
    fn rng(&self) -> Rng {
        let (first, _) = self.0.split_first_chunk().expect("8 is less than 32");
        Rng::new(u64::from_le_bytes(*first))
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

fn fill(bytes: &mut [u8], rng: &mut Rng) {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next_u64().to_le_bytes()[..chunk.len()]);
    }
}

/// What a check asks. Each holds options that were checked when it was made; copies share them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A connection is enough.
    Tcp,
    /// Send and expect.
    #[cfg(feature = "probes")]
    Script(Arc<script::Script>),
    /// A request of HTTP/1.1.
    #[cfg(feature = "probes")]
    Http(Arc<http::Http>),
    /// The hellos of TLS.
    Tls(Arc<tls::Tls>),
    /// Redis and Valkey.
    Redis(Arc<redis::Redis>),
    /// PostgreSQL.
    #[cfg(feature = "probes-sql")]
    Postgres(Arc<postgres::Postgres>),
    /// MySQL and MariaDB.
    #[cfg(feature = "probes-sql")]
    Mysql(Arc<mysql::Mysql>),
    /// A mail server.
    Smtp(Arc<smtp::Smtp>),
    /// An agent beside the backend.
    Agent(Arc<agent::Agent>),
}

impl Kind {
    /// The name in configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            #[cfg(feature = "probes")]
            Kind::Script(_) => "script",
            #[cfg(feature = "probes")]
            Kind::Http(_) => "http",
            Kind::Tls(_) => "tls",
            Kind::Redis(_) => "redis",
            #[cfg(feature = "probes-sql")]
            Kind::Postgres(_) => "postgres",
            #[cfg(feature = "probes-sql")]
            Kind::Mysql(_) => "mysql",
            Kind::Smtp(_) => "smtp",
            Kind::Agent(_) => "agent",
        }
    }

    /// Whether a good probe of this kind tells the backend's role.
    pub fn tells_role(&self) -> bool {
        match self {
            Kind::Redis(redis) => redis.tells_role(),
            #[cfg(feature = "probes-sql")]
            Kind::Postgres(postgres) => postgres.tells_role(),
            #[cfg(feature = "probes-sql")]
            Kind::Mysql(mysql) => mysql.tells_role(),
            _ => false,
        }
    }

    /// Whether a good probe of this kind, on a replica, tells how far it is behind in time.
    pub fn tells_lag(&self) -> bool {
        // Redis tells its offset, which means something beside the primary's only.
        self.tells_role() && !matches!(self, Kind::Redis(_))
    }

    /// A dialogue of this kind with one backend. It is made once and begun anew for each probe: what a login
    /// took long to compute is kept. `authority` is the backend's address as it was configured, which HTTP
    /// sends as `Host` where no other is given; a unix socket's is sent as `localhost`.
    pub fn dialogue(&self, authority: &str, entropy: Entropy) -> Dialogue {
        // Kinds come and go with features: each may need only one of the two.
        let _ = authority;
        let probe: Box<dyn Probe> = match self {
            Kind::Tcp => Box::new(Connect),
            #[cfg(feature = "probes")]
            Kind::Script(script) => Box::new(script::Dialogue::new(Arc::clone(script))),
            #[cfg(feature = "probes")]
            Kind::Http(http) => Box::new(http::Dialogue::new(Arc::clone(http), authority)),
            Kind::Tls(tls) => Box::new(tls::Dialogue::new(Arc::clone(tls), entropy)),
            Kind::Redis(redis) => Box::new(redis::Dialogue::new(Arc::clone(redis))),
            #[cfg(feature = "probes-sql")]
            Kind::Postgres(postgres) => Box::new(postgres::Dialogue::new(Arc::clone(postgres), entropy)),
            #[cfg(feature = "probes-sql")]
            Kind::Mysql(mysql) => Box::new(mysql::Dialogue::new(Arc::clone(mysql))),
            Kind::Smtp(smtp) => Box::new(smtp::Dialogue::new(Arc::clone(smtp))),
            Kind::Agent(agent) => Box::new(agent::Dialogue::new(Arc::clone(agent))),
        };
        Dialogue::new(probe)
    }
}

/// A probe with what all of them keep to: an answer once given stands, and no more than [`ANSWER_MAX`] is
/// read.
#[derive(Debug)]
pub struct Dialogue {
    probe: Box<dyn Probe>,
    answer: Progress,
    received: usize,
}

impl Dialogue {
    /// Wraps a probe of one's own.
    pub fn new(probe: Box<dyn Probe>) -> Self {
        Self { probe, answer: Progress::More, received: 0 }
    }

    /// Begins on a connection just made. What is to be sent is added to `out`.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
        self.received = 0;
        self.answer = self.probe.begin(out);
        self.answer.clone()
    }

    /// Takes what came; what is to be sent is added to `out`. After an answer other than [`Progress::More`]
    /// the same is answered whatever comes.
    pub fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        if self.answer == Progress::More && !bytes.is_empty() {
            let (taken, beyond) = bytes.split_at(bytes.len().min(ANSWER_MAX - self.received));
            self.received += taken.len();
            self.answer = self.probe.handle_bytes(taken, out);
            if self.answer == Progress::More && !beyond.is_empty() {
                self.answer = Progress::Bad(Reason::answer(format!("more than {ANSWER_MAX} bytes came")));
            }
        }
        self.answer.clone()
    }

    /// The backend ended its half. Never answers [`Progress::More`].
    pub fn handle_end(&mut self) -> Progress {
        if self.answer == Progress::More {
            self.answer = match self.probe.handle_end() {
                Progress::More => Progress::Bad(Reason::answer("the connection was closed too early")),
                answer => answer,
            };
        }
        self.answer.clone()
    }
}

/// [`Kind::Tcp`]: who could connect has the answer.
#[derive(Debug)]
struct Connect;

impl Probe for Connect {
    fn begin(&mut self, _: &mut Vec<u8>) -> Progress {
        Progress::Good(Facts::default())
    }

    fn handle_bytes(&mut self, _: &[u8], _: &mut Vec<u8>) -> Progress {
        Progress::Good(Facts::default())
    }

    fn handle_end(&mut self) -> Progress {
        Progress::Good(Facts::default())
    }
}

/// For the steps of a dialogue: `Ok` goes on as it says, a reason ends it.
impl From<Result<Progress, Reason>> for Progress {
    fn from(step: Result<Progress, Reason>) -> Self {
        step.unwrap_or_else(Progress::Bad)
    }
}

/// What an end too early says: how far it got and what had come of the next answer.
fn ended(waiting_for: &str, part: &[u8]) -> Progress {
    Progress::Bad(Reason::answer(if part.is_empty() {
        format!("the connection was closed before {waiting_for}")
    } else {
        format!(
            "the connection was closed within {waiting_for}, after {}",
            crate::health::reason::shown(part)
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says nothing until it has seen a zero byte.
    #[derive(Debug)]
    struct Zero;

    impl Probe for Zero {
        fn begin(&mut self, out: &mut Vec<u8>) -> Progress {
            out.push(b'?');
            Progress::More
        }
        fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
            if bytes.contains(&0) {
                out.push(b'!');
                return Progress::Good(Facts::default());
            }
            Progress::More
        }
        fn handle_end(&mut self) -> Progress {
            Progress::More
        }
    }

    #[test]
    fn an_answer_once_given_stands_until_the_next_beginning() {
        let mut dialogue = Dialogue::new(Box::new(Zero));
        let mut out = Vec::new();
        assert_eq!(dialogue.begin(&mut out), Progress::More);
        assert_eq!(dialogue.handle_bytes(&[1, 0], &mut out), Progress::Good(Facts::default()));
        assert_eq!(dialogue.handle_bytes(&[0], &mut out), Progress::Good(Facts::default()));
        assert_eq!(dialogue.handle_end(), Progress::Good(Facts::default()));
        assert_eq!(out, b"?!");
        assert_eq!(dialogue.begin(&mut out), Progress::More);
        let Progress::Bad(reason) = dialogue.handle_end() else { panic!("an end is an answer") };
        assert!(reason.text().contains("closed too early"));
        assert_eq!(dialogue.handle_bytes(&[0], &mut out), Progress::Bad(reason));
    }

    #[test]
    fn what_goes_on_for_ever_is_bad_at_the_bound() {
        let mut out = Vec::new();
        for size in [1, 1000, ANSWER_MAX + 1] {
            let mut dialogue = Dialogue::new(Box::new(Zero));
            dialogue.begin(&mut out);
            let mut left = ANSWER_MAX;
            while left > 0 {
                let piece = left.min(size);
                assert_eq!(dialogue.handle_bytes(&vec![1; piece], &mut out), Progress::More);
                left -= piece;
            }
            let Progress::Bad(reason) = dialogue.handle_bytes(&[0], &mut out) else { panic!("{size}") };
            assert!(reason.text().contains("262144 bytes"), "{reason}");
        }
        let mut dialogue = Dialogue::new(Box::new(Zero));
        dialogue.begin(&mut out);
        assert!(matches!(dialogue.handle_bytes(&vec![1; ANSWER_MAX + 1], &mut out), Progress::Bad(_)));
    }

    #[test]
    fn a_connection_is_good_at_once() {
        let mut out = Vec::new();
        let mut dialogue = Kind::Tcp.dialogue("10.0.0.1:80", Entropy::seeded(&mut Rng::new(1)));
        assert_eq!(dialogue.begin(&mut out), Progress::Good(Facts::default()));
        assert!(out.is_empty());
    }

    #[test]
    fn entropy_is_repeated_by_its_seed_and_never_shown() {
        let entropy = |seed| Entropy::seeded(&mut Rng::new(seed));
        assert_eq!(entropy(1).0, entropy(1).0);
        assert_ne!(entropy(1).0, entropy(2).0);
        assert_eq!(format!("{:?}", entropy(1)), "Entropy");
    }
}
