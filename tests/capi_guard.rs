//! Every function that C can call goes through the guard, and all of them are in the header. Reads the
//! sources, since nothing that runs can show that a door is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The forms of the guard in `src/capi/guard.rs`.
const GUARDS: [&str; 3] = ["guard(", "guard_aside(", "guard_value("];

/// An exported function as it stands in the source.
#[derive(Debug)]
struct Export {
    name: String,
    attributes: String,
    body: String,
}

#[test]
fn every_export_is_one_call_of_the_guard() {
    let exports = exports();
    for export in &exports {
        assert!(is_guarded(&export.body), "{} does more than call the guard:\n{}", export.name, export.body);
        assert!(export.attributes.contains("#[unsafe(no_mangle)]"), "{} has no name of its own", export.name);
        assert!(export.attributes.contains("///"), "{} has no docs", export.name);
    }
    assert!(exports.len() > 50, "found {} exports; has the form of the sources changed?", exports.len());
}

#[test]
fn every_export_is_in_the_header() {
    let header = fs::read_to_string(root().join("include/trimtab.h")).unwrap();
    let declared: BTreeSet<String> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']) && !line.starts_with("static"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next().map(str::to_string))
        .filter(|name| name.starts_with("trimtab_"))
        .collect();
    let exported: BTreeSet<String> =
        exports().into_iter().map(|export| export.name).filter(|name| !name.contains("_test_")).collect();
    assert_eq!(declared, exported);
}

#[test]
fn every_promise_is_in_the_docs() {
    for export in exports().iter().filter(|export| !export.name.contains("_test_")) {
        let docs = &export.attributes;
        assert!(docs.contains("/// Thread safety: "), "{} does not tell its thread safety", export.name);
        let has_status = !export.name.ends_with("_free") && export.name != "trimtab_abi_version";
        assert_eq!(
            docs.contains("/// Returns "),
            has_status,
            "{} does not tell what it returns",
            export.name
        );
        assert!(
            ["Does not block", "Takes no lock", "Blocks "].iter().any(|says| docs.contains(says)),
            "{} does not tell whether it blocks",
            export.name
        );
    }
}

#[test]
fn this_test_can_fail() {
    assert!(is_guarded("{ guard(|| { Ok(()) }) }"));
    assert!(!is_guarded("{ TRIMTAB_OK }"));
    assert!(!is_guarded("{ let x = 1; guard(|| Ok(())) }"));
    assert!(!is_guarded("{ guard(|| Ok(())); panic!() }"));
    assert!(!is_guarded("{ guardian(|| Ok(())) }"));
    let found = exports_in(
        "/// Docs.\n#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn trimtab_x(a: u8) -> i32 { 0 }\n",
    );
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].body.as_str()), ("trimtab_x", "{ 0 }"));
    assert!(found[0].attributes.contains("/// Docs."));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn exports() -> Vec<Export> {
    let mut exports = Vec::new();
    let mut files: Vec<_> =
        fs::read_dir(root().join("src/capi")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        exports.extend(exports_in(&fs::read_to_string(file).unwrap()));
    }
    exports
}

fn exports_in(source: &str) -> Vec<Export> {
    let marker = "extern \"C\" fn ";
    let mut exports = Vec::new();
    for (at, _) in source.match_indices(marker) {
        // A comment or a type that mentions it is no function.
        let line_start = source[..at].rfind('\n').map_or(0, |end| end + 1);
        if !["pub ", "pub unsafe "].contains(&&source[line_start..at]) {
            continue;
        }
        let rest = &source[at + marker.len()..];
        let name = rest.split('(').next().unwrap().to_string();
        let body = enclosed(&rest[rest.find('{').unwrap()..], '{', '}').to_string();
        let attributes: Vec<&str> = source[..line_start]
            .lines()
            .rev()
            .take_while(|line| line.starts_with("///") || line.starts_with("#["))
            .collect();
        exports.push(Export { name, attributes: attributes.join("\n"), body });
    }
    exports
}

/// Whether `body`, braces included, is one call of the guard and nothing beside it.
fn is_guarded(body: &str) -> bool {
    let inner = body.trim_start_matches('{').strip_suffix('}').unwrap_or_default().trim();
    let Some(guard) = GUARDS.iter().find(|guard| inner.starts_with(**guard)) else { return false };
    let call = enclosed(&inner[guard.len() - 1..], '(', ')');
    guard.len() - 1 + call.len() == inner.len()
}

/// From the opening bracket that `text` starts with to the one that closes it.
fn enclosed(text: &str, open: char, close: char) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        if letter == open {
            depth += 1;
        } else if letter == close {
            depth -= 1;
            if depth == 0 {
                return &text[..=at];
            }
        }
    }
    panic!("unbalanced: {text}");
}
