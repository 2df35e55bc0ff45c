//! Who asks redis-server.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::redis::Redis;

pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(redis: &Redis) -> Self {
        Self(BufReader::new(redis.connect()))
    }

    /// The answer, and the time in milliseconds at which it had come.
    pub(crate) fn ask(&mut self, request: &[u8]) -> (Vec<u8>, u64) {
        self.ask_all(request, 1)
    }

    /// The answers to `count` requests sent at once.
    pub(crate) fn ask_all(&mut self, requests: &[u8], count: usize) -> (Vec<u8>, u64) {
        self.0.get_mut().write_all(requests).unwrap();
        let mut out = Vec::new();
        (0..count).for_each(|_| self.answer(&mut out));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        (out, now.as_millis() as u64)
    }

    /// The answers that come, without a request, or besides the first.
    pub(crate) fn told(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        (0..count).for_each(|_| self.answer(&mut out));
        out
    }

    /// Whether redis-server has ended the connection.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.0.read_to_end(&mut Vec::new()).is_ok()
    }

    fn answer(&mut self, out: &mut Vec<u8>) {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        out.extend_from_slice(&line);
        let number = || std::str::from_utf8(&line[1..]).unwrap().trim_end().parse::<i64>().unwrap();
        match line.first().expect("redis-server answers") {
            b'$' | b'=' if number() >= 0 => {
                let len = number() as u64 + 2;
                self.0.by_ref().take(len).read_to_end(out).unwrap();
            }
            b'*' | b'~' | b'>' if number() > 0 => (0..number()).for_each(|_| self.answer(out)),
            b'%' => (0..number() * 2).for_each(|_| self.answer(out)),
            _ => {}
        }
    }
}
