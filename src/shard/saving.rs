//! What a shard writes to files of its hosts whose memory mode is `save` or `map`; their form is [`crate::saved`]'s.
//!
//! ```text
//! save    asked for, or at the stop:   each host's file written anew
//! map     every second:                rows since the last time appended to the host's file
//!         now and then:                the file written anew, when it is twice as long as what it was begun with
//! ```
//!
//! Writing is another thread's. What is on its way there is bounded in bytes: while a slow disk has not taken it, no more is
//! made, and rows wait where they are anyway, in the engine. A file that could not be written is written anew later.

use std::collections::{HashMap, VecDeque};
use std::mem;

use dbengine::{TimeRange, UnixSeconds};
use uuid::Uuid;

use super::event::Action;
use super::{HostIndex, Shard};
use crate::config::MemoryMode;
use crate::receiver::Mirror;
use crate::saved::Encoder;

/// How often rows of mode `map` are appended: what the end of the process costs at most, with what is under way.
const APPEND_EVERY_US: i64 = 1_000_000;
/// Bytes that may be on their way to files; a host's file is made whole all the same.
const UNDER_WAY: u64 = 32 << 20;
/// Charts that one turn looks at, and then all of one host.
const CHARTS_A_TURN: usize = 2048;
/// Appended rows that are not worth a new file.
const LEAST_APPENDED: u64 = 256 << 10;
/// A file that could not be written is tried again so long after.
const RETRY_AFTER_US: i64 = 5_000_000;

/// A change of a host's file of rows.
#[derive(Debug)]
pub enum RowsOp {
    /// The file is to have these bytes; all of them, or what it had before.
    Replace { host: Uuid, bytes: Vec<u8>, contents: Contents },
    /// These bytes are to follow on its end.
    Append { host: Uuid, bytes: Vec<u8> },
    /// There is to be no file.
    Remove { host: Uuid },
    /// All files that were to be saved have been handed over.
    Saved { hosts: u64 },
}

impl RowsOp {
    /// Bytes to be written.
    pub fn bytes(&self) -> u64 {
        match self {
            RowsOp::Replace { bytes, .. } | RowsOp::Append { bytes, .. } => bytes.len() as u64,
            RowsOp::Remove { .. } | RowsOp::Saved { .. } => 0,
        }
    }
}

/// What a file was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// It is of mode `save`.
    pub is_saved: bool,
    pub charts: u64,
    pub rows: u64,
}

/// What of a host of mode `map` is in its file.
#[derive(Debug, Default)]
struct Mapped {
    /// By chart: the newest row.
    written: Vec<UnixSeconds>,
    /// By chart: the dimensions of its definition there.
    dimensions: Vec<usize>,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes that it was begun with; 0: it is to be begun.
    begun: u64,
    /// Not to be written before (unix microseconds).
    not_before_us: i64,
    /// Its child is away, and all is written.
    is_quiet: bool,
}

/// The files of a shard's hosts.
#[derive(Debug, Default)]
pub(super) struct Saving {
    mapped: HashMap<Uuid, Mapped>,
    /// Hosts of mode `map` that are still to be looked at this second.
    round: VecDeque<Uuid>,
    round_us: i64,
    /// Hosts of mode `save` that are still to be written, while they are being saved.
    to_save: Option<VecDeque<Uuid>>,
    saved_hosts: u64,
    /// Bytes ever handed out, and ever written.
    handed_out: u64,
    written: u64,
}

impl Saving {
    /// So many bytes of what was ever handed out are no longer on their way.
    pub(super) fn set_written(&mut self, bytes: u64) {
        self.written = bytes;
    }

    /// A host's file could not be written.
    pub(super) fn failed(&mut self, now_us: i64, host: &Uuid) {
        if let Some(mapped) = self.mapped.get_mut(host) {
            *mapped = Mapped { not_before_us: now_us + RETRY_AFTER_US, ..Mapped::default() };
        }
    }

    /// The host is gone, or its charts have other places now: a file of it is begun anew.
    pub(super) fn forget(&mut self, host: &Uuid) {
        self.mapped.remove(host);
    }

    /// The host has a child.
    pub(super) fn wake(&mut self, host: &Uuid) {
        if let Some(mapped) = self.mapped.get_mut(host) {
            mapped.is_quiet = false;
        }
    }

    fn has_room(&self) -> bool {
        self.handed_out - self.written < UNDER_WAY
    }

    pub(super) fn hand_out(&mut self, op: RowsOp, actions: &mut Vec<Action>) {
        self.handed_out += op.bytes();
        actions.push(Action::Rows(op));
    }
}

impl Shard {
    /// Hosts of mode `save` are to be written, unless they are being written already.
    pub(super) fn save(&mut self) {
        if self.saving.to_save.is_none() {
            let saved = |mirror: &&Mirror| mirror.info().memory_mode == MemoryMode::Save;
            let hosts = self.hosts.iter().filter(saved).map(|mirror| mirror.info().machine_guid);
            self.saving.to_save = Some(hosts.collect());
        }
    }

    /// Writes what is due, a bounded part of it.
    pub(super) fn keep_rows(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        if self.saving.round.is_empty() && now_us - self.saving.round_us >= APPEND_EVERY_US {
            self.begin_round(now_us);
        }
        let mut charts = 0;
        while charts < CHARTS_A_TURN
            && self.saving.has_room()
            && let Some(guid) = self.saving.round.pop_front()
        {
            if let Some(&host) = self.by_guid.get(&guid) {
                charts += self.hosts[host].charts().len();
                self.map_host(now_us, host, actions);
            }
        }
        while charts < CHARTS_A_TURN
            && self.saving.has_room()
            && let Some(to_save) = &mut self.saving.to_save
        {
            match to_save.pop_front() {
                Some(guid) => charts += self.save_host(now_us, &guid, actions),
                None => {
                    self.saving.to_save = None;
                    let hosts = mem::take(&mut self.saving.saved_hosts);
                    self.saving.hand_out(RowsOp::Saved { hosts }, actions);
                }
            }
        }
    }

    /// The shard stops: all is written once more.
    pub(super) fn save_all(&mut self, now_us: i64) {
        // One that is under way may have passed hosts by that got rows since.
        self.saving.to_save = None;
        self.save();
        self.begin_round(now_us);
    }

    /// Whether something is left to be handed out.
    pub fn is_saving(&self) -> bool {
        self.saving.to_save.is_some() || !self.saving.round.is_empty()
    }

    fn begin_round(&mut self, now_us: i64) {
        self.saving.round_us = now_us;
        let mapped = |mirror: &&Mirror| mirror.info().memory_mode == MemoryMode::Map;
        let guids = self.hosts.iter().filter(mapped).map(|mirror| mirror.info().machine_guid);
        self.saving.round.clear();
        self.saving.round.extend(guids);
    }

    /// Writes a host's file anew. Says how many charts it has.
    fn save_host(&mut self, now_us: i64, guid: &Uuid, actions: &mut Vec<Action>) -> usize {
        let Some(&host) = self.by_guid.get(guid) else { return 0 };
        let (bytes, contents) = self.encode(now_us, host);
        self.saving.saved_hosts += 1;
        self.saving.hand_out(RowsOp::Replace { host: *guid, bytes, contents }, actions);
        self.hosts[host].charts().len()
    }

    /// Appends the newest rows of a host to its file, or begins it anew.
    fn map_host(&mut self, now_us: i64, host: HostIndex, actions: &mut Vec<Action>) {
        let guid = self.hosts[host].info().machine_guid;
        let is_away = self.hosts[host].away_since_us().is_some();
        let mut mapped = self.saving.mapped.remove(&guid).unwrap_or_default();
        if now_us >= mapped.not_before_us && !mapped.is_quiet {
            mapped.is_quiet = is_away;
            if mapped.begun == 0 || mapped.bytes > 2 * mapped.begun + LEAST_APPENDED {
                self.begin_file(now_us, host, &mut mapped, actions);
            } else {
                self.append(host, &mut mapped, actions);
            }
        }
        self.saving.mapped.insert(guid, mapped);
    }

    fn begin_file(&mut self, now_us: i64, host: HostIndex, mapped: &mut Mapped, actions: &mut Vec<Action>) {
        let (bytes, contents) = self.encode(now_us, host);
        let mirror = &self.hosts[host];
        let newest = |group| self.engine.span(group).map_or(UnixSeconds(i64::MIN), |span| span.last);
        mapped.written = mirror.charts().iter().map(|mirrored| newest(mirrored.chart.group)).collect();
        mapped.dimensions = mirror.charts().iter().map(|mirrored| mirrored.chart.dimensions.len()).collect();
        (mapped.bytes, mapped.begun) = (bytes.len() as u64, bytes.len() as u64);
        let host = mirror.info().machine_guid;
        self.saving.hand_out(RowsOp::Replace { host, bytes, contents }, actions);
    }

    fn append(&mut self, host: HostIndex, mapped: &mut Mapped, actions: &mut Vec<Action>) {
        let mirror = &self.hosts[host];
        let guid = mirror.info().machine_guid;
        let mut encoder = Encoder::default();
        mapped.written.resize(mirror.charts().len(), UnixSeconds(i64::MIN));
        mapped.dimensions.resize(mirror.charts().len(), 0);
        let state = mapped.written.iter_mut().zip(&mut mapped.dimensions);
        for (number, (mirrored, (written, dimensions))) in mirror.charts().iter().zip(state).enumerate() {
            let chart = &*mirrored.chart;
            if self.engine.newest(chart.group).is_none_or(|(newest, _)| newest <= *written) {
                continue;
            }
            let number = number as u32;
            if *dimensions < chart.dimensions.len() {
                encoder.chart(number, guid, chart, mirrored.ordinal());
                *dimensions = chart.dimensions.len();
            }
            let window = TimeRange { first: written.plus(1), last: TimeRange::ALL.last };
            let snapshot = self.engine.read(chart.group, window);
            encoder.rows(number, &snapshot);
            if let Some(span) = snapshot.span() {
                *written = span.last;
            }
        }
        if !encoder.is_empty() {
            let bytes = encoder.finish();
            mapped.bytes += bytes.len() as u64;
            self.saving.hand_out(RowsOp::Append { host: guid, bytes }, actions);
        }
    }

    /// A host's file as a whole.
    fn encode(&self, now_us: i64, host: HostIndex) -> (Vec<u8>, Contents) {
        let mirror = &self.hosts[host];
        let guid = mirror.info().machine_guid;
        let mut encoder = Encoder::begin(&guid, UnixSeconds(now_us.div_euclid(1_000_000)));
        let is_saved = mirror.info().memory_mode == MemoryMode::Save;
        let mut contents = Contents { is_saved, ..Contents::default() };
        for (number, mirrored) in mirror.charts().iter().enumerate() {
            encoder.chart(number as u32, guid, &mirrored.chart, mirrored.ordinal());
            let snapshot = self.engine.read(mirrored.chart.group, TimeRange::ALL);
            contents.rows += encoder.pages(number as u32, &snapshot);
            contents.charts += 1;
        }
        (encoder.finish(), contents)
    }
}
