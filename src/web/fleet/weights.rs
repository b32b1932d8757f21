//! `weights`: which series of all hosts changed most from one window to another. Each is read by itself and leaves its score.

use http::StatusCode;

use super::{Around, read, select};
use crate::query::fleet::{Comparison, FleetQuestion, Measure, Selection};
use crate::query::weights::{Ranking, Score};
use crate::query::{QueryOption, leading_integer};
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::piecewise::{Piecewise, Writer};
use crate::web::request::Target;

/// Options if none are given.
const DEFAULT_OPTIONS: [QueryOption; 1] = [QueryOption::NonZero];

/// A series that changed.
#[derive(Debug)]
struct Weighed {
    /// In the selection.
    chart: usize,
    /// In the chart.
    dimension: usize,
    weight: f64,
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
    let of_series = size_of::<(usize, Score)>() + size_of::<Weighed>() + size_of::<Score>() + Ranking::BYTES;
    let needed = selection.bytes()
        + selection.charts.len() * size_of::<Vec<(usize, Score)>>()
        + selection.series * of_series;
    query.holds(needed, format_args!("{} dimensions", selection.series), super::FEWER)?;
    let begin = selection.charts.iter().map(|selected| selected.span.first).min();
    let first = comparison.window_in(crate::query::Tier::FINEST).first;
    let oldest = begin.map_or(first, |begin| first.max(begin));
    let least = api.storage.borrow().tier_since(oldest, selection.oldest_chart());
    let tier = comparison.tier(selection.series, &api.tier_factors(), least);
    query.reads(comparison.samples(selection.series, tier)).await?;

    // Shards answer by turns: scores are kept chart by chart.
    let mut scored: Vec<Vec<(usize, Score)>> = vec![Vec::new(); selection.charts.len()];
    let window = comparison.window_in(tier);
    read::charts(api, &selection, window, tier, query, |chart, series, snapshot, workspace| {
        let selected = &selection.charts[chart];
        let dimension = selected.series[series].dimension();
        let score = comparison.score(snapshot, dimension, selected.chart.update_every, workspace);
        scored[chart].extend(score.map(|score| (dimension, score)));
    })
    .await?;
    let (mut weighed, mut scores) = (Vec::new(), Vec::new());
    for (chart, scored) in scored.into_iter().enumerate() {
        for (dimension, score) in scored {
            weighed.push(Weighed { chart, dimension, weight: score.value() });
            scores.push(score);
        }
        query.step().await?;
    }
    if weighed.is_empty() {
        return Err(query.fails(error(StatusCode::NOT_FOUND, "no results produced.")));
    }
    if !question.time.has(QueryOption::Raw) && measure != Measure::Value {
        let mut ranking = Ranking::new(&scores);
        while ranking.step() {
            query.step().await?;
        }
        weighed.iter_mut().zip(ranking.ranks()).for_each(|(one, rank)| one.weight = rank);
    }
    drop(scores);
    let answer = Weights { question, comparison, selection, weighed, around: Around::new(api) };
    let written = Piecewise::new(async move |writer: &mut Writer| answer.write(writer).await);
    Ok(Answer::in_pieces(JSON, written))
}

fn error(status: StatusCode, text: &str) -> Answer {
    Answer { status, ..Answer::new(JSON, format!("{{\"error\": \"{text}\" }}")) }
}

/// An answer.
#[derive(Debug)]
struct Weights {
    question: FleetQuestion,
    comparison: Comparison,
    selection: Selection,
    /// Host by host, context by context and chart by chart.
    weighed: Vec<Weighed>,
    around: Around,
}

impl Weights {
    /// By host, context, chart and dimension, with the mean of each; a chart a step.
    async fn write(&self, writer: &mut Writer) {
        let charts = &self.selection.charts;
        let (highlight, baseline) = self.comparison.windows();
        self.around.begin(writer);
        let mut object = writer.object();
        object.integer("after", highlight.first.0);
        object.integer("before", highlight.last.0);
        if let Some(baseline) = baseline {
            object.integer("baseline_after", baseline.first.0);
            object.integer("baseline_before", baseline.last.0);
        }
        object.text("method", self.comparison.measure.name());
        object.text("time_group", self.question.time.group.name);
        object.text("options", &self.question.time.options.to_string());
        object.member("nodes").push(b'[');
        let host = |one: &Weighed| charts[one.chart].host;
        let context = |one: &Weighed| charts[one.chart].context;
        for (place, of_host) in self.weighed.chunk_by(|a, b| host(a) == host(b)).enumerate() {
            writer.out.extend_from_slice(if place > 0 { b",{" } else { b"{" });
            let known = &self.selection.hosts[host(&of_host[0])];
            writer.object().text("mg", &known.info.machine_guid.hyphenated().to_string());
            writer.object().text("nm", &known.info.hostname);
            writer.object().number("weight", mean(of_host));
            writer.begin("contexts");
            for of_context in of_host.chunk_by(|a, b| context(a) == context(b)) {
                writer.begin(&self.selection.contexts[context(&of_context[0])]);
                writer.object().number("weight", mean(of_context));
                writer.begin("instances");
                for of_chart in of_context.chunk_by(|a, b| a.chart == b.chart) {
                    let chart = &charts[of_chart[0].chart].chart;
                    writer.object().object(&chart.id, |instance| {
                        instance.number("weight", mean(of_chart));
                        instance.object("dimensions", |dimensions| {
                            for one in of_chart {
                                dimensions.number(chart.dimensions[one.dimension].name(), one.weight);
                            }
                        });
                    });
                    writer.pause().await;
                }
                writer.end();
                writer.end();
            }
            writer.end();
            writer.end();
        }
        writer.out.push(b']');
        writer.object().count("weighted_dimensions", self.weighed.len());
        writer.object().count("total_dimensions_count", self.selection.series);
        self.around.end(writer);
    }
}

fn mean(weighed: &[Weighed]) -> f64 {
    weighed.iter().map(|one| one.weight).sum::<f64>() / weighed.len() as f64
}
