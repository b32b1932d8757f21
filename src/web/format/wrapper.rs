//! jsonwrap: the result inside an object that says what it is the result of.

use std::{collections::HashSet, io::Write};

use super::{
    Format, json,
    number::write_number,
    stamp::Stamps,
    string::{write_json_escaped, write_json_string},
    text::Layout,
    write_plain,
};
use crate::query::{Answer, Column, QueryOption, Scope, chart_labels};

pub(super) fn write(answer: &Answer, format: Format, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"api\":1,\"id\":");
    let id = description(answer);
    write_json_string(&id, out);
    out.extend_from_slice(b",\"name\":");
    write_json_string(&id, out);
    for (name, number) in [
        ("view_update_every", answer.grid.view()),
        ("update_every", answer.update_every.into()),
        ("first_entry", answer.retention.first.0),
        ("last_entry", answer.retention.last.0),
        ("before", answer.grid.before),
        ("after", answer.grid.after()),
    ] {
        write_member(name, out);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    write_member("group", out);
    write_json_string(answer.parameters.group.name, out);
    write_member("options", out);
    write_json_string(&answer.options.to_string(), out);

    write_columns(answer, "dimension_names", out, |column, out| {
        write_json_string(answer.dimension(column).name(), out);
    });
    write_columns(answer, "dimension_ids", out, |column, out| {
        write_json_string(&answer.dimension(column).id, out);
    });
    if answer.has(QueryOption::AllDimensions) {
        write_full_lists(answer, out);
    }
    out.extend_from_slice(b",\"functions\":[]");
    if answer.scope == Scope::Charts {
        write_columns(answer, "chart_ids", out, |column, out| {
            write_json_string(&answer.chart(column).id, out)
        });
    }
    if let Some(keys) = &answer.parameters.chart_label_key {
        write_chart_labels(answer, keys, out);
    }
    write_member("latest_values", out);
    write_array(&answer.columns, out, |column, out| write_number(column.newest, out));
    write_member("view_latest_values", out);
    write_array(&answer.columns, out, |column, out| write_number(column.values[0], out));
    write_member("dimensions", out);
    write_count(answer.columns.len(), out);
    write_member("points", out);
    write_count(answer.grid.points, out);
    write_member("format", out);
    write_json_string(format.name(), out);
    write_member("db_points_per_tier", out);
    out.push(b'[');
    out.extend_from_slice(itoa::Buffer::new().format(answer.samples_read).as_bytes());
    out.push(b']');

    write_member("result", out);
    let extent = match format {
        Format::Csv
        | Format::Tsv
        | Format::TsvExcel
        | Format::Ssv
        | Format::SsvComma
        | Format::Html
        | Format::Markdown => {
            let mut text = Vec::new();
            let extent = write_plain(answer, format, Layout::Wrapped, stamps, &mut text);
            out.push(b'"');
            write_json_escaped(&String::from_utf8_lossy(&text), out);
            out.push(b'"');
            extent
        }
        _ => write_plain(answer, format, Layout::Wrapped, stamps, out),
    };
    if answer.has(QueryOption::AnomalyRates) && matches!(format, Format::Json | Format::JsonP) {
        write_member("anomaly_rates", out);
        json::write_anomaly_rates(answer, stamps, out);
    }
    write_member("min", out);
    write_number(extent.least(), out);
    write_member("max", out);
    write_number(extent.greatest(), out);
    out.push(b'}');
}

/// What was asked, in a line: Netdata 1.36 and later have it as the id.
fn description(answer: &Answer) -> String {
    let asked = &answer.parameters;
    let host = answer.charts.first().map_or("", |queried| &*queried.host.hostname);
    let chart = asked.chart.as_deref();
    let mut text = match answer.scope {
        Scope::Chart => {
            let chart = answer.charts.first().map_or("", |queried| &*queried.chart.id);
            format!("chart://host:{host}/instance:{chart}")
        }
        Scope::Charts => {
            let context = asked.context.as_deref().unwrap_or("*");
            format!("context://host:{host}/contexts:{context}/instances:{}", chart.unwrap_or("*"))
        }
    };
    let dimensions = if asked.dimensions.is_empty() { "*" } else { &asked.dimensions };
    text += &format!(
        "/dimensions:{dimensions}/after:{}/before:{}/points:{}/group:{}{}/options:{}",
        asked.after, asked.before, asked.points, asked.group.name, asked.group_options, asked.options,
    );
    if asked.gtime > 1 {
        text += &format!("/resampling:{}", asked.gtime);
    }
    if let Some(tier) = asked.tier {
        text += &format!("/tier:{tier}");
    }
    text
}

/// All that was there to choose from, each once.
fn write_full_lists(answer: &Answer, out: &mut Vec<u8>) {
    let charts = || answer.charts.iter().map(|queried| &*queried.chart);
    let dimensions = charts().flat_map(|chart| &chart.dimensions);
    write_pairs(
        "full_dimension_list",
        dimensions.map(|dimension| (&*dimension.id, &**dimension.name())),
        out,
    );
    write_pairs("full_chart_list", charts().map(|chart| (&*chart.id, &*chart.name)), out);
    write_pairs("full_chart_labels", charts().flat_map(chart_labels), out);
}

fn write_pairs<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    let mut seen = HashSet::new();
    let pairs: Vec<_> = pairs.filter(|pair| seen.insert(*pair)).collect();
    write_member(name, out);
    write_array(&pairs, out, |(first, second), out| {
        out.push(b'[');
        write_json_string(first, out);
        out.push(b',');
        write_json_string(second, out);
        out.push(b']');
    });
}

/// Of every label name that was asked for, its value at each column.
fn write_chart_labels(answer: &Answer, keys: &str, out: &mut Vec<u8>) {
    write_member("chart_labels", out);
    let keys = keys.split(['|', ',']).filter(|key| !key.is_empty());
    out.push(b'{');
    for (index, key) in keys.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_string(key, out);
        out.push(b':');
        write_array(&answer.columns, out, |column, out| {
            let mut labels = chart_labels(answer.chart(column));
            match labels.find(|(name, _)| *name == key) {
                Some((_, value)) => write_json_string(value, out),
                None => out.extend_from_slice(b"null"),
            }
        });
    }
    out.push(b'}');
}

/// A member with a value for each column.
fn write_columns(answer: &Answer, name: &str, out: &mut Vec<u8>, write_item: impl Fn(&Column, &mut Vec<u8>)) {
    write_member(name, out);
    if answer.columns.is_empty() {
        write_array(&[json::NO_DATA], out, |text, out| write_json_string(text, out));
    } else {
        write_array(&answer.columns, out, write_item);
    }
}

fn write_array<T>(items: &[T], out: &mut Vec<u8>, write_item: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_item(item, out);
    }
    out.push(b']');
}

/// The name of a member that is not the first.
fn write_member(name: &str, out: &mut Vec<u8>) {
    write!(out, ",\"{name}\":").expect("memory takes all that is written");
}

fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}
