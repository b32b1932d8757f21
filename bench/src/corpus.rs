//! The rows of real children: recordings of `tests/golden/stream`, replayed through our own receiver, then made longer.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mainstem_child::capture;

pub(crate) use mainstem_child::capture::ChartRows;

/// Children of three versions under the same load, and the connections of each, in order.
pub(crate) const CHILDREN: &[(&str, &[&str])] = &[
    ("1.37.1", &["01-v137-lz4.conn0"]),
    ("1.37.1", &["02-v137-plain.conn0"]),
    ("1.37.1", &["08-v137-cut.conn0", "08-v137-cut.conn1"]),
    ("2.9.0", &["05-v2-plain.conn0"]),
    ("2.9.0", &["07-v2-replay.conn0"]),
    ("2.11.0", &["12-v211-plain.conn0"]),
];

/// Replays the connections of one child.
pub(crate) fn replay(directory: &Path, connections: &[&str]) -> Result<Vec<ChartRows>> {
    let files: Vec<PathBuf> =
        connections.iter().map(|name| directory.join(format!("{name}.ndcap.gz"))).collect();
    capture::replay(&files)
}

/// The same rows again and again for so many seconds, forwards and backwards by turns, so that no column jumps
/// where they begin anew. A value that came once in the recording comes again a little different: what did not
/// repeat must not look as if it did.
pub(crate) fn looped(rows: &ChartRows, seconds: i64) -> ChartRows {
    let last = rows.times.len() - 1;
    let mut looped = ChartRows { times: vec![], values: vec![], flags: vec![], id: rows.id.clone(), ..*rows };
    let noise: Vec<Noise> = (0..rows.columns).map(|column| Noise::of(&rows.column(column))).collect();
    let (mut row, mut forwards, mut time) = (0, true, rows.times[0]);
    let mut pass = 0_u32;
    while time < rows.times[0] + seconds {
        looped.times.push(time);
        let samples = row * rows.columns..(row + 1) * rows.columns;
        // The same for all columns: those that were equal stay so.
        let die = (pass * 65_537 + row as u32).wrapping_mul(0x9e37_79b1) >> 16;
        let values = rows.values[samples.clone()].iter().zip(&noise);
        looped.values.extend(
            values.map(|(value, noise)| if pass == 0 { *value } else { noise.add(*value, row, die) }),
        );
        looped.flags.extend_from_slice(rows.flags.get(samples).unwrap_or_default());
        if last == 0 {
            time += i64::from(rows.step);
            continue;
        }
        let turns = if forwards { row == last } else { row == 0 };
        forwards ^= turns;
        pass += u32::from(turns);
        let next = if forwards { row + 1 } else { row - 1 };
        time += (rows.times[next] - rows.times[row]).abs();
        row = next;
    }
    looped
}

/// How a column's values differ from one pass to the next.
struct Noise {
    /// Of each row, whether its value came only there, and does not lie on a straight line with its neighbours.
    once: Vec<bool>,
    /// One part of this is added or taken away; without it, the last bits are others.
    decimals: Option<f64>,
}

impl Noise {
    fn of(values: &[f32]) -> Noise {
        let once = (0..values.len()).map(|row| {
            let alone = values.iter().filter(|value| value.abs() == values[row].abs()).count() == 1;
            let on_line = |at: usize| match values.get(at.wrapping_sub(1)..at + 2) {
                Some(&[before, here, after]) => here - before == after - here,
                _ => true,
            };
            alone && !on_line(row)
        });
        let decimals = (0..=6).map(|power| 10_f64.powi(power)).find(|tens| {
            let is_decimal = |value: &f32| ((f64::from(*value) * tens).round() / tens) as f32 == *value;
            values.iter().filter(|value| !value.is_nan()).all(is_decimal)
        });
        Noise { once: once.collect(), decimals }
    }

    fn add(&self, value: f32, row: usize, die: u32) -> f32 {
        if !self.once[row] || value == 0.0 || !value.is_finite() {
            return value;
        }
        match self.decimals {
            Some(tens) => {
                let parts = (f64::from(value.abs()) * tens).round() + f64::from(die % 5) - 2.0;
                (parts.max(1.0) / tens).copysign(f64::from(value)) as f32
            }
            None => f32::from_bits(value.to_bits() ^ (die & 0x3f)),
        }
    }
}
