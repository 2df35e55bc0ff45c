//! A redis-server on a socket in a folder of its own, which both go with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// After this long nothing will come any more, and the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    child: Child,
    folder: PathBuf,
}

impl Redis {
    pub(crate) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("trimtab-differential-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--databases", "1"]);
        command.args(["--unixsocket", "socket", "--dir"]).arg(&folder).current_dir(&folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs it"));
        Self { child, folder }
    }

    pub(crate) fn connect(&self) -> Client {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(self.folder.join("socket")) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    return Client(BufReader::new(stream));
                }
                Err(error) if begun.elapsed() > DEADLINE => panic!("redis-server does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
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
