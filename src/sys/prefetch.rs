//! Asking for memory before it is read, and going on meanwhile.

/// What memory is read by, on the processors this is for.
const LINE: usize = 64;

/// Has the first `bytes` of `what` fetched into the processor's cache. It is a hint: nothing is read, nothing waited for, and
/// nothing comes of it on processors that this does not know.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(what: &T, bytes: usize) {
    let begin: *const u8 = std::ptr::from_ref(what).cast();
    let bytes = size_of_val(what).min(bytes);
    // The last line, too, where it begins within one.
    for at in (0..bytes).step_by(LINE).chain(bytes.checked_sub(1)) {
        line(begin.wrapping_add(at));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: all processors of this architecture have the instruction, and it is defined for any address: what cannot be
    // read is not fetched.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn line(at: *const u8) {
    // SAFETY: the instruction is defined for any address, what cannot be read is not fetched; it changes no register, flag or
    // memory.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn line(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::prefetch;

    #[test]
    fn nothing_comes_of_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in [0, 1, 63, 64, 65, 256] {
            prefetch(&bytes[..len], len);
            prefetch(&bytes[..len], 1 << 20);
        }
        prefetch(&[0u64; 0], 64);
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
