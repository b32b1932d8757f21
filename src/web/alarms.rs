//! Alerts as Netdata's clients ask for them. There is no health engine yet: every host is one whose checks do not run, which is
//! what Netdata says of a child that is away. What an alert could name is known: `alarm_variables` and `variable`.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use super::Api;
use super::allmetrics::latest;
use super::answer::{Answer, JSON, TEXT, escape_html};
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

/// All that an alert on a chart can name.
#[derive(Serialize)]
struct AlarmVariables<'a> {
    chart: &'a str,
    chart_name: &'a str,
    chart_context: &'a str,
    chart_variables: Variables,
    family: &'a str,
    family_variables: Variables,
    host: &'a str,
    host_variables: Variables,
}

/// `/api/v1/alarm_variables?chart=<id or name>`.
pub(super) async fn variables(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let chart = match chart_of(host, target) {
        Ok(chart) => chart,
        Err(error) => return error,
    };
    let Some(rows) = latest(api, host).await else { return Answer::overloaded() };
    let (mut of_chart, mut of_family, mut of_host) = (Variables::new(), Variables::new(), Variables::new());
    for (other, row) in
        host.charts.iter().map(|chart| &**chart).zip(&rows).filter(|(other, _)| other.is_visible())
    {
        for (name, value) in chart_variables(other, row) {
            let long = format!("{}.{name}", other.id);
            if other.family == chart.family {
                of_family.insert(long.clone(), value);
                // The chart's own come before those of its family.
                if other.id == chart.id {
                    of_family.insert(name.clone(), value);
                } else {
                    of_family.entry(name.clone()).or_insert(value);
                }
            }
            if other.id == chart.id {
                of_chart.insert(name, value);
            }
            of_host.insert(long, value);
        }
    }
    of_host.extend(host.info.variables.iter().map(|(name, value)| (name.to_string(), Some(*value))));
    Answer::json(&AlarmVariables {
        chart: &chart.id,
        chart_name: &chart.name,
        chart_context: &chart.context,
        chart_variables: of_chart,
        family: &chart.family,
        family_variables: of_family,
        host: &host.info.hostname,
        host_variables: of_host,
    })
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
    let Some(rows) = latest(api, host).await else { return Answer::overloaded() };
    let name = variable.strip_prefix('$').unwrap_or(variable);
    let all = || host.charts.iter().map(|chart| &**chart).zip(&rows).filter(|(other, _)| other.is_visible());
    let in_chart = |(other, row): (&Chart, &LatestRow), name: &str| {
        chart_variables(other, row).find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let own = all().find(|(other, _)| other.id == chart.id).and_then(|own| in_chart(own, name));
    let result = own
        .or_else(|| {
            all().filter(|(other, _)| other.family == chart.family).find_map(|other| in_chart(other, name))
        })
        .or_else(|| host.info.variables.get(name).map(|value| Some(*value)))
        .or_else(|| {
            all().find_map(|other| in_chart(other, name.strip_prefix(&*other.0.id)?.strip_prefix('.')?))
        });
    Answer::json(&Variable {
        chart: &chart.id,
        host: &host.info.hostname,
        variable,
        result: result.flatten(),
    })
}

fn chart_of<'a>(host: &'a HostSnapshot, target: &Target) -> Result<&'a Chart, Answer> {
    let Some(name) = target.parameter("chart") else {
        return Err(Answer::error(StatusCode::BAD_REQUEST, "No chart id is given at the request."));
    };
    host.chart(name).map(|chart| &**chart).ok_or_else(|| {
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
