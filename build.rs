//! Gives the shared library its soname. A plain `cdylib` has none, and a program linked against it
//! would then ask for the file by whatever path the linker saw.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtrimtab.so.0");
    }
}
