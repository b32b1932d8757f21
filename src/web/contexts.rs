//! `contexts` and `context`: a host's charts, those of one context together.
//!
//! Left out of Netdata's members: the state of its queues (`queue`) and the ids of dimensions (`uuids`), which have none here.

use std::collections::HashMap;
use std::sync::Arc;

use dbengine::TimeRange;
use ecow::EcoString;
use http::StatusCode;
use uuid::Uuid;

use super::admission::RunningQuery;
use super::answer::{Answer, JSON};
use super::object::Object;
use super::piecewise::{Piecewise, Writer};
use super::request::Target;
use super::v1::type_name;
use super::{Api, spans};
use crate::catalog::{Chart, Dimension, HostSnapshot};
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
struct Instance {
    chart: Arc<Chart>,
    span: Option<TimeRange>,
    collected: bool,
}

impl Instance {
    fn first(&self) -> i64 {
        self.span.map_or(0, |span| span.first.0)
    }

    /// Of one that is collected, now.
    fn last(&self, now: i64) -> i64 {
        if self.collected { now } else { self.span.map_or(0, |span| span.last.0) }
    }
}

/// The charts of one context, and what they come to.
struct Context {
    id: EcoString,
    title: Merged,
    family: Merged,
    priority: i64,
    /// The oldest sample; 0: none.
    first: i64,
    last: i64,
    collected: bool,
    instances: Vec<Instance>,
}

impl Context {
    fn new(chart: &Chart) -> Context {
        Context {
            id: chart.context.clone(),
            title: Merged::new(&chart.title),
            family: Merged::new(&chart.family),
            priority: chart.priority,
            first: 0,
            last: 0,
            collected: false,
            instances: Vec::new(),
        }
    }

    fn add(&mut self, instance: Instance, now: i64) {
        let chart = &instance.chart;
        self.title.add(&chart.title);
        self.family.add(&chart.family);
        self.priority = self.priority.min(chart.priority);
        let first = instance.first();
        if first > 0 && (self.first == 0 || first < self.first) {
            self.first = first;
        }
        self.last = self.last.max(instance.last(now));
        self.collected |= instance.collected;
        self.instances.push(instance);
    }
}

/// What a question is about, and how it is answered.
struct Asked {
    shown: Shown,
    filter: Filter,
    now: i64,
}

impl Asked {
    fn of(target: &Target, now: i64) -> Asked {
        let shown = Shown::of(target.parameter("options").unwrap_or_default());
        Asked { shown, filter: Filter::of(target, now), now }
    }

    /// Contexts in the order of their first charts: all of them or `only` one.
    async fn find(
        &self,
        api: &Api,
        host: &HostSnapshot,
        only: Option<&str>,
        query: &mut RunningQuery,
    ) -> Result<Vec<Context>, Answer> {
        let is_wanted = |chart: &&Arc<Chart>| {
            (self.shown.hidden || !chart.hidden) && only.is_none_or(|only| &*chart.context == only)
        };
        let charts: Vec<&Arc<Chart>> = host.charts.iter().filter(is_wanted).collect();
        let needed = charts.len() * (size_of::<Instance>() + size_of::<Option<TimeRange>>());
        query.holds(needed, format_args!("{} charts", charts.len()), "one context")?;
        let described: Vec<&Chart> = charts.iter().map(|chart| &***chart).collect();
        let spans = spans(api, host.shard, &described, query).await?;
        let mut contexts: Vec<Context> = Vec::new();
        let mut places: HashMap<&EcoString, usize> = HashMap::new();
        for (chart, span) in charts.into_iter().zip(spans) {
            query.step().await?;
            if !self.filter.wants(chart, span) {
                continue;
            }
            let place = *places.entry(&chart.context).or_insert_with(|| {
                contexts.push(Context::new(chart));
                contexts.len() - 1
            });
            let collected = host.state.is_reachable() && !chart.obsolete;
            contexts[place].add(Instance { chart: Arc::clone(chart), span, collected }, self.now);
        }
        Ok(contexts)
    }

    /// Writes what is inside the object of a context, a dimension a step.
    async fn write(&self, context: &Context, writer: &mut Writer) {
        let first = context.instances.first().map(|instance| &instance.chart);
        let mut object = writer.object();
        object.text("title", &context.title.to_text());
        object.text("units", first.map_or("", |chart| &chart.units));
        object.text("family", &context.family.to_text());
        object.text("chart_type", first.map_or("line", |chart| type_name(chart.chart_type)));
        object.integer("priority", context.priority);
        object.integer("first_time_t", context.first);
        object.integer("last_time_t", context.last);
        object.flag("collected", context.collected);
        self.write_state(context.collected, &mut object);
        if !self.shown.charts {
            return;
        }
        writer.begin("charts");
        for instance in &context.instances {
            writer.begin(&instance.chart.id);
            self.write_instance(instance, writer).await;
            writer.end();
            writer.pause().await;
        }
        writer.end();
    }

    async fn write_instance(&self, instance: &Instance, writer: &mut Writer) {
        let Instance { chart, collected, .. } = instance;
        let mut object = writer.object();
        if self.shown.uuids {
            object.text("uuid", &Uuid::from_u128(chart.key).hyphenated().to_string());
        }
        object.text("name", &chart.name);
        object.text("context", &chart.context);
        object.text("title", &chart.title);
        object.text("units", &chart.units);
        object.text("family", &chart.family);
        object.text("chart_type", type_name(chart.chart_type));
        object.integer("priority", chart.priority);
        object.integer("update_every", chart.update_every.into());
        object.integer("first_time_t", instance.first());
        object.integer("last_time_t", instance.last(self.now));
        object.flag("collected", *collected);
        self.write_state(*collected, &mut object);
        if self.shown.labels {
            object.object("labels", |labels| {
                chart_labels(chart).for_each(|(name, value)| labels.text(name, value));
            });
        }
        if !self.shown.dimensions {
            return;
        }
        writer.begin("dimensions");
        for dimension in chart.dimensions.iter().filter(|dimension| self.filter.wants_dimension(dimension)) {
            let collected = *collected && !dimension.obsolete;
            writer.object().object(&dimension.id, |object| {
                object.text("name", dimension.name());
                object.integer("first_time_t", instance.first());
                object.integer("last_time_t", instance.last(self.now));
                object.flag("collected", collected);
                self.write_state(collected, object);
            });
            writer.pause().await;
        }
        writer.end();
    }

    /// Members that are there when they were asked for.
    fn write_state(&self, collected: bool, object: &mut Object<'_>) {
        if self.shown.deleted {
            object.flag("deleted", false);
        }
        if self.shown.flags {
            // Netdata's words, with its space.
            object.text("flags", if collected { "COLLECTED LIVE_RETENTION " } else { "ARCHIVED " });
        }
    }
}

/// `/api/v1/contexts`: all of a host's.
pub(super) async fn all(api: &Api, host: &Arc<HostSnapshot>, target: &Target) -> Answer {
    let asked = Asked::of(target, api.clock.now());
    api.admission
        .answer(target.timeout_ms(), async |query| {
            let contexts = asked.find(api, host, None, query).await?;
            let host = Arc::clone(host);
            Ok(Answer::in_pieces(
                JSON,
                Piecewise::new(async move |writer: &mut Writer| {
                    writer.out.push(b'{');
                    write_host(&host, asked.shown, &mut writer.object());
                    writer.begin("contexts");
                    for context in &contexts {
                        writer.begin(&context.id);
                        asked.write(context, writer).await;
                        writer.end();
                        writer.pause().await;
                    }
                    writer.end();
                    writer.end();
                }),
            ))
        })
        .await
}

/// `/api/v1/context?context=<id>`.
pub(super) async fn one(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let Some(id) = target.parameter_of(&["context", "ctx"]) else {
        return Answer::error(StatusCode::BAD_REQUEST, "No context is given at the request.");
    };
    let asked = Asked::of(target, api.clock.now());
    api.admission
        .answer(target.timeout_ms(), async |query| {
            let Some(context) = asked.find(api, host, Some(id), query).await?.pop() else {
                let nothing = Answer { status: StatusCode::NOT_FOUND, ..Answer::new(JSON, Vec::new()) };
                return Err(query.fails(nothing));
            };
            Ok(Answer::in_pieces(
                JSON,
                Piecewise::new(async move |writer: &mut Writer| {
                    writer.out.push(b'{');
                    asked.write(&context, writer).await;
                    writer.end();
                }),
            ))
        })
        .await
}

fn write_host(host: &HostSnapshot, shown: Shown, object: &mut Object<'_>) {
    let hyphenated = |id: Option<Uuid>| id.map_or_else(String::new, |id| id.hyphenated().to_string());
    object.text("hostname", &host.info.hostname);
    object.text("machine_guid", &hyphenated(Some(host.info.machine_guid)));
    object.text("node_id", &hyphenated(host.node_id));
    object.text("claim_id", &hyphenated(host.info.claim_id));
    if shown.labels {
        object.object("host_labels", |labels| {
            host.info.labels.iter().for_each(|label| labels.text(&label.name, &label.value));
        });
    }
}

/// One text for many: what they begin and end with, and `[x]` where they differ.
struct Merged {
    first: EcoString,
    /// Bytes that all begin with, and that all end with.
    head: usize,
    tail: usize,
    is_same: bool,
}

impl Merged {
    fn new(first: &EcoString) -> Merged {
        Merged { head: first.len(), tail: first.len(), is_same: true, first: first.clone() }
    }

    fn add(&mut self, text: &str) {
        if *self.first == *text {
            return;
        }
        self.is_same = false;
        let equal = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
            pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
        };
        self.head = self.head.min(equal(&mut self.first.chars().zip(text.chars())));
        self.tail = self.tail.min(equal(&mut self.first.chars().rev().zip(text.chars().rev())));
    }

    fn to_text(&self) -> String {
        if self.is_same {
            return self.first.to_string();
        }
        let tail = self.tail.min(self.first.len() - self.head);
        format!("{}[x]{}", &self.first[..self.head], &self.first[self.first.len() - tail..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_are_merged_where_they_do() {
        let check = |texts: &[&str], expected: &str| {
            let mut merged = Merged::new(&texts[0].into());
            texts.iter().for_each(|text| merged.add(text));
            assert_eq!(merged.to_text(), expected);
        };
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
