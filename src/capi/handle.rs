//! Handles and what is written for the caller. A handle begins with a word that says what it is: one load
//! and one comparison tell a live handle from one that saw a panic, one of another type, or (as far as freed
//! memory tells) one that was freed.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::capi::status::Failure;

/// A type that C knows by name only. Pointers to it lead to a [`Shell`] in truth.
pub(super) trait Handle {
    /// What the handle stands for.
    type Value;
    /// The word of a live one: even, not 0, and no other type's.
    const LIVE: u32;
}

/// What a handle points to. `repr(C)`, so that the word can be read before anything is believed about the
/// rest.
#[repr(C)]
struct Shell<T> {
    state: State,
    value: T,
}

struct State(AtomicU32);

/// Set beside `LIVE` by a panic.
const CLOSED: u32 = 1;
/// The word of what was freed.
const FREED: u32 = 0;

/// A handle in use by one call. If that call panics the handle is closed.
pub(super) struct Borrowed<'a, T>(&'a Shell<T>);

/// Borrows a handle that any number of threads may use.
///
/// # Safety
/// `pointer` is null or came from [`give`], and is not freed before `'a` ends.
#[inline]
pub(super) unsafe fn borrow<'a, H: Handle>(
    pointer: *const H,
    what: &'static str,
) -> Result<Borrowed<'a, H::Value>, Failure> {
    // SAFETY: passed on to the caller.
    unsafe { check(pointer, what) }?;
    // SAFETY: the caller promises a live handle, and its word confirms the type.
    Ok(Borrowed(unsafe { &*pointer.cast::<Shell<H::Value>>() }))
}

/// What a handle stands for, also after a panic; `None` for null, and for what is none of this type. For who ends it.
///
/// # Safety
/// As for [`borrow`].
#[cfg(any(feature = "proxy", feature = "store"))]
pub(super) unsafe fn peek<'a, H: Handle>(pointer: *const H) -> Option<&'a H::Value> {
    // SAFETY: passed on to the caller.
    let checked = unsafe { check(pointer, "handle") };
    if !matches!(checked, Ok(()) | Err(Failure::Closed { .. })) {
        return None;
    }
    // SAFETY: the caller promises a live handle, and its word confirms the type.
    Some(&unsafe { &*pointer.cast::<Shell<H::Value>>() }.value)
}

/// A handle in use by one call and no other.
pub(super) struct BorrowedMut<'a, T>(&'a mut Shell<T>);

/// Borrows a handle that one thread at a time may use.
///
/// # Safety
/// As for [`borrow`], and no other call uses the handle before `'a` ends.
pub(super) unsafe fn borrow_mut<'a, H: Handle>(
    pointer: *mut H,
    what: &'static str,
) -> Result<BorrowedMut<'a, H::Value>, Failure> {
    // SAFETY: passed on to the caller.
    unsafe { check(pointer.cast_const(), what) }?;
    // SAFETY: the caller promises a live handle that nobody else uses, and its word confirms the type.
    Ok(BorrowedMut(unsafe { &mut *pointer.cast::<Shell<H::Value>>() }))
}

/// Makes a handle of `value` for C to hold.
pub(super) fn give<H: Handle>(value: H::Value) -> *mut H {
    let shell = Shell { state: State(AtomicU32::new(H::LIVE)), value };
    Box::into_raw(Box::new(shell)).cast::<H>()
}

/// Ends a handle. Null, and what its word shows to be none of this type, is left alone.
///
/// # Safety
/// `pointer` is null or came from [`give`], is not freed yet, and no other call uses it any more.
pub(super) unsafe fn free<H: Handle>(pointer: *mut H) {
    if pointer.is_null() {
        return;
    }
    // SAFETY: not null, so by the caller's promise a live handle, which begins with its state.
    let state = unsafe { &*pointer.cast::<State>() };
    let word = state.0.load(Ordering::Relaxed);
    if word != H::LIVE && word != H::LIVE | CLOSED {
        return;
    }
    state.0.store(FREED, Ordering::Relaxed);
    // SAFETY: `give` made it from a box of this type, and the caller promises that nobody uses it any more.
    drop(unsafe { Box::from_raw(pointer.cast::<Shell<H::Value>>()) });
}

/// # Safety
/// As for [`borrow`].
#[inline]
unsafe fn check<H: Handle>(pointer: *const H, what: &'static str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::Null { what });
    }
    // SAFETY: not null, so by the caller's promise a live handle, which begins with its state.
    let state = unsafe { &*pointer.cast::<State>() };
    let word = state.0.load(Ordering::Relaxed);
    if word == H::LIVE { Ok(()) } else { Err(unusable::<H>(word, what)) }
}

#[cold]
fn unusable<H: Handle>(word: u32, what: &'static str) -> Failure {
    if word == H::LIVE | CLOSED { Failure::Closed { what } } else { Failure::NotAHandle { what } }
}

impl State {
    #[inline]
    fn close_if_panicking(&self) {
        if std::thread::panicking() {
            self.0.fetch_or(CLOSED, Ordering::Relaxed);
        }
    }
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for Borrowed<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.state.close_if_panicking();
    }
}

impl<T> Deref for BorrowedMut<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> DerefMut for BorrowedMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.value
    }
}

impl<T> Drop for BorrowedMut<'_, T> {
    fn drop(&mut self) {
        self.0.state.close_if_panicking();
    }
}

/// Where one value goes that the caller gets back.
pub(super) struct Out<'a, T>(&'a mut MaybeUninit<T>);

/// A place for one value; null is refused.
///
/// # Safety
/// `pointer` is null or writable as a `T` until `'a` ends, and nothing else refers to it.
#[inline]
pub(super) unsafe fn out<'a, T>(pointer: *mut T, what: &'static str) -> Result<Out<'a, T>, Failure> {
    // SAFETY: passed on to the caller; `MaybeUninit<T>` is laid out as `T` is, and asks for no value in it.
    match unsafe { pointer.cast::<MaybeUninit<T>>().as_mut() } {
        Some(place) => Ok(Out(place)),
        None => Err(Failure::Null { what }),
    }
}

impl<T> Out<'_, T> {
    #[inline]
    pub(super) fn write(self, value: T) {
        self.0.write(value);
    }
}

/// A place for a value that the caller may not want: null is taken for "no".
///
/// # Safety
/// As for [`out`].
pub(super) unsafe fn out_if_wanted<'a, T>(pointer: *mut T) -> Option<Out<'a, T>> {
    // SAFETY: passed on to the caller.
    unsafe { out(pointer, "") }.ok()
}

/// Places for up to `len` values. Null is fine for none.
///
/// # Safety
/// `pointer` is null or writable as `len` of `T` until `'a` ends, and nothing else refers to them.
pub(super) unsafe fn out_slice<'a, T>(
    pointer: *mut T,
    len: usize,
    what: &'static str,
) -> Result<&'a mut [MaybeUninit<T>], Failure> {
    check_slice(pointer, len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not null and not too long, both checked above; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast::<MaybeUninit<T>>(), len) })
}

/// The `len` values at `pointer`. Null is fine for none.
///
/// # Safety
/// `pointer` is null or holds `len` readable `T` that do not change until `'a` ends.
#[inline]
pub(super) unsafe fn slice<'a, T>(
    pointer: *const T,
    len: usize,
    what: &'static str,
) -> Result<&'a [T], Failure> {
    check_slice(pointer, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null and not too long, both checked above; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

#[inline]
fn check_slice<T>(pointer: *const T, len: usize, what: &'static str) -> Result<(), Failure> {
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::Length { what, given: len });
    }
    if pointer.is_null() && len > 0 {
        return Err(Failure::Null { what });
    }
    Ok(())
}

/// A plain struct that begins with a `struct_size: u32` which the caller fills.
///
/// # Safety
/// Implementors are `repr(C)`, begin with that field, have only integers and floats for which every pattern
/// of bits is a value, and are not aligned more strictly than their first release was.
pub(super) unsafe trait Sized32: Copy {
    /// The size in the first release. Fields added since lie beyond it.
    const FIRST_SIZE: usize;
    /// What a caller says who knows fewer fields.
    const UNSAID: Self;
}

/// Where a struct goes that the caller gets back.
pub(super) struct OutStruct<'a, T> {
    place: *mut T,
    /// How many bytes the caller has there.
    size: u32,
    lives: std::marker::PhantomData<&'a mut T>,
}

/// A place for one struct; null, or a size smaller than the first release's, is refused.
///
/// # Safety
/// `pointer` is null or begins with an initialised `struct_size`, and as many bytes as that says are writable
/// until `'a` ends.
#[inline]
pub(super) unsafe fn out_struct<'a, T: Sized32>(
    pointer: *mut T,
    what: &'static str,
) -> Result<OutStruct<'a, T>, Failure> {
    // SAFETY: passed on to the caller.
    let size = unsafe { struct_size(pointer.cast_const(), what) }?;
    Ok(OutStruct { place: pointer, size, lives: std::marker::PhantomData })
}

impl<T: Sized32> OutStruct<'_, T> {
    /// How large the caller thinks the struct is: goes back as it came.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Writes as many of the fields as the caller knows.
    #[inline]
    pub(super) fn write(self, value: T) {
        // The first half is known when this is compiled, and spares a struct that has never grown the other.
        if size_of::<T>() == T::FIRST_SIZE || self.size as usize >= size_of::<T>() {
            // SAFETY: the maker of this was promised as many writable bytes as `size` says.
            return unsafe { self.place.write(value) };
        }
        self.write_first(value);
    }

    /// Apart and by value, so that `write` need not lay the value out in memory first.
    #[cold]
    #[inline(never)]
    fn write_first(self, value: T) {
        let from = (&raw const value).cast::<u8>();
        // SAFETY: the maker of this was promised `size` writable bytes; `value` is longer, and apart from them.
        unsafe { std::ptr::copy_nonoverlapping(from, self.place.cast::<u8>(), self.size as usize) };
    }
}

/// The struct at `pointer`, with what the caller does not know left unsaid; `None` when it is null.
///
/// # Safety
/// `pointer` is null or begins with `struct_size`, and as many bytes as that says are readable.
#[inline]
pub(super) unsafe fn in_struct<T: Sized32>(
    pointer: *const T,
    what: &'static str,
) -> Result<Option<T>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on to the caller.
    let size = unsafe { struct_size(pointer, what) }? as usize;
    if size_of::<T>() == T::FIRST_SIZE || size >= size_of::<T>() {
        // SAFETY: the caller promises that many readable bytes, and every pattern of them is a `T`.
        return Ok(Some(unsafe { pointer.read() }));
    }
    let mut value = T::UNSAID;
    let to = (&raw mut value).cast::<u8>();
    // SAFETY: the caller promises `size` readable bytes; `value` is longer, and apart from them.
    unsafe { std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), to, size) };
    Ok(Some(value))
}

/// # Safety
/// `pointer` is null or begins with an initialised `struct_size`.
#[inline]
unsafe fn struct_size<T: Sized32>(pointer: *const T, what: &'static str) -> Result<u32, Failure> {
    if pointer.is_null() {
        return Err(Failure::Null { what });
    }
    // SAFETY: not null, so by the caller's promise it begins with this number.
    let size = unsafe { pointer.cast::<u32>().read() };
    if (size as usize) < T::FIRST_SIZE {
        return Err(Failure::StructSize { what, given: size, least: T::FIRST_SIZE });
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct to which a later release has added `new`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        struct_size: u32,
        old: u32,
        new: u64,
    }

    // SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
    unsafe impl Sized32 for Grown {
        const FIRST_SIZE: usize = 8;
        const UNSAID: Self = Grown { struct_size: 0, old: 0, new: 42 };
    }

    const WRITTEN: Grown = Grown { struct_size: 8, old: 1, new: 2 };

    #[test]
    fn an_older_caller_gets_the_fields_it_knows() {
        let mut place = Grown { struct_size: 8, old: 7, new: 7 };
        // SAFETY: `place` outlives its use.
        let out = unsafe { out_struct(&raw mut place, "place") }.unwrap();
        assert_eq!(out.size(), 8);
        out.write(WRITTEN);
        assert_eq!(place, Grown { new: 7, ..WRITTEN });
        // SAFETY: as above.
        let read = unsafe { in_struct(&raw const place, "place") }.unwrap();
        assert_eq!(read, Some(Grown { new: 42, ..WRITTEN }));
    }

    #[test]
    fn a_newer_caller_gets_all_there_is() {
        let mut place = Grown { struct_size: 24, old: 7, new: 7 };
        // SAFETY: `place` outlives its use, and what is beyond it is not known here, so not written.
        unsafe { out_struct(&raw mut place, "place") }.unwrap().write(WRITTEN);
        assert_eq!(place, WRITTEN);
    }

    #[test]
    fn a_size_nobody_set_is_refused() {
        let mut place = Grown { struct_size: 7, old: 7, new: 7 };
        // SAFETY: `place` outlives its use.
        let refused = unsafe { out_struct(&raw mut place, "place") }.map(|out| out.size());
        assert!(matches!(refused, Err(Failure::StructSize { given: 7, least: 8, .. })));
    }

    #[test]
    fn lengths_no_memory_has_are_refused() {
        let one = 1u64;
        // SAFETY: nothing is read: the length is refused.
        let refused = unsafe { slice(&raw const one, usize::MAX / 8, "ids") };
        assert!(matches!(refused, Err(Failure::Length { .. })));
        // SAFETY: nothing is read: null is refused.
        let refused = unsafe { slice::<u64>(std::ptr::null(), 1, "ids") };
        assert!(matches!(refused, Err(Failure::Null { .. })));
        // SAFETY: nothing is read: there is none.
        let empty = unsafe { slice::<u64>(std::ptr::null(), 0, "ids") };
        assert!(empty.unwrap().is_empty());
    }
}
