//! The rows of an answer: how many columns, their names, an end, the rows, an end.

use super::COLUMNS_MAX;
use super::packets::ServerError;
use crate::health::reason::{Reason, shown};

/// An answer as it comes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// How many columns are announced; 0 before the first packet.
    announced: usize,
    columns: Vec<String>,
    has_columns: bool,
    rows: Vec<Row>,
}

/// One row, with the names of its columns.
#[derive(Debug)]
pub(super) struct Row(Vec<(String, Option<String>)>);

/// How far an answer is.
#[derive(Debug)]
pub(super) enum Answer {
    More,
    Rows(Vec<Row>),
    Refused(ServerError),
}

/// The most rows that are kept: a replica of many primaries has one for each.
const ROWS_MAX: usize = 64;

impl Rows {
    /// Takes a packet. `keeps` tells of a column's name whether its values are wanted.
    pub(super) fn take(&mut self, body: &[u8], keeps: impl Fn(&str) -> bool) -> Result<Answer, Reason> {
        let wrong = |what: &str| Reason::answer(format!("{what} is not understood: {}", shown(body)));
        if body.first() == Some(&0xff) {
            let error = ServerError::parse(body).ok_or_else(|| wrong("an error"))?;
            return Ok(Answer::Refused(error));
        }
        let is_end = body.first() == Some(&0xfe) && body.len() < 9;
        if self.announced == 0 {
            // OK: no rows at all.
            if body.first() == Some(&0) {
                return Ok(Answer::Rows(Vec::new()));
            }
            let (count, rest) = integer(body).ok_or_else(|| wrong("the number of columns"))?;
            self.announced = usize::try_from(count)
                .ok()
                .filter(|count| *count <= COLUMNS_MAX && rest.is_empty())
                .ok_or_else(|| wrong("the number of columns"))?;
            return Ok(Answer::More);
        }
        if !self.has_columns {
            if self.columns.len() < self.announced {
                self.columns.push(column_name(body).ok_or_else(|| wrong("a column"))?);
            } else if is_end {
                self.has_columns = true;
            } else {
                return Err(wrong("the end of the columns"));
            }
            return Ok(Answer::More);
        }
        if is_end {
            return Ok(Answer::Rows(std::mem::take(&mut self.rows)));
        }
        let row = self.row(body, keeps).ok_or_else(|| wrong("a row"))?;
        if self.rows.len() == ROWS_MAX {
            return Err(Reason::answer(format!("more than {ROWS_MAX} rows")));
        }
        self.rows.push(row);
        Ok(Answer::More)
    }

    fn row(&self, mut body: &[u8], keeps: impl Fn(&str) -> bool) -> Option<Row> {
        let mut values = Vec::new();
        for name in &self.columns {
            let value = match body.strip_prefix(&[0xfb]) {
                Some(rest) => {
                    body = rest;
                    None
                }
                None => {
                    let (value, rest) = string(body)?;
                    body = rest;
                    Some(value)
                }
            };
            if keeps(name) {
                values.push((name.clone(), value.map(|value| String::from_utf8_lossy(value).into_owned())));
            }
        }
        body.is_empty().then_some(Row(values))
    }
}

impl Row {
    /// The value of the first of these columns that there is, in any case; `None` for NULL too.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        let find = |name: &&str| self.0.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        names.iter().find_map(find).and_then(|(_, value)| value.as_deref())
    }
}

/// The fifth string of a column's definition.
fn column_name(mut body: &[u8]) -> Option<String> {
    for _ in 0..4 {
        (_, body) = string(body)?;
    }
    let (name, _) = string(body)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A length and as many bytes.
fn string(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = integer(body)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// A number of one byte, or of two, three or eight behind a mark.
fn integer(body: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = body.split_first()?;
    let width = match first {
        0..=0xfa => return Some((u64::from(first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(width)?;
    let mut number = [0; 8];
    number[..width].copy_from_slice(bytes);
    Some((u64::from_le_bytes(number), rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    /// The packets of an answer with these columns and rows.
    pub(in super::super) fn packets(columns: &[&str], rows: &[&[Option<&str>]]) -> Vec<Vec<u8>> {
        let end = vec![0xfe, 0, 0, 2, 0];
        let mut packets = vec![vec![u8::try_from(columns.len()).unwrap()]];
        for column in columns {
            let names = ["def", "", "", "", column, ""].map(text).concat();
            packets.push([names, vec![0x0c, 63, 0, 1, 0, 0, 0, 8, 0x81, 0, 0, 0, 0]].concat());
        }
        packets.push(end.clone());
        for row in rows {
            let value = |value: &Option<&str>| value.map_or_else(|| vec![0xfb], text);
            packets.push(row.iter().map(value).collect::<Vec<_>>().concat());
        }
        packets.push(end);
        packets
    }

    fn read(packets: &[Vec<u8>]) -> Result<Answer, Reason> {
        let mut rows = Rows::default();
        for packet in packets {
            match rows.take(packet, |name| name != "skipped") {
                Ok(Answer::More) => {}
                other => return other,
            }
        }
        Ok(Answer::More)
    }

    #[test]
    fn rows_are_read_with_the_names_of_their_columns() {
        let packets =
            packets(&["One", "skipped", "two"], &[&[Some("1"), Some("x"), None], &[None, None, Some("")]]);
        let Ok(Answer::Rows(rows)) = read(&packets) else { panic!() };
        let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(first.value(&["none", "ONE"]), Some("1"));
        assert_eq!((first.value(&["two"]), first.value(&["skipped"])), (None, None));
        assert_eq!((second.value(&["one"]), second.value(&["two"])), (None, Some("")));
        assert!(matches!(read(&packets[..5]), Ok(Answer::More)));
        let Ok(Answer::Rows(rows)) = read(&[vec![0, 0, 0, 2, 0, 0, 0]]) else { panic!() };
        assert!(rows.is_empty());
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let good = packets(&["a"], &[&[Some("1")]]);
        let with = |at: usize, packet: &[u8]| {
            let mut packets = good.clone();
            packets[at] = packet.to_vec();
            read(&packets).unwrap_err().text().to_string()
        };
        assert!(with(0, &[0xfb]).contains("number of columns"));
        assert!(with(0, &[1, 1]).contains("number of columns"));
        assert!(with(0, &[0xfc, 1, 1]).contains("number of columns"));
        assert!(with(1, &[3, b'd']).contains("a column"));
        assert!(with(2, &[3, b'd']).contains("end of the columns"));
        assert!(with(3, &[5, b'd']).contains("a row"));
        assert!(with(3, &[1, b'd', 1]).contains("a row"));
        assert!(with(3, &[0xff]).contains("an error"));
        let refused = read(&[vec![0xff, 0x28, 4, b'n', b'o']]);
        assert!(matches!(refused, Ok(Answer::Refused(error)) if error.code == 1064));
        let rows = |count| packets(&["a"], &vec![[Some("1")].as_slice(); count]);
        assert!(read(&rows(ROWS_MAX)).is_ok());
        assert!(read(&rows(ROWS_MAX + 1)).unwrap_err().text().contains("64 rows"));
        assert!(matches!(read(&[vec![0xfc, 0, 1]]), Ok(Answer::More)), "256 columns");
    }

    #[test]
    fn integers_have_four_forms() {
        assert_eq!(integer(&[0xfa, 9]), Some((250, [9].as_slice())));
        assert_eq!(integer(&[0xfc, 1, 2]), Some((0x201, [].as_slice())));
        assert_eq!(integer(&[0xfd, 1, 2, 3]), Some((0x3_0201, [].as_slice())));
        assert_eq!(integer(&[0xfe, 1, 0, 0, 0, 0, 0, 0, 1]), Some((1 << 56 | 1, [].as_slice())));
        for bad in [&[][..], &[0xfb], &[0xff], &[0xfc, 1], &[0xfd, 1, 2], &[0xfe, 1, 2, 3, 4, 5, 6, 7]] {
            assert_eq!(integer(bad), None, "{bad:?}");
        }
        assert_eq!(string(&[0xfe, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}
