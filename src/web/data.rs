//! `data`: samples on a grid, in whatever format was asked for. Plans and formats do the work; here is the way between
//! them: which charts, what their shard holds of them, and when to stop.

use std::time::{Duration, Instant};

use dbengine::GroupKey;
use http::{StatusCode, header};
use jiff::tz::TimeZone;

use super::answer::Answer;
use super::format::{self, Presentation};
use super::request::Target;
use super::{Api, TURN};
use crate::catalog::{Chart, HostSnapshot};
use crate::query::{Parameters, Plan, Progress, QueriedChart, QueryError};
use crate::runtime::breathe;
use crate::shard::message::ChartGroup;
use std::sync::atomic::Ordering::Relaxed;

/// Numbers of this size are seconds before now, larger ones are unix times: three years.
const RELATIVE_UP_TO: u64 = 3 * 365 * 86_400;

pub(super) async fn answer(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let begun = Instant::now();
    let pairs = || target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters = Parameters::from_pairs(pairs());
    let presentation = Presentation::from_pairs(pairs());
    let charts = match parameters.select(host.charts.clone(), |chart| chart) {
        Ok(charts) => charts,
        Err(error) => return refusal(error),
    };
    let named: Vec<&Chart> = charts.iter().map(|chart| &**chart).collect();
    let Some(states) = api.states(host.shard, &named).await else { return Answer::overloaded() };
    let newest = states.iter().filter_map(|state| state.span).map(|span| span.last.0).max();
    let queried = charts
        .into_iter()
        .zip(states)
        .map(|(chart, state)| QueriedChart {
            host: host.info.clone(),
            chart,
            span: state.span,
            newest: state.newest,
        })
        .collect();
    let absolute =
        [parameters.after, parameters.before].iter().all(|edge| edge.unsigned_abs() > RELATIVE_UP_TO);
    let cacheable = absolute && newest.is_some_and(|newest| parameters.after.max(parameters.before) < newest);
    let plan = match Plan::new(parameters, queried, api.clock.now()) {
        Ok(plan) => plan,
        Err(error) => return refusal(error),
    };
    let oldest = plan.window().first.max(plan.oldest());
    let keys = plan.charts().iter().map(|queried| GroupKey(queried.chart.key));
    let least = api.storage.borrow().tier_since(oldest, keys);
    let tier = plan.tier(&api.tier_factors(), least);
    let groups = plan.charts().iter().map(|queried| ChartGroup::from(&*queried.chart));
    let (groups, window, timeout_ms) = (groups.collect(), plan.window_in(tier), plan.timeout_ms());
    let Some(snapshots) = api.rows(host.shard, groups, window, tier).await else {
        return Answer::overloaded();
    };
    let mut execution = plan.execution(snapshots);
    let mut turn = Instant::now();
    let points = loop {
        execution = match execution.step(&mut api.workspace.borrow_mut()) {
            Progress::More(execution) => execution,
            Progress::Done(points) => break points,
        };
        if turn.elapsed() >= TURN {
            breathe().await;
            turn = Instant::now();
        }
        if timeout_ms > 0 && begun.elapsed() >= Duration::from_millis(timeout_ms) {
            return Answer::error(StatusCode::SERVICE_UNAVAILABLE, "Query timeout exceeded");
        }
    };
    let mut body = Vec::new();
    format::write(&points, &presentation, &TimeZone::system(), &mut body);
    api.telemetry.queries.fetch_add(1, Relaxed);
    let answer = Answer { cacheable, ..Answer::new(format::content_type(&points, &presentation), body) };
    match &presentation.filename {
        Some(name) => {
            answer.with_header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        }
        None => answer,
    }
}

fn refusal(error: QueryError) -> Answer {
    let status = match error {
        QueryError::NoChart => StatusCode::BAD_REQUEST,
        QueryError::NothingMatched => StatusCode::NOT_FOUND,
    };
    Answer::error(status, error.to_string())
}
