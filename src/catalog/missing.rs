//! [`Missing`]: of which times a chart lacks rows that its child may have.

use dbengine::{TimeRange, UnixSeconds};

/// A chart whose past is in more pieces than this loses the oldest of them.
const MOST_SPANS: usize = 16;

/// Times of which rows are missing: spans in order, with a second at least between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    spans: Vec<TimeRange>,
}

impl Missing {
    pub fn new(spans: impl IntoIterator<Item = TimeRange>) -> Self {
        let mut missing = Self::default();
        spans.into_iter().for_each(|span| missing.add(span));
        missing
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The oldest first.
    pub fn spans(&self) -> &[TimeRange] {
        &self.spans
    }

    /// How many seconds there are in all spans.
    pub fn seconds(&self) -> u64 {
        self.spans.iter().map(|span| span.last.since(span.first).unsigned_abs() + 1).sum()
    }

    pub fn contains(&self, time: UnixSeconds) -> bool {
        self.spans.iter().any(|span| span.contains(time))
    }

    /// Rows of this span are missing, too.
    pub fn add(&mut self, span: TimeRange) {
        if span.is_empty() {
            return;
        }
        let near = |other: &TimeRange| {
            other.first.0 <= span.last.0.saturating_add(1) && span.first.0 <= other.last.0.saturating_add(1)
        };
        let whole = self.spans.extract_if(.., |other| near(other)).fold(span, TimeRange::hull);
        let at = self.spans.partition_point(|other| other.first < whole.first);
        self.spans.insert(at, whole);
        let too_many = self.spans.len().saturating_sub(MOST_SPANS);
        self.spans.drain(..too_many);
    }

    /// What of this span is missing is not to be had, or is there now. Says whether anything was.
    pub fn remove(&mut self, span: TimeRange) -> bool {
        if !self.spans.iter().any(|other| other.overlaps(span)) {
            return false;
        }
        let before = |other: &TimeRange| TimeRange { last: other.last.min(span.first.plus(-1)), ..*other };
        let after = |other: &TimeRange| TimeRange { first: other.first.max(span.last.plus(1)), ..*other };
        self.spans = self
            .spans
            .iter()
            .flat_map(
                |other| {
                    if other.overlaps(span) { [before(other), after(other)] } else { [*other, EMPTY] }
                },
            )
            .filter(|span| !span.is_empty())
            .collect();
        true
    }
}

const EMPTY: TimeRange = TimeRange { first: UnixSeconds(1), last: UnixSeconds(0) };

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span(first: i64, last: i64) -> TimeRange {
        TimeRange { first: UnixSeconds(first), last: UnixSeconds(last) }
    }

    #[test]
    fn the_oldest_pieces_go_when_there_are_too_many() {
        let missing = Missing::new((0..20).map(|piece| span(piece * 10, piece * 10 + 5)));
        assert_eq!(missing.spans().len(), MOST_SPANS);
        assert_eq!(missing.spans()[0], span(40, 45));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn it_is_a_set_of_seconds(
            changes in prop::collection::vec((any::<bool>(), 0i64..60, -2i64..12), 0..12)
        ) {
            let (mut missing, mut seconds) = (Missing::default(), BTreeSet::new());
            for (adds, first, length) in changes {
                let span = span(first, first + length);
                if adds {
                    missing.add(span);
                    seconds.extend(first..=first + length);
                } else {
                    let had = (first..=first + length).filter(|second| seconds.remove(second)).count() > 0;
                    prop_assert_eq!(missing.remove(span), had);
                }
            }
            for second in -5..80 {
                prop_assert_eq!(missing.contains(UnixSeconds(second)), seconds.contains(&second));
            }
            prop_assert_eq!(missing.seconds(), seconds.len() as u64);
            let apart = missing.spans().windows(2).all(|two| two[0].last.plus(1) < two[1].first);
            prop_assert!(apart, "{:?}", missing);
        }
    }
}
