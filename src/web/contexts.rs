//! `contexts` and `context`: a host's charts, those of one context together.
//!
//! Left out of Netdata's members: the state of its queues (`queue`) and the ids of dimensions (`uuids`), which have none here.

use std::collections::HashMap;
use std::sync::Arc;

use dbengine::TimeRange;
use ecow::EcoString;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Api;
use super::answer::{Answer, JSON};
use super::request::Target;
use super::v1::type_name;
use crate::catalog::{Chart, Dimension, HostSnapshot, Labels};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};
use crate::query::{Parameters, Window, chart_labels, leading_integer};

/// What of a context is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    charts: bool,
    dimensions: bool,
    labels: bool,
    uuids: bool,
    flags: bool,
    deleted: bool,
    /// Charts that are not to be drawn, too.
    hidden: bool,
}

impl Shown {
    fn of(options: &str) -> Shown {
        let mut shown = Shown::default();
        for word in options.split([',', ' ', '|']) {
            match word {
                "full" | "all" => {
                    shown = Shown {
                        charts: true,
                        dimensions: true,
                        labels: true,
                        uuids: true,
                        flags: true,
                        deleted: true,
                        hidden: true,
                    };
                }
                "charts" | "instances" => shown.charts = true,
                "dimensions" | "metrics" => shown.dimensions = true,
                "labels" => shown.labels = true,
                "uuids" => shown.uuids = true,
                "flags" => shown.flags = true,
                "deleted" => shown.deleted = true,
                "hidden" => shown.hidden = true,
                _ => {}
            }
        }
        // A dimension is shown with its chart, and so is a label.
        shown.charts |= shown.dimensions;
        shown
    }
}

/// Which charts and dimensions are wanted.
struct Filter {
    label_keys: Option<SimplePattern>,
    labels: Option<SimplePattern>,
    dimensions: Option<SimplePattern>,
    /// Only what has samples in it.
    window: Option<Window>,
}

impl Filter {
    fn of(target: &Target, now: i64) -> Filter {
        let pattern =
            |names: &[&str]| target.parameter_of(names).map(|list| SimplePattern::new(list, API_SEPARATORS));
        let edge = |name: &str| target.parameter(name).map(leading_integer).filter(|edge| *edge != 0);
        let window = edge("after").zip(edge("before")).map(|(after, before)| {
            let parameters = Parameters { after, before, ..Parameters::default() };
            Window::resolve(&parameters, TimeRange::ALL, now)
        });
        Filter {
            label_keys: pattern(&["chart_label_key"]),
            labels: pattern(&["chart_labels_filter"]),
            dimensions: pattern(&["dimension", "dim", "dimensions", "dims"]),
            window,
        }
    }

    fn wants(&self, chart: &Chart, span: Option<TimeRange>) -> bool {
        let has_key = |keys: &SimplePattern| chart_labels(chart).any(|(name, _)| keys.matches(name));
        let has_label = |labels: &SimplePattern| {
            chart_labels(chart).any(|(name, value)| labels.matches(format!("{name}:{value}").as_str()))
        };
        let is_in = |window: &Window| {
            span.is_some_and(|span| span.last.0 >= window.after && span.first.0 <= window.before)
        };
        self.label_keys.as_ref().is_none_or(has_key)
            && self.labels.as_ref().is_none_or(has_label)
            && self.window.as_ref().is_none_or(is_in)
            && (self.dimensions.is_none() || chart.dimensions.iter().any(|one| self.wants_dimension(one)))
    }

    fn wants_dimension(&self, dimension: &Dimension) -> bool {
        self.dimensions.as_ref().is_none_or(|pattern| {
            pattern.matches(dimension.id.as_bytes()) || pattern.matches(dimension.name().as_bytes())
        })
    }
}

/// A chart, and what is known of its samples.
struct Instance<'a> {
    chart: &'a Chart,
    span: Option<TimeRange>,
    collected: bool,
}

impl Instance<'_> {
    fn first(&self) -> i64 {
        self.span.map_or(0, |span| span.first.0)
    }

    /// Of one that is collected, now.
    fn last(&self, now: i64) -> i64 {
        if self.collected { now } else { self.span.map_or(0, |span| span.last.0) }
    }
}

/// The charts of one context, the first as it was defined.
struct Context<'a> {
    id: &'a EcoString,
    instances: Vec<Instance<'a>>,
}

#[derive(Serialize)]
struct ContextObject {
    title: String,
    units: EcoString,
    family: String,
    chart_type: &'static str,
    priority: i64,
    first_time_t: i64,
    last_time_t: i64,
    collected: bool,
    #[serde(flatten)]
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    charts: Option<Map<String, Value>>,
}

#[derive(Serialize)]
struct InstanceObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    name: EcoString,
    context: EcoString,
    title: EcoString,
    units: EcoString,
    family: EcoString,
    chart_type: &'static str,
    priority: i64,
    update_every: u32,
    first_time_t: i64,
    last_time_t: i64,
    collected: bool,
    #[serde(flatten)]
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<Map<String, Value>>,
}

#[derive(Serialize)]
struct DimensionObject {
    name: EcoString,
    first_time_t: i64,
    last_time_t: i64,
    collected: bool,
    #[serde(flatten)]
    state: State,
}

/// Members that are there when they were asked for.
#[derive(Serialize)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'static str>,
}

impl State {
    fn of(collected: bool, shown: Shown) -> State {
        // Netdata's words, with its space.
        let flags = if collected { "COLLECTED LIVE_RETENTION " } else { "ARCHIVED " };
        State { deleted: shown.deleted.then_some(false), flags: shown.flags.then_some(flags) }
    }
}

/// `/api/v1/contexts`: all of a host's.
pub(super) async fn all(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let shown = Shown::of(target.parameter("options").unwrap_or_default());
    let Some(found) = find(api, host, target, shown, None).await else { return Answer::overloaded() };
    let now = api.clock.now();
    let mut object = Map::new();
    let hyphenated =
        |id: Option<Uuid>| Value::from(id.map_or_else(String::new, |id| id.hyphenated().to_string()));
    object.insert("hostname".into(), Value::from(&*host.info.hostname));
    object.insert("machine_guid".into(), hyphenated(Some(host.info.machine_guid)));
    object.insert("node_id".into(), hyphenated(host.node_id));
    object.insert("claim_id".into(), hyphenated(host.info.claim_id));
    if shown.labels {
        object.insert("host_labels".into(), Value::Object(labels(&host.info.labels)));
    }
    let filter = Filter::of(target, now);
    let contexts = found
        .iter()
        .map(|context| (context.id.to_string(), json(&context_object(context, &filter, shown, now))));
    object.insert("contexts".into(), Value::Object(contexts.collect()));
    Answer::json(&object)
}

/// `/api/v1/context?context=<id>`.
pub(super) async fn one(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let Some(id) = target.parameter_of(&["context", "ctx"]) else {
        return Answer::error(StatusCode::BAD_REQUEST, "No context is given at the request.");
    };
    let shown = Shown::of(target.parameter("options").unwrap_or_default());
    let Some(found) = find(api, host, target, shown, Some(id)).await else { return Answer::overloaded() };
    let now = api.clock.now();
    match found.first() {
        Some(context) => Answer::json(&context_object(context, &Filter::of(target, now), shown, now)),
        None => Answer { status: StatusCode::NOT_FOUND, ..Answer::new(JSON, Vec::new()) },
    }
}

/// Contexts in the order of their first charts; `None` when the shard does not answer in time.
async fn find<'a>(
    api: &Api,
    host: &'a HostSnapshot,
    target: &Target,
    shown: Shown,
    only: Option<&str>,
) -> Option<Vec<Context<'a>>> {
    let filter = Filter::of(target, api.clock.now());
    let is_wanted = |chart: &&Arc<Chart>| {
        (shown.hidden || !chart.hidden) && only.is_none_or(|only| &*chart.context == only)
    };
    let charts: Vec<&Chart> = host.charts.iter().filter(is_wanted).map(|chart| &**chart).collect();
    let spans = api.spans(host.shard, &charts).await?;
    let mut contexts: Vec<Context<'a>> = Vec::new();
    let mut places = HashMap::new();
    for (chart, span) in charts.into_iter().zip(spans).filter(|(chart, span)| filter.wants(chart, *span)) {
        let collected = host.state.is_reachable() && !chart.obsolete;
        let place = *places.entry(&chart.context).or_insert_with(|| {
            contexts.push(Context { id: &chart.context, instances: Vec::new() });
            contexts.len() - 1
        });
        contexts[place].instances.push(Instance { chart, span, collected });
    }
    Some(contexts)
}

fn context_object(context: &Context<'_>, filter: &Filter, shown: Shown, now: i64) -> ContextObject {
    let charts = || context.instances.iter().map(|instance| instance.chart);
    let first = context.instances.iter().map(Instance::first).filter(|first| *first > 0).min();
    let collected = context.instances.iter().any(|instance| instance.collected);
    let first_chart = charts().next();
    let objects = shown.charts.then(|| {
        let objects = context.instances.iter().map(|instance| {
            (instance.chart.id.to_string(), json(&instance_object(instance, filter, shown, now)))
        });
        objects.collect()
    });
    ContextObject {
        title: merged(charts().map(|chart| &*chart.title)),
        units: first_chart.map_or_else(EcoString::new, |chart| chart.units.clone()),
        family: merged(charts().map(|chart| &*chart.family)),
        chart_type: first_chart.map_or("line", |chart| type_name(chart.chart_type)),
        priority: charts().map(|chart| chart.priority).min().unwrap_or(0),
        first_time_t: first.unwrap_or(0),
        last_time_t: context.instances.iter().map(|instance| instance.last(now)).max().unwrap_or(0),
        collected,
        state: State::of(collected, shown),
        charts: objects,
    }
}

fn instance_object(instance: &Instance<'_>, filter: &Filter, shown: Shown, now: i64) -> InstanceObject {
    let Instance { chart, collected, .. } = *instance;
    let dimensions = shown.dimensions.then(|| {
        let wanted = chart.dimensions.iter().filter(|dimension| filter.wants_dimension(dimension));
        let objects = wanted.map(|dimension| {
            let collected = collected && !dimension.obsolete;
            let object = DimensionObject {
                name: dimension.name().clone(),
                first_time_t: instance.first(),
                last_time_t: instance.last(now),
                collected,
                state: State::of(collected, shown),
            };
            (dimension.id.to_string(), json(&object))
        });
        objects.collect()
    });
    InstanceObject {
        uuid: shown.uuids.then(|| Uuid::from_u128(chart.key)),
        name: chart.name.clone(),
        context: chart.context.clone(),
        title: chart.title.clone(),
        units: chart.units.clone(),
        family: chart.family.clone(),
        chart_type: type_name(chart.chart_type),
        priority: chart.priority,
        update_every: chart.update_every,
        first_time_t: instance.first(),
        last_time_t: instance.last(now),
        collected,
        state: State::of(collected, shown),
        labels: shown.labels.then(|| {
            let labels = chart_labels(chart);
            labels.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
        }),
        dimensions,
    }
}

fn labels(labels: &Labels) -> Map<String, Value> {
    labels.iter().map(|label| (label.name.to_string(), Value::from(label.value.as_str()))).collect()
}

/// An object of strings, numbers and booleans always becomes one.
fn json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// One text for all: what they begin and end with, and `[x]` where they differ.
fn merged<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut texts = texts;
    let Some(first) = texts.next() else { return String::new() };
    let (mut head, mut tail) = (first.len(), first.len());
    let mut same = true;
    for text in texts.filter(|text| *text != first) {
        same = false;
        let equal = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
            pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
        };
        head = head.min(equal(&mut first.chars().zip(text.chars())));
        tail = tail.min(equal(&mut first.chars().rev().zip(text.chars().rev())));
    }
    if same {
        return first.to_owned();
    }
    let tail = tail.min(first.len() - head);
    format!("{}[x]{}", &first[..head], &first[first.len() - tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_are_merged_where_they_do() {
        let check = |texts: &[&str], expected: &str| assert_eq!(merged(texts.iter().copied()), expected);
        check(&[], "");
        check(&["Disk", "Disk"], "Disk");
        check(&["net.eth0 in", "net.eth0 in", "net.wlan1 in"], "net.[x] in");
        check(&["sda", "sdb", "nvme0"], "[x]");
        check(&["a", "aa"], "a[x]");
        check(&["größe", "gruße"], "gr[x]ße");
    }

    #[test]
    fn words_of_options_say_what_is_shown() {
        assert_eq!(Shown::of("nosuch"), Shown::default());
        assert!(Shown::of("charts|labels").labels && !Shown::of("charts,labels").dimensions);
        assert!(Shown::of("metrics").charts, "a dimension is shown with its chart");
        assert!(Shown::of("full").uuids && Shown::of("all").hidden);
    }
}
