//! Google's charts: their table, and the script that hands it to them.

use super::{Presentation, number::write_number, stamp::Stamps, string::write_json_string};
use crate::query::{Answer, Column};

const NO_ANNOTATION: &[u8] = b"},{\"v\":null},{\"v\":null}";

/// A table: a column for times, two for remarks on a row, then the dimensions.
pub(super) fn write(answer: &Answer, stamps: &Stamps<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"cols\":[");
    out.extend_from_slice(b"{\"id\":\"\",\"label\":\"time\",\"pattern\":\"\",\"type\":\"datetime\"}");
    for role in ["annotation", "annotationText"] {
        out.extend_from_slice(
            b",{\"id\":\"\",\"label\":\"\",\"pattern\":\"\",\"type\":\"string\",\"p\":{\"role\":\"",
        );
        out.extend_from_slice(role.as_bytes());
        out.extend_from_slice(b"\"}}");
    }
    for column in &answer.columns {
        out.extend_from_slice(b",{\"id\":\"\",\"label\":");
        write_json_string(answer.dimension(column).name(), out);
        out.extend_from_slice(b",\"pattern\":\"\",\"type\":\"number\"}");
    }
    out.extend_from_slice(b"],\"rows\":[");
    if !answer.columns.is_empty() {
        for (index, row) in answer.rows().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"\n{\"c\":[{\"v\":");
            stamps.write_table(answer.grid.stamp(row), out);
            write_annotation(answer, row, out);
            for column in &answer.columns {
                out.extend_from_slice(b",{\"v\":");
                write_number(column.values[row], out);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
    }
    out.extend_from_slice(b"]}");
}

/// Closes the cell of the time, and remarks on counters that began again in this row.
fn write_annotation(answer: &Answer, row: usize, out: &mut Vec<u8>) {
    // The oldest reset comes first, which is the greatest row.
    let is_reset = |column: &&Column| column.resets.binary_search_by(|reset| row.cmp(reset)).is_ok();
    let mut resets = answer.columns.iter().filter(is_reset).peekable();
    if resets.peek().is_none() {
        out.extend_from_slice(NO_ANNOTATION);
        return;
    }
    let names: Vec<&str> = resets.map(|column| &**answer.dimension(column).name()).collect();
    out.extend_from_slice(b"},{\"v\":\"RESET OR OVERFLOW\"},{\"v\":");
    write_json_string(&names.join(", "), out);
    out.push(b'}');
}

/// The call of a client's function with the table, or with the news that there are none.
pub(super) fn write_source(
    answer: &Answer,
    presentation: &Presentation,
    stamps: &Stamps<'_>,
    out: &mut Vec<u8>,
) {
    let newest = answer.retention.last.0;
    let source = &presentation.source;
    out.extend_from_slice(presentation.callback.as_bytes());
    for part in ["({version:'", &source.version, "',reqId:'", &source.request_id, "',status:'"] {
        out.extend_from_slice(part.as_bytes());
    }
    if source.signature >= newest {
        out.extend_from_slice(b"error',errors:[{reason:'not_modified',message:'Data not modified'}]});");
        return;
    }
    out.extend_from_slice(b"ok',sig:'");
    out.extend_from_slice(itoa::Buffer::new().format(newest).as_bytes());
    out.extend_from_slice(b"',table:");
    write(answer, stamps, out);
    out.extend_from_slice(b"});");
}
