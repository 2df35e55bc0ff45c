//! In a child made by fork the store's calls fail at once, and the parent's store goes on.
#![allow(unsafe_code)]

use std::time::Duration;

use trimtab::Error;
use trimtab::embedded::Store;
use trimtab::store::index::Range;

use crate::support::{Folder, local, open, value_of};

#[test]
fn a_child_is_told_and_harms_nothing() {
    let folder = Folder::new("fork");
    let store = open(&folder);
    let other = Folder::new("fork-hosted");
    let hosted = Store::open(other.path(), crate::hosted::options()).unwrap();
    hosted.put(b"k", b"v", &local()).unwrap();
    store.put(b"k", b"v", &local()).unwrap();
    let queue = store.queue(4).unwrap();
    let mut watcher = store.watch(&Range::ALL, None).unwrap();
    // SAFETY: the child makes calls that take no lock, and ends by `_exit`; the C library's allocator may be used there.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let is_told = matches!(store.get(b"k"), Err(Error::Forked { what: "store" }))
            && matches!(store.put(b"k", b"w", &local()), Err(Error::Forked { .. }))
            && matches!(store.close(), Err(Error::Forked { .. }))
            && matches!(hosted.turn(None), Err(Error::Forked { .. }))
            && matches!(hosted.poll_fd(), Err(Error::Forked { .. }))
            && matches!(hosted.next_deadline(), Err(Error::Forked { .. }))
            && matches!(hosted.put(b"k", b"w", &local()), Err(Error::Forked { .. }))
            && matches!(queue.submit(&[]), (0, Err(Error::Forked { .. })))
            && matches!(watcher.next(Duration::from_secs(1)), Err(Error::Forked { .. }));
        drop((queue, watcher, store, hosted));
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(if is_told { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: it waits for the child made above and writes its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
    assert_eq!(value_of(&store, b"k").unwrap(), b"v");
    hosted.put(b"k", b"after", &local()).unwrap();
    hosted.close().unwrap();
    assert_eq!(value_of(&open(&other), b"k").unwrap(), b"after");
    store.put(b"k", b"after", &local()).unwrap();
    drop((queue, watcher));
    store.close().unwrap();
    assert_eq!(value_of(&open(&folder), b"k").unwrap(), b"after");
}

#[test]
fn a_child_that_lives_on_does_not_hold_the_directory() {
    let folder = Folder::new("fork-lock");
    let store = open(&folder);
    // SAFETY: the child waits for a signal and does nothing else.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        loop {
            // SAFETY: it only waits.
            unsafe { libc::pause() };
        }
    }
    store.close().unwrap();
    let again = Store::open(folder.path(), crate::support::small());
    // SAFETY: the child made above, which was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: it waits for that child and writes no status.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    again.unwrap().close().unwrap();
}
