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

/// Compares two collected values of a counter as unsigned 64 bit numbers. `is_wide`: a value beyond 32
/// bits was seen of it once; else it is taken for a 32 bit counter.
///
/// An overflow is one short of the truth (the cap is subtracted, not the cap plus one), and so it is in Netdata, whose
/// values ours have to equal.
pub fn counter_difference(last: i64, collected: i64, is_wide: bool) -> Difference {
    let (last, collected) = (last as u64, collected as u64);
    if collected >= last {
        return Difference::Forward(collected.wrapping_sub(last) as i64);
    }
    let cap = if is_wide { u64::MAX } else { u64::from(u32::MAX) };
    let around = cap.wrapping_sub(last).wrapping_add(collected);
    if around < cap / 100 * 10 { Difference::Overflow(around as i64) } else { Difference::Reset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_goes_back_overflowed_near_its_end_and_was_reset_elsewhere() {
        let cases = [
            ((100, 250, false), Difference::Forward(150)),
            ((7, 7, false), Difference::Forward(0)),
            ((4_294_967_290, 30, false), Difference::Overflow(35)),
            ((450, 50, false), Difference::Reset),
            ((4_294_967_296, 30, true), Difference::Reset),
            ((-5, 3, false), Difference::Reset),
            ((-5, 3, true), Difference::Overflow(7)),
            ((3, -5, false), Difference::Forward(-8)),
        ];
        for ((last, collected, is_wide), expected) in cases {
            assert_eq!(counter_difference(last, collected, is_wide), expected, "{last} -> {collected}");
        }
    }
}
