//! From a file or bytes to text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Problem, Result};
use crate::server::config::position::Lines;
use crate::server::config::problems::source_shown;
use crate::server::config::{Position, TEXT_MAX};

/// Reads the text of a configuration file, for who wants it beside
/// [`Config::parse`](super::Config::parse), as [`excerpt`](super::excerpt) does. Blocks while it is read.
///
/// Errors: `Io` when there is no such file, it may not be read or is a directory; `Config` when it has more
/// than [`TEXT_MAX`] bytes or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let source = path.display().to_string();
    let file = File::open(path).map_err(|error| cannot_read(&source, &error))?;
    text_from(file, &source)
}

/// Reads text to the end of `reader`; `source` is what errors call it. Blocks while it is read.
///
/// Errors: as of [`read_text`].
pub fn text_from(reader: impl Read, source: &str) -> Result<String> {
    let mut bytes = Vec::new();
    // One byte above tells what is too long from what fits.
    let limit = TEXT_MAX as u64 + 1;
    reader.take(limit).read_to_end(&mut bytes).map_err(|error| cannot_read(source, &error))?;
    if bytes.len() > TEXT_MAX {
        return Err(Error::Config(vec![too_long(source)]));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let text = std::str::from_utf8(&bytes[..valid]).expect("it is valid up to here");
        let Position { line, column } = Lines::new(text).position(valid);
        let message = format!("byte {} of the text, {:#04x}, is not UTF-8", valid + 1, bytes[valid]);
        let hint = "save the file as UTF-8".to_string();
        Error::Config(vec![Problem { source: source_shown(source), line, column, message, hint }])
    })
}

/// The problem of a text above [`TEXT_MAX`].
pub(super) fn too_long(source: &str) -> Problem {
    Problem {
        source: source_shown(source),
        line: 0,
        column: 0,
        message: format!("it has more than {TEXT_MAX} bytes"),
        hint: "is it the right file?".to_string(),
    }
}

fn cannot_read(source: &str, error: &io::Error) -> Error {
    let what = format!("read the configuration {}", source_shown(source));
    match error.kind() {
        io::ErrorKind::IsADirectory => Error::Io {
            what,
            code: error.raw_os_error().unwrap_or(0),
            detail: "it is a directory; name a file".to_string(),
        },
        _ => Error::io(what, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_up_to_its_limit() {
        let fits = vec![b'#'; TEXT_MAX];
        assert_eq!(text_from(&fits[..], "t").unwrap().len(), TEXT_MAX);
        let Err(Error::Config(problems)) = text_from(io::repeat(b'#'), "t") else { panic!("it is endless") };
        assert_eq!(problems[0].to_string(), "t: it has more than 16777216 bytes; is it the right file?");
    }

    #[test]
    fn what_is_not_utf8_is_told_with_its_place() {
        for (bytes, expected) in [
            (&b"a = 1\nb = '\xff'\n"[..], "t:2:6: byte 12 of the text, 0xff, is not UTF-8"),
            (b"\xfe\xff\0a", "t:1:1: byte 1 of the text, 0xfe, is not UTF-8"),
            (b"\xc3\xa9\xc3", "t:1:2: byte 3 of the text, 0xc3, is not UTF-8"),
        ] {
            let told = text_from(bytes, "t").unwrap_err().to_string();
            assert_eq!(told, format!("{expected}; save the file as UTF-8"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let missing = read_text(Path::new("/nowhere/trimtab.toml")).unwrap_err();
        assert!(matches!(missing, Error::Io { code: libc::ENOENT, .. }), "{missing:?}");
        let told = missing.to_string();
        assert!(told.starts_with("cannot read the configuration /nowhere/trimtab.toml: "), "{told}");
        let directory = read_text(Path::new("/")).unwrap_err();
        assert!(matches!(directory, Error::Io { code: libc::EISDIR, .. }), "{directory:?}");
        let expected = "cannot read the configuration /: it is a directory; name a file";
        assert_eq!(directory.to_string(), expected);
    }
}
