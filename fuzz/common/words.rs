//! Text put together from the words of a protocol and from anything.

use arbitrary::Arbitrary;

/// A piece of it.
#[derive(Arbitrary, Debug)]
pub enum Part<'a> {
    Any(&'a [u8]),
    Word(u8),
    Number(u32),
    Repeat(u8, u16),
}

/// `words` are separated by bars; `¶` is CR and LF.
pub fn text(parts: &[Part<'_>], words: &str) -> Vec<u8> {
    let words: Vec<String> = words.split('|').map(|word| word.replace('¶', "\r\n")).collect();
    let word = |at: u8| words[usize::from(at) % words.len()].as_bytes();
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Any(any) => bytes.extend_from_slice(any),
            Part::Word(at) => bytes.extend_from_slice(word(*at)),
            Part::Number(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
            Part::Repeat(at, times) => bytes.extend_from_slice(&word(*at).repeat(usize::from(times % 600))),
        }
    }
    bytes
}
