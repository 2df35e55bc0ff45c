//! [`Stage`]: three nginx and `trimtab run` in front of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) struct Stage {
    trimtab: Child,
    servers: Vec<Child>,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const DEADLINE: Duration = Duration::from_secs(20);

impl Stage {
    pub(crate) fn set(pool: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("trimtab-failure-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        let ports = NAMES.map(|_| free_port());
        let servers: Vec<Child> =
            NAMES.iter().zip(ports).map(|(name, port)| nginx(&folder, name, port)).collect();
        let backends: Vec<String> = NAMES
            .iter()
            .zip(ports)
            .map(|(name, port)| format!("{{ name = \"{name}\", address = \"127.0.0.1:{port}\" }}"))
            .collect();
        let config = format!(
            "[runtime]\nworkers = 1\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n\
             timeouts = {{ connect = \"100ms\" }}\n[[pool]]\nname = \"app\"\n{pool}backend = [{}]\n\
             [admin]\nbind = \"unix:{}/admin\"\n",
            backends.join(", "),
            folder.display()
        );
        std::fs::write(folder.join("trimtab.toml"), config).expect("it is writable");
        let mut trimtab = Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["run", "--json"])
            .arg(folder.join("trimtab.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command is built");
        let mut lines = BufReader::new(trimtab.stderr.take().expect("it is piped")).lines();
        let started = lines.by_ref().map_while(Result::ok).any(|line| line.contains("\"started\""));
        assert!(started, "trimtab does not start");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut stage = Self { trimtab, servers, folder, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        stage.address =
            stage.status()["listeners"][0]["address"].as_str().expect("text").parse().expect("an address");
        stage
    }

    /// Sends a signal to a server and whatever it started.
    pub(crate) fn signal(&self, server: usize, signal: &str) {
        let group = format!("-{}", self.servers[server].id());
        let status = Command::new("kill").arg(format!("-{signal}")).arg("--").arg(group).status();
        assert!(status.expect("kill is everywhere").success());
    }

    /// How many connections reached a server.
    pub(crate) fn given(&self, server: usize) -> u64 {
        let status = self.status();
        let backend = &status["pools"][0]["backends"][server];
        let failed = backend["outcomes"]["connect_failed"].as_u64().expect("a number");
        let cancelled = backend["outcomes"]["cancelled"].as_u64().expect("a number");
        backend["picks"].as_u64().expect("a number") - failed - cancelled
    }

    /// Sessions that ended otherwise than well, by cause.
    pub(crate) fn causes(&self) -> BTreeMap<String, u64> {
        let status = self.status();
        let closed = status["listeners"][0]["closed"].as_object().expect("causes").iter();
        closed
            .map(|(cause, count)| (cause.clone(), count.as_u64().expect("a number")))
            .filter(|(cause, count)| *count > 0 && cause != "finished")
            .collect()
    }

    fn status(&self) -> Value {
        let mut admin = UnixStream::connect(self.folder.join("admin")).expect("the admin socket");
        admin
            .write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it is taken");
        let mut answer = String::new();
        admin.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// Ends everything; whoever waits for an answer is told.
    pub(crate) fn end(mut self) {
        self.trimtab.kill().expect("it runs");
        self.trimtab.wait().expect("it ends");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.trimtab.kill();
        let _ = self.trimtab.wait();
        for server in &mut self.servers {
            let group = format!("-{}", server.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An nginx of one process that answers with its name.
fn nginx(folder: &Path, name: &str, port: u16) -> Child {
    let root = folder.join(name);
    std::fs::create_dir(&root).expect("it is writable");
    let at = root.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         server {{ listen 127.0.0.1:{port}; keepalive_timeout 0; location / {{ return 200 \"{name}\"; }} }} }}\n"
    );
    std::fs::write(root.join("nginx.conf"), config).expect("it is writable");
    let command = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let child = Command::new(command)
        .arg("-p")
        .arg(&root)
        .arg("-e")
        .arg(root.join("error.log"))
        .arg("-c")
        .arg(root.join("nginx.conf"))
        .process_group(0)
        .spawn()
        .expect("nginx is installed");
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nginx does not start; see {at}/error.log");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}
