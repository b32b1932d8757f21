//! `allmetrics`: the newest of every chart, for shells, scripts and Prometheus.
//!
//! Prometheus output groups series by metric, announces each type once and under its full name, and a `sum` is a sum:
//! 1.37.1 does none of these, and strict parsers reject it for the first two.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;

use dbengine::{Samples, TimeRange, UnixSeconds};
use http::StatusCode;
use uuid::Uuid;

use super::Api;
use super::answer::{Answer, JSON, TEXT};
use super::request::Target;
use crate::catalog::{Chart, Dimension, HostSnapshot};
use crate::config::simple_pattern::{SimplePattern, WHITE_SPACE};
use crate::query::Tier;
use crate::runtime::breathe;
use crate::shard::message::ChartGroup;
use crate::shard::message::{LatestRow, Question};
use crate::wire::command::Algorithm;

const PROMETHEUS: &str = "text/plain; version=0.0.4";
/// How far back the first scrape of a server looks.
const FIRST_SCRAPE_S: i64 = 10;
/// Pairs of scraping server and host that are remembered; a client cannot make us remember more.
const MOST_SCRAPES: usize = 100_000;

/// When each scraping server was here last, by its name and the host it scraped.
pub(super) type Scrapes = HashMap<(String, Uuid), i64>;

pub(super) async fn answer(api: &Api, host: &HostSnapshot, target: &Target, peer: SocketAddr) -> Answer {
    let filter = SimplePattern::new(target.parameter("filter").unwrap_or("*"), WHITE_SPACE);
    match target.parameter("format").unwrap_or("shell") {
        "shell" => match latest(api, host).await {
            Some(rows) => Answer::new(TEXT, shell(host, &rows, &filter)),
            None => Answer::overloaded(),
        },
        "json" => match latest(api, host).await {
            Some(rows) => Answer::new(JSON, json(host, &rows, &filter)),
            None => Answer::overloaded(),
        },
        "prometheus" => {
            let scrape = Scrape::new(target, &filter, peer, false);
            let mut page = Page::default();
            match scrape.host(api, host, &mut page).await {
                Some(()) => Answer::new(PROMETHEUS, page.into_text()),
                None => Answer::overloaded(),
            }
        }
        "prometheus_all_hosts" => {
            let scrape = Scrape::new(target, &filter, peer, true);
            let hosts = api.directory.hosts().clone();
            let mut page = Page::default();
            for host in hosts {
                if scrape.host(api, &host, &mut page).await.is_none() {
                    return Answer::overloaded();
                }
                breathe().await;
            }
            Answer::new(PROMETHEUS, page.into_text())
        }
        _ => Answer::error(
            StatusCode::BAD_REQUEST,
            "Which format? 'shell', 'prometheus', 'prometheus_all_hosts' and 'json' are currently supported.",
        ),
    }
}

/// The newest row of every chart of a host, in the order of its charts; charts defined since have none.
pub(super) async fn latest(api: &Api, host: &HostSnapshot) -> Option<Vec<LatestRow>> {
    if host.charts.is_empty() {
        return Some(Vec::new());
    }
    let guid = host.info.machine_guid;
    let mut rows = api.ask(host.shard, |answer| Question::Latest { host: guid, answer }).await?;
    rows.resize_with(host.charts.len().max(rows.len()), LatestRow::default);
    Some(rows)
}

fn visible<'a>(
    host: &'a HostSnapshot,
    rows: &'a [LatestRow],
) -> impl Iterator<Item = (&'a Chart, &'a LatestRow)> {
    host.charts.iter().map(|chart| &**chart).zip(rows).filter(|(chart, _)| chart.is_visible())
}

fn stored(row: &LatestRow, dimension: usize) -> Option<f64> {
    row.values.get(dimension).filter(|value| value.is_finite()).map(|value| f64::from(*value))
}

fn shell(host: &HostSnapshot, rows: &[LatestRow], filter: &SimplePattern) -> String {
    let name = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    let mut out = String::new();
    for (chart, row) in visible(host, rows).filter(|(chart, _)| filter.matches(chart.name.as_bytes())) {
        let units = &chart.units;
        let chart_name = name(&chart.name);
        let mut total = 0.0;
        let _ = writeln!(out, "\n# chart: {} (name: {})", chart.id, chart.name);
        for (index, dimension) in chart.dimensions.iter().enumerate().filter(|(_, d)| !d.obsolete) {
            let value = stored(row, index).map(f64::round_ties_even);
            let text = value.map_or_else(String::new, |value| format!("{value}"));
            let _ =
                writeln!(out, "NETDATA_{chart_name}_{}=\"{text}\"      # {units}", name(dimension.name()));
            if !dimension.hidden {
                total += value.unwrap_or(0.0);
            }
        }
        let _ = writeln!(out, "NETDATA_{chart_name}_VISIBLETOTAL=\"{total}\"      # {units}");
    }
    out.push_str("\n# NETDATA ALARMS RUNNING\n");
    out
}

fn json(host: &HostSnapshot, rows: &[LatestRow], filter: &SimplePattern) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let mut out = String::from("{");
    let wanted = visible(host, rows)
        .filter(|(chart, _)| filter.matches(chart.name.as_bytes()) || filter.matches(chart.id.as_bytes()));
    for (number, (chart, row)) in wanted.enumerate() {
        let _ = write!(
            out,
            "{}\n\t{}: {{\n\t\t\"name\":{},\n\t\t\"family\":{},\n\t\t\"context\":{},\n\t\t\"units\":{},\n\t\t\
             \"last_updated\": {},\n\t\t\"dimensions\": {{",
            if number > 0 { "," } else { "" },
            text(&chart.id),
            text(&chart.name),
            text(&chart.family),
            text(&chart.context),
            text(&chart.units),
            row.time,
        );
        for (index, dimension) in chart.dimensions.iter().enumerate().filter(|(_, d)| !d.obsolete) {
            let value = stored(row, index).map_or("null".into(), |value| format!("{value:.7}"));
            let comma = if index > 0 { "," } else { "" };
            let (id, name) = (text(&dimension.id), text(dimension.name()));
            let _ = write!(
                out,
                "{comma}\n\t\t\t{id}: {{\n\t\t\t\t\"name\": {name},\n\t\t\t\t\"value\": {value}\n\t\t\t}}"
            );
        }
        out.push_str("\n\t\t}\n\t}");
    }
    out.push_str("\n}");
    out
}

/// What a Prometheus series holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Average,
    Sum,
    AsCollected,
}

/// Series by the name of their metric, in order of appearance.
#[derive(Default)]
struct Page {
    metrics: Vec<Metric>,
    by_name: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Metric {
    head: String,
    lines: String,
}

impl Page {
    /// The lines of a metric; `head` announces it when it is new.
    fn metric(&mut self, name: &str, head: impl FnOnce() -> String) -> &mut String {
        let index = *self.by_name.entry(name.to_owned()).or_insert(self.metrics.len());
        if index == self.metrics.len() {
            self.metrics.push(Metric { head: head(), lines: String::new() });
        }
        &mut self.metrics[index].lines
    }

    fn into_text(self) -> String {
        self.metrics.into_iter().map(|metric| metric.head + &metric.lines).collect()
    }
}

/// One request of a Prometheus server.
struct Scrape<'a> {
    server: String,
    prefix: &'a str,
    source: Source,
    filter: &'a SimplePattern,
    all_hosts: bool,
    help: bool,
    types: bool,
    names: bool,
    timestamps: bool,
    hide_units: bool,
}

impl<'a> Scrape<'a> {
    fn new(target: &'a Target, filter: &'a SimplePattern, peer: SocketAddr, all_hosts: bool) -> Self {
        let names = ["source", "data", "datasource", "data source", "data-source", "data_source"];
        Self {
            server: target.parameter("server").map_or_else(|| peer.ip().to_string(), str::to_owned),
            prefix: target.parameter("prefix").unwrap_or("netdata"),
            source: match target.parameter_of(&names) {
                Some("sum" | "volume") => Source::Sum,
                Some("raw" | "as collected" | "as-collected" | "as_collected" | "ascollected") => {
                    Source::AsCollected
                }
                _ => Source::Average,
            },
            filter,
            all_hosts,
            help: target.switch("help", false),
            types: target.switch("types", false),
            names: target.switch("names", true),
            timestamps: target.switch("timestamps", true),
            hide_units: target.switch("hideunits", false),
        }
    }

    /// Writes one host's series. `None`: its shard did not answer.
    async fn host(&self, api: &Api, host: &HostSnapshot, page: &mut Page) -> Option<()> {
        let now = api.clock.now();
        self.info(host, api.clock.now_us() / 1000, page);
        let charts: Vec<&Chart> = host
            .charts
            .iter()
            .map(|chart| &**chart)
            .filter(|chart| chart.is_visible() && self.filter.matches(chart.name.as_bytes()))
            .collect();
        if self.source == Source::AsCollected {
            for (chart, row) in visible(host, &latest(api, host).await?) {
                if self.filter.matches(chart.name.as_bytes()) {
                    self.collected(host, chart, row, page);
                }
            }
            return Some(());
        }
        let since = self.since(api, host, now);
        if charts.is_empty() {
            return Some(());
        }
        let windows: Vec<TimeRange> = charts.iter().map(|chart| window(chart, since, now)).collect();
        let first = windows.iter().map(|window| window.first).min()?;
        let last = windows.iter().map(|window| window.last).max()?;
        let groups = charts.iter().map(|chart| ChartGroup::from(&**chart)).collect();
        let range = TimeRange { first, last };
        let rows = api.rows(host.shard, groups, range, Tier::FINEST).await?;
        let mut samples = Samples::default();
        for ((chart, window), snapshot) in charts.iter().zip(windows).zip(&rows) {
            for (column, dimension) in chart.dimensions.iter().enumerate() {
                if dimension.obsolete || column >= snapshot.columns() {
                    continue;
                }
                snapshot.column(column, window, &mut samples);
                let (mut sum, mut count) = (0.0, 0u32);
                for value in samples.values.iter().filter(|value| value.is_finite()) {
                    sum += f64::from(*value);
                    count += 1;
                }
                if count > 0 {
                    let value = if self.source == Source::Sum { sum } else { sum / f64::from(count) };
                    self.computed(host, chart, dimension, value, window, page);
                }
            }
        }
        Some(())
    }

    /// Since when this server has not seen this host's samples; remembers that it has now.
    fn since(&self, api: &Api, host: &HostSnapshot, now: i64) -> i64 {
        let mut scrapes = api.scrapes.borrow_mut();
        let key = (self.server.clone(), host.info.machine_guid);
        if scrapes.len() >= MOST_SCRAPES && !scrapes.contains_key(&key) {
            scrapes.clear();
        }
        scrapes.insert(key, now).filter(|last| *last < now).unwrap_or(now - FIRST_SCRAPE_S)
    }

    fn info(&self, host: &HostSnapshot, now_ms: i64, page: &mut Page) {
        let name = format!("{}_info", self.prefix);
        let head = || if self.types { format!("# TYPE {name} gauge\n") } else { String::new() };
        let lines = page.metric(&name, head);
        let (hostname, version) = (escape(&host.info.hostname), escape(&host.info.program_version));
        let _ =
            write!(lines, "{name}{{instance=\"{hostname}\",application=\"netdata\",version=\"{version}\"");
        /// Found by the agent, but asked for by everyone.
        const EXPECTED: [&str; 2] = ["_is_ephemeral", "_has_unstable_connection"];
        for label in host.info.labels.iter() {
            if !label.source.is_automatic() || EXPECTED.contains(&&*label.name) {
                let _ = write!(lines, ",{}=\"{}\"", label_name(&label.name), escape(&label.value));
            }
        }
        lines.push_str("} 1");
        self.finish(lines, now_ms);
    }

    /// A series of averages or sums.
    fn computed(
        &self,
        host: &HostSnapshot,
        chart: &Chart,
        dimension: &Dimension,
        value: f64,
        window: TimeRange,
        page: &mut Page,
    ) {
        let (suffix, units) = match self.source {
            Source::Sum => ("_sum", String::new()),
            _ if self.hide_units => ("_average", String::new()),
            _ => ("_average", format!("_{}", units_name(&chart.units))),
        };
        let metric = format!("{}_{}{units}{suffix}", self.prefix, metric_name(&chart.context));
        let head = || self.head(&metric, &chart.title, &chart.units, "gauge");
        let lines = page.metric(&metric, head);
        self.labels(lines, &metric, host, chart, Some(dimension));
        let _ = write!(lines, " {value:.7}");
        self.finish(lines, window.last.0 * 1000);
    }

    /// Series of a chart's collected values.
    fn collected(&self, host: &HostSnapshot, chart: &Chart, row: &LatestRow, page: &mut Page) {
        let kind = |dimension: &Dimension| (dimension.algorithm, dimension.multiplier(), dimension.divisor());
        let homogeneous = chart.dimensions.windows(2).all(|pair| kind(&pair[0]) == kind(&pair[1]));
        for (index, dimension) in chart.dimensions.iter().enumerate().filter(|(_, d)| !d.obsolete) {
            let Some((value, at_us)) = row.collected.get(index).copied().flatten() else { continue };
            let counter =
                matches!(dimension.algorithm, Algorithm::Incremental | Algorithm::PercentageOfIncrementalRow);
            let total = if counter { "_total" } else { "" };
            let context = metric_name(&chart.context);
            let metric = if homogeneous {
                format!("{}_{context}{total}", self.prefix)
            } else {
                let name = if self.names { dimension.name() } else { &dimension.id };
                format!("{}_{context}_{}{total}", self.prefix, metric_name(name))
            };
            let head =
                || self.head(&metric, &chart.title, &chart.units, if counter { "counter" } else { "gauge" });
            let lines = page.metric(&metric, head);
            self.labels(lines, &metric, host, chart, homogeneous.then_some(dimension));
            let _ = write!(lines, " {value}");
            self.finish(lines, at_us / 1000);
        }
    }

    fn head(&self, metric: &str, title: &str, units: &str, kind: &str) -> String {
        let mut head = String::new();
        if self.help {
            let title = title.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(head, "# HELP {metric} {title} ({units})");
        }
        if self.types {
            let _ = writeln!(head, "# TYPE {metric} {kind}");
        }
        head
    }

    fn labels(
        &self,
        lines: &mut String,
        metric: &str,
        host: &HostSnapshot,
        chart: &Chart,
        dimension: Option<&Dimension>,
    ) {
        let name = if self.names { &chart.name } else { &chart.id };
        let _ = write!(lines, "{metric}{{chart=\"{}\",family=\"{}\"", escape(name), escape(&chart.family));
        if let Some(dimension) = dimension {
            let name = if self.names { dimension.name() } else { &dimension.id };
            let _ = write!(lines, ",dimension=\"{}\"", escape(name));
        }
        if self.all_hosts {
            let _ = write!(lines, ",instance=\"{}\"", escape(&host.info.hostname));
        }
        lines.push('}');
    }

    fn finish(&self, lines: &mut String, at_ms: i64) {
        if self.timestamps {
            let _ = write!(lines, " {at_ms}");
        }
        lines.push('\n');
    }
}

/// The samples that a scrape at `now` is to average: those since the last scrape, both ends moved back two samples and
/// aligned, the newer end by one more, so that what a window ends with the next begins after.
fn window(chart: &Chart, since: i64, now: i64) -> TimeRange {
    let update_every = i64::from(chart.update_every);
    let aligned = |time: i64| (time - 2 * update_every).div_euclid(update_every) * update_every;
    let last = aligned(now) - update_every;
    TimeRange { first: UnixSeconds(aligned(since).min(last)), last: UnixSeconds(last) }
}

fn metric_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// A label's name may not begin with a digit.
fn label_name(text: &str) -> String {
    let name = metric_name(text);
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Units as part of a metric's name.
fn units_name(units: &str) -> String {
    match units {
        "%" => "percent".into(),
        other => match other.strip_suffix("/s") {
            Some(rest) => format!("{}_persec", metric_name(rest)),
            None => metric_name(&other.replace('%', "_percent")),
        },
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_parts_of_names() {
        for (units, name) in
            [("KiB/s", "KiB_persec"), ("%", "percent"), ("things", "things"), ("per cent", "per_cent")]
        {
            assert_eq!(units_name(units), name);
        }
    }
}
