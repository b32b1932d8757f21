//! Recordings of real children: what a parent stored of them, and the [columns](Column) that a load can have of it.
//!
//! A recording is a file of `tests/golden/stream`: one connection, as the network cut it. It is fed to the parent's own
//! receiver, so its collected values have become samples.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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

use crate::value::Column;

/// Decimals that a column may have.
const MOST_DECIMALS: u32 = 3;

/// A chart's rows.
#[derive(Debug)]
pub struct ChartRows {
    pub id: String,
    pub step: u32,
    pub columns: usize,
    /// In order, strictly.
    pub times: Vec<i64>,
    /// Row after row.
    pub values: Vec<f32>,
    /// As many as values, or none.
    pub flags: Vec<SampleFlags>,
}

impl ChartRows {
    /// The samples of a column, row after row.
    pub fn column(&self, column: usize) -> Vec<f32> {
        self.values.iter().skip(column).step_by(self.columns).copied().collect()
    }
}

/// All columns of a recording, in the order of its charts; gaps are left out.
pub fn columns(file: &Path) -> Result<Vec<Column>> {
    let charts = replay(&[file.to_owned()])?;
    let all = charts.iter().flat_map(|chart| (0..chart.columns).map(|column| chart.column(column)));
    let columns: Vec<Column> = all.filter_map(|samples| column(&samples)).collect();
    ensure!(!columns.is_empty(), "there is no sample in {}", file.display());
    Ok(columns)
}

/// As few decimals as the samples have; `None`: there are no samples.
fn column(samples: &[f32]) -> Option<Column> {
    let samples: Vec<f64> =
        samples.iter().filter(|sample| sample.is_finite()).map(|sample| f64::from(*sample)).collect();
    let exact = |divisor: &i64| {
        let divisor = *divisor as f64;
        samples.iter().all(|sample| (((sample * divisor).round() / divisor) as f32) == *sample as f32)
    };
    let most = 10_i64.pow(MOST_DECIMALS);
    let divisor = (0..MOST_DECIMALS).map(|decimals| 10_i64.pow(decimals)).find(exact).unwrap_or(most);
    let values: Vec<i64> = samples.iter().map(|sample| (sample * divisor as f64).round() as i64).collect();
    (!values.is_empty()).then_some(Column { values, divisor })
}

/// Replays the connections of one child, as they were cut by the network.
pub fn replay(connections: &[PathBuf]) -> Result<Vec<ChartRows>> {
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
    let own = PathElement::new("capture".into(), Uuid::nil());
    for connection in connections {
        let context = || format!("recording {}", connection.display());
        let recording = Recording::read(connection).with_context(context)?;
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
                .with_context(context)?;
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

/// A child that nothing is known of.
pub fn nobody() -> HostInfo {
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
