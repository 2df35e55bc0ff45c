//! [`Float`]: the numbers of `INCRBYFLOAT`. Redis adds them as the x87's extended doubles, 64 bits of mantissa, and
//! writes the sum with 17 digits behind the point less trailing zeros; so does this, with whole numbers.

use std::fmt;

/// `mantissa` times two to the power of `exponent`. The mantissa is 0 or has its highest bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Float {
    is_negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// The highest exponent of a finite number: its mantissa has 64 bits, and so the number is below 2^16384.
const EXPONENT_MAX: i32 = 16_384 - 64;
/// Decimal digits looked at, and powers of ten: what is beyond is beyond a Float, or of no consequence to it.
const TEXT_MAX: usize = 5 * 1_024;
const POWER_MAX: i64 = 5_000;
/// The highest power of ten in a word, and that of five.
const PART: u64 = 10_000_000_000_000_000_000;
const PART_DIGITS: usize = 19;
const FIVES_MAX: u32 = 27;

impl Float {
    pub(super) const ZERO: Float = Float { is_negative: false, mantissa: 0, exponent: 0 };

    /// The number that `text` is: digits, a point among them, an exponent. No blanks, no infinity.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let end = text.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(text.len());
        let (digits, exponent) = text.split_at(end);
        let mut power = match exponent {
            [] => 0,
            [b'e' | b'E', exponent @ ..] => {
                let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
                let digits = exponent.strip_prefix(b"-").unwrap_or(exponent);
                if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
                    return None;
                }
                std::str::from_utf8(exponent).ok()?.parse::<i64>().ok()?
            }
            _ => return None,
        };
        let mut number = Big::default();
        let (mut has_point, mut has_digits) = (false, false);
        // As many digits at once as a word takes.
        let (mut part, mut scale) = (0, 1);
        for byte in digits {
            match byte {
                b'.' if has_point => return None,
                b'.' => has_point = true,
                digit => {
                    has_digits = true;
                    power -= i64::from(has_point);
                    (part, scale) = (part * 10 + u64::from(digit - b'0'), scale * 10);
                    if scale == PART {
                        number.multiply_add(scale, part);
                        (part, scale) = (0, 1);
                    }
                }
            }
        }
        if !has_digits {
            return None;
        }
        number.multiply_add(scale, part);
        if number.is_zero() {
            return Some(Float { is_negative, ..Float::ZERO });
        }
        if power.abs() > POWER_MAX + TEXT_MAX as i64 {
            return None;
        }
        let mut divisor = Big::from(1);
        let scaled = if power < 0 { &mut divisor } else { &mut number };
        // Ten is five times two, and two to any power is but a matter of the exponent.
        let mut fives = power.unsigned_abs() as u32;
        while fives > 0 {
            let some = fives.min(FIVES_MAX);
            scaled.multiply_add(5u64.pow(some), 0);
            fives -= some;
        }
        Self::quotient(is_negative, number, divisor, power as i32)
    }

    /// `number` by `divisor`, times two to the power of `exponent`, to the nearest.
    fn quotient(is_negative: bool, mut number: Big, mut divisor: Big, exponent: i32) -> Option<Self> {
        // So that the quotient has 65 or 66 bits: one to round by, and what remains.
        let shift = 65 - (number.bits() as i32 - divisor.bits() as i32);
        if shift > 0 {
            number.shift_left(shift as u32)
        } else {
            divisor.shift_left(shift.unsigned_abs())
        };
        let steps = number.bits().saturating_sub(divisor.bits());
        divisor.shift_left(steps as u32);
        let mut quotient = 0u128;
        for _ in 0..=steps {
            quotient <<= 1;
            if number.subtract(&divisor) {
                quotient |= 1;
            }
            divisor.halve();
        }
        Self::rounded(is_negative, quotient, exponent - shift, !number.is_zero())
    }

    /// `number` times two to the power of `exponent`, and a little more if `has_more`, to the nearest.
    fn rounded(is_negative: bool, number: u128, exponent: i32, has_more: bool) -> Option<Self> {
        if number == 0 {
            return Some(Float { is_negative, ..Float::ZERO });
        }
        let excess = 64 - number.leading_zeros() as i32;
        let (mut mantissa, mut exponent) = (number, exponent + excess);
        if excess <= 0 {
            mantissa <<= -excess;
        } else {
            let rest = number & ((1 << excess) - 1);
            let half = 1 << (excess - 1);
            mantissa >>= excess;
            if rest > half || (rest == half && (has_more || mantissa & 1 == 1)) {
                mantissa += 1;
                if mantissa >> 64 == 1 {
                    mantissa >>= 1;
                    exponent += 1;
                }
            }
        }
        // Too large; or so small that 17 digits do not show it, which Redis' library refuses only further down.
        if !(-EXPONENT_MAX - 64..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        Some(Float { is_negative, mantissa: mantissa as u64, exponent })
    }

    /// The sum; `None` if it is beyond all numbers.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 {
            return Some(if other.mantissa == 0 {
                Float { is_negative: self.is_negative && other.is_negative, ..self }
            } else {
                other
            });
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        // The higher one is moved up by so much that what is lost of the lower one decides no more than a tie.
        let apart = (high.exponent - low.exponent) as u32;
        let up = apart.min(62);
        let down = apart - up;
        let first = u128::from(high.mantissa) << up;
        let (mut second, mut has_more) = (0, true);
        if down < 64 {
            second = u128::from(low.mantissa) >> down;
            has_more = second << down != u128::from(low.mantissa);
        }
        let exponent = high.exponent - up as i32;
        if high.is_negative == low.is_negative {
            return Self::rounded(high.is_negative, first + second, exponent, has_more);
        }
        if first >= second {
            // A little less is one less and a little more.
            let difference = first - second - u128::from(has_more);
            let is_negative = high.is_negative && difference > 0;
            Self::rounded(is_negative, difference, exponent, has_more)
        } else {
            Self::rounded(low.is_negative, second - first, exponent, has_more)
        }
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SCALE: u128 = 100_000_000_000_000_000;
        let (mut whole, mut part) = (Big::from(self.mantissa), 0u128);
        if self.exponent >= 0 {
            whole.shift_left(self.exponent as u32);
        } else {
            let shift = self.exponent.unsigned_abs();
            let below = if shift < 64 { self.mantissa & ((1 << shift) - 1) } else { self.mantissa };
            let mut above = if shift < 64 { self.mantissa >> shift } else { 0 };
            let product = u128::from(below) * SCALE;
            if shift < 128 {
                part = product >> shift;
                let (rest, half) = (product & ((1 << shift) - 1), 1 << (shift - 1));
                if rest > half || (rest == half && part & 1 == 1) {
                    part += 1;
                }
            }
            if part == SCALE {
                part = 0;
                above += 1;
            }
            whole = Big::from(above);
        }
        let whole = whole.to_string();
        let sign = if self.is_negative && (whole != "0" || part > 0) { "-" } else { "" };
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{part:017}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A whole number of any length: 64 bits each, the lowest first, no zeros at the end.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u64>);

impl Big {
    fn from(number: u64) -> Self {
        let mut big = Big(vec![number]);
        big.trim();
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |last| self.0.len() * 64 - last.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, by: u64, and: u64) {
        let mut carry = u128::from(and);
        for digit in &mut self.0 {
            carry += u128::from(*digit) * u128::from(by);
            *digit = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            self.0.push(carry as u64);
        }
    }

    fn shift_left(&mut self, bits: u32) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (bits % 64), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, bits as usize / 64));
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for digit in self.0.iter_mut().rev() {
            let low = *digit & 1;
            *digit = *digit >> 1 | carry << 63;
            carry = low;
        }
        self.trim();
    }

    /// Subtracts `other` unless it is more; says whether it did.
    fn subtract(&mut self, other: &Big) -> bool {
        let order =
            self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if order.is_lt() {
            return false;
        }
        let mut borrow = false;
        for (at, digit) in self.0.iter_mut().enumerate() {
            let (less, first) = digit.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            *digit = less;
            borrow = first || second;
        }
        self.trim();
        true
    }
}

impl fmt::Display for Big {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut parts) = (self.clone(), Vec::new());
        while !rest.is_zero() {
            let mut part = 0;
            for digit in rest.0.iter_mut().rev() {
                (*digit, part) = by_part(part, *digit);
            }
            rest.trim();
            parts.push(part);
        }
        write!(f, "{}", parts.pop().unwrap_or(0))?;
        parts.iter().rev().try_for_each(|part| write!(f, "{part:0PART_DIGITS$}"))
    }
}

/// `high` times 2^64 and `low`, by [`PART`], and what remains; `high` is less than that. The division of two words by one
/// with its reciprocal (Möller and Granlund, IEEE Transactions on Computers 2011, algorithm 4), which needs the divisor's
/// highest bit to be set: that of a machine, or of two words by two, takes ten times as long.
fn by_part(high: u64, low: u64) -> (u64, u64) {
    const RECIPROCAL: u64 = (u128::MAX / PART as u128 - (1 << 64)) as u64;
    let estimate = u128::from(RECIPROCAL) * u128::from(high) + (u128::from(high) << 64 | u128::from(low));
    let mut quotient = ((estimate >> 64) as u64).wrapping_add(1);
    let mut rest = low.wrapping_sub(quotient.wrapping_mul(PART));
    if rest > estimate as u64 {
        quotient = quotient.wrapping_sub(1);
        rest = rest.wrapping_add(PART);
    }
    if rest >= PART {
        quotient += 1;
        rest -= PART;
    }
    (quotient, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        Some(Float::parse(a.as_bytes())?.add(Float::parse(b.as_bytes())?)?.to_string())
    }

    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("0", "5.0e3", "5000"),
            ("5.0e3", "200.0", "5200"),
            ("3.0", "-3", "0"),
            ("0.1", "0.2", "0.3"),
            ("1", "1e-17", "1.00000000000000001"),
            ("1e19", "1", "10000000000000000001"),
            ("1e20", "1", "100000000000000000000"),
            ("-1.5", "1", "-0.5"),
            ("99999999999999999999", "0.5", "100000000000000000000"),
            (".5", "1.", "1.5"),
            ("1e-30", "0", "0"),
            ("1e30", "0", "1000000000000000000024696061952"),
            ("-0", "0", "0"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} {b}");
        }
    }

    /// Decimal digits twice as much, one by one.
    fn doubled(digits: &mut Vec<u8>) {
        let mut carry = 0;
        for digit in digits.iter_mut().rev() {
            carry += *digit * 2;
            *digit = carry % 10;
            carry /= 10;
        }
        if carry > 0 {
            digits.insert(0, carry);
        }
    }

    #[test]
    fn powers_of_two_are_written_and_read_to_the_last_digit() {
        let mut digits = vec![1];
        for power in 0..16_384 {
            if power % 127 == 0 || power > 16_380 {
                let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
                let float = Float { is_negative: false, mantissa: 1 << 63, exponent: power - 63 };
                assert_eq!(float.to_string(), text, "{power}");
                assert_eq!(Float::parse(text.as_bytes()), Some(float), "{power}");
                let shifted = format!("{}.{}e{}", &text[..1], &text[1..], text.len() - 1);
                assert_eq!(Float::parse(shifted.as_bytes()), Some(float), "{power}");
            }
            doubled(&mut digits);
        }
    }

    #[test]
    fn the_least_numbers_are_read_whichever_way_they_are_written() {
        for (power, exponent) in [(1, -67), (27, -153), (28, -157), (4_900, -16_341)] {
            let float = Float::parse(format!("1e-{power}").as_bytes()).expect("a number");
            assert_eq!(float.exponent, exponent, "{power}");
            let zeros = |count: usize| "0".repeat(count);
            for text in [format!("0.{}1", zeros(power - 1)), format!("1{}e-4990", zeros(4_990 - power))] {
                assert_eq!(Float::parse(text.as_bytes()), Some(float), "{text}");
            }
        }
    }

    #[test]
    fn words_are_divided_as_by_the_book() {
        let mut rng = crate::rng::Rng::new(3);
        for at in 0..20_000 {
            let (mut high, mut low) = (rng.next_u64() % PART, rng.next_u64());
            if at % 4 == 0 {
                high = [0, 1, PART - 1, PART / 2][at / 4 % 4];
            }
            if at % 3 == 0 {
                low = [0, 1, u64::MAX, PART, PART - 1][at / 3 % 5];
            }
            let whole = u128::from(high) << 64 | u128::from(low);
            let (quotient, rest) = by_part(high, low);
            assert_eq!(
                (u128::from(quotient), u128::from(rest)),
                (whole / u128::from(PART), whole % u128::from(PART))
            );
        }
    }

    #[test]
    fn what_is_no_number_or_beyond_is_refused() {
        for text in ["", ".", "a", "1a", "1 ", " 1", "1e", "1e+", "--1", "1.1.1", "1e99999", "e5", "1e5.0"] {
            assert_eq!(Float::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert!(Float::parse("9".repeat(5_119).as_bytes()).is_none());
    }
}
