//! Rows as JSON.

use super::{number::write_number, stamp::Stamps, string::write_json_string};
use crate::query::{Answer, Extent, QueryOption};

/// What stands for the columns when there are none.
pub(super) const NO_DATA: &str = "no data";

/// An object of labels and rows.
pub(super) fn write(answer: &Answer, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    write_object(answer, stamps, |column, row| answer.columns[column].values[row], out);
}

/// The same object, of the percent of anomalous samples.
pub(super) fn write_anomaly_rates(answer: &Answer, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    let rate =
        |column: usize, row: usize| answer.columns[column].anomaly_rates.get(row).copied().unwrap_or(0.0);
    write_object(answer, stamps, rate, out);
}

fn write_object(answer: &Answer, stamps: &Stamps<'_>, cell: impl Fn(usize, usize) -> f64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"labels\":");
    write_labels(answer, out);
    out.extend_from_slice(b",\"data\":[");
    if answer.has(QueryOption::ObjectRows) {
        let keys = object_keys(answer);
        write_rows(answer, b"\n", out, |row, out| {
            out.extend_from_slice(b"{\"time\":");
            stamps.write_json(answer.grid.stamp(row), out);
            for (column, key) in keys.iter().enumerate() {
                out.extend_from_slice(key);
                write_number(cell(column, row), out);
            }
            out.push(b'}');
        });
    } else {
        write_rows(answer, b"\n", out, |row, out| {
            out.push(b'[');
            stamps.write_json(answer.grid.stamp(row), out);
            for column in 0..answer.columns.len() {
                out.push(b',');
                write_number(cell(column, row), out);
            }
            out.push(b']');
        });
    }
    out.extend_from_slice(b"]}");
}

/// An array of one number a row.
pub(super) fn write_array(answer: &Answer, out: &mut Vec<u8>) -> Extent {
    let mut extent = Extent::default();
    out.push(b'[');
    write_rows(answer, b"", out, |row, out| {
        let value = answer.row_value(row);
        extent.include(value);
        write_number(value, out);
    });
    out.push(b']');
    extent
}

/// An array of the labels and the rows, an array each.
pub(super) fn write_rows_with_header(answer: &Answer, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    write_labels(answer, out);
    if !answer.columns.is_empty() {
        out.push(b',');
    }
    write_rows(answer, b"\n", out, |row, out| {
        out.push(b'[');
        if stamps.is_number() {
            stamps.write_text(answer.grid.stamp(row), out);
        } else {
            out.push(b'"');
            stamps.write_text(answer.grid.stamp(row), out);
            out.push(b'"');
        }
        for column in &answer.columns {
            out.push(b',');
            write_number(column.values[row], out);
        }
        out.push(b']');
    });
    out.push(b']');
}

/// Rows separated by commas, each after `lead`. Without columns there are no rows.
fn write_rows(
    answer: &Answer,
    lead: &[u8],
    out: &mut Vec<u8>,
    mut write_row: impl FnMut(usize, &mut Vec<u8>),
) {
    if answer.columns.is_empty() {
        return;
    }
    for (index, row) in answer.rows().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(lead);
        write_row(row, out);
    }
}

fn write_labels(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[\"time\"");
    if answer.columns.is_empty() {
        out.push(b',');
        write_json_string(NO_DATA, out);
    }
    for column in &answer.columns {
        out.push(b',');
        write_json_string(answer.dimension(column).name(), out);
    }
    out.push(b']');
}

/// What is written before each value of an object.
fn object_keys(answer: &Answer) -> Vec<Vec<u8>> {
    let key = |column| {
        let mut key = vec![b','];
        write_json_string(answer.dimension(column).name(), &mut key);
        key.push(b':');
        key
    };
    answer.columns.iter().map(key).collect()
}
