//! The output formats of a data answer: bytes, and nothing decided.
//!
//! | file                | formats                                                       |
//! |---------------------|---------------------------------------------------------------|
//! | format/json.rs      | json, jsonp, array                                            |
//! | format/datatable.rs | datatable, datasource: Google's charts                        |
//! | format/text.rs      | csv, tsv, ssv, markdown, html, csvjsonarray                   |
//! | format/wrapper.rs   | jsonwrap: the result inside an object that describes it       |
//! | format/stamp.rs     | times as each of them wants them                              |
//! | format/number.rs    | numbers of at most seven decimals, without the formatting machinery |
//! | format/string.rs    | strings inside JSON, scripts and tables                       |
//!
//! Where Netdata 1.37 writes what no parser takes (dates without quotes in csvjsonarray), this writes JSON.

mod datatable;

mod json;

mod number;

mod presentation;

mod stamp;

mod string;

mod text;

mod wrapper;

use jiff::tz::TimeZone;

pub use self::number::write_number;
pub use self::presentation::{DataSource, Presentation};
pub use self::string::write_json_string;
pub(crate) use self::string::{write_csv_field, write_json_escaped};
use self::{stamp::Stamps, text::Layout};
use crate::query::{Answer, Extent, QueryOption};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    JsonP,
    DataTable,
    DataSource,
    Csv,
    CsvJsonArray,
    Tsv,
    TsvExcel,
    Ssv,
    SsvComma,
    Array,
    Html,
    Markdown,
}

impl Format {
    const NAMES: [(&str, Format); 13] = [
        ("json", Format::Json),
        ("jsonp", Format::JsonP),
        ("datatable", Format::DataTable),
        ("datasource", Format::DataSource),
        ("csv", Format::Csv),
        ("csvjsonarray", Format::CsvJsonArray),
        ("tsv", Format::Tsv),
        ("tsv-excel", Format::TsvExcel),
        ("ssv", Format::Ssv),
        ("ssvcomma", Format::SsvComma),
        ("array", Format::Array),
        ("html", Format::Html),
        ("markdown", Format::Markdown),
    ];

    /// The format of this name; of any other, json.
    pub fn from_name(name: &str) -> Format {
        Format::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format).unwrap_or_default()
    }

    pub fn name(self) -> &'static str {
        Format::NAMES.iter().find(|(_, format)| *format == self).map_or("json", |(name, _)| name)
    }

    /// Of the plain format; inside jsonwrap everything is JSON but what calls a function.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json | Format::DataTable | Format::Array | Format::CsvJsonArray => {
                "application/json; charset=utf-8"
            }
            Format::JsonP | Format::DataSource => "application/x-javascript; charset=utf-8",
            Format::Html => "text/html; charset=utf-8",
            Format::Csv
            | Format::Tsv
            | Format::TsvExcel
            | Format::Ssv
            | Format::SsvComma
            | Format::Markdown => "text/plain; charset=utf-8",
        }
    }
}

/// What the `Content-Type` of an answer is.
pub fn content_type(answer: &Answer, presentation: &Presentation) -> &'static str {
    match presentation.format {
        format @ (Format::JsonP | Format::DataSource) => format.content_type(),
        _ if answer.has(QueryOption::JsonWrap) => Format::Json.content_type(),
        format => format.content_type(),
    }
}

/// Writes an answer. `timezone` is for the formats that show local time.
pub fn write(answer: &Answer, presentation: &Presentation, timezone: &TimeZone, out: &mut Vec<u8>) {
    let stamps = Stamps::new(answer, timezone);
    match presentation.format {
        Format::JsonP => {
            out.extend_from_slice(presentation.callback.as_bytes());
            out.push(b'(');
            write_maybe_wrapped(answer, presentation, &stamps, out);
            out.extend_from_slice(b");");
        }
        Format::DataSource => datatable::write_source(answer, presentation, &stamps, out),
        _ => write_maybe_wrapped(answer, presentation, &stamps, out),
    }
}

fn write_maybe_wrapped(answer: &Answer, presentation: &Presentation, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    if answer.has(QueryOption::JsonWrap) {
        wrapper::write(answer, presentation.format, stamps, out);
    } else {
        write_plain(answer, presentation.format, Layout::Alone, stamps, out);
    }
}

/// The result itself, and what its values reach from and to.
fn write_plain(
    answer: &Answer,
    format: Format,
    layout: Layout,
    stamps: &Stamps<'_>,
    out: &mut Vec<u8>,
) -> Extent {
    match format {
        Format::Json | Format::JsonP => json::write(answer, stamps, out),
        Format::DataTable | Format::DataSource => datatable::write(answer, stamps, out),
        Format::Array => return json::write_array(answer, out),
        Format::Ssv => return text::write_row_values(answer, b" ", out),
        Format::SsvComma => return text::write_row_values(answer, b",", out),
        Format::Csv => text::write_csv(answer, layout, stamps, out),
        Format::Tsv | Format::TsvExcel => text::write_tsv(answer, layout, stamps, out),
        Format::Markdown => text::write_markdown(answer, layout, stamps, out),
        Format::Html => text::write_html(answer, stamps, out),
        Format::CsvJsonArray => json::write_rows_with_header(answer, stamps, out),
    }
    answer.extent
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests;
