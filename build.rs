//! Gives the shared library its soname. A plain `cdylib` has none, and a program linked against it
//! would then ask for the file by whatever path the linker saw.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The argument reaches every shared library that builds on this crate; those leave `capi` out.
    let is_ours = std::env::var_os("CARGO_FEATURE_CAPI").is_some();
    if is_ours && std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtrimtab.so.0");
    }
}
