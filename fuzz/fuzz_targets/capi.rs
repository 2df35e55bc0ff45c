//! Bytes and numbers of any kind through the C interface: codes come back, nothing panics.

#![no_main]

use std::ptr;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::capi::*;

#[derive(Arbitrary, Debug)]
struct Run {
    policy: i32,
    policy_name: Vec<u8>,
    bounded_load: f64,
    tick_ms: u64,
    blend: f64,
    address: Vec<u8>,
    name: Vec<u8>,
    weight: u32,
    tier: u32,
    key: Vec<u8>,
    now_ns: u64,
    token: u64,
    outcome: i32,
    pick_size: u32,
    buffer: u8,
}

fn text(bytes: &[u8]) -> trimtab_str {
    trimtab_str { data: bytes.as_ptr().cast(), len: bytes.len() }
}

/// Every code is one of those the header names, and none says that we panicked.
fn check(status: trimtab_status) -> bool {
    assert!((TRIMTAB_E_UTF8.min(TRIMTAB_E_STRUCT_SIZE)..=TRIMTAB_OK).contains(&status), "status {status}");
    status == TRIMTAB_OK
}

fuzz_target!(|run: Run| {
    let mut options = ptr::null_mut();
    let mut pool = ptr::null_mut();
    let mut backend = ptr::null_mut();
    // SAFETY: every pointer below is to a live local or comes from the library itself.
    unsafe {
        check(trimtab_pool_options_new(&mut options));
        check(trimtab_pool_options_set_policy(options, run.policy));
        check(trimtab_pool_options_set_policy_name(options, text(&run.policy_name)));
        check(trimtab_pool_options_set_bounded_load(options, run.bounded_load));
        check(trimtab_pool_options_set_tick_ms(options, run.tick_ms));
        check(trimtab_pool_options_set_blend(options, run.blend));
        if check(trimtab_pool_new(options, &mut pool)) {
            if check(trimtab_backend_new(text(&run.address), &mut backend)) {
                check(trimtab_backend_set_name(backend, text(&run.name)));
                check(trimtab_backend_set_weight(backend, run.weight));
                check(trimtab_backend_set_tier(backend, run.tier));
                check(trimtab_pool_add(pool, backend, ptr::null_mut()));
                let mut id = 0;
                check(trimtab_pool_add(pool, backend, &mut id));
            }
            let key = trimtab_bytes { data: run.key.as_ptr().cast(), len: run.key.len() };
            let mut pick: trimtab_pick = std::mem::zeroed();
            // A size above the struct's would be a lie about our memory.
            pick.struct_size = run.pick_size % (size_of::<trimtab_pick>() as u32 + 1);
            if check(trimtab_pool_pick(pool, key, run.now_ns, &mut pick)) {
                check(trimtab_pool_done(pool, pick.token, run.outcome, ptr::null(), run.now_ns));
            }
            check(trimtab_pool_done(pool, run.token, run.outcome, ptr::null(), run.now_ns));
            let mut buffer = [0; 256];
            let mut len = 0;
            let size = run.buffer as usize;
            check(trimtab_pool_explain_copy(pool, key, run.now_ns, buffer.as_mut_ptr(), size, &mut len));
            assert!(size == 0 || buffer[len.min(size - 1)] == 0);
            check(trimtab_last_error_copy(buffer.as_mut_ptr(), size, &mut len));
            assert!(size == 0 || buffer[len.min(size - 1)..size].contains(&0));
        }
        trimtab_backend_free(backend);
        trimtab_pool_free(pool);
        trimtab_pool_options_free(options);
    }
});
