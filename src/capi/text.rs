//! Strings and bytes in, text out.

use std::ffi::{c_char, c_void};

use crate::capi::handle;
use crate::capi::status::Failure;

/// Text as it enters: UTF-8, no NUL needed. NULL with a length of 0 is the empty string. It is read during
/// the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_str {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes.
    pub len: usize,
}

/// Bytes as they enter. NULL with a length of 0 is empty. They are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_bytes {
    /// The first byte.
    pub data: *const c_void,
    /// How many bytes.
    pub len: usize,
}

impl trimtab_str {
    /// # Safety
    /// `data` is null or readable for `len` bytes that do not change until `'a` ends.
    pub(super) unsafe fn text<'a>(self, what: &'static str) -> Result<&'a str, Failure> {
        // SAFETY: passed on to the caller.
        let bytes = unsafe { handle::slice(self.data.cast::<u8>(), self.len, what) }?;
        std::str::from_utf8(bytes).map_err(|error| Failure::Utf8 { what, valid: error.valid_up_to() })
    }

    /// Its bytes as they are: for paths, which need not be UTF-8.
    ///
    /// # Safety
    /// As for [`trimtab_str::text`].
    #[cfg(any(feature = "proxy", feature = "store"))]
    pub(super) unsafe fn raw<'a>(self, what: &'static str) -> Result<&'a [u8], Failure> {
        // SAFETY: passed on to the caller.
        unsafe { handle::slice(self.data.cast::<u8>(), self.len, what) }
    }
}

impl trimtab_bytes {
    /// # Safety
    /// `data` is null or readable for `len` bytes that do not change until `'a` ends.
    #[inline]
    pub(super) unsafe fn bytes<'a>(self, what: &'static str) -> Result<&'a [u8], Failure> {
        // SAFETY: passed on to the caller.
        unsafe { handle::slice(self.data.cast::<u8>(), self.len, what) }
    }
}

/// A buffer that a text is copied to.
pub(super) struct Buffer<'a> {
    bytes: &'a mut [std::mem::MaybeUninit<u8>],
    length: Option<handle::Out<'a, usize>>,
}

/// The caller's buffer of `size` bytes. Null is fine for a size of 0, and for `length_out`.
///
/// # Safety
/// `buffer` is null or writable for `size` bytes, `length_out` is null or writable, until `'a` ends.
pub(super) unsafe fn buffer<'a>(
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> Result<Buffer<'a>, Failure> {
    // SAFETY: passed on to the caller.
    let bytes = unsafe { handle::out_slice(buffer.cast::<u8>(), size, "buffer") }?;
    // SAFETY: passed on to the caller.
    let length = unsafe { handle::out_if_wanted(length_out) };
    Ok(Buffer { bytes, length })
}

impl Buffer<'_> {
    /// Copies what fits before the closing NUL, whole characters only, and reports the length of the whole.
    pub(super) fn fill(self, text: &str) {
        if let Some(space) = self.bytes.len().checked_sub(1) {
            let fits = text.floor_char_boundary(space);
            self.bytes[..fits].write_copy_of_slice(&text.as_bytes()[..fits]);
            self.bytes[fits].write(0);
        }
        if let Some(length) = self.length {
            length.write(text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, size: usize) -> (Vec<u8>, usize) {
        let mut bytes = vec![0xffu8; size];
        let mut length = 0;
        // SAFETY: both outlive the call.
        unsafe { buffer(bytes.as_mut_ptr().cast::<c_char>(), size, &raw mut length) }.unwrap().fill(text);
        (bytes, length)
    }

    #[test]
    fn what_fits_is_copied_and_closed() {
        assert_eq!(fill("web", 5), (b"web\0\xff".to_vec(), 3));
        assert_eq!(fill("web", 4), (b"web\0".to_vec(), 3));
        assert_eq!(fill("web", 3), (b"we\0".to_vec(), 3));
        assert_eq!(fill("web", 1), (b"\0".to_vec(), 3));
        assert_eq!(fill("web", 0), (vec![], 3));
        assert_eq!(fill("", 1), (b"\0".to_vec(), 0));
    }

    #[test]
    fn a_character_is_copied_whole_or_not_at_all() {
        assert_eq!(fill("a\u{fc}b", 3), (b"a\0\xff".to_vec(), 4));
        assert_eq!(fill("a\u{fc}b", 4), (b"a\xc3\xbc\0".to_vec(), 4));
        assert_eq!(fill("\u{1f6a2}", 4), (b"\0\xff\xff\xff".to_vec(), 4));
    }
}
