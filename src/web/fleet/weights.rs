//! `weights`: which series of all hosts changed most from one window to another. Each is read by itself and leaves its score.

use http::StatusCode;

use super::{Around, read, select};
use crate::query::fleet::{Comparison, FleetQuestion, Measure, Selection};
use crate::query::weights::{Score, ranks};
use crate::query::{QueryOption, leading_integer};
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::object::Object;
use crate::web::request::Target;

/// Options if none are given.
const DEFAULT_OPTIONS: [QueryOption; 1] = [QueryOption::NonZero];

/// A series that changed: its chart in the selection, its dimension in the chart.
struct Weighed {
    chart: usize,
    dimension: usize,
    score: Score,
}

pub(super) async fn answer(
    api: &Api,
    target: &Target,
    mut question: FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Answer, Answer> {
    let now = api.clock.now();
    if target.parameter("options").is_none() {
        DEFAULT_OPTIONS.into_iter().for_each(|option| question.time.options.insert(option));
    }
    let measure = Measure::parse(target.parameter("method"));
    let edge = |name: &str| target.parameter(name).map_or(0, leading_integer);
    let baseline = (edge("baseline_after"), edge("baseline_before"));
    let comparison = Comparison::new(&question, measure, baseline, now)
        .map_err(|problem| query.fails(error(StatusCode::BAD_REQUEST, &problem.to_string())))?;
    let selection = select(api, &question, now, query).await?;
    let needed = selection.bytes() + selection.series * size_of::<Weighed>();
    query.holds(needed, format_args!("{} dimensions", selection.series), super::FEWER)?;
    let begin = selection.charts.iter().map(|selected| selected.span.first).min();
    let first = comparison.window_in(crate::query::Tier::FINEST).first;
    let oldest = begin.map_or(first, |begin| first.max(begin));
    let least = api.storage.borrow().tier_since(oldest, selection.oldest_chart());
    let tier = comparison.tier(selection.series, &api.tier_factors(), least);
    query.reads(comparison.samples(selection.series, tier)).await?;

    let mut weighed = Vec::new();
    let window = comparison.window_in(tier);
    read::charts(api, &selection, window, tier, query, |chart, series, snapshot, workspace| {
        let selected = &selection.charts[chart];
        let dimension = selected.series[series].dimension;
        let score = comparison.score(snapshot, dimension, selected.chart.update_every, workspace);
        weighed.extend(score.map(|score| Weighed { chart, dimension, score }));
    })
    .await?;
    // Shards answer by turns.
    weighed.sort_unstable_by_key(|one| (one.chart, one.dimension));
    if weighed.is_empty() {
        return Err(query.fails(error(StatusCode::NOT_FOUND, "no results produced.")));
    }
    let scores: Vec<Score> = weighed.iter().map(|one| one.score).collect();
    let weights = if question.time.has(QueryOption::Raw) || measure == Measure::Value {
        scores.iter().map(|score| score.value()).collect()
    } else {
        ranks(&scores)
    };
    let mut body = Vec::new();
    write(api, &question, &comparison, &selection, &weighed, &weights, &mut body);
    Ok(Answer::new(JSON, body))
}

fn error(status: StatusCode, text: &str) -> Answer {
    Answer { status, ..Answer::new(JSON, format!("{{\"error\": \"{text}\" }}")) }
}

/// By host, context, chart and dimension, with the mean of each.
fn write(
    api: &Api,
    question: &FleetQuestion,
    comparison: &Comparison,
    selection: &Selection,
    weighed: &[Weighed],
    weights: &[f64],
    out: &mut Vec<u8>,
) {
    let (highlight, baseline) = comparison.windows();
    let mut object = Object::open(out);
    object.integer("api", 2);
    let around = Around::new(api);
    around.write_versions(&mut object);
    object.integer("after", highlight.first.0);
    object.integer("before", highlight.last.0);
    if let Some(baseline) = baseline {
        object.integer("baseline_after", baseline.first.0);
        object.integer("baseline_before", baseline.last.0);
    }
    object.text("method", comparison.measure.name());
    object.text("time_group", question.time.group.name);
    object.text("options", &question.time.options.to_string());
    // Series come host by host, context by context and chart by chart.
    let all: Vec<(&Weighed, f64)> = weighed.iter().zip(weights.iter().copied()).collect();
    let host = |(one, _): &(&Weighed, f64)| selection.charts[one.chart].host;
    let context = |(one, _): &(&Weighed, f64)| &selection.charts[one.chart].chart.context;
    object.array("nodes", all.chunk_by(|a, b| host(a) == host(b)), |of_host, item| {
        item.object(|node| {
            let known = &selection.hosts[host(&of_host[0])];
            node.text("mg", &known.info.machine_guid.hyphenated().to_string());
            node.text("nm", &known.info.hostname);
            node.number("weight", mean(of_host));
            node.object("contexts", |contexts| {
                for of_context in of_host.chunk_by(|a, b| context(a) == context(b)) {
                    contexts.object(context(&of_context[0]), |object| {
                        object.number("weight", mean(of_context));
                        object.object("instances", |instances| {
                            for of_chart in of_context.chunk_by(|(a, _), (b, _)| a.chart == b.chart) {
                                let chart = &selection.charts[of_chart[0].0.chart].chart;
                                instances.object(&chart.id, |instance| {
                                    instance.number("weight", mean(of_chart));
                                    instance.object("dimensions", |dimensions| {
                                        for (one, weight) in of_chart {
                                            dimensions
                                                .number(chart.dimensions[one.dimension].name(), *weight);
                                        }
                                    });
                                });
                            }
                        });
                    });
                }
            });
        });
    });
    object.count("weighted_dimensions", weighed.len());
    object.count("total_dimensions_count", selection.series);
    around.write_agents(&mut object);
    object.close();
}

fn mean(weights: &[(&Weighed, f64)]) -> f64 {
    weights.iter().map(|(_, weight)| weight).sum::<f64>() / weights.len() as f64
}
