//! A server in a process of its own, and who speaks with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use crate::folder::Folder;

/// After this long nothing will come any more, and the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");

/// Sends back what comes on every connection.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || {
                let mut connection = connection.unwrap();
                let mut buffer = [0; 4096];
                while let Ok(bytes @ 1..) = connection.read(&mut buffer) {
                    if connection.write_all(&buffer[..bytes]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A `trimtab run` that is killed with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: Folder,
    /// What it says on standard error, an event a line.
    told: Mutex<Receiver<Value>>,
    /// Where the listener `web` is.
    pub(crate) web: String,
    /// Where it is asked, as `--admin` takes it.
    pub(crate) admin: String,
}

/// The whole configuration but for the admin: a pool `app` of two that echo, and one `empty`.
pub(crate) fn relaying() -> String {
    format!(
        "runtime = {{ workers = 2 }}\n\
         listener = [{{ name = 'web', bind = '127.0.0.1:0', pool = 'app' }}]\n\
         pool = [{{ name = 'empty' }}, {{ name = 'app', backend = [\n\
         {{ name = 'web-01', address = '{}' }}, {{ name = 'web-02', address = '{}' }}] }}]\n",
        echo(),
        echo()
    )
}

/// Likewise, with a pool `large` of so many backends.
pub(crate) fn relaying_beside(backends: usize) -> String {
    let backends: Vec<String> = (0..backends)
        .map(|number| format!("{{ address = '10.0.{}.{}:80' }}", number / 250, number % 250 + 1))
        .collect();
    let large = format!("{{ name = 'large', backend = [{}] }}", backends.join(","));
    relaying().replace("{ name = 'empty' }", &large)
}

impl Server {
    /// One that relays, and is asked on a unix socket.
    pub(crate) fn start() -> Self {
        Self::start_with(&relaying(), "unix:FOLDER/admin.sock")
    }

    /// One with this configuration and admin address. `FOLDER` in either is the folder it gets.
    pub(crate) fn start_with(config: &str, admin: &str) -> Self {
        Self::launch(&format!("{config}[admin]\nbind = '{admin}'\n"))
    }

    pub(crate) fn launch(config: &str) -> Self {
        let folder = Folder::new();
        let file = folder.file("trimtab.toml");
        std::fs::write(&file, config.replace("FOLDER", &folder.file(""))).unwrap();
        let mut child = Command::new(TRIMTAB)
            .args(["run", "--json", &file])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command is built");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, told) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut server =
            Self { child, folder, told: Mutex::new(told), web: String::new(), admin: String::new() };
        let started = server.event("started");
        let (web, admin) = started["detail"].as_str().unwrap().split_once(", admin on ").unwrap();
        server.web = web.split_once("web on ").map_or("", |(_, web)| web).to_string();
        server.admin = admin.to_string();
        server
    }

    /// The next event of this name; what came before is passed over.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.told.get_mut().unwrap().recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) if event["event"] == name => return event,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("waited in vain: {name}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {name}"),
            }
        }
    }

    /// The next event.
    pub(crate) fn any_event(&mut self) -> Value {
        self.told.get_mut().unwrap().recv_timeout(DEADLINE).expect("it tells more")
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        // Its standard error ends with it.
        let end = Instant::now() + DEADLINE;
        while self.told.get_mut().unwrap().recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
        {
        }
        let ended = self.child.try_wait().unwrap();
        ended.unwrap_or_else(|| self.child.wait().unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs `trimtab ctl` on it.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        ctl(&[&["--admin", &self.admin], arguments].concat())
    }

    /// Likewise, and gives what it says; it must succeed.
    #[track_caller]
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.ctl(arguments);
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{arguments:?}");
        out(&output)
    }

    /// The status as JSON: of the server, a pool or a backend.
    #[track_caller]
    pub(crate) fn status(&self, target: &[&str]) -> Value {
        let text = self.good(&[&["status", "--json"], target].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until the status of the whole server is as wanted.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.status(&[]);
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < end, "waited in vain: {what}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs curl on `path` with `arguments`.
    pub(crate) fn curl(&self, path: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "60"]).args(arguments);
        match self.admin.strip_prefix("unix:") {
            Some(name) if name.starts_with('@') => {
                command.args(["--abstract-unix-socket", &name[1..], &format!("http://localhost{path}")])
            }
            Some(file) => command.args(["--unix-socket", file, &format!("http://localhost{path}")]),
            None => command.arg(format!("http://{}{path}", self.admin)),
        };
        command.output().expect("curl is installed: make setup")
    }

    /// The status and the body of what curl is answered.
    #[track_caller]
    pub(crate) fn curl_json(&self, path: &str, arguments: &[&str]) -> (u16, Value) {
        let output = self.curl(path, &[&["-w", "\n%{http_code}"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let text = out(&output);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    /// A connection to its admin socket.
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.admin["unix:".len()..]).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// A connection through its relay.
    pub(crate) fn relayed(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.web).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `trimtab ctl`. The environment says nothing of a server.
pub(crate) fn ctl(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command is built")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(TRIMTAB);
    command.arg("ctl").args(arguments).env_remove("TRIMTAB_ADMIN").stdin(Stdio::null());
    command
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Sends `text` through a connection and expects it back.
#[track_caller]
pub(crate) fn expect_echo(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

/// `GET` of a path, as bytes.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// A change of `app/web-01`, as bytes.
pub(crate) fn change(body: &str) -> String {
    format!(
        "POST /v1/pools/app/backends/web-01 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one answer that has a length: its status, its head in lower case, its body.
#[track_caller]
pub(crate) fn answer(stream: &mut impl BufRead) -> (u16, String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "it ended within a head: {head:?}");
    }
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (status, head, body)
}
