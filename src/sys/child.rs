//! Processes that this one starts.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the system kill the process that `command` will start when the thread that starts it ends, or is killed. It
/// must be a thread that lives as long as the process is wanted.
pub(crate) fn end_with_parent(command: &mut Command) {
    // SAFETY: what runs between fork and exec makes one system call, and touches no memory and no lock.
    unsafe {
        command.pre_exec(ask_to_end);
    }
}

fn ask_to_end() -> io::Result<()> {
    // SAFETY: the request takes the number of a signal and nothing else.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
