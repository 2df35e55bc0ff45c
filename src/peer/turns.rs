//! [`Turns`]: which class comes next.

use crate::peer::Class;

/// Urgent first; but after sixteen in a row one of the others has a turn. Of those, bulk has one after four normal ones.
/// So none waits for ever, whatever there is of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    urgent_run: u32,
    normal_run: u32,
}

const URGENT_RUN: u32 = 16;
const NORMAL_RUN: u32 = 4;

impl Turns {
    /// The next of those that are ready.
    pub(super) fn next(&mut self, is_ready: impl Fn(Class) -> bool) -> Option<Class> {
        let (normal, bulk) = (is_ready(Class::Normal), is_ready(Class::Bulk));
        if is_ready(Class::Urgent) && (self.urgent_run < URGENT_RUN || !(normal || bulk)) {
            self.urgent_run = self.urgent_run.saturating_add(1);
            return Some(Class::Urgent);
        }
        if !(normal || bulk) {
            return None;
        }
        self.urgent_run = 0;
        if normal && (self.normal_run < NORMAL_RUN || !bulk) {
            self.normal_run = self.normal_run.saturating_add(1);
            return Some(Class::Normal);
        }
        self.normal_run = 0;
        Some(Class::Bulk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(turns: u32, ready: [bool; 3]) -> [u32; 3] {
        let mut state = Turns::default();
        let mut counts = [0; 3];
        for _ in 0..turns {
            if let Some(class) = state.next(|class| ready[class.index()]) {
                assert!(ready[class.index()]);
                counts[class.index()] += 1;
            }
        }
        counts
    }

    #[test]
    fn shares_are_as_documented() {
        assert_eq!(count(85, [true, true, true]), [80, 4, 1]);
        assert_eq!(count(50, [false, true, true]), [0, 40, 10]);
        assert_eq!(count(17, [true, false, true]), [16, 0, 1]);
        assert_eq!(count(9, [true, false, false]), [9, 0, 0]);
        assert_eq!(count(9, [false, false, false]), [0, 0, 0]);
    }
}
