//! How memory is taken from the system.

/// Has all threads take memory from one heap, where the C library gives each one of its own: what one thread gives back
/// another takes again, so that the entries of a store, which all of them change, lie as close as one thread would lay them.
/// To be called before there are threads. C libraries that do not know this go on as they do.
pub(crate) fn share_one() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, and changes a setting of the allocator under the allocator's own lock.
    unsafe {
        // It fails only for a setting that it does not know.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
