//! Disks that fail, hang and fill up, for processes that a test starts: what `shim.c` says it does, and a file system in memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A disk whose calls go wrong when they are told to, in a folder that is the caller's.
pub(crate) struct BadDisk {
    folder: PathBuf,
}

impl BadDisk {
    /// Builds the shim.
    pub(crate) fn new(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/shim.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let bad_disk = Self { folder: folder.to_path_buf() };
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([bad_disk.shim().as_os_str(), source.as_os_str()])
            .arg("-ldl")
            .status()
            .expect("there is a C compiler");
        assert!(built.success());
        let made = Command::new("mkfifo").arg(folder.join("pipe")).status().expect("there is mkfifo");
        assert!(made.success());
        bad_disk
    }

    /// That of the process above, in a child that it started.
    pub(crate) fn of_child() -> Self {
        let folder = std::env::var_os("TRIMTAB_SHIM").expect("a child is told the folder");
        Self { folder: folder.into() }
    }

    /// What a process has in its environment that is to have it.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.shim()), ("TRIMTAB_SHIM", self.folder.clone())]
    }

    /// From now on `call` does as `rule` says.
    pub(crate) fn set(&self, call: &str, rule: &str) {
        let new = self.folder.join("new");
        fs::write(&new, rule).expect("the folder is writable");
        fs::rename(new, self.folder.join(call)).expect("the folder is writable");
    }

    /// The call works again.
    pub(crate) fn mend(&self, call: &str) {
        fs::remove_file(self.folder.join(call)).expect("it was set");
    }

    /// Calls hang as long as what this gives is held; `None`: none does at present.
    pub(crate) fn hanging(&self) -> Option<fs::File> {
        let mut options = fs::OpenOptions::new();
        // Without waiting it can be opened only while somebody reads it.
        options.write(true).custom_flags(libc::O_NONBLOCK).open(self.folder.join("pipe")).ok()
    }

    /// The threads that were met, in order.
    pub(crate) fn met(&self) -> Vec<String> {
        let met = fs::read_to_string(self.folder.join("met")).unwrap_or_default();
        met.lines().map(str::to_string).collect()
    }

    fn shim(&self) -> PathBuf {
        self.folder.join("shim.so")
    }
}

/// What a shell is told before a command that is to have no rights beyond those that files give: root has.
pub(crate) fn without_rights() -> &'static str {
    match fs::metadata("/proc/self").expect("there is one").uid() {
        0 => "exec setpriv --inh-caps -all --bounding-set -all --",
        _ => "exec",
    }
}

/// A file system of its own in memory, which goes when it is dropped; in namespaces that others can be started in.
pub(crate) struct SmallDisk {
    holder: Child,
    dir: PathBuf,
}

impl SmallDisk {
    /// One with room for so many mebibytes. `dir`: where it is for those within.
    pub(crate) fn new(dir: &Path, mebibytes: u32) -> Self {
        let script = format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$0\" && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is unshare");
        let mut ready = String::new();
        let mut said = BufReader::new(holder.stdout.take().expect("it is piped"));
        said.read_line(&mut ready).expect("it is read");
        assert_eq!(ready, "ready\n", "a file system in memory can be mounted");
        Self { holder, dir: dir.to_path_buf() }
    }

    /// What a shell is told before a command that is to run within.
    pub(crate) fn by(&self) -> String {
        format!("exec nsenter --target {} --user --mount --preserve-credentials --", self.holder.id())
    }

    /// A file within, for who is without.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let dir = self.dir.strip_prefix("/").expect("it is absolute");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(dir).join(name)
    }

    /// Whether what is on it can be written to.
    pub(crate) fn set_writable(&self, is_writable: bool) {
        let mode = if is_writable { "remount,rw" } else { "remount,ro" };
        let script = format!("{} mount -o {mode} \"$0\"", self.by());
        let done = Command::new("sh").args(["-c", &script]).arg(&self.dir).status();
        assert!(done.expect("there is a shell").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
