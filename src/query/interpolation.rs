//! Rows finer than samples: where a row ends between two samples, a sample is made up for its end.

use dbengine::Samples;

use super::grid::Grid;

/// Samples of one dimension, widened, with one more at the end of every row that ends between two samples.
#[derive(Debug, Default)]
pub(super) struct Interpolated {
    pub(super) samples: Samples,
    pub(super) values: Vec<f64>,
}

impl Interpolated {
    /// Fills itself from `samples`, which are up to `step` seconds apart, and their widened `values`.
    ///
    /// Between the sample before and the sample after it, a made up one lies on a line. Next to a gap, or before the
    /// first sample, it is the sample in whose interval it lies: the one after it. It has that one's flags.
    pub(super) fn fill(&mut self, grid: &Grid, step: i64, samples: &Samples, values: &[f64]) {
        let Interpolated { samples: out, values: out_values } = self;
        out.clear();
        out_values.clear();
        let has_flags = !samples.flags.is_empty();
        let mut push = |time: i64, value: f64, of: usize| {
            out.times.push(time);
            out_values.push(value);
            if has_flags {
                out.flags.push(samples.flags_at(of));
            }
        };
        let mut next = 0;
        for stamp in grid.stamps().rev() {
            while next < samples.len() && samples.times[next] <= stamp {
                push(samples.times[next], values[next], next);
                next += 1;
            }
            let is_there = next > 0 && samples.times[next - 1] == stamp;
            let Some(after) =
                samples.times.get(next).copied().filter(|after| !is_there && after - stamp < step)
            else {
                continue;
            };
            let value = values[next];
            let value = match next.checked_sub(1) {
                Some(before) if samples.times[before] >= after - step && !values[before].is_nan() => {
                    let (from, past) = (samples.times[before], stamp - samples.times[before]);
                    values[before] + (value - values[before]) * past as f64 / (after - from) as f64
                }
                _ => value,
            };
            push(stamp, value, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_samples_lie_on_a_line_and_next_to_gaps_on_a_step() {
        let samples = Samples {
            times: vec![10, 20, 30, 40, 60],
            values: vec![0.0, 10.0, f32::NAN, 40.0, 60.0],
            flags: vec![],
        };
        let values: Vec<f64> = samples.values.iter().copied().map(f64::from).collect();
        let grid = Grid { granularity: 1, group: 5, points: 14, before: 65, gtime: None };
        let mut interpolated = Interpolated::default();
        interpolated.fill(&grid, 10, &samples, &values);
        let found: Vec<_> = interpolated.samples.times.iter().zip(&interpolated.values).collect();
        let expected: [(i64, f64); 10] = [
            (5, 0.0),
            (10, 0.0),
            (15, 5.0),
            (20, 10.0),
            (25, f64::NAN),
            (30, f64::NAN),
            (35, 40.0),
            (40, 40.0),
            (55, 60.0),
            (60, 60.0),
        ];
        assert_eq!(
            format!("{found:?}"),
            format!("{:?}", expected.iter().map(|(t, v)| (t, v)).collect::<Vec<_>>())
        );
    }
}
