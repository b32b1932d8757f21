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

mod read;

mod search;

mod weights;

mod written;

use std::sync::Arc;

use dbengine::TimeRange;
use ecow::EcoString;
use http::StatusCode;

use super::Api;
use super::admission::RunningQuery;
use super::answer::Answer;
use super::object::Object;
use super::piecewise::Writer;
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::query::QueryError;
use crate::query::fleet::{FleetQuestion, Selection};
use crate::shard::placement::ShardId;
use crate::wire::command::ChartType;

pub(super) const COMMANDS: [&str; 4] = ["data", "contexts", "q", "weights"];

/// Of a chart that a question takes: a reference, and its first and last row.
const BYTES_OF_CANDIDATE: usize = size_of::<Arc<Chart>>() + size_of::<Option<TimeRange>>();
/// What a question that is too large is told to ask for.
const FEWER: &str = "fewer contexts or hosts";

pub(super) async fn answer(api: &Api, command: &str, target: &Target) -> Answer {
    let pairs = target.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let question = FleetQuestion::from_pairs(pairs);
    let timeout_ms = question.time.timeout_ms;
    api.admission
        .answer(timeout_ms, async |query| match command {
            "data" => data::answer(api, target, question, query).await,
            "weights" => weights::answer(api, target, question, query).await,
            "contexts" => contexts::answer(api, target, question, query).await,
            _ => search::answer(api, target, question, query).await,
        })
        .await
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
    let (mut candidates, mut held) = (Vec::new(), 0);
    for host in hosts_of(api, question, query).await? {
        let mut charts = api.directory.charts_of(&host, &contexts);
        let mut kept = 0;
        for place in 0..charts.len() {
            if question.takes_chart(&host, &charts[place]) {
                charts.swap(kept, place);
                kept += 1;
            }
            query.step().await?;
        }
        charts.truncate(kept);
        held += kept * BYTES_OF_CANDIDATE;
        query.holds(held, format_args!("{} charts", held / BYTES_OF_CANDIDATE), FEWER)?;
        if !charts.is_empty() {
            candidates.push((host, charts));
        }
    }
    Ok(candidates)
}

fn contexts_of(api: &Api, question: &FleetQuestion) -> Vec<EcoString> {
    api.directory.contexts(|context| question.takes_context(context))
}

/// In order of their names.
async fn hosts_of(
    api: &Api,
    question: &FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Vec<Arc<HostSnapshot>>, Answer> {
    let mut hosts = Vec::new();
    let all = api.directory.hosts().clone();
    for host in all {
        if question.takes_host(&host) {
            hosts.push(host);
        }
        query.step().await?;
    }
    hosts.sort_by(|a, b| {
        (&a.info.hostname, a.info.machine_guid).cmp(&(&b.info.hostname, b.info.machine_guid))
    });
    Ok(hosts)
}

/// The oldest and the newest row of each candidate's charts, in the same order.
async fn spans(
    api: &Api,
    candidates: &[Candidate],
    query: &mut RunningQuery,
) -> Result<Vec<Vec<Option<TimeRange>>>, Answer> {
    let mut spans: Vec<Vec<Option<TimeRange>>> = Vec::with_capacity(candidates.len());
    spans.extend(candidates.iter().map(|(_, charts)| Vec::with_capacity(charts.len())));
    for shard in 0..api.shards.len() {
        let shard = ShardId(shard as u16);
        let of_shard = candidates.iter().enumerate().filter(|(_, (host, _))| host.shard == shard);
        let (mut places, mut charts) = (Vec::new(), Vec::new());
        for (host, (_, all)) in of_shard {
            // What many hosts have a few of is asked for together.
            places.push(host);
            charts.extend(all.iter().map(|chart| &**chart));
            if charts.len() >= super::SPANS_AT_ONCE {
                share(&mut places, super::spans(api, shard, &charts, query).await?, candidates, &mut spans);
                charts.clear();
            }
        }
        share(&mut places, super::spans(api, shard, &charts, query).await?, candidates, &mut spans);
    }
    Ok(spans)
}

/// Gives each of these candidates its own of what was found for all of them.
fn share(
    places: &mut Vec<usize>,
    found: Vec<Option<TimeRange>>,
    candidates: &[Candidate],
    spans: &mut [Vec<Option<TimeRange>>],
) {
    let mut found = found.into_iter();
    for place in places.drain(..) {
        spans[place].extend(found.by_ref().take(candidates[place].1.len()));
    }
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
        for (chart, span) in charts.into_iter().zip(spans) {
            selection.add(question, &host, chart, span, now);
            let (series, groups) = (selection.series, selection.group_count());
            let what = format_args!("{series} dimensions in {groups} groups, without their points");
            query.holds(selection.bytes(), what, "larger groups (`group_by`) or fewer contexts")?;
            query.step().await?;
        }
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

/// What answers begin and end with.
#[derive(Debug)]
struct Around {
    /// Grows with every change of a host.
    version: i64,
    localhost: Arc<HostSnapshot>,
    now: i64,
}

impl Around {
    fn new(api: &Api) -> Around {
        Around {
            version: api.directory.version() as i64,
            localhost: api.directory.localhost(),
            now: api.clock.now(),
        }
    }

    /// Opens the object of an answer.
    fn begin(&self, writer: &mut Writer) {
        writer.out.push(b'{');
        writer.object().integer("api", 2);
        self.write_versions(&mut writer.object());
    }

    /// Closes it.
    fn end(&self, writer: &mut Writer) {
        self.write_agents(&mut writer.object());
        writer.end();
    }

    /// Numbers that change when what they stand for has: clients ask again then.
    fn write_versions(&self, object: &mut Object<'_>) {
        object.object("versions", |versions| {
            versions.integer("routing_hard_hash", 1);
            for name in ["nodes_hard_hash", "contexts_hard_hash", "contexts_soft_hash"] {
                versions.integer(name, self.version);
            }
            versions.integer("alerts_hard_hash", 0);
            versions.integer("alerts_soft_hash", 0);
        });
    }

    /// Who answers.
    fn write_agents(&self, object: &mut Object<'_>) {
        object.array("agents", 0..1, |ai, item| {
            item.object(|agent| {
                agent.text("mg", &self.localhost.info.machine_guid.hyphenated().to_string());
                agent.text("nm", &self.localhost.info.hostname);
                agent.integer("now", self.now);
                agent.integer("ai", ai);
            });
        });
    }
}
