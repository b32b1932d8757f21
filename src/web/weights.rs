//! `weights` and `metric_correlations`: which metrics of a host changed most from one window to another.
//!
//! A few charts at a time are read, over both windows, so that the memory of an answer is that of its scores however many
//! charts a host has. [`query::weights`](crate::query::weights) has the numbers; the shapes are Netdata's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbengine::{TimeRange, UnixSeconds};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;

use super::Api;
use super::answer::{Answer, JSON};
use super::data::{Unanswered, carry_out, queried};
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};
use crate::query::weights::{Baseline, Score, ks2, ranks, volume};
use crate::query::{
    Answer as Points, Group, Parameters, Plan, QueriedChart, QueryOption, QueryOptions, Window,
    leading_integer,
};

/// Charts that are read together: enough that a shard's turn is not waited for once a chart.
const CHARTS_AT_ONCE: usize = 8;
const DEFAULT_POINTS: i64 = 500;
const DEFAULT_OPTIONS: &str = "nonzero,null2zero,unaligned";

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

    /// The method of this name; of none or an unknown one, what the answer is by default.
    fn of(name: Option<&str>, shape: Shape) -> Method {
        let known = Self::NAMES.iter().find(|(known, _)| Some(*known) == name).map(|(_, method)| *method);
        known.unwrap_or(match shape {
            Shape::Contexts => Method::AnomalyRate,
            Shape::Charts => Method::Ks2,
        })
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
        Ok(Question {
            method,
            group: Group::parse(group, target.parameter("group_options").unwrap_or_default()),
            options: QueryOptions::parse(target.parameter("options").unwrap_or(DEFAULT_OPTIONS)),
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

    /// The question about one chart in one window: all of its dimensions, hidden ones too.
    fn parameters(&self, (after, before): (i64, i64), points: i64) -> Parameters {
        let mut options = self.options;
        options.insert(QueryOption::NaturalPoints);
        if self.method == Method::AnomalyRate {
            options.insert(QueryOption::AnomalyBit);
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

    /// The score of a dimension, if it is one to be told of.
    fn score(&self, baseline: &[f64], highlight: &[f64]) -> Option<Score> {
        let score = match self.method {
            Method::Ks2 => ks2(baseline, highlight),
            Method::Volume => volume(baseline, highlight),
            Method::AnomalyRate => highlight.first().map(|rate| Score::Plain(rate.abs())),
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
    let mut query = match api.admission.admit(timeout_ms) {
        Ok(query) => query,
        Err(answer) => return answer,
    };
    let deadline = query.deadline();
    let contexts = target.parameter_of(&["context", "contexts"]).unwrap_or("*");
    let contexts = SimplePattern::new(contexts, API_SEPARATORS);
    let wanted = host.charts.iter().filter(|chart| !chart.hidden && contexts.matches(&*chart.context));
    let wanted: Vec<Arc<Chart>> = wanted.cloned().collect();

    let dimensions: usize = wanted.iter().map(|chart| chart.dimensions.len()).sum();
    if let Err(answer) = query.reads(question.seconds().saturating_mul(dimensions as i64)).await {
        return answer;
    }
    let (mut weighed, mut work) = (Vec::new(), Work::default());
    for charts in wanted.chunks(CHARTS_AT_ONCE) {
        if query.step().await.is_err() {
            return error(StatusCode::GATEWAY_TIMEOUT, "timed out");
        }
        let weighing = weigh(api, host, charts.to_vec(), &question, deadline, &mut weighed, &mut work);
        match weighing.await {
            Ok(()) => {}
            Err(Unanswered::Overloaded) => return query.fails(Answer::overloaded()),
            Err(Unanswered::TimedOut) => {
                query.timed_out();
                return error(StatusCode::GATEWAY_TIMEOUT, "timed out");
            }
        }
    }
    if weighed.is_empty() {
        return query.fails(error(StatusCode::NOT_FOUND, "no results produced."));
    }
    query.done();
    let scores: Vec<Score> = weighed.iter().map(|weighed| weighed.score).collect();
    let weights = if question.options.contains(QueryOption::Raw) {
        scores.iter().map(|score| score.value()).collect()
    } else {
        ranks(&scores)
    };
    write(&question, shape, &weighed, &weights, &work, begun.elapsed())
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
    let of = |window, points| {
        let read =
            queried.iter().map(move |queried| read(api, host, question, queried, window, points, deadline));
        join_all(read)
    };
    let points = if question.baseline.is_some() { question.points } else { 1 };
    let highlights = of(question.highlight, points).await;
    let baselines = match question.baseline {
        Some(baseline) => of((baseline.after, baseline.before), baseline.points).await,
        None => queried.iter().map(|_| Ok(None)).collect(),
    };
    for ((queried, highlight), baseline) in queried.iter().zip(highlights).zip(baselines) {
        // Without a sample in the highlight there is nothing to tell.
        let (Some(highlight), baseline) = (highlight?, baseline?) else { continue };
        for points in [Some(&highlight), baseline.as_ref()].into_iter().flatten() {
            work.queries += points.columns.len();
            work.result_points += points.columns.len() * points.grid.points;
            work.samples += points.samples_read;
        }
        for column in &highlight.columns {
            let before =
                baseline.as_ref().map_or(Vec::new(), |baseline| values_of(baseline, column.dimension));
            let after = values_of(&highlight, column.dimension);
            if let Some(score) = question.score(&before, &after) {
                let (chart, dimension) = (Arc::clone(&queried.chart), column.dimension);
                weighed.push(Weighed { chart, dimension, score });
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

#[derive(Serialize)]
struct Statistics {
    query_time_ms: f64,
    db_queries: usize,
    query_result_points: usize,
    /// Of Netdata's own way to compare; there are none here.
    binary_searches: usize,
    db_points_read: u64,
    db_points_per_tier: [u64; 1],
}

/// What both answers begin with.
#[derive(Serialize)]
struct Head {
    after: i64,
    before: i64,
    duration: i64,
    points: i64,
    #[serde(flatten)]
    baseline: Option<BaselineMembers>,
    statistics: Statistics,
    group: &'static str,
    method: &'static str,
    options: String,
}

#[derive(Serialize)]
struct BaselineMembers {
    baseline_after: i64,
    baseline_before: i64,
    baseline_duration: i64,
    baseline_points: i64,
}

/// `weights`.
#[derive(Serialize)]
struct ByContext<'a> {
    #[serde(flatten)]
    head: Head,
    contexts: BTreeMap<&'a str, WeighedContext<'a>>,
    weighted_dimensions: usize,
    total_dimensions_count: usize,
}

#[derive(Default, Serialize)]
struct WeighedContext<'a> {
    charts: BTreeMap<&'a str, WeighedChart<'a>>,
    /// The mean of its dimensions', as a chart's.
    weight: f64,
}

#[derive(Default, Serialize)]
struct WeighedChart<'a> {
    dimensions: BTreeMap<&'a str, f64>,
    weight: f64,
}

/// `metric_correlations`.
#[derive(Serialize)]
struct ByChart<'a> {
    #[serde(flatten)]
    head: Head,
    correlated_charts: BTreeMap<&'a str, CorrelatedChart<'a>>,
    correlated_dimensions: usize,
    total_dimensions_count: usize,
}

#[derive(Default, Serialize)]
struct CorrelatedChart<'a> {
    context: &'a str,
    dimensions: BTreeMap<&'a str, f64>,
}

fn mean<'a>(weights: impl Iterator<Item = &'a f64>) -> f64 {
    let (count, sum) = weights.fold((0usize, 0.0), |(count, sum), weight| (count + 1, sum + weight));
    sum / count.max(1) as f64
}

fn write(
    question: &Question,
    shape: Shape,
    weighed: &[Weighed],
    weights: &[f64],
    work: &Work,
    took: Duration,
) -> Answer {
    let (after, before) = question.highlight;
    let head = Head {
        after,
        before,
        duration: before - after,
        points: question.points,
        baseline: question.baseline.map(|baseline| BaselineMembers {
            baseline_after: baseline.after,
            baseline_before: baseline.before,
            baseline_duration: baseline.before - baseline.after,
            baseline_points: baseline.points,
        }),
        statistics: Statistics {
            query_time_ms: took.as_secs_f64() * 1000.0,
            db_queries: work.queries,
            query_result_points: work.result_points,
            binary_searches: 0,
            db_points_read: work.samples,
            db_points_per_tier: [work.samples],
        },
        group: question.group.name,
        method: question.method.name(),
        options: question.options.to_string(),
    };
    let all = weighed.iter().zip(weights).map(|(weighed, weight)| {
        let chart = &*weighed.chart;
        (chart, &**chart.dimensions[weighed.dimension].name(), *weight)
    });
    match shape {
        Shape::Contexts => {
            let mut contexts: BTreeMap<&str, WeighedContext<'_>> = BTreeMap::new();
            for (chart, dimension, weight) in all {
                let charts = &mut contexts.entry(&chart.context).or_default().charts;
                charts.entry(&chart.id).or_default().dimensions.insert(dimension, weight);
            }
            for context in contexts.values_mut() {
                for chart in context.charts.values_mut() {
                    chart.weight = mean(chart.dimensions.values());
                }
                context.weight = mean(context.charts.values().flat_map(|chart| chart.dimensions.values()));
            }
            Answer::json(&ByContext {
                head,
                contexts,
                weighted_dimensions: weighed.len(),
                total_dimensions_count: work.dimensions,
            })
        }
        Shape::Charts => {
            let mut charts: BTreeMap<&str, CorrelatedChart<'_>> = BTreeMap::new();
            for (chart, dimension, weight) in all {
                let correlated = charts.entry(&chart.id).or_default();
                correlated.context = &chart.context;
                correlated.dimensions.insert(dimension, weight);
            }
            Answer::json(&ByChart {
                head,
                correlated_charts: charts,
                correlated_dimensions: weighed.len(),
                total_dimensions_count: work.dimensions,
            })
        }
    }
}
