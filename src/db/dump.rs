//! A chart's samples as CSV.

use std::collections::HashSet;
use std::io::Write;

use dbengine::{Directory, GroupKey, TimeRange, UnixSeconds};

use super::archive::Archive;
use super::time::rfc3339;
use crate::catalog::ChartRecord;

/// Prints the rows in `window`. A gap is an empty field.
pub(super) fn dump(
    directory: &mut Directory,
    chart: &ChartRecord,
    window: TimeRange,
    unix: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let key = GroupKey(chart.key);
    let archive = Archive::open(directory, &HashSet::from([key]), window)?;
    write!(out, "time")?;
    for dimension in &chart.dimensions {
        write!(out, ",{}", field(&dimension.id))?;
    }
    writeln!(out)?;
    archive.blocks(key, chart.dimensions.len(), window, &mut |columns| {
        for (row, time) in columns[0].times.iter().enumerate() {
            if unix {
                write!(out, "{time}")?;
            } else {
                write!(out, "{}", rfc3339(UnixSeconds(*time)))?;
            }
            for column in columns {
                match column.values[row] {
                    gap if gap.is_nan() => write!(out, ",")?,
                    value => write!(out, ",{value}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// Quoted where CSV needs it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_they_need_it() {
        assert_eq!(field("user"), "user");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("5\" disk"), "\"5\"\" disk\"");
    }
}
