//! The promotion by force of a directory that nobody has open: `trimtab_promotion`.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::capi::cluster::lent;
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::status::trimtab_status;
use crate::capi::text::trimtab_str;
use crate::embedded::{Promoted, promote_directory};

/// What a promotion by force came to, when `trimtab_store_promote_directory` made this. Any number of threads may read it.
pub struct trimtab_promotion {
    _opaque: (),
}

impl Handle for trimtab_promotion {
    type Value = Promotion;
    const LIVE: u32 = 0x7474_7936;
}

/// What the handle stands for. The names are one a line.
pub(super) struct Promotion {
    promoted: Promoted,
    out: String,
    learners: String,
}

/// What a promotion by force came to. Its texts are good until the `trimtab_promotion` they came from is freed, and end with
/// no NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_promoted {
    /// `sizeof(trimtab_promoted)`, set by the caller before the call.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Counts promotions by force.
    pub generation: u64,
    /// The last entry that the node has.
    pub last: u64,
    /// The cluster's name.
    pub cluster: *const c_char,
    /// How many bytes.
    pub cluster_len: usize,
    /// The name of the node that is its primary now.
    pub node: *const c_char,
    /// How many bytes.
    pub node_len: usize,
    /// The names of those that voted beside it, and are out, one a line; they must not run any more. NULL: none.
    pub out: *const c_char,
    /// How many bytes.
    pub out_len: usize,
    /// The names of those that follow it, one a line. NULL: none.
    pub learners: *const c_char,
    /// How many bytes.
    pub learners_len: usize,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_promoted {
    const FIRST_SIZE: usize = 88;
    const UNSAID: Self = Self {
        struct_size: 0,
        reserved: 0,
        generation: 0,
        last: 0,
        cluster: std::ptr::null(),
        cluster_len: 0,
        node: std::ptr::null(),
        node_len: 0,
        out: std::ptr::null(),
        out_len: 0,
        learners: std::ptr::null(),
        learners_len: 0,
    };
}

/// Makes the node whose directory this is the primary of its cluster, by force, with what is in it: it alone votes from now
/// on, learners follow it, and all others that voted are out, together with what they had and this one has not. For when
/// they are gone for good. Nobody may have the directory open; it is opened as ever then. `TRIMTAB_DIRECTORY_PROMOTED` does
/// the same as the store joins, and does not say who is out.
///
/// - `path`: the directory, as for `trimtab_store_open`.
/// - `promotion_out`: written on success only; end it with `trimtab_promotion_free`. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when somebody has it open, `TRIMTAB_E_INVALID_ARGUMENT` when it
/// is no member's, or that of a node that was taken out, and what `trimtab_store_open` does.
/// Thread safety: any thread, at any time. Blocks while it reads the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_promote_directory(
    path: trimtab_str,
    promotion_out: *mut *mut trimtab_promotion,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `path.data` readable for `path.len` bytes during the call.
        let path = unsafe { path.raw("path") }?;
        // SAFETY: `promotion_out` is null or writable.
        let promotion_out = unsafe { handle::out_if_wanted(promotion_out) };
        let promoted = promote_directory(Path::new(OsStr::from_bytes(path)))?;
        if let Some(promotion_out) = promotion_out {
            let (out, learners) = (promoted.out.join("\n"), promoted.learners.join("\n"));
            promotion_out.write(handle::give(Promotion { promoted, out, learners }));
        }
        Ok(())
    })
}

/// What it came to.
///
/// - `promoted_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_promotion_read(
    promotion: *const trimtab_promotion,
    promoted_out: *mut trimtab_promoted,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `promotion` is null or a live result of `trimtab_store_promote_directory`; null is refused.
        let promotion = unsafe { handle::borrow(promotion, "promotion") }?;
        // SAFETY: `promoted_out` is null or as large as its `struct_size` says; null is refused.
        let promoted_out = unsafe { handle::out_struct(promoted_out, "promoted_out") }?;
        let promoted = &promotion.promoted;
        let names = |names| lent(Some(names).filter(|names: &&str| !names.is_empty()));
        let (cluster, cluster_len) = lent(Some(&promoted.cluster));
        let (node, node_len) = lent(Some(&promoted.node));
        let (out, out_len) = names(&promotion.out);
        let (learners, learners_len) = names(&promotion.learners);
        let struct_size = promoted_out.size();
        promoted_out.write(trimtab_promoted {
            struct_size,
            reserved: 0,
            generation: promoted.generation,
            last: promoted.last,
            cluster,
            cluster_len,
            node,
            node_len,
            out,
            out_len,
            learners,
            learners_len,
        });
        Ok(())
    })
}

/// Ends what `trimtab_store_promote_directory` made, and the texts that came from it.
///
/// - `promotion`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `promotion`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_promotion_free(promotion: *mut trimtab_promotion) {
    guard_value((), || {
        // SAFETY: `promotion` is null or a live result of `trimtab_store_promote_directory` that nobody else uses.
        unsafe { handle::free(promotion) }
    })
}
