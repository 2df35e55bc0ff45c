//! Writes the C header from the Rust sources, or compares it with the one there is.
//!
//! `trimtab-header ROOT FILE` writes FILE; with `--check` first it writes nothing and fails when FILE differs
//! from fresh output. ROOT is the folder of the library's `Cargo.toml` and `cbindgen.toml`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let mut arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let check = arguments.first().is_some_and(|first| first == Path::new("--check"));
    if check {
        arguments.remove(0);
    }
    let [root, file] = arguments.as_slice() else {
        eprintln!("usage: trimtab-header [--check] ROOT FILE");
        return ExitCode::from(2);
    };
    match run(root, file, check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("header: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, file: &Path, check: bool) -> Result<(), String> {
    let fresh = generate(root)?;
    let present = fs::read_to_string(file).unwrap_or_default();
    if check {
        return match first_difference(&present, &fresh) {
            None => Ok(()),
            Some((line, present, fresh)) => Err(format!(
                "{}:{line} differs from fresh output; run `make header` and commit the result\n\
                 - {present}\n+ {fresh}",
                file.display()
            )),
        };
    }
    // An equal file is left alone, so that nothing is built again because of its time stamp.
    if present != fresh {
        fs::write(file, fresh).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}

fn generate(root: &Path) -> Result<String, String> {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources(&root.join("src/capi"))? {
        builder = builder.with_src(source);
    }
    let bindings = builder.generate().map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|_| "the generated header is not UTF-8".to_string())?;
    Ok(tidy(&text))
}

/// What cbindgen cannot be told: no blanks at the ends of lines, one blank line at most, negative numbers in
/// brackets, and the `trailer` of cbindgen.toml inside the include guard.
fn tidy(text: &str) -> String {
    const GUARD_END: &str = "#endif  /* TRIMTAB_H */";
    let mut tidy = String::with_capacity(text.len());
    for line in text.lines().map(|line| brace_negative(line.trim_end())) {
        if line != GUARD_END && !(line.is_empty() && tidy.ends_with("\n\n")) {
            tidy.push_str(&line);
            tidy.push('\n');
        }
    }
    format!("{}\n\n{GUARD_END}\n", tidy.trim_end())
}

/// The files of the C interface in the order of their `mod` lines. Handed over one by one, because cbindgen
/// would put every public constant of the whole crate into the header.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let module = folder.join("mod.rs");
    let text =
        fs::read_to_string(&module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
    let names = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    Ok(names.map(|name| folder.join(format!("{name}.rs"))).collect())
}

/// Turns `#define NAME -1` into `#define NAME (-1)`, which means the same in every expression.
fn brace_negative(line: &str) -> String {
    match line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
        Some((name, value)) if value.strip_prefix('-').is_some_and(is_number) => {
            format!("#define {name} ({value})")
        }
        _ => line.to_string(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first line, counted from 1, in which the two texts differ, with what each has there.
fn first_difference<'a>(present: &'a str, fresh: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if present == fresh {
        return None;
    }
    let (mut left, mut right) = (present.lines(), fresh.lines());
    for line in 1.. {
        match (left.next(), right.next()) {
            (None, None) => return Some((line, "(end, line ends differ)", "(end)")),
            (left, right) if left == right => {}
            (left, right) => return Some((line, left.unwrap_or("(end)"), right.unwrap_or("(end)"))),
        }
    }
    None
}
