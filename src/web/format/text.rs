//! Rows as text: separated values, tables for people.

use super::{
    json::NO_DATA,
    number::write_number,
    stamp::Stamps,
    string::{write_csv_field, write_html_escaped},
};
use crate::query::{Answer, Extent};

/// Whether text is an answer by itself, or a string inside of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Alone,
    Wrapped,
}

impl Layout {
    fn line_end(self) -> &'static [u8] {
        match self {
            Layout::Alone => b"\r\n",
            Layout::Wrapped => b"\n",
        }
    }
}

pub(super) fn write_csv(answer: &Answer, layout: Layout, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    write_header(answer, b",", layout, write_csv_field, out);
    write_lines(answer, b",", layout, stamps, out);
}

pub(super) fn write_tsv(answer: &Answer, layout: Layout, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    // There is no quoting; a name with a tab would shift the columns.
    let without_tabs = |name: &str, out: &mut Vec<u8>| {
        out.extend(name.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
    };
    write_header(answer, b"\t", layout, without_tabs, out);
    write_lines(answer, b"\t", layout, stamps, out);
}

pub(super) fn write_markdown(answer: &Answer, layout: Layout, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    let escaped = |name: &str, out: &mut Vec<u8>| {
        for byte in name.bytes() {
            if byte == b'|' {
                out.push(b'\\');
            }
            out.push(byte);
        }
    };
    write_header(answer, b"|", layout, escaped, out);
    out.extend_from_slice(b":---:");
    for _ in 0..answer.columns.len().max(1) {
        out.extend_from_slice(b"|:---:");
    }
    out.extend_from_slice(layout.line_end());
    write_lines(answer, b"|", layout, stamps, out);
}

pub(super) fn write_html(answer: &Answer, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    const BETWEEN: &[u8] = b"</td><td>";
    out.extend_from_slice(
        b"<html>\n<center>\n<table border=\"0\" cellpadding=\"5\" cellspacing=\"5\">\n<tr><td>time",
    );
    for name in names(answer) {
        out.extend_from_slice(BETWEEN);
        write_html_escaped(name, out);
    }
    out.extend_from_slice(b"</td></tr>\n");
    write_rows(answer, BETWEEN, stamps, (b"<tr><td>", b"</td></tr>\n"), out);
    out.extend_from_slice(b"</table>\n</center>\n</html>\n");
}

/// A number a row.
pub(super) fn write_row_values(answer: &Answer, separator: &[u8], out: &mut Vec<u8>) -> Extent {
    let mut extent = Extent::default();
    if answer.columns.is_empty() {
        return extent;
    }
    for (index, row) in answer.rows().enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        let value = answer.row_value(row);
        extent.include(value);
        write_number(value, out);
    }
    extent
}

fn write_header(
    answer: &Answer,
    separator: &[u8],
    layout: Layout,
    write_name: impl Fn(&str, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"time");
    for name in names(answer) {
        out.extend_from_slice(separator);
        write_name(name, out);
    }
    out.extend_from_slice(layout.line_end());
}

fn names(answer: &Answer) -> impl Iterator<Item = &str> {
    let none = answer.columns.is_empty().then_some(NO_DATA);
    none.into_iter().chain(answer.columns.iter().map(|column| &**answer.dimension(column).name()))
}

fn write_lines(answer: &Answer, separator: &[u8], layout: Layout, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    write_rows(answer, separator, stamps, (b"", layout.line_end()), out);
}

fn write_rows(
    answer: &Answer,
    separator: &[u8],
    stamps: &Stamps<'_>,
    (start, end): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    if answer.columns.is_empty() {
        return;
    }
    for row in answer.rows() {
        out.extend_from_slice(start);
        stamps.write_text(answer.grid.stamp(row), out);
        for column in &answer.columns {
            out.extend_from_slice(separator);
            write_number(column.values[row], out);
        }
        out.extend_from_slice(end);
    }
}
