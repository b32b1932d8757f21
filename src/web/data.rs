//! `data`: samples on a grid, in whatever format was asked for. Plans and formats do the work; here is the way between
//! them: which charts, what their shard holds of them, and when to stop.

use std::sync::Arc;
use std::time::Instant;

use dbengine::GroupKey;
use http::{StatusCode, header};
use jiff::tz::TimeZone;

use super::admission::RunningQuery;
use super::answer::Answer;
use super::format::{self, Presentation};
use super::request::Target;
use super::{Api, TURN};
use crate::catalog::{Chart, HostSnapshot};
use crate::query::{Answer as Points, Parameters, Plan, Progress, QueriedChart, QueryError, Tier};
use crate::runtime::breathe;
use crate::shard::message::ChartGroup;
use crate::shard::placement::ShardId;

/// Numbers of this size are seconds before now, larger ones are unix times: three years.
const RELATIVE_UP_TO: u64 = 3 * 365 * 86_400;
/// What a point takes, as a number and as text.
const CELL_BYTES: usize = 8 + 16;

pub(super) async fn answer(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let pairs = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters = Parameters::from_pairs(pairs);
    let timeout_ms = parameters.timeout_ms;
    api.admission.answer(timeout_ms, async |query| answered(api, host, target, parameters, query).await).await
}

async fn answered(
    api: &Api,
    host: &HostSnapshot,
    target: &Target,
    parameters: Parameters,
    query: &mut RunningQuery,
) -> Result<Answer, Answer> {
    let pairs = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let presentation = Presentation::from_pairs(pairs);
    let charts =
        parameters.select(host.charts.clone(), |chart| chart).map_err(|error| query.fails(refusal(error)))?;
    let Some(queried) = queried(api, host, charts).await else {
        return Err(query.fails(Answer::overloaded()));
    };
    let newest = queried.iter().filter_map(|queried| queried.span).map(|span| span.last.0).max();
    let absolute =
        [parameters.after, parameters.before].iter().all(|edge| edge.unsigned_abs() > RELATIVE_UP_TO);
    let cacheable = absolute && newest.is_some_and(|newest| parameters.after.max(parameters.before) < newest);
    let plan =
        Plan::new(parameters, queried, api.clock.now()).map_err(|error| query.fails(refusal(error)))?;
    let needed = plan.cells().saturating_mul(CELL_BYTES);
    let points = format_args!("{} points in all", plan.cells());
    query.holds(needed, points, "fewer points or fewer dimensions")?;
    query.reads(plan.samples(tier_of(api, &plan))).await?;
    let points = match carry_out(api, host.shard, plan, query.deadline()).await {
        Ok(points) => points,
        Err(Unanswered::Overloaded) => return Err(query.fails(Answer::overloaded())),
        Err(Unanswered::TimedOut) => return Err(query.timed_out()),
    };
    let mut body = Vec::new();
    format::write(&points, &presentation, &TimeZone::system(), &mut body);
    let answer = Answer { cacheable, ..Answer::new(format::content_type(&points, &presentation), body) };
    Ok(match &presentation.filename {
        Some(name) => {
            answer.with_header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        }
        None => answer,
    })
}

/// Charts with what is known of their samples; `None` when their shard does not answer in time.
pub(super) async fn queried(
    api: &Api,
    host: &HostSnapshot,
    charts: Vec<Arc<Chart>>,
) -> Option<Vec<QueriedChart>> {
    let named: Vec<&Chart> = charts.iter().map(|chart| &**chart).collect();
    let states = api.states(host.shard, &named).await?;
    let queried = charts.into_iter().zip(states).map(|(chart, state)| QueriedChart {
        host: host.info.clone(),
        chart,
        span: state.span,
        newest: state.newest,
    });
    Some(queried.collect())
}

/// Why a plan was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The shard did not answer in time.
    Overloaded,
    /// The deadline of whoever asked has passed.
    TimedOut,
}

impl From<Unanswered> for Answer {
    fn from(unanswered: Unanswered) -> Answer {
        match unanswered {
            Unanswered::Overloaded => Answer::overloaded(),
            Unanswered::TimedOut => Answer::error(StatusCode::SERVICE_UNAVAILABLE, "Query timeout exceeded"),
        }
    }
}

/// The tier that a plan reads.
fn tier_of(api: &Api, plan: &Plan) -> Tier {
    let oldest = plan.window().first.max(plan.oldest());
    let spans = plan.charts().iter().filter_map(|queried| Some((queried.span?.first, queried.chart.key)));
    let least = api.storage.borrow().tier_since(oldest, spans.min().map(|(_, key)| GroupKey(key)));
    plan.tier(&api.tier_factors(), least)
}

/// Reads what a plan needs and computes its points, with breaks for other requests.
pub(super) async fn carry_out(
    api: &Api,
    shard: ShardId,
    plan: Plan,
    deadline: Option<Instant>,
) -> Result<Points, Unanswered> {
    let tier = tier_of(api, &plan);
    let groups = plan.charts().iter().map(|queried| ChartGroup::from(&*queried.chart)).collect();
    let window = plan.window_in(tier);
    let snapshots = api.rows(shard, groups, window, tier).await.ok_or(Unanswered::Overloaded)?;
    let mut execution = plan.execution(snapshots);
    let mut turn = Instant::now();
    loop {
        execution = match execution.step(&mut api.workspace.borrow_mut()) {
            Progress::More(execution) => execution,
            Progress::Done(points) => return Ok(points),
        };
        if turn.elapsed() >= TURN {
            breathe().await;
            turn = Instant::now();
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Unanswered::TimedOut);
        }
    }
}

fn refusal(error: QueryError) -> Answer {
    let status = match error {
        QueryError::NoChart => StatusCode::BAD_REQUEST,
        QueryError::NothingMatched => StatusCode::NOT_FOUND,
    };
    Answer::error(status, error.to_string())
}
