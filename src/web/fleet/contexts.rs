//! `contexts`: which there are over all hosts, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use dbengine::TimeRange;
use ecow::EcoString;

use super::object::Object;
use super::{Candidate, candidates, has_word, spans, write_agents, write_versions};
use crate::query::fleet::FleetQuestion;
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::request::Target;

/// What the charts of a context say of it.
#[derive(Debug)]
pub(super) struct ContextOfAll {
    title: EcoString,
    units: EcoString,
    family: EcoString,
    chart_type: &'static str,
    priority: i64,
    hosts: usize,
    charts: usize,
    is_live: bool,
    span: Option<TimeRange>,
    /// Names of dimensions, if they are wanted.
    dimensions: BTreeSet<EcoString>,
}

/// With so many names of dimensions a context has enough of them: more are the users or programs of many hosts.
const MOST_DIMENSIONS: usize = 200;

pub(super) async fn answer(
    api: &Api,
    target: &Target,
    question: FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Answer, Answer> {
    let lists_dimensions = has_word(target, "dimensions");
    let candidates = candidates(api, &question, query).await?;
    let contexts = collect(api, &candidates, lists_dimensions, query).await?;
    let mut body = Vec::new();
    let mut object = Object::open(&mut body);
    object.integer("api", 2);
    write_versions(api, &mut object);
    write_contexts(&contexts, &mut object, |id, context| {
        if lists_dimensions {
            let dimensions = contexts.get(id).into_iter().flat_map(|known| &known.dimensions);
            context.texts("dimensions", dimensions.map(|name| &**name));
        }
    });
    write_agents(api, &mut object);
    object.close();
    Ok(Answer::new(JSON, body))
}

/// What there is to be said of the contexts of these charts.
pub(super) async fn collect(
    api: &Api,
    candidates: &[Candidate],
    lists_dimensions: bool,
    query: &mut RunningQuery,
) -> Result<BTreeMap<EcoString, ContextOfAll>, Answer> {
    let spans = spans(api, candidates, query).await?;
    let mut contexts: BTreeMap<EcoString, ContextOfAll> = BTreeMap::new();
    for ((host, charts), spans) in candidates.iter().zip(spans) {
        let mut last: Option<&EcoString> = None;
        for (chart, span) in charts.iter().zip(spans) {
            let known = contexts.entry(chart.context.clone()).or_insert_with(|| ContextOfAll {
                title: chart.title.clone(),
                units: chart.units.clone(),
                family: chart.family.clone(),
                chart_type: super::chart_type(chart),
                priority: chart.priority,
                hosts: 0,
                charts: 0,
                is_live: false,
                span: None,
                dimensions: BTreeSet::new(),
            });
            let is_full = known.dimensions.len() >= MOST_DIMENSIONS;
            for dimension in chart.dimensions.iter().filter(|_| lists_dimensions && !is_full) {
                if !dimension.hidden && !known.dimensions.contains(dimension.name()) {
                    known.dimensions.insert(dimension.name().clone());
                }
            }
            known.priority = known.priority.min(chart.priority);
            known.charts += 1;
            known.hosts += usize::from(last != Some(&chart.context));
            known.is_live |= host.state.is_reachable() && !chart.obsolete;
            known.span = [known.span, span].into_iter().flatten().reduce(TimeRange::hull);
            last = Some(&chart.context);
        }
        query.step().await?;
    }
    Ok(contexts)
}

/// Writes them with what `more` says of each.
pub(super) fn write_contexts(
    contexts: &BTreeMap<EcoString, ContextOfAll>,
    object: &mut Object<'_>,
    more: impl Fn(&EcoString, &mut Object<'_>),
) {
    object.object("contexts", |all| {
        for (id, known) in contexts {
            all.object(id, |context| {
                context.text("title", &known.title);
                context.text("units", &known.units);
                context.text("family", &known.family);
                context.text("chart_type", known.chart_type);
                context.integer("priority", known.priority);
                context.integer("first_entry", known.span.map_or(0, |span| span.first.0));
                context.integer("last_entry", known.span.map_or(0, |span| span.last.0));
                context.flag("live", known.is_live);
                context.count("nodes", known.hosts);
                context.count("instances", known.charts);
                more(id, context);
            });
        }
    });
}
