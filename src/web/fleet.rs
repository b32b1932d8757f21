//! Questions over many hosts at once.
//!
//! | command    |                                                                     |
//! |------------|---------------------------------------------------------------------|
//! | `data`     | [`data`]: points of groups on a grid, as [`written`] writes them    |
//! | `contexts` | [`contexts`]: which contexts there are, and what they are           |
//! | `q`        | [`search`]: where a text stands in names, titles and labels         |
//! | `weights`  | [`weights`]: what changed most from one window to another           |
//!
//! Source: HTTP API reference of Netdata 2.9, section 8. Its answers name what is summarised by the same short members.

mod contexts;

mod data;

mod object;

mod read;

mod search;

mod weights;

mod written;

use std::sync::Arc;

use dbengine::TimeRange;
use ecow::EcoString;
use http::StatusCode;

use self::object::Object;
use super::Api;
use super::admission::RunningQuery;
use super::answer::Answer;
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::query::QueryError;
use crate::query::fleet::{FleetQuestion, Selection};
use crate::shard::placement::ShardId;
use crate::wire::command::ChartType;

pub(super) const COMMANDS: [&str; 4] = ["data", "contexts", "q", "weights"];

/// Charts that a shard is asked for the spans of in one message.
const SPANS_AT_ONCE: usize = 4096;

pub(super) async fn answer(api: &Api, command: &str, target: &Target) -> Answer {
    let pairs = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let question = FleetQuestion::from_pairs(pairs);
    let mut query = match api.admission.admit(question.time.timeout_ms) {
        Ok(query) => query,
        Err(answer) => return answer,
    };
    let answered = match command {
        "data" => data::answer(api, target, question, &mut query).await,
        "weights" => weights::answer(api, target, question, &mut query).await,
        "contexts" => contexts::answer(api, target, question, &mut query).await,
        _ => search::answer(api, target, question, &mut query).await,
    };
    match answered {
        Ok(answer) => {
            query.done();
            answer
        }
        Err(answer) => answer,
    }
}

/// A host with those of its charts that a question takes.
type Candidate = (Arc<HostSnapshot>, Vec<Arc<Chart>>);

/// Which charts a question takes, host by host, before anything is known of their rows.
async fn candidates(
    api: &Api,
    question: &FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Vec<Candidate>, Answer> {
    let contexts = contexts_of(api, question);
    let hosts = hosts_of(api, question);
    let mut candidates = Vec::new();
    for host in hosts {
        let mut charts = api.directory.charts_of(&host, &contexts);
        charts.retain(|chart| question.takes_chart(&host, chart));
        if !charts.is_empty() {
            candidates.push((host, charts));
        }
        query.step().await?;
    }
    Ok(candidates)
}

fn contexts_of(api: &Api, question: &FleetQuestion) -> Vec<EcoString> {
    api.directory.contexts(|context| question.takes_context(context))
}

/// In order of their names.
fn hosts_of(api: &Api, question: &FleetQuestion) -> Vec<Arc<HostSnapshot>> {
    let hosts = api.directory.hosts();
    let mut hosts: Vec<_> = hosts.iter().filter(|host| question.takes_host(host)).cloned().collect();
    hosts.sort_by(|a, b| {
        (&a.info.hostname, a.info.machine_guid).cmp(&(&b.info.hostname, b.info.machine_guid))
    });
    hosts
}

/// The oldest and the newest row of each candidate's charts, in the same order.
async fn spans(
    api: &Api,
    candidates: &[Candidate],
    query: &mut RunningQuery,
) -> Result<Vec<Vec<Option<TimeRange>>>, Answer> {
    let mut spans: Vec<Vec<Option<TimeRange>>> =
        candidates.iter().map(|(_, charts)| vec![None; charts.len()]).collect();
    for shard in 0..api.shards.len() {
        let shard = ShardId(shard as u16);
        let of_shard = candidates.iter().enumerate().filter(|(_, (host, _))| host.shard == shard);
        let places: Vec<(usize, usize)> = of_shard
            .flat_map(|(host, (_, charts))| (0..charts.len()).map(move |chart| (host, chart)))
            .collect();
        for places in places.chunks(SPANS_AT_ONCE) {
            let charts: Vec<&Chart> =
                places.iter().map(|(host, chart)| &*candidates[*host].1[*chart]).collect();
            let Some(found) = api.spans(shard, &charts).await else {
                return Err(query.fails(Answer::overloaded()));
            };
            for ((host, chart), span) in places.iter().zip(found) {
                spans[*host][*chart] = span;
            }
            query.step().await?;
        }
    }
    Ok(spans)
}

/// What a question is about.
async fn select(
    api: &Api,
    question: &FleetQuestion,
    now: i64,
    query: &mut RunningQuery,
) -> Result<Selection, Answer> {
    let candidates = candidates(api, question, query).await?;
    let spans = spans(api, &candidates, query).await?;
    let mut selection = Selection::default();
    for ((host, charts), spans) in candidates.into_iter().zip(spans) {
        selection.add(question, &host, charts.into_iter().zip(spans), now);
        query.step().await?;
    }
    Ok(selection)
}

/// Whether a word is among the options: one that says how an answer is written.
fn has_word(target: &Target, word: &str) -> bool {
    let options = target.parameters.iter().filter(|(name, _)| name == "options");
    options.flat_map(|(_, value)| value.split([',', ' ', '|'])).any(|one| one == word)
}

fn chart_type(chart: &Chart) -> &'static str {
    match chart.chart_type {
        ChartType::Line => "line",
        ChartType::Area => "area",
        ChartType::Stacked => "stacked",
        ChartType::Heatmap => "heatmap",
    }
}

fn refusal(error: QueryError, query: &mut RunningQuery) -> Answer {
    let status = match error {
        QueryError::NoChart => StatusCode::BAD_REQUEST,
        QueryError::NothingMatched => StatusCode::NOT_FOUND,
    };
    query.fails(Answer::error(status, error.to_string()))
}

/// Numbers that change when what they stand for has: clients ask again then.
fn write_versions(api: &Api, object: &mut Object<'_>) {
    let version = api.directory.version() as i64;
    object.object("versions", |versions| {
        versions.integer("routing_hard_hash", 1);
        for name in ["nodes_hard_hash", "contexts_hard_hash", "contexts_soft_hash"] {
            versions.integer(name, version);
        }
        versions.integer("alerts_hard_hash", 0);
        versions.integer("alerts_soft_hash", 0);
    });
}

/// Who answers.
fn write_agents(api: &Api, object: &mut Object<'_>) {
    let localhost = api.directory.localhost();
    object.array("agents", 0..1, |ai, item| {
        item.object(|agent| {
            agent.text("mg", &localhost.info.machine_guid.hyphenated().to_string());
            agent.text("nm", &localhost.info.hostname);
            agent.integer("now", api.clock.now());
            agent.integer("ai", ai);
        });
    });
}
