//! The rows of real children: recordings of `tests/golden/stream`, replayed through our own receiver, then made longer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dbengine::{Engine, EngineOptions, Keep, SampleFlags, Samples, TimeRange};
use flate2::read::GzDecoder;
use mainstem::catalog::{HostInfo, HostState, Labels};
use mainstem::config::{Limits, MemoryMode, Replication};
use mainstem::receiver::{Mirror, Pace, Receiver, Surroundings};
use mainstem::telemetry::ChildCounters;
use mainstem::wire::Inbound;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::compression::Workspace;
use mainstem::wire::stream_path::PathElement;
use uuid::Uuid;

/// Children of three versions under the same load, and the connections of each, in order.
pub(crate) const CHILDREN: &[(&str, &[&str])] = &[
    ("1.37.1", &["01-v137-lz4.conn0"]),
    ("1.37.1", &["02-v137-plain.conn0"]),
    ("1.37.1", &["08-v137-cut.conn0", "08-v137-cut.conn1"]),
    ("2.9.0", &["05-v2-plain.conn0"]),
    ("2.9.0", &["07-v2-replay.conn0"]),
    ("2.11.0", &["12-v211-plain.conn0"]),
];

/// A chart's rows.
#[derive(Debug)]
pub(crate) struct ChartRows {
    pub(crate) id: String,
    pub(crate) step: u32,
    pub(crate) columns: usize,
    /// In order, strictly.
    pub(crate) times: Vec<i64>,
    /// Row after row.
    pub(crate) values: Vec<f32>,
    /// As many as values, or none.
    pub(crate) flags: Vec<SampleFlags>,
}

impl ChartRows {
    /// The same rows again and again for so many seconds, forwards and backwards by turns, so that no column jumps
    /// where they begin anew. A value that came once in the recording comes again a little different: what did not
    /// repeat must not look as if it did.
    pub(crate) fn looped(&self, seconds: i64) -> ChartRows {
        let last = self.times.len() - 1;
        let mut looped =
            ChartRows { times: vec![], values: vec![], flags: vec![], id: self.id.clone(), ..*self };
        let noise: Vec<Noise> = (0..self.columns).map(|column| Noise::of(&self.column(column))).collect();
        let (mut row, mut forwards, mut time) = (0, true, self.times[0]);
        let mut pass = 0_u32;
        while time < self.times[0] + seconds {
            looped.times.push(time);
            let samples = row * self.columns..(row + 1) * self.columns;
            // The same for all columns: those that were equal stay so.
            let die = (pass * 65_537 + row as u32).wrapping_mul(0x9e37_79b1) >> 16;
            let values = self.values[samples.clone()].iter().zip(&noise);
            looped.values.extend(
                values.map(|(value, noise)| if pass == 0 { *value } else { noise.add(*value, row, die) }),
            );
            looped.flags.extend_from_slice(self.flags.get(samples).unwrap_or_default());
            if last == 0 {
                time += i64::from(self.step);
                continue;
            }
            let turns = if forwards { row == last } else { row == 0 };
            forwards ^= turns;
            pass += u32::from(turns);
            let next = if forwards { row + 1 } else { row - 1 };
            time += (self.times[next] - self.times[row]).abs();
            row = next;
        }
        looped
    }

    fn column(&self, column: usize) -> Vec<f32> {
        self.values.iter().skip(column).step_by(self.columns).copied().collect()
    }
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

/// Replays the connections of one child, as they were cut by the network.
pub(crate) fn replay(directory: &Path, connections: &[&str]) -> Result<Vec<ChartRows>> {
    let limits = Limits {
        charts_per_host: 10_000,
        dimensions_per_host: 100_000,
        slots: 100_000,
        hosts: 1,
        pending_bytes_per_child: 1 << 26,
    };
    let state = HostState::Localhost;
    let mut mirror = Mirror::new(nobody(), state, Keep::Rows(u32::MAX));
    let mut engine = Engine::new(EngineOptions::default());
    let (mut counters, mut pace, mut out) = (ChildCounters::default(), Pace::default(), Vec::new());
    // Recorded children answer what their parents asked, whatever is asked here.
    let replication =
        Replication { enabled: true, period: Duration::from_secs(86_400), step: Duration::from_secs(600) };
    let own = PathElement::new("bench".into(), Uuid::nil());
    for connection in connections {
        let recording = Recording::read(&directory.join(format!("{connection}.ndcap.gz")))
            .with_context(|| format!("recording {connection}"))?;
        let mut receiver = Receiver::new(recording.agreed, replication, "", own.clone());
        let mut inbound = Inbound::new(recording.agreed.compression());
        let mut workspace = Workspace::default();
        let mut partial: Vec<u8> = Vec::new();
        for (now_us, bytes) in recording.pieces {
            partial.extend_from_slice(&bytes);
            let mut around = Surroundings {
                mirror: &mut mirror,
                engine: &mut engine,
                limits: &limits,
                counters: &mut counters,
                pace: &mut pace,
                sender: None,
                now_us,
                out: &mut out,
            };
            let consumed = inbound
                .feed(&partial, &mut workspace, &mut |command| {
                    receiver.apply(command, &mut around).map(|_| ())
                })
                .with_context(|| format!("recording {connection}"))?;
            partial.drain(..consumed);
        }
    }
    Ok(mirror.charts().iter().filter_map(|mirrored| rows(&engine, &mirrored.chart)).collect())
}

/// What the engine holds of a chart; nothing, if it never had a row.
fn rows(engine: &Engine, chart: &mainstem::catalog::Chart) -> Option<ChartRows> {
    let snapshot = engine.read(chart.group, TimeRange::ALL);
    let columns = snapshot.columns();
    let mut all: Vec<Samples> = Vec::new();
    for column in 0..columns {
        let mut samples = Samples::default();
        snapshot.column(column, TimeRange::ALL, &mut samples);
        all.push(samples);
    }
    let times = all.first()?.times.clone();
    if times.is_empty() {
        return None;
    }
    let of_rows = |row: usize| all.iter().map(move |samples| (samples.values[row], samples.flags_at(row)));
    let (values, mut flags): (Vec<_>, Vec<_>) = (0..times.len()).flat_map(of_rows).unzip();
    if flags.iter().all(|flags| *flags == SampleFlags::NONE) {
        flags.clear();
    }
    Some(ChartRows { id: chart.id.to_string(), step: snapshot.step(), columns, times, values, flags })
}

/// One recorded connection.
struct Recording {
    agreed: Capabilities,
    /// What the child sent after its request, and when, in unix microseconds.
    pieces: Vec<(i64, Vec<u8>)>,
}

impl Recording {
    /// The format is described beside the recordings.
    fn read(path: &Path) -> Result<Recording> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut GzDecoder::new(std::fs::File::open(path)?), &mut bytes)?;
        let head_end = bytes.iter().position(|byte| *byte == b'\n').context("no head")?;
        let head: serde_json::Value = serde_json::from_slice(&bytes[..head_end])?;
        let start_us = head["start_unix_ns"].as_i64().context("no start")? / 1000;
        let (mut request, mut requested, mut prompt) = (Vec::new(), false, Vec::new());
        let mut pieces = Vec::new();
        let mut rest = &bytes[head_end + 1..];
        while let Some((header, behind)) = rest.split_first_chunk::<13>() {
            let at_us = i64::from_le_bytes(header[1..9].try_into()?) / 1000;
            let length = u32::from_le_bytes(header[9..13].try_into()?) as usize;
            let (payload, behind) = behind.split_at_checked(length).context("cut short")?;
            rest = behind;
            match header[0] {
                b'C' if requested => pieces.push((start_us + at_us, payload.to_vec())),
                b'C' => {
                    request.extend_from_slice(payload);
                    if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                        requested = true;
                        pieces.push((start_us + at_us, request.split_off(end + 4)));
                    }
                }
                b'P' => prompt.extend_from_slice(payload),
                _ => {}
            }
        }
        let prompt = String::from_utf8_lossy(&prompt);
        let Some((_, version)) = prompt.split_once("version=") else { bail!("no prompt") };
        let digits = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
        Ok(Recording { agreed: Capabilities::from_version(version[..digits].parse()?), pieces })
    }
}

fn nobody() -> HostInfo {
    HostInfo {
        machine_guid: Uuid::nil(),
        hostname: "child".into(),
        registry_hostname: "child".into(),
        os: "linux".into(),
        timezone: "".into(),
        abbrev_timezone: "".into(),
        utc_offset: 0,
        hops: 1,
        update_every: 1,
        program_name: "".into(),
        program_version: "".into(),
        system: Default::default(),
        labels: Labels::default(),
        variables: Default::default(),
        claim_id: None,
        memory_mode: MemoryMode::Dbengine,
        history: 0,
    }
}
