//! Alerts as Netdata's clients ask for them. There is no health engine yet: every host is one whose checks do not run, which is
//! what Netdata says of a child that is away. What an alert could name is known: `alarm_variables` and `variable`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::Api;
use super::admission::RunningQuery;
use super::allmetrics::latest;
use super::answer::{Answer, JSON, TEXT, escape_html};
use super::piecewise::{Piecewise, Writer};
use super::request::Target;
use crate::catalog::{Chart, HostSnapshot};
use crate::shard::message::LatestRow;

type Empty = BTreeMap<String, ()>;
/// Numbers by their names; `null` where there is none.
type Variables = BTreeMap<String, Option<f64>>;

#[derive(Serialize)]
struct Alarms<'a> {
    hostname: &'a str,
    latest_alarm_log_unique_id: u32,
    /// Whether checks run.
    status: bool,
    now: i64,
    alarms: Empty,
}

#[derive(Serialize)]
struct AlarmValues<'a> {
    hostname: &'a str,
    alarms: Empty,
}

/// `/api/v1/alarms`.
pub(super) fn alarms(api: &Api, host: &HostSnapshot) -> Answer {
    Answer::json(&Alarms {
        hostname: &host.info.hostname,
        latest_alarm_log_unique_id: 0,
        status: false,
        now: api.clock.now(),
        alarms: Empty::new(),
    })
}

/// `/api/v1/alarms_values`.
pub(super) fn values(host: &HostSnapshot) -> Answer {
    Answer::json(&AlarmValues { hostname: &host.info.hostname, alarms: Empty::new() })
}

/// `/api/v1/alarm_log`.
pub(super) fn log() -> Answer {
    Answer::new(JSON, "[\n]\n")
}

/// `/api/v1/alarm_count`.
pub(super) fn count() -> Answer {
    Answer::new(JSON, "[0]\n")
}

/// `/api/v1/manage/health`, of whoever has the right and the key.
pub(super) fn manage(target: &Target) -> Answer {
    match target.parameter("cmd") {
        Some("LIST") => {
            Answer::new(JSON, "{\n\t\"all\": false,\n\t\"type\": \"None\",\n\t\"silencers\": []\n}\n")
        }
        // What it asks for is so.
        Some("RESET") => Answer::new(TEXT, "All health checks and notifications are enabled\n"),
        _ => Answer::error(
            StatusCode::NOT_IMPLEMENTED,
            "No health checks run in this parent, there is nothing to silence.\n",
        ),
    }
}

/// `/api/v1/alarm_variables?chart=<id or name>`: all that an alert on the chart can name.
pub(super) async fn variables(api: &Api, host: &Arc<HostSnapshot>, target: &Target) -> Answer {
    let chart = match chart_of(host, target) {
        Ok(chart) => Arc::clone(chart),
        Err(error) => return error,
    };
    api.admission
        .answer(target.timeout_ms(), async |query| {
            let rows = newest(api, host, query).await?;
            let host = Arc::clone(host);
            let written = Piecewise::new(async move |writer: &mut Writer| {
                write_variables(&host, &chart, &rows, writer).await;
            });
            Ok(Answer::in_pieces(JSON, written))
        })
        .await
}

/// The newest row of every chart of a host.
async fn newest(api: &Api, host: &HostSnapshot, query: &mut RunningQuery) -> Result<Vec<LatestRow>, Answer> {
    let of_dimension = size_of::<f32>() + size_of::<Option<(i64, i64)>>();
    let dimensions: usize = host.charts.iter().map(|chart| chart.dimensions.len()).sum();
    let needed = host.charts.len() * size_of::<LatestRow>() + dimensions * of_dimension;
    query.holds(needed, format_args!("{dimensions} dimensions"), "a smaller host")?;
    let rows = latest(api, host).await.ok_or_else(|| query.fails(Answer::overloaded()))?;
    query.step().await?;
    Ok(rows)
}

/// The charts that alerts are about, each with its newest row.
fn visible<'a>(
    host: &'a HostSnapshot,
    rows: &'a [LatestRow],
) -> impl Iterator<Item = (&'a Arc<Chart>, &'a LatestRow)> + Clone {
    host.charts.iter().zip(rows).filter(|(chart, _)| chart.is_visible())
}

/// A chart a step: what is held is the names of one, and those that a family has in common.
async fn write_variables(host: &HostSnapshot, chart: &Chart, rows: &[LatestRow], writer: &mut Writer) {
    writer.out.push(b'{');
    writer.object().text("chart", &chart.id);
    writer.object().text("chart_name", &chart.name);
    writer.object().text("chart_context", &chart.context);
    let own: Variables = visible(host, rows)
        .filter(|(other, _)| other.id == chart.id)
        .flat_map(|(other, row)| chart_variables(other, row))
        .collect();
    writer.object().object("chart_variables", |object| {
        own.iter().for_each(|(name, value)| object.number(name, value.unwrap_or(f64::NAN)));
    });
    writer.object().text("family", &chart.family);
    writer.begin("family_variables");
    // The chart's own come before those of its family, then those of the first that has them.
    let mut known: HashSet<String> = HashSet::new();
    for (name, value) in own {
        writer.object().number(&name, value.unwrap_or(f64::NAN));
        known.insert(name);
    }
    for (other, row) in visible(host, rows).filter(|(other, _)| other.family == chart.family) {
        for (name, value) in chart_variables(other, row).collect::<Variables>() {
            let value = value.unwrap_or(f64::NAN);
            writer.object().number(&format!("{}.{name}", other.id), value);
            if !known.contains(&name) {
                writer.object().number(&name, value);
                known.insert(name);
            }
        }
        writer.pause().await;
    }
    writer.end();
    writer.object().text("host", &host.info.hostname);
    writer.begin("host_variables");
    for (other, row) in visible(host, rows) {
        for (name, value) in chart_variables(other, row).collect::<Variables>() {
            let name = format!("{}.{name}", other.id);
            if !host.info.variables.contains_key(&*name) {
                writer.object().number(&name, value.unwrap_or(f64::NAN));
            }
        }
        writer.pause().await;
    }
    for (name, value) in &host.info.variables {
        writer.object().number(name, *value);
        writer.pause().await;
    }
    writer.end();
    writer.end();
}

#[derive(Serialize)]
struct Variable<'a> {
    chart: &'a str,
    host: &'a str,
    variable: &'a str,
    result: Option<f64>,
}

/// `/api/v1/variable?chart=<id or name>&variable=<name>`: what an alert on the chart would take the name for: the chart's,
/// else a chart's of its family, else the host's, else another chart's with its id in front. `null` for what is nothing.
pub(super) async fn variable(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let chart = match chart_of(host, target) {
        Ok(chart) => chart,
        Err(error) => return error,
    };
    let Some(variable) = target.parameter("variable") else {
        return Answer::error(StatusCode::BAD_REQUEST, "No variable is given at the request.");
    };
    let name = variable.strip_prefix('$').unwrap_or(variable);
    api.admission
        .answer(target.timeout_ms(), async |query| {
            let rows = newest(api, host, query).await?;
            let result = meant(host, chart, &rows, name, query).await?;
            Ok(Answer::json(&Variable { chart: &chart.id, host: &host.info.hostname, variable, result }))
        })
        .await
}

/// The value of what a name means to alerts on a chart.
async fn meant(
    host: &HostSnapshot,
    chart: &Chart,
    rows: &[LatestRow],
    name: &str,
    query: &mut RunningQuery,
) -> Result<Option<f64>, Answer> {
    let in_chart = |other: &Chart, row: &LatestRow, name: &str| {
        chart_variables(other, row).find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let own = visible(host, rows).find(|(other, _)| other.id == chart.id);
    if let Some(value) = own.and_then(|(own, row)| in_chart(own, row, name)) {
        return Ok(value);
    }
    for (other, row) in visible(host, rows).filter(|(other, _)| other.family == chart.family) {
        if let Some(value) = in_chart(other, row, name) {
            return Ok(value);
        }
        query.step().await?;
    }
    if let Some(value) = host.info.variables.get(name) {
        return Ok(Some(*value));
    }
    for (other, row) in visible(host, rows) {
        let rest = name.strip_prefix(&*other.id).and_then(|rest| rest.strip_prefix('.'));
        if let Some(value) = rest.and_then(|rest| in_chart(other, row, rest)) {
            return Ok(value);
        }
        query.step().await?;
    }
    Ok(None)
}

fn chart_of<'a>(host: &'a HostSnapshot, target: &Target) -> Result<&'a Arc<Chart>, Answer> {
    let Some(name) = target.parameter("chart") else {
        return Err(Answer::error(StatusCode::BAD_REQUEST, "No chart id is given at the request."));
    };
    host.chart(name).ok_or_else(|| {
        Answer::error(StatusCode::NOT_FOUND, format!("Chart is not found: {}", escape_html(name)))
    })
}

/// Of each dimension its newest sample, its last collected value and when that came; and what is the chart's own.
fn chart_variables(chart: &Chart, row: &LatestRow) -> impl Iterator<Item = (String, Option<f64>)> {
    let of_chart = [
        ("last_collected_t".to_owned(), Some(row.time as f64)),
        ("update_every".to_owned(), Some(f64::from(chart.update_every))),
        ("green".to_owned(), None),
        ("red".to_owned(), None),
    ];
    let set = chart.variables.iter().map(|(name, value)| (name.to_string(), Some(*value)));
    let dimensions = chart.dimensions.iter().enumerate().filter(|(_, dimension)| !dimension.obsolete);
    let of_dimensions = dimensions.flat_map(|(index, dimension)| {
        let value = row.values.get(index).filter(|value| value.is_finite()).map(|value| f64::from(*value));
        let collected = row.collected.get(index).copied().flatten();
        let raw = collected.map(|(value, _)| value as f64);
        let time = collected.map(|(_, us)| (us / 1_000_000) as f64);
        let mut names = vec![&dimension.id];
        if *dimension.name() != dimension.id {
            names.push(dimension.name());
        }
        names.into_iter().flat_map(move |name| {
            [
                (name.to_string(), value),
                (format!("{name}_raw"), raw),
                (format!("{name}_last_collected_t"), time),
            ]
        })
    });
    of_chart.into_iter().chain(set).chain(of_dimensions)
}
