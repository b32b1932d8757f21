//! Every format with names, gaps and flags that are hard on it.

use dbengine::{Appended, Row, SampleFlags, UnixSeconds};
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};

use super::{Format, Presentation, content_type, write};
use crate::query::fixture::{Fixture, T, pairs};

const NOW: i64 = T + 10;

/// Two dimensions with awkward names: values 0.5 and 1.5 at T - 1, a gap and 2 at T, where a counter was reset.
fn fixture() -> Fixture {
    let mut fixture = Fixture::empty();
    fixture.add_rows("odd", 1, &["a", "b"], std::iter::once((T - 1, vec![0.5, 1.5])));
    let group = fixture.charts[0].chart.group;
    let flags = [SampleFlags::NONE, SampleFlags::RESET | SampleFlags::ANOMALOUS];
    let row = Row { values: &[f32::NAN, 2.0], flags: Some(&flags) };
    assert_eq!(fixture.engine.append(group, UnixSeconds(T), row), Appended::Stored);
    fixture.charts[0].span = fixture.engine.span(group);
    fixture.charts[0].newest = vec![f32::NAN, 2.0];
    let chart = fixture.chart_mut(0);
    chart.dimensions[0].rename("a,|\"<\t");
    chart.dimensions[1].rename("b");
    fixture
}

fn written(fixture: &Fixture, query: &str) -> String {
    let query = format!("chart=synth.odd&after={}&before={T}&{query}", T - 1);
    let answer = fixture.ask(&query, NOW).unwrap_or_else(|error| panic!("{query}: {error}"));
    let pairs = pairs(&query);
    let presentation = Presentation::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    let mut out = Vec::new();
    let two_hours_east = TimeZone::fixed(Offset::constant(2));
    write(&answer, &presentation, &two_hours_east, &mut out);
    String::from_utf8(out).expect("text")
}

fn parsed(fixture: &Fixture, query: &str) -> Value {
    let text = written(fixture, query);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{query}: {error} in {text}"))
}

#[test]
fn formats_escape_what_would_be_theirs() {
    let fixture = fixture();
    let check = |query: &str, expected: &str| assert_eq!(written(&fixture, query), expected, "{query}");
    check(
        "format=csv",
        "time,\"a,|\"\"<\t\",b\r\n2026-11-22 12:10:00,null,2\r\n2026-11-22 12:09:59,0.5,1.5\r\n",
    );
    check(
        "format=tsv&options=seconds",
        "time\ta,|\"< \tb\r\n1795342200\tnull\t2\r\n1795342199\t0.5\t1.5\r\n",
    );
    check(
        "format=markdown&options=ms,flip",
        "time|a,\\|\"<\t|b\r\n:---:|:---:|:---:\r\n1795342199000|0.5|1.5\r\n1795342200000|null|2\r\n",
    );
    check(
        "format=html&options=seconds,null2zero",
        "<html>\n<center>\n<table border=\"0\" cellpadding=\"5\" cellspacing=\"5\">\n\
         <tr><td>time</td><td>a,|&quot;&lt;\t</td><td>b</td></tr>\n\
         <tr><td>1795342200</td><td>0</td><td>2</td></tr>\n<tr><td>1795342199</td><td>0.5</td><td>1.5</td></tr>\n\
         </table>\n</center>\n</html>\n",
    );
    check("format=ssv", "2 2");
    check("format=ssvcomma&options=min2max,flip", "1.5,2");
    check("format=array&dimensions=a", "[null,0.5]");
    check(
        "format=jsonp&callback=f;&dimensions=b&points=1",
        "f_({\"labels\":[\"time\",\"b\"],\"data\":[\n[1795342200,1.75]]});",
    );
}

#[test]
fn json_formats_are_json() {
    let fixture = fixture();
    let names = ["time", "a,|\"<\t", "b"];
    let expected = json!({"labels": names, "data": [[T, null, 2], [T - 1, 0.5, 1.5]]});
    assert_eq!(parsed(&fixture, "format=json"), expected);
    assert_eq!(parsed(&fixture, "format=nosuch"), expected);
    let expected = json!([names, ["2026-11-22 12:10:00", null, 2], ["2026-11-22 12:09:59", 0.5, 1.5]]);
    assert_eq!(parsed(&fixture, "format=csvjsonarray"), expected);
    let objects = parsed(&fixture, "options=objectrows");
    assert_eq!(
        objects["data"],
        json!([
            {"time": T, (names[1]): null, "b": 2},
            {"time": T - 1, (names[1]): 0.5, "b": 1.5},
        ])
    );
    let table = parsed(&fixture, "format=datatable");
    assert_eq!(table["cols"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        table["rows"],
        json!([
            {"c": [{"v": "Date(2026,10,22,12,10,0)"}, {"v": "RESET OR OVERFLOW"}, {"v": "b"}, {"v": null}, {"v": 2}]},
            {"c": [{"v": "Date(2026,10,22,12,9,59)"}, {"v": null}, {"v": null}, {"v": 0.5}, {"v": 1.5}]},
        ])
    );
}

#[test]
fn every_format_is_json_inside_the_wrapper() {
    let fixture = fixture();
    for (name, format) in Format::NAMES {
        if matches!(format, Format::JsonP | Format::DataSource) {
            continue;
        }
        let wrapped =
            parsed(&fixture, &format!("format={name}&options=jsonwrap,all-dimensions,jw-anomaly-rates"));
        assert_eq!(wrapped["format"], name);
        assert_eq!(wrapped["view_latest_values"], json!([null, 2]));
        assert_eq!(wrapped["latest_values"], json!([null, 2]));
        assert_eq!(wrapped["full_dimension_list"], json!([["a", "a,|\"<\t"], ["b", "b"]]));
        let rates = json!({"labels": ["time", "a,|\"<\t", "b"], "data": [[T, 0, 100], [T - 1, 0, 0]]});
        assert_eq!(wrapped.get("anomaly_rates"), (format == Format::Json).then_some(&rates));
        let plain = written(&fixture, &format!("format={name}"));
        match &wrapped["result"] {
            Value::String(text) => assert_eq!(text.replace('\n', ""), plain.replace(['\r', '\n'], "")),
            nested => assert_eq!(*nested, serde_json::from_str::<Value>(&plain).expect("JSON")),
        }
    }
}

#[test]
fn without_a_dimension_to_show_there_is_no_data() {
    let mut fixture = fixture();
    fixture.chart_mut(0).dimensions.iter_mut().for_each(|dimension| dimension.hidden = true);
    assert_eq!(parsed(&fixture, ""), json!({"labels": ["time", "no data"], "data": []}));
    assert_eq!(written(&fixture, "format=csv"), "time,no data\r\n");
    assert_eq!(written(&fixture, "format=array"), "[]");
    assert_eq!(parsed(&fixture, "format=csvjsonarray"), json!([["time", "no data"]]));
    let wrapped = parsed(&fixture, "options=jsonwrap");
    assert_eq!(wrapped["dimension_names"], json!(["no data"]));
    assert_eq!((&wrapped["dimensions"], &wrapped["latest_values"]), (&json!(0), &json!([])));
}

#[test]
fn a_data_source_says_when_there_is_nothing_new() {
    let fixture = fixture();
    let source = |sig: i64| written(&fixture, &format!("format=datasource&tqx=reqId:3;sig:{sig}"));
    assert_eq!(
        source(T),
        "google.visualization.Query.setResponse({version:'0.6',reqId:'3',status:'error',\
         errors:[{reason:'not_modified',message:'Data not modified'}]});"
    );
    let expected = format!(
        "google.visualization.Query.setResponse({{version:'0.6',reqId:'3',status:'ok',sig:'{T}',table:"
    );
    assert!(source(T - 1).starts_with(&expected));
}

#[test]
fn columns_of_many_charts_have_the_names_and_labels_of_theirs() {
    let mut fixture = Fixture::synth_a();
    fixture.chart_mut(1).labels = crate::catalog::Labels::default();
    let query = format!("context=synth.*&dimensions=n|x&after={}&before={T}&options=jsonwrap", T - 9);
    let answer = fixture.ask(&query, NOW).expect("an answer");
    let mut out = Vec::new();
    let presentation = Presentation::from_pairs(std::iter::empty());
    write(&answer, &presentation, &TimeZone::UTC, &mut out);
    let wrapped: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(wrapped["chart_ids"], json!(["synth.neg", "synth.ten"]));
    assert!(
        wrapped["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("context://host:synth-a/contexts:synth.*/instances:*/"))
    );
    assert_eq!(content_type(&answer, &presentation), "application/json; charset=utf-8");
    let labels = "chart_label_key=kind|nosuch&options=jsonwrap";
    let charts = "chart=synth.t*|synth.w*&dimensions=x|c&points=1";
    let query = format!("{charts}&{labels}&after={}&before={T}", T - 9);
    let answer = fixture.ask(&query, NOW).expect("an answer");
    out.clear();
    write(&answer, &presentation, &TimeZone::UTC, &mut out);
    let wrapped: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(wrapped["chart_labels"], json!({"kind": ["wave", "ten"], "nosuch": [null, null]}));
}
