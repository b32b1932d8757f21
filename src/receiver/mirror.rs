//! A child's host as we mirror it: definitions, and what must outlive a connection to go on where it ended.
//!
//! The shard that owns the host owns its `Mirror`. A [`Receiver`](super::Receiver) changes it while the child is
//! connected; between connections it only rests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use dbengine::{Engine, GroupId, GroupKey, Keep, UnixSeconds, prefetch_all, prefetch_slice, tight};
use ecow::EcoString;
use uuid::Uuid;

use super::DisconnectReason;
use super::chart::{ById, ChartIndex, MirroredChart, Moved, chart_name, readable_if_damaged, reading, text};
use super::functions::{MOST_CHARTS_WITH_FUNCTIONS, MOST_FUNCTIONS};
use super::sending::Described;
use crate::catalog::chart::group_key;
use crate::catalog::function::{Function, Functions};
use crate::catalog::{
    CatalogChange, Chart, ChartRecord, Dimension, DimensionFields, HostInfo, HostRecord, HostSnapshot,
    HostState, Labels, Missing,
};
use crate::config::Limits;
use crate::saved::{RestoredChart, SavedRows};
use crate::shard::placement::ShardId;
use crate::wire::command::{ChartDefinition, DimensionDefinition};
use crate::wire::stream_path::PathElement;

/// Charts of the slowest collectors are collected once a day; nothing slower is a time series.
const LONGEST_UPDATE_EVERY: u32 = 86_400;

/// A host as we mirror it.
#[derive(Debug)]
pub struct Mirror {
    info: Arc<HostInfo>,
    state: HostState,
    /// What its child offers now.
    functions: Arc<Functions>,
    /// As its child said, and ourselves.
    stream_path: Arc<[PathElement]>,
    /// The agents behind us, and all of them.
    path_beyond: Vec<PathElement>,
    whole_path: Arc<[PathElement]>,
    node_id: Option<Uuid>,
    charts: Vec<MirroredChart>,
    by_id: ById,
    /// Names that are not their chart's id.
    given_names: HashMap<EcoString, u32, foldhash::quality::RandomState>,
    dimension_count: usize,
    /// Of all charts.
    missing_rows: u64,
    keep: Keep,
    /// Readers do not know the newest.
    changed: bool,
    /// The store does not know the newest facts of the host.
    unsaved: bool,
    /// Charts of which the store does not know the newest, each once.
    unsaved_charts: VecDeque<ChartIndex>,
    /// Charts of which the store does not know what is missing, each once.
    unsaved_missing: VecDeque<ChartIndex>,
    /// Ids of forgotten charts that the store is to forget.
    forgotten: VecDeque<EcoString>,
    /// Charts that their child has called obsolete, and when (unix microseconds), in order of time.
    obsolete: VecDeque<(i64, ChartIndex)>,
    /// Since when its child is not connected; none while it is.
    away_since_us: Option<i64>,
    /// It has given back what only a connected child needs.
    rests: bool,
}

impl Mirror {
    /// A host that we have never seen. `keep` says what of its rows the engine holds.
    pub fn new(info: HostInfo, state: HostState, keep: Keep) -> Self {
        Self {
            info: Arc::new(info),
            state,
            functions: Arc::default(),
            stream_path: Arc::default(),
            path_beyond: Vec::new(),
            whole_path: Arc::default(),
            node_id: None,
            charts: Vec::new(),
            by_id: ById::default(),
            given_names: HashMap::default(),
            dimension_count: 0,
            missing_rows: 0,
            keep,
            changed: true,
            unsaved: true,
            unsaved_charts: VecDeque::new(),
            unsaved_missing: VecDeque::new(),
            forgotten: VecDeque::new(),
            obsolete: VecDeque::new(),
            away_since_us: None,
            rests: false,
        }
    }

    /// A host that the store remembers, and its charts with empty groups of their keys. `charts` are in the order of their
    /// definition.
    pub fn restore(
        host: HostRecord,
        charts: Vec<RestoredChart>,
        keep: Keep,
        engine: &mut Engine,
        now_us: i64,
    ) -> Self {
        let HostRecord { info, seen } = host;
        let state = HostState::Disconnected {
            since: UnixSeconds(seen),
            reason: "not connected since the parent was started".into(),
        };
        let away_since_us = Some(now_us);
        let mut mirror = Self { unsaved: false, away_since_us, ..Self::new(info, state, keep) };
        for RestoredChart { record: mut chart, newest, saved, missing } in charts {
            chart.update_every = chart.update_every.clamp(1, LONGEST_UPDATE_EVERY);
            let columns = chart.dimensions.len();
            let group = mirror.create_group(engine, chart.key, chart.update_every, columns);
            engine.resume_after(group, newest);
            restore_rows(engine, group, saved, columns);
            let ordinal = chart.ordinal;
            let index = mirror.add_chart(chart.into_chart(group), ordinal);
            mirror.charts[index.index()].missing = (!missing.is_empty()).then(|| Box::new(missing));
            mirror.missing_rows += mirror.charts[index.index()].missing_rows();
            let Chart { id, name, obsolete, .. } = &*mirror.charts[index.index()].chart;
            if name != id {
                mirror.given_names.insert(name.clone(), index.0);
            }
            if *obsolete {
                mirror.obsolete.push_back((now_us, index));
            }
        }
        mirror
    }

    pub fn info(&self) -> &HostInfo {
        &self.info
    }

    /// Another one after each change.
    pub fn shared_info(&self) -> &Arc<HostInfo> {
        &self.info
    }

    pub fn state(&self) -> &HostState {
        &self.state
    }

    pub fn charts(&self) -> &[MirroredChart] {
        &self.charts
    }

    pub fn dimension_count(&self) -> usize {
        self.dimension_count
    }

    /// How many rows its child may have and we have not.
    pub fn missing_rows(&self) -> u64 {
        self.missing_rows
    }

    /// Seconds of v1 silence after which a chart starts from scratch: all that is kept of it.
    pub(super) fn longest_pause_us(&self, chart: ChartIndex) -> i64 {
        /// What a Netdata parent with a dbengine uses: the points of one of its pages.
        const SHORTEST_ROWS: i64 = 1024;
        let rows = match self.keep {
            Keep::Nothing | Keep::OnDisk => SHORTEST_ROWS,
            Keep::Rows(rows) => i64::from(rows).max(5),
        };
        rows * i64::from(self.charts[chart.index()].update_every) * 1_000_000
    }

    /// Data of this chart comes, and then of its follower. What will be looked at of it was found in the memory that was asked for
    /// when the chart before it came, and is asked for now. Says which the follower is.
    #[inline]
    pub(super) fn expect_rows(&self, chart: ChartIndex, engine: &Engine) -> ChartIndex {
        let MirroredChart { group, follower, ref collected, .. } = self.charts[chart.index()];
        engine.expect_row_now(group);
        prefetch_slice(collected);
        let Some(next) = self.charts.get(follower.index()) else { return follower };
        engine.expect_row(next.group);
        if let Some(collector) = &next.collector {
            prefetch_all(&**collector);
        }
        if let Some(after) = self.charts.get(next.follower.index()) {
            prefetch_all(after);
        }
        follower
    }

    /// The same host introduced itself again: facts are replaced; labels and variables stay until new ones come. If its
    /// rows are to be held in another way than before, those in memory are dropped.
    pub fn introduce(&mut self, mut info: HostInfo, state: HostState, keep: Keep, engine: &mut Engine) {
        if std::mem::discriminant(&self.keep) != std::mem::discriminant(&keep) {
            self.keep = keep;
            for index in 0..self.charts.len() {
                let Chart { group, key, update_every, ref dimensions, .. } = *self.charts[index].chart;
                let columns = dimensions.len();
                engine.remove_group(group);
                let group = self.create_group(engine, key, update_every, columns);
                let mirrored = &mut self.charts[index];
                mirrored.group = group;
                Arc::make_mut(&mut mirrored.chart).group = group;
            }
        }
        info.labels = self.info.labels.clone();
        info.variables = self.info.variables.clone();
        info.claim_id = self.info.claim_id;
        self.info = Arc::new(info);
        self.away_since_us = None;
        self.rests = false;
        self.set_state(state);
    }

    /// Its child has left, and what it offered with it.
    pub fn leave(&mut self, now_us: i64, reason: Box<str>) {
        self.functions = Arc::default();
        self.stream_path = Arc::default();
        self.path_beyond = Vec::new();
        self.whole_path = Arc::default();
        self.away_since_us = Some(now_us);
        let since = UnixSeconds(now_us.div_euclid(1_000_000));
        self.set_state(HostState::Disconnected { since, reason });
    }

    /// Since when its child is not connected, or since when we know (unix microseconds); none while it is.
    pub fn away_since_us(&self) -> Option<i64> {
        self.away_since_us
    }

    fn set_state(&mut self, state: HostState) {
        self.state = state;
        self.changed = true;
        self.unsaved = true;
    }

    /// Changes facts of the host.
    pub(super) fn change_info(&mut self, change: impl FnOnce(&mut HostInfo)) {
        change(Arc::make_mut(&mut self.info));
        self.changed = true;
        self.unsaved = true;
    }

    /// Sets a number that alerts may use, of a chart or of the host.
    pub(super) fn set_variable(&mut self, chart: Option<ChartIndex>, name: EcoString, value: f64) {
        let variables = match chart {
            Some(chart) => &mut Arc::make_mut(&mut self.charts[chart.index()].chart).variables,
            None => &mut Arc::make_mut(&mut self.info).variables,
        };
        variables.insert(name, value);
        self.changed = true;
    }

    /// Where the description of a chart lies, or that of the host: another one when it has changed.
    pub(super) fn described(&self, chart: Option<ChartIndex>) -> Described {
        match chart {
            Some(chart) => Described::Chart(Arc::as_ptr(&self.charts[chart.index()].chart)),
            None => Described::Host(Arc::as_ptr(&self.info)),
        }
    }

    /// Sets a function that its child offers, of the host or of a chart.
    pub(super) fn set_function(
        &mut self,
        name: EcoString,
        mut function: Function,
        chart: Option<ChartIndex>,
    ) -> Result<(), DisconnectReason> {
        let chart = chart.map(|chart| &self.charts[chart.index()].chart.id);
        let known = self.functions.get(&name);
        if known.is_none() && self.functions.len() >= MOST_FUNCTIONS {
            return Err(DisconnectReason::TooManyFunctions { limit: MOST_FUNCTIONS });
        }
        // One that many charts have is said with each of them, and again whenever they are defined.
        let is_new_there =
            chart.is_some_and(|chart| known.is_none_or(|known: &Function| !known.charts.contains(chart)));
        if is_new_there {
            let charts: usize = self.functions.values().map(|function| function.charts.len()).sum();
            if charts >= MOST_CHARTS_WITH_FUNCTIONS {
                return Err(DisconnectReason::TooManyFunctions { limit: MOST_CHARTS_WITH_FUNCTIONS });
            }
        }
        if is_new_there || known.is_none_or(|known| !known.is_described_as(&function)) {
            let all = Arc::make_mut(&mut self.functions);
            if let Some(known) = all.remove(&name)
                && !function.is_global
            {
                function.charts = known.charts;
            }
            function.charts.extend(chart.cloned());
            all.insert(name, function);
            self.changed = true;
        }
        Ok(())
    }

    /// Its child does not offer a function any more.
    pub(super) fn remove_function(&mut self, name: &EcoString) {
        if self.functions.contains_key(name) {
            Arc::make_mut(&mut self.functions).remove(name);
            self.changed = true;
        }
    }

    /// What its child can be asked to do.
    pub fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// The agents on its way, ourselves last; empty as long as its child has not said it.
    pub fn stream_path(&self) -> &Arc<[PathElement]> {
        &self.stream_path
    }

    /// Sets the agents on its way; whether these are others than before.
    pub(super) fn set_stream_path(&mut self, elements: Vec<PathElement>) -> bool {
        let is_new = *self.stream_path != *elements;
        if is_new {
            self.stream_path = elements.into();
            self.join_path();
        }
        is_new
    }

    /// The agents on its way, those behind us included.
    pub(super) fn whole_path(&self) -> &[PathElement] {
        &self.whole_path
    }

    /// Sets the agents behind us; whether these are others than before.
    pub(super) fn set_path_beyond(&mut self, elements: Vec<PathElement>) -> bool {
        let is_new = self.path_beyond != elements;
        if is_new {
            self.path_beyond = elements;
            self.join_path();
        }
        is_new
    }

    fn join_path(&mut self) {
        self.whole_path = self.stream_path.iter().chain(&self.path_beyond).cloned().collect();
        self.changed = true;
    }

    /// Sets what the cloud of a parent calls it.
    pub(super) fn set_node_id(&mut self, node_id: Option<Uuid>) {
        self.changed |= self.node_id != node_id;
        self.node_id = node_id;
    }

    /// Whether readers' snapshot is older than what we know.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The same, and the answer is no from then on until the next change.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The host is still there: the store is to know when.
    pub fn mark_seen(&mut self) {
        self.unsaved = true;
    }

    /// Whether the store is to know of this host, and does not know the newest.
    pub fn is_unsaved(&self) -> bool {
        let charts =
            !self.unsaved_charts.is_empty() || !self.unsaved_missing.is_empty() || !self.forgotten.is_empty();
        self.info.is_persistent() && (self.unsaved || charts)
    }

    /// Appends what the store is to know, the host first, until there are `most` changes or all.
    pub fn take_unsaved(&mut self, now: UnixSeconds, most: usize, changes: &mut Vec<CatalogChange>) {
        if changes.len() < most && std::mem::take(&mut self.unsaved) {
            let seen = match &self.state {
                HostState::Disconnected { since, .. } => *since,
                HostState::Localhost | HostState::Connected { .. } => now,
            };
            let info = HostInfo::clone(&self.info);
            changes.push(CatalogChange::Host(HostRecord { info, seen: seen.0 }));
        }
        let host = self.info.machine_guid;
        // Before what came since, which may have the same ids.
        while changes.len() < most
            && let Some(chart) = self.forgotten.pop_front()
        {
            changes.push(CatalogChange::ForgetChart { host, chart });
        }
        while changes.len() < most
            && let Some(index) = self.unsaved_charts.pop_front()
        {
            let mirrored = &mut self.charts[index.index()];
            mirrored.unsaved = false;
            let chart = ChartRecord::of(&mirrored.chart, mirrored.ordinal);
            changes.push(CatalogChange::Chart { host, chart });
        }
        while changes.len() < most
            && let Some(index) = self.unsaved_missing.pop_front()
        {
            let mirrored = &mut self.charts[index.index()];
            mirrored.unsaved_missing = false;
            let spans = mirrored.missing.iter().flat_map(|missing| missing.spans());
            let spans = spans.map(|span| (span.first.0, span.last.0)).collect();
            changes.push(CatalogChange::Missing { host, chart: mirrored.chart.id.clone(), spans });
        }
    }

    /// Of which times the chart lacks rows that its child may have.
    pub fn missing(&self, chart: ChartIndex) -> Option<&Missing> {
        self.charts[chart.index()].missing.as_deref()
    }

    /// Changes what is missing of a chart; `change` says whether it did.
    pub(super) fn change_missing(&mut self, chart: ChartIndex, change: impl FnOnce(&mut Missing) -> bool) {
        let mirrored = &mut self.charts[chart.index()];
        self.missing_rows -= mirrored.missing_rows();
        let mut missing = mirrored.missing.take().unwrap_or_default();
        if change(&mut missing) && !std::mem::replace(&mut mirrored.unsaved_missing, true) {
            self.unsaved_missing.push_back(chart);
        }
        mirrored.missing = Some(missing).filter(|missing| !missing.is_empty());
        self.missing_rows += mirrored.missing_rows();
    }

    /// Whether rows of the past are of use.
    pub fn keeps_rows(&self) -> bool {
        self.keep != Keep::Nothing
    }

    /// How many rows of a chart are kept, if that is a number of rows.
    pub(super) fn rows_kept(&self) -> Option<u32> {
        if let Keep::Rows(rows) = self.keep { Some(rows) } else { None }
    }

    /// Seconds between the rows of a chart, and how many dimensions they have.
    pub(super) fn shape(&self, chart: ChartIndex) -> (i64, usize) {
        let MirroredChart { update_every, columns, .. } = self.charts[chart.index()];
        (update_every.into(), columns)
    }

    /// Readers and the store are to know the newest of this chart.
    fn mark_changed(&mut self, chart: ChartIndex) {
        self.changed = true;
        if !std::mem::replace(&mut self.charts[chart.index()].unsaved, true) {
            self.unsaved_charts.push_back(chart);
        }
    }

    /// What readers see of it.
    pub fn snapshot(&self, shard: ShardId) -> HostSnapshot {
        HostSnapshot {
            info: Arc::clone(&self.info),
            state: self.state.clone(),
            shard,
            charts: self.charts.iter().map(|mirrored| Arc::clone(&mirrored.chart)).collect(),
            functions: Arc::clone(&self.functions),
            stream_path: Arc::clone(&self.whole_path),
            node_id: self.node_id,
        }
    }

    pub(super) fn chart(&mut self, index: ChartIndex) -> &mut MirroredChart {
        &mut self.charts[index.index()]
    }

    /// The chart of this id, looked for.
    #[cold]
    pub fn search(&self, id: &[u8]) -> Option<ChartIndex> {
        let found = self.by_id.get(id).copied();
        found.or_else(|| self.by_id.get(readable_if_damaged(id)?.as_bytes()).copied()).map(ChartIndex)
    }

    /// `CHART`: a new chart, or a known one with new metadata; its dimensions stay.
    pub(super) fn define_chart(
        &mut self,
        definition: &ChartDefinition<'_>,
        limits: &Limits,
        engine: &mut Engine,
        now_us: i64,
    ) -> Result<ChartIndex, DisconnectReason> {
        let id = text(definition.chart.id);
        let valid =
            id.split_once('.').is_some_and(|(type_name, rest)| !type_name.is_empty() && !rest.is_empty());
        if !valid {
            return Err(DisconnectReason::ChartId { id });
        }
        let update_every = match definition.update_every {
            0 => self.info.update_every,
            given => given,
        }
        .clamp(1, LONGEST_UPDATE_EVERY);
        let known = self.search(definition.chart.id);
        let (key, group, dimensions, labels, variables, was_obsolete) = match known {
            Some(index) => {
                let chart = &self.charts[index.index()].chart;
                (
                    chart.key,
                    chart.group,
                    chart.dimensions.clone(),
                    chart.labels.clone(),
                    chart.variables.clone(),
                    chart.obsolete,
                )
            }
            None if self.charts.len() >= limits.charts_per_host => {
                return Err(DisconnectReason::TooManyCharts { limit: limits.charts_per_host });
            }
            None => {
                let key = group_key(&self.info.machine_guid, &id, now_us);
                let group = self.create_group(engine, key, update_every, 0);
                (key, group, Vec::new(), Labels::default(), BTreeMap::new(), false)
            }
        };
        let or_else =
            |value: &[u8], default: &str| if value.is_empty() { default.into() } else { text(value) };
        let type_name = id.split_once('.').map_or(&*id, |(type_name, _)| type_name);
        let mut chart = Chart {
            name: chart_name(&id, type_name, definition.name),
            title: text(definition.title),
            units: or_else(definition.units, "unknown"),
            family: or_else(definition.family, type_name),
            context: or_else(definition.context, &id),
            chart_type: definition.chart_type,
            priority: definition.priority,
            update_every,
            plugin: text(definition.plugin),
            module: text(definition.module),
            hidden: definition.options.hidden,
            obsolete: if definition.options.given { definition.options.obsolete } else { was_obsolete },
            store_first: definition.options.store_first,
            labels,
            dimensions,
            variables,
            key,
            group,
            id,
        };
        if let Some(index) = known {
            let mirrored = &mut self.charts[index.index()];
            if let Some(collector) = &mut mirrored.collector {
                collector.redefine(update_every, chart.store_first);
            }
            if mirrored.update_every != update_every {
                self.missing_rows -= mirrored.missing_rows();
                mirrored.update_every = update_every;
                self.missing_rows += mirrored.missing_rows();
                engine.set_step(group, update_every);
            }
            if chart.name != mirrored.chart.name {
                let previous = mirrored.chart.name.clone();
                self.given_names.remove(&previous);
                chart.name = self.take_name(chart.name, &chart.id, index);
            }
            let became_obsolete = chart.obsolete && !was_obsolete;
            let mirrored = &mut self.charts[index.index()];
            if *mirrored.chart != chart {
                mirrored.chart = Arc::new(chart);
                self.mark_changed(index);
            }
            if became_obsolete {
                self.obsolete.push_back((now_us, index));
            }
            return Ok(index);
        }
        let index = ChartIndex(self.charts.len() as u32);
        chart.name = self.take_name(chart.name, &chart.id, index);
        if chart.obsolete {
            self.obsolete.push_back((now_us, index));
        }
        let ordinal = self.charts.last().map_or(0, |last| last.ordinal + 1);
        let index = self.add_chart(chart, ordinal);
        if std::str::from_utf8(definition.chart.id).is_err() {
            self.by_id.insert(definition.chart.id.into(), index.0);
        }
        self.mark_changed(index);
        Ok(index)
    }

    /// A chart that was not there, with all of its dimensions.
    fn add_chart(&mut self, mut chart: Chart, ordinal: u32) -> ChartIndex {
        let index = ChartIndex(self.charts.len() as u32);
        self.by_id.insert(chart.id.as_bytes().into(), index.0);
        if let Some(before) = self.charts.last() {
            chart.labels.share(&before.chart.labels);
        }
        self.dimension_count += chart.dimensions.len();
        tight::push(
            &mut self.charts,
            MirroredChart {
                group: chart.group,
                update_every: chart.update_every,
                columns: chart.dimensions.len(),
                ordinal,
                unsaved: false,
                unsaved_missing: false,
                missing: None,
                chart: Arc::new(chart),
                collector: None,
                collected: Vec::new(),
                collected_at: 0,
                follower: ChartIndex(index.0 + 1),
                dimensions_by_id: None,
            },
        );
        index
    }

    /// The charts that are obsolete since `before_us` or longer, each told once. One that was collected since is looked
    /// at again as long after.
    pub fn take_obsolete(&mut self, before_us: i64, engine: &Engine) -> Vec<ChartIndex> {
        let mut gone = Vec::new();
        while let Some(&(since_us, index)) = self.obsolete.front()
            && since_us <= before_us
        {
            self.obsolete.pop_front();
            let mirrored = &self.charts[index.index()];
            let newest_us =
                engine.newest(mirrored.group).map_or(0, |(time, _)| time.0.saturating_mul(1_000_000));
            if !mirrored.chart.obsolete {
                continue;
            }
            if newest_us > before_us {
                let at = self.obsolete.partition_point(|(since_us, _)| *since_us <= newest_us);
                self.obsolete.insert(at, (newest_us, index));
            } else {
                gone.push(index);
            }
        }
        gone
    }

    /// The chart of this id, if it has this key.
    pub fn chart_of(&self, id: &str, key: u128) -> Option<ChartIndex> {
        let index = ChartIndex(*self.by_id.get(id.as_bytes())?);
        (self.charts[index.index()].chart.key == key).then_some(index)
    }

    /// Forgets charts with their rows. The others move up, and keep their order.
    pub fn forget(&mut self, gone: &[ChartIndex], engine: &mut Engine) -> Moved {
        let mut stays = vec![true; self.charts.len()];
        gone.iter().for_each(|index| stays[index.index()] = false);
        let mut left = 0..;
        let moved = stays.iter().map(|stays| stays.then(|| ChartIndex(left.next().unwrap_or_default())));
        let moved = Moved(moved.collect());
        let is_persistent = self.info.is_persistent();
        let mut stays = stays.into_iter();
        self.charts.retain(|mirrored| {
            let stays = stays.next().unwrap_or(true);
            if !stays {
                engine.remove_group(mirrored.group);
                self.dimension_count -= mirrored.columns;
                self.missing_rows -= mirrored.missing_rows();
                if is_persistent {
                    self.forgotten.push_back(mirrored.chart.id.clone());
                }
            }
            stays
        });
        for (index, mirrored) in self.charts.iter_mut().enumerate() {
            mirrored.follower = moved.place(mirrored.follower).unwrap_or(ChartIndex(index as u32 + 1));
        }
        let place = |index: &mut u32| match moved.place(ChartIndex(*index)) {
            Some(place) => {
                *index = place.0;
                true
            }
            None => false,
        };
        self.by_id.retain(|_, index| place(index));
        self.given_names.retain(|_, index| place(index));
        self.unsaved_charts.retain_mut(|index| place(&mut index.0));
        self.unsaved_missing.retain_mut(|index| place(&mut index.0));
        self.obsolete.retain_mut(|(_, index)| place(&mut index.0));
        self.changed = true;
        moved
    }

    /// Forgets all charts with their rows: the host is about to be dropped.
    pub fn forget_all(&mut self, engine: &mut Engine) {
        self.charts.drain(..).for_each(|mirrored| engine.remove_group(mirrored.group));
    }

    /// Gives back memory that only a connected child needs. A chart that is collected again begins from scratch.
    pub fn rest(&mut self) {
        if std::mem::replace(&mut self.rests, true) {
            return;
        }
        for mirrored in &mut self.charts {
            mirrored.collector = None;
            mirrored.collected = Vec::new();
            mirrored.dimensions_by_id = None;
        }
    }

    /// A group for the samples that are known on disk by this key.
    fn create_group(&self, engine: &mut Engine, key: u128, step: u32, columns: usize) -> GroupId {
        engine.create_group(GroupKey(key), step, columns, self.keep)
    }

    /// Gives a chart a name that no other chart has: `_1`, `_2` and so on is appended where needed.
    fn take_name(&mut self, wanted: EcoString, id: &str, index: ChartIndex) -> EcoString {
        if *wanted == *id && !self.given_names.contains_key(&wanted) {
            return wanted;
        }
        let of_another = |owner: Option<&u32>| owner.is_some_and(|owner| *owner != index.0);
        let taken = |name: &str| {
            of_another(self.given_names.get(name)) || of_another(self.by_id.get(name.as_bytes()))
        };
        let mut name = wanted.clone();
        for number in 1.. {
            if !taken(&name) {
                break;
            }
            name = format!("{wanted}_{number}").into();
        }
        self.given_names.insert(name.clone(), index.0);
        name
    }

    /// `DIMENSION` of the chart: a new one, or a known one redefined. Says its place.
    pub(super) fn define_dimension(
        &mut self,
        chart: ChartIndex,
        definition: &DimensionDefinition<'_>,
        limits: &Limits,
        engine: &mut Engine,
    ) -> Result<usize, DisconnectReason> {
        let mirrored = &mut self.charts[chart.index()];
        let id = text(definition.dimension.id);
        let dimension = Dimension::from(DimensionFields {
            name: if definition.name.is_empty() { id.clone() } else { text(definition.name) },
            id,
            algorithm: definition.algorithm,
            multiplier: definition.multiplier,
            divisor: definition.divisor,
            hidden: definition.options.hidden,
            obsolete: definition.options.obsolete,
            no_reset: definition.options.no_reset,
        });
        if let Some(index) = mirrored.search_dimension(definition.dimension.id) {
            if mirrored.chart.dimensions[index] != dimension {
                if let Some(collector) = &mut mirrored.collector {
                    collector.redefine_dimension(index, reading(&dimension));
                }
                Arc::make_mut(&mut mirrored.chart).dimensions[index] = dimension;
                self.mark_changed(chart);
            }
            return Ok(index);
        }
        if self.dimension_count >= limits.dimensions_per_host {
            return Err(DisconnectReason::TooManyDimensions { limit: limits.dimensions_per_host });
        }
        if let Some(collector) = &mut mirrored.collector {
            collector.add_dimension(reading(&dimension));
        }
        mirrored.columns += 1;
        let definition = Arc::make_mut(&mut mirrored.chart);
        tight::push(&mut definition.dimensions, dimension);
        engine.widen(definition.group, definition.dimensions.len());
        let index = definition.dimensions.len() - 1;
        self.dimension_count += 1;
        self.mark_changed(chart);
        Ok(index)
    }

    /// Gives a chart other labels.
    pub(super) fn label_chart(&mut self, chart: ChartIndex, mut labels: Labels) {
        if let Some(before) = chart.index().checked_sub(1) {
            labels.share(&self.charts[before].chart.labels);
        }
        let mirrored = &mut self.charts[chart.index()];
        if mirrored.chart.labels != labels {
            Arc::make_mut(&mut mirrored.chart).labels = labels;
            self.mark_changed(chart);
        }
    }

    /// Changes the seconds between a chart's samples, for the samples to come.
    pub(super) fn set_update_every(&mut self, chart: ChartIndex, update_every: u32, engine: &mut Engine) {
        let update_every = update_every.clamp(1, LONGEST_UPDATE_EVERY);
        let mirrored = &mut self.charts[chart.index()];
        if mirrored.update_every == update_every {
            return;
        }
        self.missing_rows -= mirrored.missing_rows();
        mirrored.update_every = update_every;
        self.missing_rows += mirrored.missing_rows();
        let description = Arc::make_mut(&mut mirrored.chart);
        description.update_every = update_every;
        engine.set_step(description.group, update_every);
        let store_first = description.store_first;
        if let Some(collector) = &mut mirrored.collector {
            collector.redefine(update_every, store_first);
        }
        self.mark_changed(chart);
    }
}

/// Gives a group without rows back what was saved of it. A page with more columns than the chart has would be of no use: its
/// chart is not this one.
fn restore_rows(engine: &mut Engine, group: GroupId, saved: SavedRows, columns: usize) {
    // What is stale was saved twice.
    for page in saved.pages.into_iter().filter(|page| page.columns() <= columns) {
        let _ = engine.restore_page(group, page);
    }
    for mut row in saved.rows {
        let _ = engine.append(group, row.time, row.row(columns));
    }
}
