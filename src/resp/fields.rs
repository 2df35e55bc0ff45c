//! [`Fields`]: a hash being changed, by one command after the other.

use std::collections::HashMap;

use super::value::{Pairs, of_pairs, pair_bytes, pairs_bytes};

/// See the module. What one command changes can be taken back.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// In order; `None`: deleted.
    pairs: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    /// Where each field is.
    places: HashMap<Vec<u8>, usize>,
    /// Of the fields and values, as they lie in the store.
    bytes: usize,
    /// What the command under way has changed: where, which field, and what it had before.
    undo: Vec<(usize, Vec<u8>, Option<Vec<u8>>)>,
}

impl Fields {
    pub(super) fn of(pairs: Option<&Pairs<'_>>) -> Self {
        let mut fields = Self::default();
        for (field, value) in pairs.into_iter().flat_map(Pairs::iter) {
            fields.set(field, value);
        }
        fields
    }

    /// A command begins: what was changed before stays.
    pub(super) fn begin(&mut self) {
        self.undo.clear();
    }

    /// Whether the command has changed anything.
    pub(super) fn is_changed(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Takes back what the command has changed.
    pub(super) fn take_back(&mut self) {
        while let Some((place, field, value)) = self.undo.pop() {
            if let Some((field, value)) = self.pairs[place].take() {
                self.bytes -= pair_bytes(&field, &value);
            }
            if let Some(value) = value {
                self.bytes += pair_bytes(&field, &value);
                self.places.insert(field.clone(), place);
                self.pairs[place] = Some((field, value));
            } else {
                self.places.remove(&field);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How long the value is that the store has of it.
    pub(super) fn value_bytes(&self) -> usize {
        pairs_bytes(self.len(), self.bytes)
    }

    pub(super) fn value(&self, field: &[u8]) -> Option<&[u8]> {
        let pair = self.pairs[*self.places.get(field)?].as_ref();
        pair.map(|(_, value)| &value[..])
    }

    /// Says whether the field is new.
    pub(super) fn put(&mut self, field: &[u8], value: &[u8]) -> bool {
        let (place, before) = self.set(field, value);
        let is_new = before.is_none();
        self.undo.push((place, field.to_vec(), before));
        is_new
    }

    /// Gives where the field is, and what it had before.
    fn set(&mut self, field: &[u8], value: &[u8]) -> (usize, Option<Vec<u8>>) {
        let place = self.places.get(field).copied();
        let before = place.and_then(|place| self.pairs[place].take()).map(|(_, value)| value);
        if let Some(before) = &before {
            self.bytes -= pair_bytes(field, before);
        }
        let place = place.unwrap_or_else(|| {
            self.places.insert(field.to_vec(), self.pairs.len());
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        self.bytes += pair_bytes(field, value);
        self.pairs[place] = Some((field.to_vec(), value.to_vec()));
        (place, before)
    }

    /// Says whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(place) = self.places.remove(field) else { return false };
        let Some((field, value)) = self.pairs[place].take() else { return false };
        self.bytes -= pair_bytes(&field, &value);
        self.undo.push((place, field, Some(value)));
        true
    }

    /// The value that the store has of it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let pairs: Vec<_> =
            self.pairs.iter().flatten().map(|(field, value)| (&field[..], &value[..])).collect();
        of_pairs(pairs.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(fields: &Fields) -> bool {
        fields.len() == 0 || fields.encode().len() == fields.value_bytes()
    }

    #[test]
    fn what_a_command_changed_is_taken_back_and_nothing_else() {
        let mut fields = Fields::default();
        for number in 0..200 {
            fields.put(format!("{number}").as_bytes(), &vec![b'v'; number]);
        }
        assert!(is_sound(&fields) && fields.len() == 200);
        fields.begin();
        assert!(!fields.is_changed());
        let before = fields.encode();
        assert!(fields.put(b"new", b"1") && !fields.put(b"new", b"22") && !fields.put(b"7", b"other"));
        assert!(fields.remove(b"130") && !fields.remove(b"130") && fields.put(b"130", b"again"));
        assert!(is_sound(&fields) && fields.is_changed() && fields.len() == 201);
        assert_eq!(fields.value(b"new"), Some(&b"22"[..]));
        fields.take_back();
        assert_eq!(fields.encode(), before);
        assert!(is_sound(&fields) && !fields.is_changed() && fields.len() == 200);
        assert_eq!((fields.value(b"new"), fields.value(b"7")), (None, Some(&b"vvvvvvv"[..])));
        assert!(fields.put(b"new", b"1"));
        assert!(is_sound(&fields));
    }
}
