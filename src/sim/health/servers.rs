//! [`Mode`]: what a simulated server does to a probe, and what a reason must say of it.

use std::time::Duration;

use crate::health::Kind;
use crate::rng::Rng;

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// It answers as it should, sooner or later within the timeout.
    Fine,
    /// Nobody listens.
    Refuses,
    /// What is sent to it is lost.
    Lost,
    /// The system accepts for it, and nothing more comes.
    Frozen,
    /// The right answer, and too late.
    Slow,
    /// The right answer, one byte a second.
    Trickles,
    /// Another protocol, or none.
    Garbage,
    /// An answer that begins well and has no end.
    Endless,
    /// It ends the connection without a word.
    Closes,
    /// It says that it has an error.
    Errs,
    /// It breaks off.
    Breaks,
}

/// What happens on a connection.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Connected,
    Refused,
    Bytes(Vec<u8>),
    End,
    Broken,
}

impl Mode {
    pub(super) const ALL: [Mode; 11] = [
        Mode::Fine,
        Mode::Refuses,
        Mode::Lost,
        Mode::Frozen,
        Mode::Slow,
        Mode::Trickles,
        Mode::Garbage,
        Mode::Endless,
        Mode::Closes,
        Mode::Errs,
        Mode::Breaks,
    ];

    /// What the reason of a bad probe must say, for a person to know where to look; `None` when a probe of this kind
    /// is good.
    pub(super) fn fault(self, kind: &Kind) -> Option<&'static str> {
        let is_http = matches!(kind, Kind::Http(_));
        match self {
            Mode::Fine => None,
            Mode::Refuses => Some("connection: cannot connect to 10."),
            Mode::Lost => Some("timeout: no connection within"),
            _ if matches!(kind, Kind::Tcp) => None,
            Mode::Frozen | Mode::Slow | Mode::Trickles => Some("timeout: connected, but no answer within"),
            Mode::Garbage => Some(if is_http { "answer: no HTTP" } else { "answer: no Redis" }),
            Mode::Endless => {
                Some(if is_http { "answer: a head of more than" } else { "answer: a line of more than" })
            }
            Mode::Closes => Some("answer: the connection was closed before"),
            Mode::Errs => Some(if is_http { "answer: status 503 Busy" } else { "LOADING" }),
            Mode::Breaks => Some("connection: the connection broke: reset"),
        }
    }

    /// What happens on a connection that begins now, and when, counted from its beginning.
    pub(super) fn play(self, kind: &Kind, timeout: Duration, rng: &mut Rng) -> Vec<(Duration, Event)> {
        let mut share = |most: f64| timeout.mul_f64(rng.unit() * most);
        let connected = share(0.3);
        let answered = connected + share(0.6);
        let is_http = matches!(kind, Kind::Http(_));
        let good: &[u8] =
            if is_http { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } else { b"+PONG\r\n" };
        let bytes = |text: &[u8]| Event::Bytes(text.to_vec());
        let cut = rng.below(good.len() as u64) as usize;
        let mut events = vec![(connected, Event::Connected)];
        match self {
            Mode::Lost => return Vec::new(),
            Mode::Refuses => return vec![(connected, Event::Refused)],
            Mode::Fine => events.extend([(answered, bytes(&good[..cut])), (answered, bytes(&good[cut..]))]),
            Mode::Frozen => {}
            Mode::Slow => events.push((timeout.mul_f64(1.0 + rng.unit()), bytes(good))),
            Mode::Trickles => {
                events.extend((1..).zip(good).map(|(second, &byte)| {
                    (connected + Duration::from_secs(second), Event::Bytes(vec![byte]))
                }))
            }
            Mode::Garbage => events.push((answered, bytes(b"SSH-2.0-OpenSSH_9.6\r\n\x16\x03\x01\0\r\n\r\n"))),
            Mode::Endless => {
                let head: &[u8] = if is_http { b"HTTP/1.1 200 OK\r\nX-Y: " } else { b"+" };
                events.push((answered, bytes(head)));
                events.extend((0..40).map(|_| (answered, Event::Bytes(vec![b'y'; 8_192]))));
            }
            Mode::Closes => events.push((answered, Event::End)),
            Mode::Errs => events.push((
                answered,
                bytes(if is_http {
                    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
                } else {
                    b"-LOADING Redis is loading the dataset in memory\r\n"
                }),
            )),
            Mode::Breaks => events.push((answered, Event::Broken)),
        }
        events
    }
}
