//! `weights` and `metric_correlations`: which metrics of a host changed most from one window to another.
//!
//! A few charts at a time are read, over both windows, so that the memory of an answer is that of its scores however many
//! charts a host has. [`query::weights`](crate::query::weights) has the numbers; the shapes are Netdata's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbengine::{TimeRange, UnixSeconds};
use ecow::EcoString;
use futures_util::future::join_all;
use http::StatusCode;

use super::Api;
use super::admission::RunningQuery;
use super::answer::{Answer, JSON};
use super::data::{Unanswered, carry_out, queried};
use super::object::Object;
use super::piecewise::{Piecewise, Writer};
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};
use crate::query::weights::{Baseline, Ranking, Score, ks2, moved};
use crate::query::{
    Answer as Points, Group, Parameters, Plan, QueriedChart, QueryOption, QueryOptions, Window,
    leading_integer,
};

/// Charts that are read together: enough that a shard's turn is not waited for once a chart.
const CHARTS_AT_ONCE: usize = 8;
const DEFAULT_POINTS: i64 = 500;
/// Options of every question, and one more if none are given.
const ALWAYS: [QueryOption; 2] = [QueryOption::NullToZero, QueryOption::Unaligned];
const DEFAULT_OPTIONS: &str = "nonzero";

/// Which of the two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `weights`: by context, chart and dimension, with means of each.
    Contexts,
    /// `metric_correlations`: by chart and dimension.
    Charts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Ks2,
    Volume,
    AnomalyRate,
}

impl Method {
    const NAMES: [(&str, Method); 3] =
        [("ks2", Method::Ks2), ("volume", Method::Volume), ("anomaly-rate", Method::AnomalyRate)];

    /// The method of this name; of an unknown one KS2, of none what the answer is by default.
    fn of(name: Option<&str>, shape: Shape) -> Method {
        match (name, shape) {
            (None | Some(""), Shape::Contexts) => Method::AnomalyRate,
            (name, _) => {
                let known = Self::NAMES.iter().find(|(known, _)| Some(*known) == name);
                known.map_or(Method::Ks2, |(_, method)| *method)
            }
        }
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

/// What was asked.
struct Question {
    method: Method,
    group: Group,
    options: QueryOptions,
    tier: Option<u32>,
    /// Absolute, both ends included.
    highlight: (i64, i64),
    /// Absent where the method needs none.
    baseline: Option<Baseline>,
    /// Of the highlight; 0 where nobody has said how many, and the method needs none.
    points: i64,
}

/// Why there is no answer.
enum Refusal {
    Invalid(&'static str),
    TooFewPoints,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Invalid(range) => {
                error(StatusCode::BAD_REQUEST, &format!("Invalid {range} time-range."))
            }
            Refusal::TooFewPoints => {
                error(StatusCode::BAD_REQUEST, "Too few points available, at least 15 are needed.")
            }
        }
    }
}

fn error(status: StatusCode, text: &str) -> Answer {
    Answer { status, ..Answer::new(JSON, format!("{{\"error\": \"{text}\" }}")) }
}

impl Question {
    fn of(target: &Target, shape: Shape, now: i64) -> Result<Question, Refusal> {
        let number = |names: &[&str]| target.parameter_of(names).map_or(0, leading_integer);
        let method = Method::of(target.parameter("method"), shape);
        let newest = now - 1;
        let given = (number(&["after", "highlight_after"]), number(&["before", "highlight_before"]));
        let highlight = window(given, newest, now);
        if highlight.0 >= highlight.1 {
            return Err(Refusal::Invalid("selected"));
        }
        let points = match number(&["points", "max_points"]) {
            points @ 1.. => points.min(Baseline::MOST_POINTS),
            _ if method == Method::AnomalyRate => 0,
            _ => DEFAULT_POINTS,
        };
        let baseline = if method == Method::AnomalyRate {
            None
        } else {
            // A relative baseline counts from the begin of the highlight.
            let asked = window(
                (number(&["baseline_after"]), number(&["baseline_before"])),
                highlight.0,
                highlight.0.saturating_add(1),
            );
            if asked.0 >= asked.1 {
                return Err(Refusal::Invalid("baseline"));
            }
            Some(Baseline::new(asked, highlight, points).ok_or(Refusal::TooFewPoints)?)
        };
        let group = target.parameter("group").unwrap_or("average");
        let mut options = QueryOptions::parse(target.parameter("options").unwrap_or(DEFAULT_OPTIONS));
        ALWAYS.into_iter().for_each(|option| options.insert(option));
        if method == Method::AnomalyRate {
            options.insert(QueryOption::AnomalyBit);
        }
        Ok(Question {
            method,
            group: Group::parse(group, target.parameter("group_options").unwrap_or_default()),
            options,
            tier: target.parameter("tier").and_then(|tier| tier.parse().ok()),
            highlight,
            points: baseline.map_or(points, |baseline| baseline.highlight_points),
            baseline,
        })
    }

    /// How long both windows are.
    fn seconds(&self) -> i64 {
        let of = |(after, before): (i64, i64)| before.saturating_sub(after);
        let baseline = self.baseline.map_or(0, |baseline| of((baseline.after, baseline.before)));
        of(self.highlight).saturating_add(baseline)
    }

    /// The question about one chart in one window: all of its dimensions, for hidden ones count in percentages.
    fn parameters(&self, (after, before): (i64, i64), points: i64) -> Parameters {
        let mut options = self.options;
        options.insert(QueryOption::NaturalPoints);
        if self.method != Method::Ks2 {
            // A gap has no part in what a window comes to.
            options.remove(QueryOption::NullToZero);
        }
        if self.tier.is_some() {
            options.insert(QueryOption::SelectedTier);
        }
        Parameters {
            chart: Some("*".into()),
            dimensions: "|*".to_owned(),
            after,
            before,
            points,
            group: self.group,
            options,
            tier: self.tier,
            ..Parameters::default()
        }
    }

    /// What is read of a chart, each a window and its points: the highlight, what the whole highlight comes to, and the baseline.
    fn reads(&self) -> [Option<((i64, i64), i64)>; 3] {
        let highlight = (self.highlight, self.points);
        let level = (self.highlight, 1);
        let baseline = self.baseline.map(|baseline| ((baseline.after, baseline.before), baseline.points));
        match self.method {
            Method::Ks2 => [Some(highlight), None, baseline],
            Method::Volume => [Some(highlight), Some(level), baseline.map(|(window, _)| (window, 1))],
            Method::AnomalyRate => [None, Some(level), None],
        }
    }

    /// The score of a dimension, if it is one to be told of; `level` is what the whole highlight comes to.
    fn score(&self, highlight: &[f64], level: Option<f64>, baseline: &[f64]) -> Option<Score> {
        let score = match self.method {
            Method::Ks2 => ks2(baseline, highlight),
            Method::Volume => moved(baseline.first().copied().unwrap_or(0.0), level?, highlight),
            Method::AnomalyRate => level.map(|rate| Score::Plain(rate.abs())),
        };
        score.filter(|score| score.value() != 0.0 || !self.options.contains(QueryOption::NonZero))
    }
}

/// Absolute edges; a window that is not given is the ten minutes up to `newest`.
fn window((after, before): (i64, i64), newest: i64, now: i64) -> (i64, i64) {
    let after = if after == 0 { -600 } else { after };
    let parameters = Parameters { after, before, ..Parameters::default() };
    let retention = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(newest) };
    let window = Window::resolve(&parameters, retention, now);
    (window.after, window.before)
}

/// A dimension that changed.
struct Weighed {
    chart: Arc<Chart>,
    dimension: usize,
    score: Score,
    /// What is told of it.
    weight: f64,
}

/// What an answer took.
#[derive(Default)]
struct Work {
    queries: usize,
    result_points: usize,
    samples: u64,
    dimensions: usize,
}

pub(super) async fn answer(api: &Api, host: &HostSnapshot, target: &Target, shape: Shape) -> Answer {
    let begun = Instant::now();
    let question = match Question::of(target, shape, api.clock.now()) {
        Ok(question) => question,
        Err(refusal) => return refusal.into(),
    };
    let timeout_ms = target.parameter("timeout").and_then(|timeout| timeout.parse().ok()).unwrap_or(0);
    let contexts = target.parameter_of(&["context", "contexts"]).unwrap_or("*");
    let contexts = SimplePattern::new(contexts, API_SEPARATORS);
    api.admission
        .answer(timeout_ms, async |query| {
            let (mut weighed, work) = weigh_all(api, host, &contexts, &question, query).await?;
            if weighed.is_empty() {
                return Err(query.fails(error(StatusCode::NOT_FOUND, "no results produced.")));
            }
            if !question.options.contains(QueryOption::Raw) {
                let scores: Vec<Score> = weighed.iter().map(|weighed| weighed.score).collect();
                let mut ranking = Ranking::new(&scores);
                while ranking.step() {
                    query.step().await?;
                }
                weighed.iter_mut().zip(ranking.ranks()).for_each(|(weighed, rank)| weighed.weight = rank);
            }
            // A context's charts are not all defined one after the other.
            let mut by_context: BTreeMap<&EcoString, Vec<usize>> = BTreeMap::new();
            for (place, weighed) in weighed.iter().enumerate() {
                by_context.entry(&weighed.chart.context).or_default().push(place);
                query.step().await?;
            }
            let order: Vec<usize> = by_context.into_values().flatten().collect();
            let answer = Weights { question, shape, weighed, order, work, took: begun.elapsed() };
            let written = Piecewise::new(async move |writer: &mut Writer| answer.write(writer).await);
            Ok(Answer::in_pieces(JSON, written))
        })
        .await
}

/// Scores all dimensions of the charts that are asked for, a few charts at a time.
async fn weigh_all(
    api: &Api,
    host: &HostSnapshot,
    contexts: &SimplePattern,
    question: &Question,
    query: &mut RunningQuery,
) -> Result<(Vec<Weighed>, Work), Answer> {
    let deadline = query.deadline();
    let wanted = host.charts.iter().filter(|chart| !chart.hidden && contexts.matches(&*chart.context));
    let wanted: Vec<Arc<Chart>> = wanted.cloned().collect();
    let dimensions: usize = wanted.iter().map(|chart| chart.dimensions.len()).sum();
    let of_dimension = size_of::<Weighed>() + size_of::<Score>() + size_of::<usize>() + Ranking::BYTES;
    query.holds(dimensions * of_dimension, format_args!("{dimensions} dimensions"), "fewer contexts")?;
    query.reads(question.seconds().saturating_mul(dimensions as i64)).await?;
    let (mut weighed, mut work) = (Vec::new(), Work::default());
    for charts in wanted.chunks(CHARTS_AT_ONCE) {
        query.step().await?;
        let weighing = weigh(api, host, charts.to_vec(), question, deadline, &mut weighed, &mut work);
        match weighing.await {
            Ok(()) => {}
            Err(Unanswered::Overloaded) => return Err(query.fails(Answer::overloaded())),
            Err(Unanswered::TimedOut) => return Err(query.timed_out()),
        }
    }
    Ok((weighed, work))
}

/// Scores the dimensions of a few charts.
async fn weigh(
    api: &Api,
    host: &HostSnapshot,
    charts: Vec<Arc<Chart>>,
    question: &Question,
    deadline: Option<Instant>,
    weighed: &mut Vec<Weighed>,
    work: &mut Work,
) -> Result<(), Unanswered> {
    work.dimensions += charts.iter().map(|chart| chart.dimensions.len()).sum::<usize>();
    let queried = queried(api, host, charts).await.ok_or(Unanswered::Overloaded)?;
    let of = async |asked: Option<((i64, i64), i64)>| {
        let read = queried.iter().map(async |queried| match asked {
            Some((window, points)) => read(api, host, question, queried, window, points, deadline).await,
            None => Ok(None),
        });
        join_all(read).await
    };
    let [highlights, levels, baselines] = question.reads();
    let (highlights, levels, baselines) = (of(highlights).await, of(levels).await, of(baselines).await);
    for (((queried, highlight), level), baseline) in queried.iter().zip(highlights).zip(levels).zip(baselines)
    {
        let read = [highlight?, level?, baseline?];
        for points in read.iter().flatten() {
            work.queries += points.columns.len();
            work.result_points += points.columns.len() * points.grid.points;
            work.samples += points.samples_read;
        }
        for (index, dimension) in queried.chart.dimensions.iter().enumerate() {
            if dimension.hidden {
                continue;
            }
            let [highlight, level, baseline] = read
                .each_ref()
                .map(|points| points.as_ref().map_or(Vec::new(), |points| values_of(points, index)));
            if let Some(score) = question.score(&highlight, level.first().copied(), &baseline) {
                let chart = Arc::clone(&queried.chart);
                weighed.push(Weighed { chart, dimension: index, score, weight: score.value() });
            }
        }
    }
    Ok(())
}

/// The points of a chart in a window; `None` when it has no sample near it.
async fn read(
    api: &Api,
    host: &HostSnapshot,
    question: &Question,
    queried: &QueriedChart,
    window: (i64, i64),
    points: i64,
    deadline: Option<Instant>,
) -> Result<Option<Points>, Unanswered> {
    let parameters = question.parameters(window, points);
    match Plan::new(parameters, vec![queried.clone()], api.clock.now()) {
        Ok(plan) => carry_out(api, host.shard, plan, deadline).await.map(Some),
        Err(_) => Ok(None),
    }
}

/// The points of a dimension that there are, the oldest first.
fn values_of(points: &Points, dimension: usize) -> Vec<f64> {
    let column = points.columns.iter().find(|column| column.dimension == dimension);
    let values = column.into_iter().flat_map(|column| column.values.iter().rev());
    values.copied().filter(|value| !value.is_nan()).collect()
}

/// An answer.
struct Weights {
    question: Question,
    shape: Shape,
    weighed: Vec<Weighed>,
    /// Of what is weighed, context by context.
    order: Vec<usize>,
    work: Work,
    took: Duration,
}

impl Weights {
    /// A chart a step.
    async fn write(&self, writer: &mut Writer) {
        writer.out.push(b'{');
        self.write_head(&mut writer.object());
        let (shape, counted) = match self.shape {
            Shape::Contexts => ("contexts", "weighted_dimensions"),
            Shape::Charts => ("correlated_charts", "correlated_dimensions"),
        };
        writer.begin(shape);
        let all: Vec<&Weighed> = self.order.iter().map(|place| &self.weighed[*place]).collect();
        for of_context in all.chunk_by(|a, b| a.chart.context == b.chart.context) {
            let context = &of_context[0].chart.context;
            if self.shape == Shape::Contexts {
                writer.begin(context);
                writer.begin("charts");
            }
            for of_chart in of_context.chunk_by(|a, b| Arc::ptr_eq(&a.chart, &b.chart)) {
                writer.object().object(&of_chart[0].chart.id, |object| {
                    if self.shape == Shape::Charts {
                        object.text("context", context);
                    }
                    object.object("dimensions", |dimensions| {
                        for one in of_chart {
                            dimensions.number(one.chart.dimensions[one.dimension].name(), one.weight);
                        }
                    });
                    if self.shape == Shape::Contexts {
                        object.number("weight", mean(of_chart));
                    }
                });
                writer.pause().await;
            }
            if self.shape == Shape::Contexts {
                writer.end();
                writer.object().number("weight", mean(of_context));
                writer.end();
            }
        }
        writer.end();
        writer.object().count(counted, self.weighed.len());
        writer.object().count("total_dimensions_count", self.work.dimensions);
        writer.end();
    }

    /// What both answers begin with.
    fn write_head(&self, object: &mut Object<'_>) {
        let Weights { question, work, .. } = self;
        let (after, before) = question.highlight;
        object.integer("after", after);
        object.integer("before", before);
        object.integer("duration", before - after);
        object.integer("points", question.points);
        if let Some(baseline) = question.baseline {
            object.integer("baseline_after", baseline.after);
            object.integer("baseline_before", baseline.before);
            object.integer("baseline_duration", baseline.before - baseline.after);
            object.integer("baseline_points", baseline.points);
        }
        object.object("statistics", |statistics| {
            statistics.number("query_time_ms", self.took.as_secs_f64() * 1000.0);
            statistics.count("db_queries", work.queries);
            statistics.count("query_result_points", work.result_points);
            // Of Netdata's own way to compare; there are none here.
            statistics.integer("binary_searches", 0);
            statistics.integer("db_points_read", work.samples as i64);
            statistics.array("db_points_per_tier", [work.samples], |samples, item| {
                item.0.extend_from_slice(itoa::Buffer::new().format(samples).as_bytes());
            });
        });
        object.text("group", question.group.name);
        object.text("method", question.method.name());
        object.text("options", &question.options.to_string());
    }
}

fn mean(weighed: &[&Weighed]) -> f64 {
    weighed.iter().map(|one| one.weight).sum::<f64>() / weighed.len() as f64
}
