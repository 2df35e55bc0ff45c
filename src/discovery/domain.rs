//! [`DomainName`]: a name as questions and answers carry it: absolute, in lower case, within DNS's limits.

use std::fmt;
use std::sync::Arc;

use simple_dns::{Label, Name};

use crate::error::{Error, Result, shown};

/// The longest name as text, in bytes, a dot at its end not counted: 255 on the wire (RFC 1035, 2.3.4).
pub const NAME_MAX: usize = 253;
/// The longest label, in bytes.
pub const LABEL_MAX: usize = 63;

/// The most bytes of labels with their lengths, without the root's zero.
const WIRE_MAX: usize = 254;

/// An absolute name. Two that differ in case alone are one: letters are kept in lower case.
///
/// A name given as text has labels of letters, digits, `-` and `_`; one that came in an answer may hold any
/// byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName {
    /// Each label behind its length, without the root's zero.
    wire: Arc<[u8]>,
}

impl DomainName {
    /// Reads `app.example` or `app.example.`, both as absolute.
    ///
    /// Errors: `InvalidArgument` that says what keeps `text` from being a name.
    pub fn parse(text: &str) -> Result<Self> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        check(bare).map_err(|why| Error::invalid("name", format!("{} {why}", shown(text))))?;
        let mut wire = Vec::with_capacity(bare.len() + 1);
        for label in bare.split('.') {
            push(&mut wire, label.as_bytes());
        }
        Ok(Self { wire: wire.into() })
    }

    /// The name `name` of a message.
    pub(super) fn from_message(name: &Name<'_>) -> Self {
        let mut wire = Vec::with_capacity(WIRE_MAX);
        for label in name.as_bytes() {
            push(&mut wire, label);
        }
        Self { wire: wire.into() }
    }

    /// The name for a message.
    pub(super) fn to_message(&self) -> Name<'_> {
        let labels: Vec<Label<'_>> = self.labels().map(Label::new_unchecked).collect();
        Name::new_with_labels(&labels)
    }

    /// Whether it is the root, which as the target of a service means that there is none.
    pub fn is_root(&self) -> bool {
        self.wire.is_empty()
    }

    /// Whether it is `localhost` or below it.
    pub(super) fn is_localhost(&self) -> bool {
        self.labels().last() == Some(b"localhost")
    }

    /// How many labels it has.
    pub(super) fn labels_len(&self) -> usize {
        self.labels().count()
    }

    /// This name with `suffix` behind it; `None` when that is too long for a name.
    pub(super) fn within(&self, suffix: &DomainName) -> Option<Self> {
        let length = self.wire.len() + suffix.wire.len();
        (length <= WIRE_MAX).then(|| Self { wire: [&self.wire[..], &suffix.wire[..]].concat().into() })
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.wire[..];
        std::iter::from_fn(move || {
            let (&length, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            Some(label)
        })
    }
}

/// Without a dot at the end; `.` for the root. Bytes other than those a name given as text has are written
/// `\DDD` (RFC 4343, 2.1), so that a message stays one line.
impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                match byte {
                    b'-' | b'_' => write!(f, "{}", char::from(byte))?,
                    _ if byte.is_ascii_alphanumeric() => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({self})")
    }
}

fn push(wire: &mut Vec<u8>, label: &[u8]) {
    // Both sources of labels bound them at LABEL_MAX.
    wire.push(label.len() as u8);
    wire.extend(label.iter().map(u8::to_ascii_lowercase));
}

/// Says what about `bare`, which has no dot at its end, keeps it from being a name.
fn check(bare: &str) -> std::result::Result<(), String> {
    if bare.is_empty() {
        return Err("holds no name".to_string());
    }
    if !bare.is_ascii() {
        return Err("is not ASCII; write the form that begins with xn--".to_string());
    }
    if bare.len() > NAME_MAX {
        return Err(format!("has {} bytes; a name has at most {NAME_MAX}", bare.len()));
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return Err("has a dot with nothing before it; labels have 1 to 63 bytes".to_string());
        }
        if label.len() > LABEL_MAX {
            let length = label.len();
            return Err(format!("has a label of {length} bytes, {}; at most {LABEL_MAX} fit", shown(label)));
        }
        if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
            return Err(format!("holds {bad:?}; a name has letters, digits, -, _ and dots"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!("has the label {}, which begins or ends with -", shown(label)));
        }
    }
    let last = bare.rsplit('.').next().unwrap_or(bare);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("ends in a number, as addresses do; no name in DNS does".to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn names_are_absolute_and_have_no_case() {
        assert_eq!(name("App.Example"), name("app.example."));
        assert_eq!(name("_http._TCP.example").to_string(), "_http._tcp.example");
        assert_ne!(name("a.b"), name("b.a"));
        assert_eq!(name("a.b.c").labels_len(), 3);
        assert!(!name("a").is_root());
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        let label = "l".repeat(LABEL_MAX);
        let longest = format!("{label}.{label}.{label}.{}", "l".repeat(NAME_MAX - 3 * (LABEL_MAX + 1)));
        assert_eq!(longest.len(), NAME_MAX);
        assert_eq!(name(&longest), name(&format!("{longest}.")));
        for (text, part) in [
            ("", "holds no name"),
            (".", "holds no name"),
            ("..", "a dot with nothing before it"),
            (".a", "a dot with nothing before it"),
            ("a..b", "a dot with nothing before it"),
            ("bücher.example", "xn--"),
            ("a b", "holds ' '"),
            ("a\nb", "holds '\\n'"),
            ("a/b", "letters, digits, -, _ and dots"),
            ("-a.example", "begins or ends with -"),
            ("a-.example", "begins or ends with -"),
            ("10.0.0.1", "ends in a number"),
            ("10.0.0", "ends in a number"),
            (&format!("{label}l.example"), "a label of 64 bytes"),
            (&format!("{longest}l"), "has 254 bytes; a name has at most 253"),
        ] {
            let told = DomainName::parse(text).unwrap_err().to_string();
            assert!(told.starts_with("invalid name: ") && told.contains(part), "{text:?}: {told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        for text in
            ["a", "a-b", "1.a", "1a", "a1", "_a", "xn--bcher-kva.example", &format!("{label}.example")]
        {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn a_suffix_is_put_behind_while_there_is_room() {
        assert_eq!(name("app").within(&name("example.org")), Some(name("app.example.org")));
        let suffix = name(&vec!["s".repeat(49); 4].join("."));
        assert_eq!(suffix.wire.len(), 200);
        let fits = name(&"a".repeat(53)).within(&suffix).unwrap();
        assert_eq!(fits.to_string().len(), NAME_MAX);
        assert_eq!(name(&fits.to_string()), fits);
        assert_eq!(name(&"a".repeat(54)).within(&suffix), None);
    }

    #[test]
    fn whatever_an_answer_holds_is_one_line() {
        let label = Label::new_unchecked(&b"a.\n\xff\\ Z"[..]);
        let odd = DomainName::from_message(&Name::new_with_labels(&[label]));
        assert_eq!(odd.to_string(), "a\\046\\010\\255\\092\\032z");
        assert_eq!(DomainName::from_message(&odd.to_message()), odd);
        let root = DomainName::from_message(&Name::new_with_labels(&[]));
        assert!(root.is_root() && root.to_string() == "." && root.labels_len() == 0);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_told(text in "\\PC{0,80}|[a-c.-]{0,300}") {
            match DomainName::parse(&text) {
                Ok(parsed) => {
                    let bare = text.strip_suffix('.').unwrap_or(&text);
                    prop_assert_eq!(parsed.to_string(), bare.to_ascii_lowercase());
                    prop_assert_eq!(DomainName::from_message(&parsed.to_message()), parsed);
                }
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
            }
        }
    }
}
