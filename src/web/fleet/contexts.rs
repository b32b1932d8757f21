//! `contexts`: which there are over all hosts, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use dbengine::TimeRange;
use ecow::EcoString;

use super::{Around, Candidate, FEWER, candidates, has_word, spans};
use crate::query::fleet::FleetQuestion;
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::object::Object;
use crate::web::piecewise::{Piecewise, Writer};
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
    let around = Around::new(api);
    Ok(Answer::in_pieces(
        JSON,
        Piecewise::new(async move |writer: &mut Writer| {
            around.begin(writer);
            write_contexts(&contexts, writer, |_, known, context| {
                if lists_dimensions {
                    context.texts("dimensions", known.dimensions.iter().map(|name| &**name));
                }
            })
            .await;
            around.end(writer);
        }),
    ))
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
    let mut held = 0;
    for ((host, charts), spans) in candidates.iter().zip(spans) {
        let mut last: Option<&EcoString> = None;
        for (chart, span) in charts.iter().zip(spans) {
            let known = contexts.entry(chart.context.clone()).or_insert_with(|| {
                held += size_of::<ContextOfAll>() + bytes_of(&chart.context);
                ContextOfAll {
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
                }
            });
            for dimension in chart.dimensions.iter().filter(|_| lists_dimensions) {
                if known.dimensions.len() >= MOST_DIMENSIONS {
                    break;
                }
                if !dimension.hidden && !known.dimensions.contains(dimension.name()) {
                    held += bytes_of(dimension.name());
                    known.dimensions.insert(dimension.name().clone());
                }
            }
            known.priority = known.priority.min(chart.priority);
            known.charts += 1;
            known.hosts += usize::from(last != Some(&chart.context));
            known.is_live |= host.state.is_reachable() && !chart.obsolete;
            known.span = [known.span, span].into_iter().flatten().reduce(TimeRange::hull);
            last = Some(&chart.context);
            query.step().await?;
        }
        query.holds(held, format_args!("{} contexts", contexts.len()), FEWER)?;
    }
    Ok(contexts)
}

/// Of a name in a tree, about.
fn bytes_of(name: &EcoString) -> usize {
    2 * size_of::<EcoString>() + name.len()
}

/// Writes them, one a step, with what `more` says of each.
pub(super) async fn write_contexts(
    contexts: &BTreeMap<EcoString, ContextOfAll>,
    writer: &mut Writer,
    more: impl Fn(&EcoString, &ContextOfAll, &mut Object<'_>),
) {
    writer.begin("contexts");
    for (id, known) in contexts {
        writer.object().object(id, |context| {
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
            more(id, known, context);
        });
        writer.pause().await;
    }
    writer.end();
}
