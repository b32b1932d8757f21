//! Answers about many hosts as bytes, piece by piece: a head, rows, a tail.

use std::time::Duration;

use ecow::EcoString;
use jiff::{Timestamp, tz::TimeZone};

use super::{Around, chart_type, has_word};
use crate::query::QueryOption;
use crate::query::fleet::{Entry, FleetAnswer, GroupColumn, Statistics};
use crate::web::Api;
use crate::web::body::{PIECE_BYTES, Pieces};
use crate::web::format::{write_csv_field, write_json_escaped, write_json_string, write_number};
use crate::web::object::{Item, Object};
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

/// What stands around the rows and is no part of the question.
#[derive(Debug)]
pub(super) struct Wrapping {
    /// Members behind the rows, with their commas.
    tail: Vec<u8>,
    versions: Vec<u8>,
}

impl Wrapping {
    /// `prepared`: until the charts were known; `queried`: until all was read.
    pub(super) fn new(api: &Api, prepared: Duration, queried: Duration) -> Wrapping {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let (mut tail, mut versions) = (Vec::new(), Vec::new());
        let mut object = Object::resume(&mut tail);
        let around = Around::new(api);
        around.write_agents(&mut object);
        object.object("timings", |timings| {
            timings.number("prep_ms", milliseconds(prepared));
            timings.number("query_ms", milliseconds(queried.saturating_sub(prepared)));
            timings.number("total_ms", milliseconds(queried));
        });
        around.write_versions(&mut Object::resume(&mut versions));
        Wrapping { tail, versions }
    }
}

/// How far an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    /// The next row, in the order in which they are written.
    Row(usize),
    Tail,
}

/// An answer that is being written.
#[derive(Debug)]
pub(super) struct Written {
    answer: FleetAnswer,
    wrapping: Option<Wrapping>,
    form: Form,
    times: Times,
    has_object_rows: bool,
    has_summary: bool,
    timezone: TimeZone,
    stage: Stage,
    /// Memory for text that becomes a string.
    text: Vec<u8>,
}

impl Written {
    pub(super) fn new(
        answer: FleetAnswer,
        target: &Target,
        wrapping: Wrapping,
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
            wrapping: (form == Form::Json2 || has(QueryOption::JsonWrap)).then_some(wrapping),
            has_summary: !has_word(target, "no-summary"),
            has_object_rows: form == Form::Json && has(QueryOption::ObjectRows),
            answer,
            form,
            times,
            timezone,
            stage: Stage::Head,
            text: Vec::new(),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.form {
            Form::Csv if self.wrapping.is_none() => "text/plain; charset=utf-8",
            _ => "application/json; charset=utf-8",
        }
    }

    fn head(&mut self, out: &mut Vec<u8>) {
        if let Some(wrapping) = &self.wrapping {
            out.extend_from_slice(b"{\"api\":2");
            out.extend_from_slice(&wrapping.versions);
            let mut object = Object::resume(out);
            if self.has_summary {
                write_summary(&self.answer, &mut object);
            }
            write_db(&self.answer, &mut object);
            write_view(&self.answer, &mut object);
            object.member("result");
        }
        match self.form {
            Form::Json2 | Form::Json => self.labels(out),
            Form::Csv => {
                let (mut text, is_wrapped) = (std::mem::take(&mut self.text), self.wrapping.is_some());
                text.clear();
                text.extend_from_slice(b"time");
                for column in &self.answer.result.columns {
                    text.push(b',');
                    write_csv_field(&column.name, &mut text);
                }
                text.extend_from_slice(self.line_end());
                if is_wrapped {
                    out.push(b'"');
                }
                self.take_text(text, out);
            }
        }
    }

    fn labels(&self, out: &mut Vec<u8>) {
        let name = |column: &'_ GroupColumn| -> EcoString {
            if self.form == Form::Json2 { column.id.clone() } else { column.name.clone() }
        };
        out.extend_from_slice(b"{\"labels\":[\"time\"");
        for column in &self.answer.result.columns {
            out.push(b',');
            write_json_string(&name(column), out);
        }
        out.push(b']');
        if self.form == Form::Json2 {
            out.extend_from_slice(b",\"point\":{\"value\":0,\"arp\":1,\"pa\":2}");
        }
        out.extend_from_slice(b",\"data\":[");
    }

    fn line_end(&self) -> &'static [u8] {
        if self.wrapping.is_some() { b"\n" } else { b"\r\n" }
    }

    /// Text is written as it is, or as part of a string.
    fn take_text(&mut self, text: Vec<u8>, out: &mut Vec<u8>) {
        if self.wrapping.is_some() {
            write_json_escaped(&String::from_utf8_lossy(&text), out);
        } else {
            out.extend_from_slice(&text);
        }
        self.text = text;
    }

    /// The `place`th of the rows in the order in which they are written.
    fn row(&mut self, place: usize, out: &mut Vec<u8>) {
        let grid = &self.answer.plan.grid;
        let is_flipped = self.answer.plan.question.time.has(QueryOption::Flip);
        let row = if is_flipped { grid.points - 1 - place } else { place };
        let stamp = grid.stamp(row);
        if self.form == Form::Csv {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            self.time(stamp, &mut text);
            for column in &self.answer.result.columns {
                text.push(b',');
                write_number(column.values[row], &mut text);
            }
            text.extend_from_slice(self.line_end());
            return self.take_text(text, out);
        }
        if place > 0 {
            out.push(b',');
        }
        if self.has_object_rows {
            let mut object = Object::open(out);
            self.time(stamp, object.member("time"));
            for column in &self.answer.result.columns {
                object.number(&column.name, column.values[row]);
            }
            return object.close();
        }
        out.push(b'[');
        self.time(stamp, out);
        for column in &self.answer.result.columns {
            out.push(b',');
            if self.form == Form::Json {
                write_number(column.values[row], out);
                continue;
            }
            out.push(b'[');
            write_number(column.values[row], out);
            out.push(b',');
            write_number(f64::from(column.anomaly_rates[row]), out);
            out.push(b',');
            write_number(f64::from(column.flags[row].0), out);
            out.push(b']');
        }
        out.push(b']');
    }

    fn time(&self, stamp: i64, out: &mut Vec<u8>) {
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

    fn tail(&mut self, out: &mut Vec<u8>) {
        match self.form {
            Form::Csv if self.wrapping.is_some() => out.push(b'"'),
            Form::Csv => {}
            Form::Json | Form::Json2 => out.extend_from_slice(b"]}"),
        }
        if let Some(wrapping) = &self.wrapping {
            let mut object = Object::resume(out);
            let (least, greatest) = extent(&self.answer);
            object.number("min", least);
            object.number("max", greatest);
            out.extend_from_slice(&wrapping.tail);
            out.push(b'}');
        }
    }
}

impl Pieces for Written {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        while out.len() < PIECE_BYTES {
            match self.stage {
                Stage::Head => {
                    self.head(out);
                    let has_rows = !self.answer.result.columns.is_empty();
                    self.stage = if has_rows { Stage::Row(0) } else { Stage::Tail };
                }
                Stage::Row(place) if place < self.answer.plan.grid.points => {
                    self.row(place, out);
                    self.stage = Stage::Row(place + 1);
                }
                Stage::Row(_) => self.stage = Stage::Tail,
                Stage::Tail => {
                    self.tail(out);
                    return false;
                }
            }
        }
        true
    }
}

fn extent(answer: &FleetAnswer) -> (f64, f64) {
    let statistics = answer.result.columns.iter().map(|column| column.statistics);
    let bounds = statistics.filter(|one| one.min <= one.max).map(|one| (one.min, one.max));
    bounds.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or((0.0, 0.0))
}

/// What the answer is of.
fn write_summary(answer: &FleetAnswer, object: &mut Object<'_>) {
    let (tally, selection) = (&answer.result.tally, &answer.plan.selection);
    object.object("summary", |summary| {
        let nodes = selection.hosts.iter().zip(&tally.nodes).enumerate();
        summary.array("nodes", nodes, |(ni, (host, entry)), item| {
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
        });
        summary.array("contexts", &tally.contexts, |entry, item| {
            item.object(|context| {
                context.text("id", &entry.id);
                write_counts(entry, true, context);
                write_statistics(&entry.statistics, &tally.all, context);
            });
        });
        let instances = selection.charts.iter().zip(&tally.instances);
        summary.array("instances", instances, |(selected, entry), item| {
            item.object(|instance| {
                instance.text("id", &entry.id);
                if entry.name != entry.id {
                    instance.text("nm", &entry.name);
                }
                instance.count("ni", selected.host);
                write_counts(entry, false, instance);
                write_statistics(&entry.statistics, &tally.all, instance);
            });
        });
        summary.array("dimensions", &tally.dimensions, |entry, item| {
            item.object(|dimension| {
                dimension.text("id", &entry.id);
                if entry.name != entry.id {
                    dimension.text("nm", &entry.name);
                }
                write_counts(entry, false, dimension);
                write_statistics(&entry.statistics, &tally.all, dimension);
            });
        });
        for name in ["labels", "alerts"] {
            summary.array(name, 0..0, |_: i64, _: Item<'_>| {});
        }
    });
    object.object("totals", |totals| {
        for (name, count) in [
            ("nodes", selection.hosts.len()),
            ("contexts", tally.contexts.len()),
            ("instances", selection.charts.len()),
            ("dimensions", selection.series),
        ] {
            totals.object(name, |total| {
                total.count("sl", count);
                total.count("qr", count);
            });
        }
    });
    object.array("functions", 0..0, |_: i64, _: Item<'_>| {});
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
        let units: Vec<&str> = plan.selection.charts.iter().map(|selected| &*selected.chart.units).collect();
        write_units(units.into_iter(), db);
    });
}

/// One text if all are the same, else each once.
fn write_units<'a>(all: impl Iterator<Item = &'a str>, object: &mut Object<'_>) {
    let mut units: Vec<&str> = all.collect();
    units.sort_unstable();
    units.dedup();
    match units[..] {
        [only] => object.text("units", only),
        _ => object.texts("units", units),
    }
}

/// What is shown.
fn write_view(answer: &FleetAnswer, object: &mut Object<'_>) {
    let FleetAnswer { plan, result } = answer;
    let columns = &result.columns;
    let pass = plan.question.passes.last().expect("a question has one pass or two");
    object.object("view", |view| {
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
        write_units(columns.iter().map(|column| &*column.units), view);
        view.object("dimensions", |dimensions| {
            dimensions.texts("grouped_by", pass.by.words());
            dimensions.texts("ids", columns.iter().map(|column| &*column.id));
            dimensions.texts("names", columns.iter().map(|column| &*column.name));
            dimensions.texts("units", columns.iter().map(|column| &*column.units));
            dimensions.numbers("priorities", columns.iter().map(|column| column.priority as f64));
            dimensions.numbers("aggregated", columns.iter().map(|column| f64::from(column.members)));
            let of =
                |value: fn(&Statistics) -> f64| columns.iter().map(move |column| value(&column.statistics));
            let volume: f64 = columns.iter().map(|column| column.statistics.volume).sum();
            dimensions.object("sts", |statistics| {
                statistics.numbers("min", of(|one| one.min));
                statistics.numbers("max", of(|one| one.max));
                statistics.numbers("avg", of(Statistics::average));
                statistics.numbers("arp", of(Statistics::anomaly_rate));
                let shares = columns.iter().map(|column| column.statistics.volume);
                statistics
                    .numbers("con", shares.map(|one| if volume == 0.0 { 0.0 } else { 100.0 * one / volume }));
            });
        });
        let (least, greatest) = extent(answer);
        view.number("min", least);
        view.number("max", greatest);
    });
}
