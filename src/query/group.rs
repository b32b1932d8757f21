//! Group methods: the samples of a row -> its point.
//!
//! | file             | methods                                                             |
//! |------------------|---------------------------------------------------------------------|
//! | group/single.rs  | those that need one pass: average, sum, extremes, deviations, counts |
//! | group/sorted.rs  | those that look at samples in order of size: median, percentile      |
//! | group/smooth.rs  | those that remember older rows: exponential smoothing                |

mod single;

mod smooth;

mod sorted;

use std::ops::Range;

use super::grid::Grid;

/// How the samples of a row become its point, and how the request called it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// As answers name it.
    pub name: &'static str,
    pub method: Method,
}

/// What becomes of the samples of a row that are no gaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Average,
    Sum,
    /// The one of the smallest magnitude, with its sign.
    Min,
    /// The one of the largest magnitude, with its sign.
    Max,
    Median,
    /// Of a sample of a population: n - 1.
    StandardDeviation,
    /// The standard deviation in percent of the mean.
    Variation,
    /// The last minus the first.
    IncrementalSum,
    /// The mean of the lowest percent of samples. Not a percentile, but what Netdata calls one.
    Percentile {
        percent: f64,
    },
    /// The mean without so many percent of the samples at either end.
    TrimmedMean {
        percent: f64,
    },
    /// The median without the samples in so many percent of the range at either end.
    TrimmedMedian {
        percent: f64,
    },
    /// The percent of samples for which it holds.
    CountIf {
        comparison: Comparison,
        number: f64,
    },
    SingleExponential,
    DoubleExponential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Every name of a method, with what it takes for granted; `true` for the name that answers use.
const NAMES: [(&str, Method, bool); 45] = {
    use Method::{
        Average, CountIf, DoubleExponential, IncrementalSum, Max, Median, Min, Percentile, SingleExponential,
        StandardDeviation, Sum, TrimmedMean, TrimmedMedian, Variation,
    };
    [
        ("average", Average, true),
        ("mean", Average, false),
        ("sum", Sum, true),
        ("min", Min, true),
        ("max", Max, true),
        // Netdata 2: the largest of positive samples, the smallest of negative ones; of both the larger magnitude.
        ("extremes", Max, true),
        ("median", Median, true),
        ("stddev", StandardDeviation, true),
        ("cv", Variation, true),
        ("rsd", Variation, false),
        ("incremental_sum", IncrementalSum, true),
        ("incremental-sum", IncrementalSum, false),
        ("trimmed-mean1", TrimmedMean { percent: 1.0 }, true),
        ("trimmed-mean2", TrimmedMean { percent: 2.0 }, true),
        ("trimmed-mean3", TrimmedMean { percent: 3.0 }, true),
        ("trimmed-mean5", TrimmedMean { percent: 5.0 }, true),
        ("trimmed-mean", TrimmedMean { percent: 5.0 }, false),
        ("trimmed-mean10", TrimmedMean { percent: 10.0 }, true),
        ("trimmed-mean15", TrimmedMean { percent: 15.0 }, true),
        ("trimmed-mean20", TrimmedMean { percent: 20.0 }, true),
        ("trimmed-mean25", TrimmedMean { percent: 25.0 }, true),
        ("trimmed-median1", TrimmedMedian { percent: 1.0 }, true),
        ("trimmed-median2", TrimmedMedian { percent: 2.0 }, true),
        ("trimmed-median3", TrimmedMedian { percent: 3.0 }, true),
        ("trimmed-median5", TrimmedMedian { percent: 5.0 }, true),
        ("trimmed-median", TrimmedMedian { percent: 5.0 }, false),
        ("trimmed-median10", TrimmedMedian { percent: 10.0 }, true),
        ("trimmed-median15", TrimmedMedian { percent: 15.0 }, true),
        ("trimmed-median20", TrimmedMedian { percent: 20.0 }, true),
        ("trimmed-median25", TrimmedMedian { percent: 25.0 }, true),
        ("percentile25", Percentile { percent: 25.0 }, true),
        ("percentile50", Percentile { percent: 50.0 }, true),
        ("percentile75", Percentile { percent: 75.0 }, true),
        ("percentile80", Percentile { percent: 80.0 }, true),
        ("percentile90", Percentile { percent: 90.0 }, true),
        ("percentile95", Percentile { percent: 95.0 }, true),
        ("percentile", Percentile { percent: 95.0 }, false),
        ("percentile97", Percentile { percent: 97.0 }, true),
        ("percentile98", Percentile { percent: 98.0 }, true),
        ("percentile99", Percentile { percent: 99.0 }, true),
        ("countif", CountIf { comparison: Comparison::Equal, number: 0.0 }, true),
        ("ses", SingleExponential, true),
        ("ema", SingleExponential, false),
        ("ewma", SingleExponential, false),
        ("des", DoubleExponential, true),
    ]
};

impl Default for Group {
    fn default() -> Group {
        Group { name: "average", method: Method::Average }
    }
}

impl Group {
    /// The method of this name, with its argument in `options`. Unknown names are averages.
    pub fn parse(name: &str, options: &str) -> Group {
        let Some(known) = NAMES.iter().position(|(known, ..)| *known == name) else {
            return Group::default();
        };
        let (_, method, _) = NAMES[known];
        let canonical = NAMES[..=known].iter().rev().find(|(.., canonical)| *canonical);
        let name = canonical.map_or("average", |(name, ..)| name);
        let argument = leading_number(options);
        let method = match method {
            Method::Percentile { percent } => {
                Method::Percentile { percent: argument.unwrap_or(percent).clamp(0.0, 100.0) }
            }
            Method::TrimmedMean { percent } => {
                Method::TrimmedMean { percent: argument.unwrap_or(percent).clamp(0.0, 50.0) }
            }
            Method::TrimmedMedian { percent } => {
                Method::TrimmedMedian { percent: argument.unwrap_or(percent).clamp(0.0, 50.0) }
            }
            Method::CountIf { .. } => {
                let (comparison, number) = Comparison::split(options.trim());
                Method::CountIf { comparison, number: leading_number(number).unwrap_or(0.0) }
            }
            other => other,
        };
        Group { name, method }
    }
}

impl Comparison {
    /// Takes the operator off the front; without one, it is equality. (Netdata 1.37 then loses the first digit.)
    fn split(text: &str) -> (Comparison, &str) {
        const OPERATORS: [(&str, Comparison); 9] = [
            ("!=", Comparison::NotEqual),
            ("<>", Comparison::NotEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<=", Comparison::LessOrEqual),
            ("!", Comparison::NotEqual),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
            ("=", Comparison::Equal),
            (":", Comparison::Equal),
        ];
        let found = OPERATORS
            .iter()
            .find_map(|(operator, comparison)| text.strip_prefix(operator).map(|rest| (*comparison, rest)));
        found.unwrap_or((Comparison::Equal, text))
    }
}

/// The decimal number that `text` begins with.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|(at, character)| {
            !(character.is_ascii_digit() || *character == '.' || *at == 0 && ['-', '+'].contains(character))
        })
        .map_or(text.len(), |(at, _)| at);
    text[..end].parse().ok()
}

/// Turns the samples of one row after the other, the oldest first, into points.
trait Aggregate {
    /// The point of a row. `samples` may be empty, and NaN among them are gaps.
    fn point(&mut self, samples: &[f64]) -> f64;
}

/// Gives every row of `grid` its point: the newest row is the first of `points`. `times` and `samples` are parallel
/// and in order of time; `each_row` is told which samples a row was made of, if it wants to know.
pub(super) fn fill(
    method: Method,
    grid: &Grid,
    times: &[i64],
    samples: &[f64],
    points: &mut [f64],
    each_row: impl FnMut(usize, Range<usize>),
) {
    let rows = Rows { grid, times, samples };
    match method {
        Method::Average => match grid.gtime {
            Some(gtime) => {
                let divisor = grid.view() as f64 / gtime as f64;
                rows.fill(single::Resampled { divisor }, points, each_row);
            }
            None => rows.fill(single::Average, points, each_row),
        },
        Method::Sum => rows.fill(single::Sum, points, each_row),
        Method::Min => rows.fill(single::Min, points, each_row),
        Method::Max => rows.fill(single::Max, points, each_row),
        Method::StandardDeviation => rows.fill(single::StandardDeviation, points, each_row),
        Method::Variation => rows.fill(single::Variation, points, each_row),
        Method::IncrementalSum => rows.fill(single::IncrementalSum, points, each_row),
        Method::CountIf { comparison, number } => {
            rows.fill(single::CountIf { comparison, number }, points, each_row);
        }
        Method::Median => rows.fill(sorted::Sorted::new(sorted::Median), points, each_row),
        Method::Percentile { percent } => {
            rows.fill(sorted::Sorted::new(sorted::Percentile { percent }), points, each_row);
        }
        Method::TrimmedMean { percent } => {
            rows.fill(sorted::Sorted::new(sorted::TrimmedMean { percent }), points, each_row);
        }
        Method::TrimmedMedian { percent } => {
            rows.fill(sorted::Sorted::new(sorted::TrimmedMedian { percent }), points, each_row);
        }
        Method::SingleExponential => rows.fill(smooth::Single::new(grid), points, each_row),
        Method::DoubleExponential => rows.fill(smooth::Double::new(grid), points, each_row),
    }
}

struct Rows<'a> {
    grid: &'a Grid,
    times: &'a [i64],
    samples: &'a [f64],
}

impl Rows<'_> {
    /// One instance a method: the choice is made once, not for each row.
    fn fill<A: Aggregate>(
        &self,
        mut aggregate: A,
        points: &mut [f64],
        mut each_row: impl FnMut(usize, Range<usize>),
    ) {
        let (start, view) = (self.grid.start(), self.grid.view());
        let mut end = self.times.partition_point(|time| *time <= start);
        let mut stamp = start;
        for (row, point) in points.iter_mut().enumerate().rev() {
            stamp += view;
            let first = end;
            end += self.times[first..].iter().take_while(|time| **time <= stamp).count();
            *point = aggregate.point(&self.samples[first..end]);
            each_row(row, first..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_names_aliases_and_arguments() {
        let check = |name: &str, options: &str, expected: (&str, Method)| {
            let group = Group::parse(name, options);
            assert_eq!((group.name, group.method), expected, "{name} {options}");
        };
        check("", "", ("average", Method::Average));
        check("nosuch", "", ("average", Method::Average));
        check("mean", "", ("average", Method::Average));
        check("rsd", "", ("cv", Method::Variation));
        check("ewma", "", ("ses", Method::SingleExponential));
        check("incremental-sum", "", ("incremental_sum", Method::IncrementalSum));
        check("trimmed-mean", "", ("trimmed-mean5", Method::TrimmedMean { percent: 5.0 }));
        check("trimmed-mean25", "", ("trimmed-mean25", Method::TrimmedMean { percent: 25.0 }));
        check("trimmed-mean", "12.5", ("trimmed-mean5", Method::TrimmedMean { percent: 12.5 }));
        check("trimmed-median", "90", ("trimmed-median5", Method::TrimmedMedian { percent: 50.0 }));
        check("percentile", "", ("percentile95", Method::Percentile { percent: 95.0 }));
        check("percentile99", "", ("percentile99", Method::Percentile { percent: 99.0 }));
        let count = |comparison, number| ("countif", Method::CountIf { comparison, number });
        check("countif", ">5", count(Comparison::Greater, 5.0));
        check("countif", ">= -5.5x", count(Comparison::GreaterOrEqual, -5.5));
        check("countif", "!3", count(Comparison::NotEqual, 3.0));
        check("countif", "!=3", count(Comparison::NotEqual, 3.0));
        check("countif", "<>3", count(Comparison::NotEqual, 3.0));
        check("countif", "<=3", count(Comparison::LessOrEqual, 3.0));
        check("countif", "<3", count(Comparison::Less, 3.0));
        check("countif", ":3", count(Comparison::Equal, 3.0));
        check("countif", "5", count(Comparison::Equal, 5.0));
        check("countif", "", count(Comparison::Equal, 0.0));
    }

    fn grid_of_one(samples: usize) -> Grid {
        Grid { granularity: 1, group: samples.max(1) as i64, points: 1, before: samples as i64, gtime: None }
    }

    fn point(group: &str, options: &str, samples: &[f64]) -> f64 {
        let times: Vec<i64> = (1..=samples.len() as i64).collect();
        let mut points = [0.0];
        let method = Group::parse(group, options).method;
        fill(method, &grid_of_one(samples.len()), &times, samples, &mut points, |_, _| {});
        points[0]
    }

    #[test]
    fn a_fraction_of_negative_samples_is_taken_from_their_other_end() {
        assert!((point("trimmed-mean", "", &[-1.0, 0.0]) + 0.4).abs() < 1e-9);
        assert!((point("trimmed-mean", "", &[0.0, 1.0]) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn every_method_on_the_digits() {
        let digits = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0];
        let check = |group: &str, options: &str, expected: f64| {
            let found = point(group, options, &digits);
            assert!((found - expected).abs() < 1e-6, "{group} {options}: {found}, not {expected}");
        };
        check("average", "", 4.5);
        check("sum", "", 45.0);
        check("min", "", 0.0);
        check("max", "", 9.0);
        check("median", "", 4.5);
        check("stddev", "", 3.027_650_4);
        check("cv", "", 67.281_119);
        check("incremental-sum", "", -1.0);
        check("trimmed-mean", "", 4.0);
        check("trimmed-mean25", "", 4.0);
        check("trimmed-median25", "", 4.5);
        check("percentile", "", 4.45);
        check("percentile", "50", 2.0);
        check("percentile25", "", 0.833_333_3);
        check("percentile99", "", 4.49);
        check("percentile", "0", 0.0);
        check("percentile", "100", 4.5);
        check("countif", ">5", 40.0);
        check("ses", "", 4.421_186_7);
        check("des", "", 8.019_834_7);
        check("extremes", "", 9.0);
    }

    #[test]
    fn extremes_are_by_magnitude_and_keep_their_sign() {
        let samples = [-4.0, -3.0, 3.5, 4.0, -5.0];
        assert_eq!(point("min", "", &samples), -3.0);
        assert_eq!(point("max", "", &samples), -5.0);
    }

    #[test]
    fn rows_of_one_sample_and_of_none_have_their_rules() {
        for (name, ..) in NAMES {
            assert!(point(name, "", &[]).is_nan(), "{name} of nothing");
            assert!(point(name, "", &[f64::NAN]).is_nan(), "{name} of a gap");
            let alone = point(name, "", &[f64::NAN, 3.0]);
            let expected = match name {
                "stddev" | "cv" | "rsd" | "incremental-sum" | "incremental_sum" | "countif" => 0.0,
                _ => 3.0,
            };
            assert_eq!(alone, expected, "{name} of one sample");
        }
        assert!(point("cv", "", &[-1.0, 1.0]).is_nan(), "no mean to be relative to");
        assert_eq!(point("median", "", &[1.0, 2.0]), 1.5);
        assert_eq!(point("trimmed-median", "50", &[1.0, 2.0]), 1.5);
        assert_eq!(point("trimmed-mean", "50", &[1.0, 2.0, 4.0]), 2.0);
        assert_eq!(point("percentile", "1", &[4.0, 2.0]), 2.0);
    }

    #[test]
    fn smoothing_goes_on_from_row_to_row_and_fills_gaps() {
        let grid = Grid { granularity: 1, group: 1, points: 4, before: 4, gtime: None };
        let mut points = [0.0; 4];
        fill(Method::SingleExponential, &grid, &[2, 4], &[6.0, 1.0], &mut points, |_, _| {});
        // Newest first; four rows of one sample: alpha is 2 / (4 + 1).
        assert!((points[0] - (0.4 + 0.6 * 6.0)).abs() < 1e-12);
        assert_eq!(points[1..3], [6.0, 6.0]);
        assert!(points[3].is_nan());
    }
}
