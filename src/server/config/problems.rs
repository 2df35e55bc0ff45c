//! Everything found wrong with a text, in its order and within a bound.

use crate::error::Problem;
use crate::server::config::position::Lines;
use crate::server::config::{PROBLEMS_MAX, Position};

/// Takes problems in as they are found.
pub(super) struct Problems<'t> {
    source: String,
    lines: Lines<'t>,
    found: Vec<Found>,
    /// How many were let go for want of room.
    dropped: u64,
    /// The place of the last that is kept, once there are as many before it as there is room for: what is
    /// behind it is counted alone.
    full_at: Option<usize>,
}

struct Found {
    /// The byte it is about; none when it is about no place, which comes first.
    at: Option<usize>,
    message: String,
    hint: String,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, source: &str) -> Self {
        Self {
            source: source_shown(source),
            lines: Lines::new(text),
            found: Vec::new(),
            dropped: 0,
            full_at: None,
        }
    }

    /// What the text is called.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Something is wrong with what begins at the byte `at`.
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.add_with(at, message, || hint.into());
    }

    /// As [`add`](Self::add), for a hint that takes some seeking: it is sought only for what will be told.
    pub(super) fn add_with(&mut self, at: usize, message: impl Into<String>, hint: impl FnOnce() -> String) {
        if self.full_at.is_some_and(|full_at| at > full_at) {
            self.dropped += 1;
        } else {
            self.push(Some(at), message.into(), hint());
        }
    }

    /// Something is wrong with the whole.
    pub(super) fn add_overall(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.push(None, message.into(), hint.into());
    }

    pub(super) fn position(&self, at: usize) -> Position {
        self.lines.position(at)
    }

    pub(super) fn line(&self, at: usize) -> u32 {
        self.lines.line(at)
    }

    /// The problems, in the order of the text; empty when there are none.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.keep_first();
        let place = |at: Option<usize>| at.map_or(Position::default(), |at| self.lines.position(at));
        let mut problems: Vec<Problem> = self
            .found
            .into_iter()
            .map(|found| {
                let Position { line, column } = place(found.at);
                let Found { message, hint, .. } = found;
                Problem { source: self.source.clone(), line, column, message, hint }
            })
            .collect();
        if self.dropped > 0 {
            let message = format!("{} more problems", self.dropped);
            let hint = "correct the first ones and look again".to_string();
            problems.push(Problem { source: self.source, line: 0, column: 0, message, hint });
        }
        problems
    }

    fn push(&mut self, at: Option<usize>, message: String, hint: String) {
        self.found.push(Found { at, message, hint });
        // Tables are walked by name, not by place: those found first need not stand first. Room for as many
        // again keeps the sorting rare.
        if self.found.len() >= 2 * PROBLEMS_MAX {
            self.keep_first();
        }
    }

    fn keep_first(&mut self) {
        self.found.sort_by_key(|found| found.at);
        self.dropped += self.found.len().saturating_sub(PROBLEMS_MAX) as u64;
        self.found.truncate(PROBLEMS_MAX);
        self.full_at = self.found.get(PROBLEMS_MAX - 1).and_then(|last| last.at);
    }
}

/// `source` in one line.
pub(super) fn source_shown(source: &str) -> String {
    source.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_in_the_order_of_the_text() {
        let mut problems = Problems::new("one\ntwo\nthree", "a\nfile");
        problems.add(8, "c", "");
        problems.add(0, "a", "do b");
        problems.add(4, "b", "");
        problems.add_overall("first", "");
        let told: Vec<String> = problems.finish().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["a?file: first", "a?file:1:1: a; do b", "a?file:2:1: b", "a?file:3:1: c"]);
    }

    #[test]
    fn the_first_hundred_are_told_and_the_rest_counted() {
        let text = "\n".repeat(1000);
        let told = |count: usize| {
            let mut problems = Problems::new(&text, "t");
            // From the end and from the beginning in turn.
            let order = (0..count / 2)
                .flat_map(|at| [count - 1 - at, at])
                .chain((count % 2 == 1).then_some(count / 2));
            order.for_each(|at| problems.add(at, format!("p{at}"), ""));
            problems.finish()
        };
        assert_eq!(told(PROBLEMS_MAX).len(), PROBLEMS_MAX);
        assert_eq!(told(PROBLEMS_MAX)[99].message, "p99");
        let many = told(777);
        assert_eq!(many.len(), PROBLEMS_MAX + 1);
        for (at, problem) in many[..PROBLEMS_MAX].iter().enumerate() {
            assert_eq!((problem.line as usize, &*problem.message), (at + 1, &*format!("p{at}")));
        }
        assert_eq!(
            many[PROBLEMS_MAX].to_string(),
            "t: 677 more problems; correct the first ones and look again"
        );
    }

    #[test]
    fn a_hint_is_sought_only_for_what_is_told() {
        let text = "\n".repeat(1000);
        let mut problems = Problems::new(&text, "t");
        let mut sought = 0;
        for at in 0..1000 {
            problems.add_with(at, "p", || {
                sought += 1;
                String::new()
            });
        }
        assert_eq!(sought, 2 * PROBLEMS_MAX);
        assert_eq!(problems.finish().last().unwrap().message, "900 more problems");
    }
}
