//! `[admin]`

use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::suggest::shown;
use crate::server::config::{Bind, listener};

const MODE_DEFAULT: u32 = 0o600;

/// What the table says.
pub(super) struct Read {
    pub(super) bind: At<Bind>,
    pub(super) mode: u32,
}

/// Reads it; `None` when `bind` was told as a problem.
pub(super) fn read(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<Read> {
    let mode = fields.text("mode", problems);
    let bind = listener::bind(fields, problems);
    let Some(At { at, value: text }) = mode else {
        return bind.map(|bind| Read { bind, mode: MODE_DEFAULT });
    };
    let mode = octal(text);
    if mode.is_none() {
        let message = format!("mode {} is no mode of a file", shown(text));
        problems.add(
            at,
            message,
            "write octal digits: \"0600\" for the owner alone, \"0660\" for a group too",
        );
    }
    let bind = bind?;
    if !matches!(&bind.value, Bind::Unix(path) if !path.starts_with('@')) {
        let message = format!("mode is for the path of a unix socket, and {} is none", bind.value);
        problems.add(at, message, "take it out, or bind a path: bind = \"unix:/run/trimtab.sock\"");
    }
    Some(Read { bind, mode: mode.unwrap_or(MODE_DEFAULT) })
}

/// `0600` or `600`.
fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').unwrap_or(text);
    let is_octal = digits.len() == 3 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    is_octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::octal;

    #[test]
    fn modes_are_three_octal_digits() {
        for (text, mode) in [
            ("0600", Some(0o600)),
            ("660", Some(0o660)),
            ("0000", Some(0)),
            ("777", Some(0o777)),
            ("1777", None),
            ("00600", None),
            ("060", None),
            ("0680", None),
            ("0o600", None),
            ("+600", None),
            ("", None),
        ] {
            assert_eq!(octal(text), mode, "{text}");
        }
    }
}
