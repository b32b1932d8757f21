//! Counters that go back: overflow or reset?

/// What happened to a counter between two collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    Forward(i64),
    /// It passed the end of its 32 or 64 bits; the difference counts.
    Overflow(i64),
    /// It started again; nothing is known of the interval.
    Reset,
}

impl Difference {
    /// How much the counter grew.
    pub fn amount(self) -> i64 {
        match self {
            Self::Forward(amount) | Self::Overflow(amount) => amount,
            Self::Reset => 0,
        }
    }
}

/// Compares two collected values of a counter as unsigned 64 bit numbers. `max` is the greatest absolute value ever
/// seen of it: one that never passed 32 bits is taken for a 32 bit counter.
///
/// An overflow is one short of the truth (the cap is subtracted, not the cap plus one), and so it is in Netdata, whose
/// values ours have to equal.
pub fn counter_difference(last: i64, collected: i64, max: u64) -> Difference {
    let (last, collected) = (last as u64, collected as u64);
    if collected >= last {
        return Difference::Forward(collected.wrapping_sub(last) as i64);
    }
    let cap = if max > u64::from(u32::MAX) { u64::MAX } else { u64::from(u32::MAX) };
    let around = cap.wrapping_sub(last).wrapping_add(collected);
    if around < cap / 100 * 10 { Difference::Overflow(around as i64) } else { Difference::Reset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_goes_back_overflowed_near_its_end_and_was_reset_elsewhere() {
        let cases = [
            ((100, 250, 250), Difference::Forward(150)),
            ((7, 7, 7), Difference::Forward(0)),
            ((4_294_967_290, 30, 4_294_967_290), Difference::Overflow(35)),
            ((450, 50, 450), Difference::Reset),
            ((4_294_967_296, 30, 4_294_967_296), Difference::Reset),
            ((-5, 3, 5), Difference::Reset),
            ((-5, 3, u64::MAX), Difference::Overflow(7)),
            ((3, -5, 5), Difference::Forward(-8)),
        ];
        for ((last, collected, max), expected) in cases {
            assert_eq!(counter_difference(last, collected, max), expected, "{last} -> {collected}");
        }
    }
}
