//! The parameters of a data request that are about its output.

use super::Format;

/// How an answer is to be written, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    pub format: Format,
    /// The function that jsonp and datasource call.
    pub callback: Box<str>,
    /// A file to save the answer as.
    pub filename: Option<Box<str>>,
    pub source: DataSource,
}

/// What Google's data source protocol says in `tqx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    pub version: Box<str>,
    pub request_id: Box<str>,
    /// The newest sample that the client has.
    pub signature: i64,
}

impl Default for DataSource {
    fn default() -> DataSource {
        DataSource { version: "0.6".into(), request_id: "0".into(), signature: 0 }
    }
}

impl Presentation {
    /// Reads decoded names and values; those of other parameters mean nothing here.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Presentation {
        let (mut format, mut callback, mut filename, mut tqx) = (Format::default(), None, None, "");
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match name {
                "format" => format = Format::from_name(value),
                "callback" => callback = Some(clean(value)),
                "filename" => filename = Some(clean(value)),
                "tqx" => tqx = value,
                _ => {}
            }
        }
        let mut source = DataSource::default();
        for (name, value) in tqx.split(';').filter_map(|part| part.split_once(':')) {
            match name {
                "version" => source.version = clean(value),
                "reqId" => source.request_id = clean(value),
                "sig" => source.signature = value.parse().unwrap_or(0),
                "out" if value == "json" => format = Format::DataSource,
                "out" => format = Format::from_name(value),
                "responseHandler" => callback = Some(clean(value)),
                "outFileName" => filename = Some(clean(value)),
                _ => {}
            }
        }
        let default = match format {
            Format::DataSource => "google.visualization.Query.setResponse",
            _ => "callback",
        };
        Presentation { format, callback: callback.unwrap_or_else(|| default.into()), filename, source }
    }
}

/// Only what can be part of a name, of a function and of a file alike.
fn clean(text: &str) -> Box<str> {
    let kept = |character: char| character.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&character);
    text.chars().map(|character| if kept(character) { character } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tqx_speaks_for_googles_clients() {
        let parse = |pairs: &[(&'static str, &'static str)]| Presentation::from_pairs(pairs.iter().copied());
        let found =
            parse(&[("format", "csv"), ("tqx", "version:0.5;reqId:7;sig:12;out:json;responseHandler:f(x)")]);
        assert_eq!(found.format, Format::DataSource);
        assert_eq!(&*found.callback, "f_x_");
        assert_eq!(
            (&*found.source.version, &*found.source.request_id, found.source.signature),
            ("0.5", "7", 12)
        );
        assert_eq!(parse(&[("tqx", "out:tsv-excel;outFileName:a b")]).format, Format::TsvExcel);
        assert_eq!(parse(&[("tqx", "outFileName:a b")]).filename.as_deref(), Some("a_b"));
        assert_eq!(&*parse(&[("format", "jsonp")]).callback, "callback");
        assert_eq!(&*parse(&[("format", "jsonp"), ("callback", "x.y-z_1;")]).callback, "x.y-z_1_");
        assert_eq!(parse(&[("format", "nosuch"), ("filename", "")]), parse(&[]));
    }
}
