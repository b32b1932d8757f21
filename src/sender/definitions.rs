//! What a parent is told of a host and its charts before their rows.

use std::sync::Arc;

use super::chart::{SentChart, Stream};
use crate::catalog::{Chart, HostInfo};
use crate::wire::capability::Capabilities;
use crate::wire::command::{
    Algorithm, ChartDefinition, ChartOptions, Command, DimensionDefinition, DimensionOptions, VariableScope,
};
use crate::wire::stream_path::{KEYWORD, PathElement, StreamPath};

/// What samples are multiplied by that go to a parent which takes integers only.
pub(super) const SCALE: i64 = 1_000_000;

impl Stream {
    /// Says of the host what the parent does not know yet.
    pub(super) fn describe_host(&mut self, info: &Arc<HostInfo>) {
        if self.info.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, info)) {
            return;
        }
        let sent = self.info.replace(Arc::clone(info));
        let sent = sent.as_deref();
        let Self { encoder, text, agreed, .. } = self;
        if agreed.contains(Capabilities::CLAIM) && sent.is_none_or(|sent| sent.claim_id != info.claim_id) {
            let machine_guid = info.machine_guid.hyphenated().to_string();
            let claim_id = info.claim_id.map(|id| id.hyphenated().to_string());
            let claim_id = claim_id.as_deref().map(str::as_bytes);
            encoder.encode(&Command::ClaimedId { machine_guid: machine_guid.as_bytes(), claim_id }, text);
        }
        let are_new = sent.map_or(!info.labels.is_empty(), |sent| sent.labels != info.labels);
        if agreed.contains(Capabilities::HLABELS) && are_new {
            for label in info.labels.iter() {
                let (key, value) = (label.name.as_bytes(), label.value.as_bytes());
                encoder.encode(&Command::Label { key, value, source: label.source.bits() }, text);
            }
            encoder.encode(&Command::Overwrite, text);
        }
        for (name, value) in &info.variables {
            if sent.and_then(|sent| sent.variables.get(name)) != Some(value) {
                let (scope, name) = (VariableScope::Host, name.as_bytes());
                encoder.encode(&Command::Variable { scope, name, value: *value }, text);
            }
        }
    }

    /// Says through whom the host's samples come, if the parent does not know it.
    pub(super) fn describe_path(&mut self, path: &Arc<[PathElement]>) {
        if Arc::ptr_eq(&self.path, path) || !self.agreed.contains(Capabilities::PATHS) {
            return;
        }
        let is_news = *self.path != **path;
        self.path = Arc::clone(path);
        // An empty one is of a child that has not said it yet.
        if !is_news || path.is_empty() {
            return;
        }
        let Self { encoder, text, .. } = self;
        encoder.encode(&Command::Json { keyword: KEYWORD }, text);
        // Writing to memory does not fail, and the path's parts are texts and numbers.
        let document = serde_json::to_vec(&StreamPath::of(path)).unwrap_or_default();
        encoder.encode(&Command::Payload(&document), text);
        encoder.encode(&Command::JsonEnd, text);
    }

    /// The lines that define a chart at its place.
    pub(super) fn describe_chart(&mut self, index: usize, chart: &Chart) {
        let Self { encoder, text, agreed, charts, .. } = self;
        let SentChart { scales, slots, .. } = &charts[index];
        let type_name = chart.type_name();
        let name = if chart.name == chart.id {
            ""
        } else {
            let bare = chart.name.strip_prefix(type_name).and_then(|rest| rest.strip_prefix('.'));
            bare.unwrap_or(&chart.name)
        };
        let definition = ChartDefinition {
            chart: slots.chart(index, &chart.id),
            name: name.as_bytes(),
            title: chart.title.as_bytes(),
            units: chart.units.as_bytes(),
            family: chart.family.as_bytes(),
            context: chart.context.as_bytes(),
            chart_type: chart.chart_type,
            priority: chart.priority,
            update_every: chart.update_every,
            options: ChartOptions {
                given: true,
                obsolete: chart.obsolete,
                detail: false,
                store_first: chart.store_first,
                hidden: chart.hidden,
            },
            plugin: chart.plugin.as_bytes(),
            module: chart.module.as_bytes(),
        };
        encoder.encode(&Command::Chart(definition), text);
        if agreed.contains(Capabilities::CLABELS) && !chart.labels.is_empty() {
            for label in chart.labels.iter() {
                let (key, value) = (label.name.as_bytes(), label.value.as_bytes());
                encoder.encode(&Command::ChartLabel { key, value, source: label.source.bits() }, text);
            }
            encoder.encode(&Command::ChartLabelCommit, text);
        }
        for (column, dimension) in chart.dimensions.iter().enumerate() {
            let (algorithm, multiplier, divisor) = if *scales {
                (Algorithm::Absolute, 1, SCALE)
            } else {
                (dimension.algorithm, dimension.multiplier(), dimension.divisor())
            };
            let definition = DimensionDefinition {
                dimension: slots.dimension(column, &dimension.id),
                name: dimension.name().as_bytes(),
                algorithm,
                multiplier,
                divisor,
                options: DimensionOptions {
                    obsolete: dimension.obsolete,
                    hidden: dimension.hidden,
                    no_reset: dimension.no_reset,
                    float: false,
                },
            };
            encoder.encode(&Command::Dimension(definition), text);
        }
        self.describe_functions_of(&chart.id);
        let Self { encoder, text, .. } = self;
        for (name, value) in &chart.variables {
            let (scope, name) = (VariableScope::Chart, name.as_bytes());
            encoder.encode(&Command::Variable { scope, name, value: *value }, text);
        }
    }
}
