//! The rows of an answer: how many, how far apart, and where they end.

use super::{options::QueryOption, parameters::Parameters, window::Window};

/// Rows of an answer that are asked for at most; a little more of them may come.
const POINTS_MAX: i64 = 86_400;
/// Cells of an answer: what rows times columns are held to, by fewer and wider rows.
const CELLS_MAX: i64 = 1 << 24;
/// No resampling time is longer than a window can be.
const GTIME_MAX: i64 = 10 * 365 * 86_400;

/// Rows at equal distances. The row stamped t covers the seconds (t - view, t].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Seconds that a row is a multiple of.
    pub granularity: i64,
    /// Steps of `granularity` in a row.
    pub group: i64,
    /// Rows, at least one.
    pub points: usize,
    /// Stamp of the newest row.
    pub before: i64,
    /// The resampling time in seconds, if it means anything.
    pub gtime: Option<i64>,
}

impl Grid {
    /// Lays rows on `window`, for charts of which the fastest has a sample every `update_every` seconds and which have
    /// `columns` dimensions in all.
    ///
    /// The number of rows is near the one that was asked for, not always that: rows are whole steps wide, and all of
    /// the window is covered but for less than a row of its old end.
    pub fn new(parameters: &Parameters, window: Window, update_every: i64, columns: usize) -> Grid {
        let wants_all = parameters.points == 0;
        let natural = is_natural(parameters, window);
        let granularity = if natural { update_every.max(1) } else { 1 };
        let down = |time: i64| time - time.rem_euclid(granularity);
        let (mut after, mut before) = (down(window.after), down(window.before));
        let wanted = if wants_all { (before - after + 1) / granularity } else { parameters.points }.max(1);

        let given = parameters.gtime.min(GTIME_MAX);
        // Also one that means nothing else: Netdata widens the window first.
        if given > before - after {
            after = before - given;
        }
        let gtime = Some(given).filter(|gtime| *gtime > granularity);
        if let Some(gtime) = gtime {
            let over = (before - after) % gtime;
            if over > gtime / 10 {
                after -= gtime - over;
            }
        }

        let duration = before - after;
        let available = ((duration + 1) / granularity).max(1);
        let most = (CELLS_MAX / i64::try_from(columns).unwrap_or(i64::MAX).max(1)).clamp(1, POINTS_MAX);
        let mut points = wanted.min(available).min(most);
        let mut group = available / points;
        if available % points > points / 2 {
            group += 1;
        }
        if points * group * granularity < duration {
            points = ceiling_divide(available, group);
        }
        if let Some(gtime) = gtime {
            let step = ceiling_divide(gtime, granularity);
            group = ceiling_divide(group, step) * step;
        }

        let view = group * granularity;
        let over = before.rem_euclid(view);
        if over != 0 && !parameters.has(QueryOption::Unaligned) {
            before -= over;
            if !window.is_open {
                before += view;
            }
        }
        let points = usize::try_from(points).expect("rows fit in memory, or points would be fewer");
        Grid { granularity, group, points, before, gtime }
    }

    /// Seconds between rows.
    pub fn view(&self) -> i64 {
        self.group * self.granularity
    }

    /// The stamp of a row; row 0 is the newest.
    pub fn stamp(&self, row: usize) -> i64 {
        self.before - row as i64 * self.view()
    }

    /// Stamps of all rows, the newest first.
    pub fn stamps(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + use<> {
        let grid = *self;
        (0..grid.points).map(move |row| grid.stamp(row))
    }

    /// The last second before the oldest row.
    pub fn start(&self) -> i64 {
        self.before - self.points as i64 * self.view()
    }

    /// The first step of the oldest row: with steps of a second, the first second that is covered.
    pub fn after(&self) -> i64 {
        self.start() + self.granularity
    }
}

/// Whether rows are multiples of the charts' own steps, not of a second.
pub(super) fn is_natural(parameters: &Parameters, window: Window) -> bool {
    let natural = parameters.points == 0 || parameters.has(QueryOption::NaturalPoints) || window.is_relative;
    natural && !parameters.has(QueryOption::VirtualPoints)
}

/// `dividend / divisor` rounded up, of positive numbers.
fn ceiling_divide(dividend: i64, divisor: i64) -> i64 {
    dividend / divisor + i64::from(dividend % divisor != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_342_200;

    fn grid(after: i64, before: i64, points: i64) -> Grid {
        let parameters = Parameters { after, before, points, ..Parameters::default() };
        let window = Window { after, before, is_open: false, is_relative: false };
        Grid::new(&parameters, window, 1, 1)
    }

    #[test]
    fn rows_are_near_what_was_asked_for() {
        let rows: Vec<usize> = (1..=11).map(|points| grid(T - 9, T, points).points).collect();
        assert_eq!(rows, [1, 2, 3, 5, 5, 6, 10, 10, 9, 10, 10]);
        assert_eq!(grid(T - 9, T, 0).points, 10);
        assert_eq!(grid(T, T, 1000).points, 1);
    }

    #[test]
    fn a_window_of_years_and_a_crowd_of_columns_have_fewer_rows() {
        let years = grid(T - 9 * 365 * 86_400, T, 0);
        assert_eq!(years.points, 86_400);
        assert!(years.start() <= T - 9 * 365 * 86_400 + years.view());
        let parameters = Parameters { after: T - 86_399, before: T, ..Parameters::default() };
        let window = Window { after: T - 86_399, before: T, is_open: false, is_relative: false };
        for columns in [1, 1000, 100_000, usize::MAX] {
            let grid = Grid::new(&parameters, window, 1, columns);
            assert!(
                grid.points == 1 || grid.points.saturating_mul(columns) as i64 <= 2 * CELLS_MAX,
                "{columns}"
            );
        }
    }

    #[test]
    fn resampling_widens_rows_and_keeps_their_number() {
        let parameters =
            Parameters { after: T - 59, before: T, points: 60, gtime: 60, ..Parameters::default() };
        let window = Window { after: T - 59, before: T, is_open: false, is_relative: false };
        let grid = Grid::new(&parameters, window, 1, 1);
        assert_eq!((grid.points, grid.view(), grid.after()), (60, 60, T - 3599));
        let parameters = Parameters { gtime: i64::MAX, ..parameters };
        assert_eq!(Grid::new(&parameters, window, 1, 1).points, 60);
    }
}
