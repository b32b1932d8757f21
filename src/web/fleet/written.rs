//! Answers about many hosts as bytes: what was read, the rows, what is left to be said.

use std::collections::BTreeSet;
use std::time::Duration;

use ecow::EcoString;
use jiff::{Timestamp, tz::TimeZone};

use super::{Around, chart_type, has_word};
use crate::query::QueryOption;
use crate::query::fleet::{Entry, FleetAnswer, GroupColumn, Statistics};
use crate::web::format::{write_csv_field, write_json_escaped, write_json_string, write_number};
use crate::web::object::{Item, Object};
use crate::web::piecewise::Writer;
use crate::web::request::Target;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Of each point its value, the percent of anomalous samples, and its flags.
    Json2,
    /// Values.
    Json,
    Csv,
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Seconds,
    Milliseconds,
    Rfc3339,
    /// Of the parent's time zone; in text only.
    Local,
}

/// How long an answer took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    /// Until the charts were known.
    pub(super) prepared: Duration,
    /// Until all was read.
    pub(super) queried: Duration,
}

/// An answer, and how it is to be written.
#[derive(Debug)]
pub(super) struct Written {
    answer: FleetAnswer,
    around: Around,
    timings: Timings,
    form: Form,
    times: Times,
    /// The rows are a member of an object that says what they are.
    is_wrapped: bool,
    has_object_rows: bool,
    has_summary: bool,
    timezone: TimeZone,
}

impl Written {
    pub(super) fn new(
        answer: FleetAnswer,
        target: &Target,
        around: Around,
        timings: Timings,
        timezone: TimeZone,
    ) -> Written {
        let form = match target.parameter("format") {
            Some("json") => Form::Json,
            Some("csv") => Form::Csv,
            _ => Form::Json2,
        };
        let has = |option| answer.plan.question.time.has(option);
        let times = if has_word(target, "rfc3339") {
            Times::Rfc3339
        } else if has(QueryOption::Milliseconds) {
            Times::Milliseconds
        } else if form == Form::Csv && !has(QueryOption::Seconds) {
            Times::Local
        } else {
            Times::Seconds
        };
        Written {
            is_wrapped: form == Form::Json2 || has(QueryOption::JsonWrap),
            has_summary: !has_word(target, "no-summary"),
            has_object_rows: form == Form::Json && has(QueryOption::ObjectRows),
            answer,
            around,
            timings,
            form,
            times,
            timezone,
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.form {
            Form::Csv if !self.is_wrapped => "text/plain; charset=utf-8",
            _ => "application/json; charset=utf-8",
        }
    }

    /// Writes all of it: a name or a point a step.
    pub(super) async fn write(&self, writer: &mut Writer) {
        if self.is_wrapped {
            self.around.begin(writer);
            if self.has_summary {
                write_summary(&self.answer, writer).await;
            }
            write_db(&self.answer, &mut writer.object());
            write_view(&self.answer, writer).await;
            writer.object().member("result");
        }
        match self.form {
            Form::Csv => self.write_csv(writer).await,
            Form::Json | Form::Json2 => self.write_json(writer).await,
        }
        if self.is_wrapped {
            let (least, greatest) = extent(&self.answer);
            let mut object = writer.object();
            object.number("min", least);
            object.number("max", greatest);
            let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
            let Timings { prepared, queried } = self.timings;
            object.object("timings", |timings| {
                timings.number("prep_ms", milliseconds(prepared));
                timings.number("query_ms", milliseconds(queried.saturating_sub(prepared)));
                timings.number("total_ms", milliseconds(queried));
            });
            self.around.end(writer);
        }
    }

    /// The rows of the grid in the order in which they are written.
    fn rows(&self) -> impl Iterator<Item = usize> + use<> {
        let points = self.answer.plan.grid.points;
        let has_rows = !self.answer.result.columns.is_empty();
        let is_flipped = self.answer.plan.question.time.has(QueryOption::Flip);
        let row = move |place| if is_flipped { points - 1 - place } else { place };
        (0..if has_rows { points } else { 0 }).map(row)
    }

    async fn write_csv(&self, writer: &mut Writer) {
        let quote = if self.is_wrapped { "\"" } else { "" };
        writer.out.extend_from_slice(quote.as_bytes());
        let line_end = if self.is_wrapped { "\n" } else { "\r\n" };
        let mut text = b"time".to_vec();
        for column in &self.answer.result.columns {
            text.push(b',');
            write_csv_field(&column.name, &mut text);
            self.take_text(&mut text, &mut writer.out);
            writer.pause().await;
        }
        text.extend_from_slice(line_end.as_bytes());
        self.take_text(&mut text, &mut writer.out);
        for row in self.rows() {
            self.write_time(self.answer.plan.grid.stamp(row), &mut writer.out);
            for column in &self.answer.result.columns {
                writer.out.push(b',');
                write_number(column.values[row], &mut writer.out);
                writer.pause().await;
            }
            text.extend_from_slice(line_end.as_bytes());
            self.take_text(&mut text, &mut writer.out);
        }
        writer.out.extend_from_slice(quote.as_bytes());
    }

    /// Text is written as it is, or as part of a string.
    fn take_text(&self, text: &mut Vec<u8>, out: &mut Vec<u8>) {
        if self.is_wrapped {
            write_json_escaped(&String::from_utf8_lossy(text), out);
        } else {
            out.extend_from_slice(text);
        }
        text.clear();
    }

    async fn write_json(&self, writer: &mut Writer) {
        let columns = &self.answer.result.columns;
        writer.out.extend_from_slice(b"{\"labels\":[\"time\"");
        for column in columns {
            writer.out.push(b',');
            let name = if self.form == Form::Json2 { &column.id } else { &column.name };
            write_json_string(name, &mut writer.out);
            writer.pause().await;
        }
        writer.out.push(b']');
        if self.form == Form::Json2 {
            writer.out.extend_from_slice(b",\"point\":{\"value\":0,\"arp\":1,\"pa\":2}");
        }
        writer.out.extend_from_slice(b",\"data\":[");
        for (place, row) in self.rows().enumerate() {
            if place > 0 {
                writer.out.push(b',');
            }
            let stamp = self.answer.plan.grid.stamp(row);
            if self.has_object_rows {
                writer.out.push(b'{');
                self.write_time(stamp, writer.object().member("time"));
                for column in columns {
                    writer.object().number(&column.name, column.values[row]);
                    writer.pause().await;
                }
                writer.out.push(b'}');
                continue;
            }
            writer.out.push(b'[');
            self.write_time(stamp, &mut writer.out);
            for column in columns {
                writer.out.push(b',');
                self.write_point(column, row, &mut writer.out);
                writer.pause().await;
            }
            writer.out.push(b']');
        }
        writer.out.extend_from_slice(b"]}");
    }

    fn write_point(&self, column: &GroupColumn, row: usize, out: &mut Vec<u8>) {
        if self.form == Form::Json {
            return write_number(column.values[row], out);
        }
        out.push(b'[');
        write_number(column.values[row], out);
        out.push(b',');
        write_number(f64::from(column.anomaly_rates[row]), out);
        out.push(b',');
        write_number(f64::from(column.flags[row].0), out);
        out.push(b']');
    }

    fn write_time(&self, stamp: i64, out: &mut Vec<u8>) {
        let integer = |number: i64, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        // Windows end within the next 30 000 years.
        let of_clock = || Timestamp::from_second(stamp).unwrap_or_default();
        match self.times {
            Times::Seconds => integer(stamp, out),
            Times::Milliseconds => integer(stamp.saturating_mul(1000), out),
            Times::Rfc3339 if self.form == Form::Csv => {
                out.extend_from_slice(of_clock().to_string().as_bytes());
            }
            Times::Rfc3339 => write_json_string(&of_clock().to_string(), out),
            Times::Local => {
                let local = of_clock().to_zoned(self.timezone.clone());
                out.extend_from_slice(local.strftime("%Y-%m-%d %H:%M:%S").to_string().as_bytes());
            }
        }
    }
}

fn extent(answer: &FleetAnswer) -> (f64, f64) {
    let statistics = answer.result.columns.iter().map(|column| column.statistics);
    let bounds = statistics.filter(|one| one.min <= one.max).map(|one| (one.min, one.max));
    bounds.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or((0.0, 0.0))
}

/// What the answer is of.
async fn write_summary(answer: &FleetAnswer, writer: &mut Writer) {
    let (tally, selection) = (&answer.result.tally, &answer.plan.selection);
    writer.begin("summary");
    let nodes = selection.hosts.iter().zip(&tally.nodes).enumerate();
    writer
        .array("nodes", nodes, |(ni, (host, entry)), item| {
            item.object(|node| {
                node.text("mg", &host.info.machine_guid.hyphenated().to_string());
                if let Some(id) = host.node_id {
                    node.text("nd", &id.hyphenated().to_string());
                }
                node.text("nm", &host.info.hostname);
                node.count("ni", ni);
                node.object("st", |state| {
                    state.integer("ai", 0);
                    state.integer("code", 200);
                    state.text("msg", "");
                });
                write_counts(entry, true, node);
                write_statistics(&entry.statistics, &tally.all, node);
            });
        })
        .await;
    let contexts = selection.contexts.iter().zip(&tally.contexts);
    writer
        .array("contexts", contexts, |(id, entry), item| {
            item.object(|context| {
                context.text("id", id);
                write_counts(entry, true, context);
                write_statistics(&entry.statistics, &tally.all, context);
            });
        })
        .await;
    let instances = selection.charts.iter().zip(&tally.instances);
    writer
        .array("instances", instances, |(selected, entry), item| {
            item.object(|instance| {
                write_names(&selected.chart.id, &selected.chart.name, instance);
                instance.count("ni", selected.host);
                write_counts(entry, false, instance);
                write_statistics(&entry.statistics, &tally.all, instance);
            });
        })
        .await;
    let dimensions = selection.dimensions.iter().zip(&tally.dimensions);
    writer
        .array("dimensions", dimensions.filter(|(_, entry)| entry.series > 0), |(named, entry), item| {
            item.object(|dimension| {
                write_names(&named.id, &named.name, dimension);
                write_counts(entry, false, dimension);
                write_statistics(&entry.statistics, &tally.all, dimension);
            });
        })
        .await;
    write_labels(answer, writer).await;
    // No health checks run here.
    writer.object().array("alerts", 0..0, |_: i64, _: Item<'_>| {});
    writer.end();
    writer.object().object("totals", |totals| {
        for (name, count) in [
            ("nodes", selection.hosts.len()),
            ("contexts", selection.contexts.len()),
            ("instances", selection.charts.len()),
            ("dimensions", selection.series),
            ("label_keys", selection.labels.len()),
            ("label_key_values", selection.labels.iter().map(|label| label.values.len()).sum()),
        ] {
            totals.object(name, |total| {
                total.count("sl", count);
                total.count("qr", count);
            });
        }
    });
    writer.object().texts("functions", selection.functions.iter().map(|name| &**name));
}

/// Of each label that any of the charts has, and of each of its values, how many series have it and what these come to.
async fn write_labels(answer: &FleetAnswer, writer: &mut Writer) {
    let (tally, labels) = (&answer.result.tally, &answer.plan.selection.labels);
    writer.object().member("labels").push(b'[');
    for (place, (label, (of_name, of_values))) in labels.iter().zip(&tally.labels).enumerate() {
        writer.out.extend_from_slice(if place > 0 { b",{" } else { b"{" });
        let mut object = writer.object();
        object.text("id", &label.name);
        write_counts(of_name, false, &mut object);
        write_statistics(&of_name.statistics, &tally.all, &mut object);
        writer
            .array("vl", label.values.iter().zip(of_values), |(value, entry), item| {
                item.object(|object| {
                    object.text("id", value);
                    write_counts(entry, false, object);
                    write_statistics(&entry.statistics, &tally.all, object);
                });
            })
            .await;
        writer.end();
    }
    writer.out.push(b']');
}

fn write_names(id: &str, name: &str, object: &mut Object<'_>) {
    object.text("id", id);
    if name != id {
        object.text("nm", name);
    }
}

fn write_counts(entry: &Entry, has_charts: bool, object: &mut Object<'_>) {
    if has_charts {
        object.object("is", |charts| {
            charts.integer("sl", entry.charts.into());
            charts.integer("qr", entry.charts.into());
        });
    }
    object.object("ds", |series| {
        series.integer("sl", entry.series.into());
        series.integer("qr", entry.series.into());
    });
}

/// `con` is how much of all of it this is, in percent.
fn write_statistics(of: &Statistics, all: &Statistics, object: &mut Object<'_>) {
    object.object("sts", |statistics| {
        statistics.number("min", of.min);
        statistics.number("max", of.max);
        statistics.number("avg", of.average());
        statistics.number("arp", of.anomaly_rate());
        statistics.number("con", contribution(of, all));
    });
}

fn contribution(of: &Statistics, all: &Statistics) -> f64 {
    if all.volume == 0.0 { 0.0 } else { 100.0 * of.volume / all.volume }
}

/// What was read.
fn write_db(answer: &FleetAnswer, object: &mut Object<'_>) {
    let plan = &answer.plan;
    object.object("db", |db| {
        db.integer("update_every", plan.update_every.into());
        db.integer("first_entry", plan.retention.first.0);
        db.integer("last_entry", plan.retention.last.0);
        db.array("per_tier", [answer.result.tier], |tier, item| {
            item.object(|of_tier| {
                of_tier.integer("tier", tier.number.into());
                of_tier.count("queries", plan.selection.series);
                of_tier.integer("points", answer.result.tally.samples_read as i64);
                of_tier.integer("update_every", tier.factor * i64::from(plan.update_every));
            });
        });
        write_units(&plan.selection.units, db);
    });
}

/// One text if all are the same, else each once.
fn write_units(units: &BTreeSet<EcoString>, object: &mut Object<'_>) {
    match units.first() {
        Some(only) if units.len() == 1 => object.text("units", only),
        _ => object.texts("units", units.iter().map(|units| &**units)),
    }
}

/// The name of an array with a text of each column.
type Text = (&'static str, fn(&GroupColumn) -> &EcoString);
/// The name of an array with a number of each column.
type Number<T> = (&'static str, fn(&T) -> f64);

/// What is shown.
async fn write_view(answer: &FleetAnswer, writer: &mut Writer) {
    let FleetAnswer { plan, result } = answer;
    let columns = &result.columns;
    let pass = plan.question.passes.last().expect("a question has one pass or two");
    writer.begin("view");
    let mut view = writer.object();
    if let Some(first) = plan.selection.charts.first() {
        view.text("title", &first.chart.title);
        view.text("chart_type", chart_type(&first.chart));
    }
    view.integer("update_every", plan.grid.view());
    view.integer("after", plan.grid.after());
    view.integer("before", plan.grid.before);
    view.count("points", plan.grid.points);
    view.text("time_group", plan.question.time.group.name);
    view.text("aggregation", pass.aggregation.name());
    view.text("options", &plan.options.to_string());
    write_units(&result.units, &mut view);
    writer.begin("dimensions");
    writer.object().texts("grouped_by", pass.by.words());
    let texts: [Text; 3] =
        [("ids", |column| &column.id), ("names", |column| &column.name), ("units", |column| &column.units)];
    for (name, text) in texts {
        writer.array(name, columns, |column, item| write_json_string(text(column), item.0)).await;
    }
    let numbers: [Number<GroupColumn>; 2] =
        [("priorities", |column| column.priority as f64), ("aggregated", |column| f64::from(column.members))];
    for (name, number) in numbers {
        writer.array(name, columns, |column, item| write_number(number(column), item.0)).await;
    }
    let statistics: [Number<Statistics>; 4] = [
        ("min", |one| one.min),
        ("max", |one| one.max),
        ("avg", Statistics::average),
        ("arp", Statistics::anomaly_rate),
    ];
    writer.begin("sts");
    for (name, number) in statistics {
        writer.array(name, columns, |column, item| write_number(number(&column.statistics), item.0)).await;
    }
    let volume: f64 = columns.iter().map(|column| column.statistics.volume).sum();
    let share = |one: f64| if volume == 0.0 { 0.0 } else { 100.0 * one / volume };
    writer.array("con", columns, |column, item| write_number(share(column.statistics.volume), item.0)).await;
    writer.end();
    writer.end();
    let (least, greatest) = extent(answer);
    writer.object().number("min", least);
    writer.object().number("max", greatest);
    writer.end();
}
