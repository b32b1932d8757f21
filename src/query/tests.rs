//! Whole questions, from the words of a request to rows.

mod model;

use dbengine::{Appended, EngineOptions, Row, SampleFlags, UnixSeconds};

use super::{
    Answer, QueryError, QueryOption, Scope,
    fixture::{FIRST, Fixture, LAST, T},
};

/// The clock of the recordings.
const NOW: i64 = LAST;
const NULL: f64 = f64::NAN;

/// Asks with `T` in `query` replaced, and `chart=synth.` in front.
fn ask(fixture: &Fixture, query: &str) -> Result<Answer, QueryError> {
    let mut text = String::from("chart=synth.");
    for (index, part) in query.split('T').enumerate() {
        if index == 0 {
            text += part;
            continue;
        }
        let end = part.find('&').unwrap_or(part.len());
        let offset = if end == 0 { 0 } else { part[..end].parse().expect("an offset") };
        text += &(T + offset).to_string();
        text += &part[end..];
    }
    fixture.ask(&text, NOW)
}

/// The rows of the first column, as seconds from `origin` and values.
fn rows(answer: &Answer, origin: i64) -> Vec<(i64, f64)> {
    answer.rows().map(|row| (answer.grid.stamp(row) - origin, answer.columns[0].values[row])).collect()
}

fn assert_rows(found: &[(i64, f64)], expected: &[(i64, f64)], query: &str) {
    let close = |found: f64, expected: f64| {
        found.is_nan() && expected.is_nan() || (found - expected).abs() <= 1e-6 * expected.abs()
    };
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.0 == expected.0 && close(found.1, expected.1));
    assert!(same, "{query}: {found:?}, not {expected:?}");
}

#[test]
fn verified_examples() {
    let fixture = Fixture::synth_a();
    let check = |query: &str, expected: &[(i64, f64)]| {
        let answer = ask(&fixture, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_rows(&rows(&answer, T), expected, query);
    };
    // A row a sample, newest first.
    check("wave&dimensions=a&after=T-4&before=T", &[(0, 0.0), (-1, 9.0), (-2, 8.0), (-3, 7.0), (-4, 6.0)]);
    // Ten seconds in two rows: the end is rounded up.
    check("wave&dimensions=a&after=T-7&before=T+2&points=2", &[(5, 3.0), (0, 6.0)]);
    check("wave&dimensions=a&after=T-7&before=T+2&points=2&options=unaligned", &[(2, 4.0), (-3, 5.0)]);
    // The oldest second is in no row.
    check("wave&dimensions=a&after=T-9&before=T&points=3", &[(0, 17.0 / 3.0), (-3, 6.0), (-6, 3.0)]);
    check(
        "wave&dimensions=a&after=T-9&before=T&points=7",
        &[
            (0, 0.0),
            (-1, 9.0),
            (-2, 8.0),
            (-3, 7.0),
            (-4, 6.0),
            (-5, 5.0),
            (-6, 4.0),
            (-7, 3.0),
            (-8, 2.0),
            (-9, 1.0),
        ],
    );
    let pairs = [(0, 4.5), (-2, 7.5), (-4, 5.5), (-6, 3.5), (-8, 1.5), (-10, 4.5)];
    check("wave&dimensions=a&after=T-9&before=T&points=4", &pairs[..5]);
    check(
        "wave&dimensions=a&after=T-9&before=T&points=9",
        &[(0, 0.0), (-1, 9.0), (-2, 8.0), (-3, 7.0), (-4, 6.0), (-5, 5.0), (-6, 4.0), (-7, 3.0), (-8, 2.0)],
    );
    // Six rows of two seconds reach before the window.
    check("wave&dimensions=a&after=T-9&before=T&points=6", &pairs);
    check("wave&dimensions=a&after=T&before=T-2", &[(0, 0.0), (-1, 9.0), (-2, 8.0)]);
    check(
        "gaps&after=T+15&before=T+24",
        &[
            (24, NULL),
            (23, NULL),
            (22, NULL),
            (21, NULL),
            (20, NULL),
            (19, 9.0),
            (18, 8.0),
            (17, 7.0),
            (16, 6.0),
            (15, 5.0),
        ],
    );
    check("gaps&after=T+11&before=T+50&points=4", &[(50, 4.5), (40, 0.0), (30, NULL), (20, 5.0)]);
    check("gaps&after=T+11&before=T+50&points=4&group=sum", &[(50, 45.0), (40, 0.0), (30, NULL), (20, 45.0)]);
    check(
        "gaps&after=T+11&before=T+50&points=4&options=null2zero",
        &[(50, 4.5), (40, 0.0), (30, 0.0), (20, 5.0)],
    );
    let tens = [(0, 0.0), (-10, 9.0), (-20, 8.0), (-30, 7.0)];
    check("ten&after=T-39&before=T", &tens);
    // Steps of a second, interpolated. (1.37 says 8.55 in the last row: it averages in the sample before.)
    check(
        "ten&after=T-9&before=T&points=10&tier=0",
        &[
            (0, 0.0),
            (-1, 0.9),
            (-2, 1.8),
            (-3, 2.7),
            (-4, 3.6),
            (-5, 4.5),
            (-6, 5.4),
            (-7, 6.3),
            (-8, 7.2),
            (-9, 8.1),
        ],
    );
    check("ten&after=T-39&before=T&points=100&options=natural-points", &tens);
    check("ten&after=T-59&before=T&points=3&options=natural-points", &[(0, 4.5), (-20, 7.5), (-40, 5.5)]);
    check("neg&dimensions=n&after=T-9&before=T&points=1&group=max", &[(0, -5.0)]);
    check("neg&dimensions=n&after=T-9&before=T&points=1&options=absolute", &[(0, 0.5)]);
    check("wave&dimensions=a&after=T-9&before=T&points=1&options=percentage", &[(0, 450.0 / 21.875)]);
    check("hid&after=T-9&before=T&points=1&options=percentage", &[(0, 30.0)]);
    check("wave&dimensions=c&after=T-59&before=T&points=2&gtime=60", &[(0, 300.0), (-60, 300.0)]);
    check(
        "wave&dimensions=a&after=T-19&before=T&points=2&group=des",
        &[(0, 5.662_342_1), (-10, 8.019_834_7)],
    );
    // (1.37 loses the first sample ever, and says 14.)
    check("wave&dimensions=a&after=T-2404&before=T-2395&points=2&group=sum", &[(-2395, 15.0), (-2400, NULL)]);
}

#[test]
fn verified_examples_relative_to_the_clock() {
    let fixture = Fixture::synth_a();
    let newest = NOW - 1;
    let check = |query: &str, newest_row: i64, view: i64, count: usize| {
        let answer = ask(&fixture, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let found: Vec<i64> = answer.grid.stamps().collect();
        let expected: Vec<i64> = (0..count as i64).map(|row| newest_row - row * view).collect();
        assert_eq!(found, expected, "{query}");
    };
    check("wave&after=-10", newest, 1, 10);
    check("wave&after=-10&points=2", 1_795_343_435, 5, 2);
    check("wave&points=1", 1_795_343_400, 600, 1);
    check("wave&before=0&after=-1", newest, 1, 1);
    check("wave&after=-10&before=-10", newest - 10, 1, 10);
    check("wave&after=10&before=20", newest - 20, 1, 10);
    check("wave&after=1795347029&before=1795347038", newest, 1, 10);

    let answer = ask(&fixture, "wave&after=-10&points=2").expect("an answer");
    assert_rows(&rows(&answer, 0), &[(1_795_343_435, 3.0), (1_795_343_430, 6.0)], "aligned down");
    let answer = ask(&fixture, "wave&points=1").expect("an answer");
    assert_rows(&rows(&answer, 0), &[(1_795_343_400, 4.5)], "the default window, by samples");
}

#[test]
fn a_question_needs_a_chart_and_samples_near_its_window() {
    let fixture = Fixture::synth_a();
    let check = |query: &str, expected: Result<usize, QueryError>| {
        let found = fixture.ask(query, NOW).map(|answer| answer.columns.len());
        assert_eq!(found, expected, "{query}");
    };
    check("after=-1", Err(QueryError::NoChart));
    check("context=*", Err(QueryError::NoChart));
    check("chart=nosuch", Err(QueryError::NothingMatched));
    check("context=nosuch.*", Err(QueryError::NothingMatched));
    check("chart=synth.wave&dimensions=nosuch", Err(QueryError::NothingMatched));
    check("chart=synth.wave&dimensions=nosuch|a", Ok(1));
    check("chart=synth.*", Ok(8));
    check("chart=synth.*&dimensions=g|w", Ok(2));
    check("context=*&chart=synth.neg", Ok(2));
    check("context=synth.*&chart=*e*", Ok(6));
    check("context=synth.wave|synth.ten", Ok(4));
    check("context=synth.*&chart_label_key=nosuch", Err(QueryError::NothingMatched));
    check("context=synth.*&chart_labels_filter=kind:n*|kind:ten", Ok(3));
    check("context=synth.*&chart_labels_filter=!kind:n*|*", Ok(6));
    check("context=synth.*&chart_labels_filter=_collect_module:synthmod", Ok(8));
    check("chart=synth.wave&chart_labels_filter=kind:ten", Ok(3));
    // Retention, give or take two samples.
    let window = |after: i64, before: i64| format!("chart=synth.wave&after={after}&before={before}");
    check(&window(FIRST - 100, FIRST - 3), Err(QueryError::NothingMatched));
    check(&window(FIRST - 100, FIRST - 2), Ok(3));
    check("chart=synth.wave&after=1000000000&before=1000000100", Err(QueryError::NothingMatched));
    let later = |query: &str, now: i64| fixture.ask(query, now).map(|answer| answer.grid.before - LAST);
    assert_eq!(later("chart=synth.wave&after=-5", NOW + 600), Err(QueryError::NothingMatched));
    assert_eq!(later("chart=synth.wave&after=-3600", NOW + 600), Ok(0), "it ends at the last sample");
    assert_eq!(Fixture::empty().ask("chart=synth.wave", NOW).map(|_| ()), Err(QueryError::NothingMatched));
}

#[test]
fn the_scope_says_whether_one_chart_was_named() {
    let fixture = Fixture::synth_a();
    let check = |query: &str, expected: Scope| {
        assert_eq!(fixture.ask(query, NOW).map(|answer| answer.scope), Ok(expected), "{query}");
    };
    check("chart=synth.wave", Scope::Chart);
    check("chart=synth.wav*", Scope::Charts);
    check("context=synth.wave", Scope::Charts);
}

#[test]
fn a_chart_of_one_sample_answers_it() {
    let mut fixture = Fixture::empty();
    fixture.add_rows("one", 1, &["d"], std::iter::once((T, vec![4.3])));
    for query in [
        "one&after=0",
        "one&after=T&before=T",
        "one&after=T&before=T&points=5",
        "one&after=T-9&before=T&points=1",
    ] {
        let answer = ask(&fixture, query).expect("an answer");
        let (stamp, value) = rows(&answer, T)[0];
        assert_eq!((stamp, value), (0, 4.3), "{query}");
    }
    let answer = fixture.ask("chart=synth.one&after=0", T + 2).expect("an answer");
    assert_eq!((answer.grid.points, answer.columns[0].newest, answer.retention.first.0), (1, 4.3, T));
}

#[test]
fn dimensions_of_zeros_and_those_long_gone_are_left_out() {
    let mut fixture = Fixture::synth_a();
    let names = |fixture: &Fixture, query: &str| -> Vec<String> {
        let answer = fixture.ask(query, NOW).expect("an answer");
        answer.columns.iter().map(|column| answer.dimension(column).id.to_string()).collect()
    };
    let last_ten = format!("&after={}&before={T}", T - 9);
    let neg = format!("chart=synth.neg{last_ten}&options=nonzero");
    assert_eq!(names(&fixture, &neg), ["n"]);
    assert_eq!(names(&fixture, &format!("{neg}&dimensions=*")), ["n", "zero"]);
    assert_eq!(names(&fixture, &format!("{neg}&group=incremental-sum&points=1")), ["n"]);
    let at_zero = format!("chart=synth.neg&after={0}&before={0}&options=nonzero", T + 5);
    assert_eq!(names(&fixture, &at_zero), ["n", "zero"], "all are zero, all stay");

    fixture.add_rows(
        "left",
        1,
        &["here", "gone"],
        (0..100).map(|second| (T + second, vec![1.0, if second < 50 { 1.0 } else { f32::NAN }])),
    );
    fixture.chart_mut(5).dimensions[1].obsolete = true;
    let window = |from: i64| format!("chart=synth.left&after={}&before={}", T + from, T + from + 9);
    assert_eq!(names(&fixture, &window(60)), ["here"]);
    assert_eq!(names(&fixture, &window(45)), ["here", "gone"]);

    for dimension in &mut fixture.chart_mut(5).dimensions {
        dimension.hidden = true;
    }
    assert!(names(&fixture, &window(45)).is_empty(), "all are hidden");
    assert_eq!(names(&fixture, &format!("{}&dimensions=gone", window(45))), ["gone"]);
}

#[test]
fn extents_take_nulls_for_zero_and_values_with_their_sign() {
    let fixture = Fixture::synth_a();
    let check = |query: &str, expected: (f64, f64)| {
        let answer = ask(&fixture, query).expect("an answer");
        assert_eq!((answer.extent.least(), answer.extent.greatest()), expected, "{query}");
    };
    check("gaps&after=T+11&before=T+19", (1.0, 9.0));
    check("gaps&after=T+11&before=T+20", (0.0, 9.0));
    check("neg&dimensions=n&after=T-9&before=T&options=absolute", (-5.0, 4.0));
    check("hid&after=T-9&before=T&options=percentage", (30.0, 30.0));
}

#[test]
fn flags_of_samples_become_rates_and_rows_of_resets() {
    let mut fixture = Fixture::empty();
    fixture.add_rows("flagged", 1, &["a", "b"], std::iter::empty());
    let group = fixture.charts[0].chart.group;
    for second in 0..20 {
        let anomalous = if second % 4 == 0 { SampleFlags::ANOMALOUS } else { SampleFlags::NONE };
        let reset = if second == 12 { SampleFlags::RESET } else { SampleFlags::NONE };
        let value = if second == 19 { f32::NAN } else { 1.0 };
        let row = Row { values: &[value, 2.0], flags: Some(&[anomalous | reset, SampleFlags::NONE]) };
        assert_eq!(fixture.engine.append(group, UnixSeconds(T + 1 + second), row), Appended::Stored);
    }
    fixture.charts[0].span = fixture.engine.span(group);
    let window = "flagged&after=T+1&before=T+20&points=2";

    let answer = ask(&fixture, &format!("{window}&options=anomaly-bit")).expect("an answer");
    let rate = 100.0 * 2.0 / 9.0;
    assert_rows(&rows(&answer, T), &[(20, rate), (10, 30.0)], "anomaly bit");
    assert_eq!(answer.columns[1].values, [0.0, 0.0]);

    let answer = ask(&fixture, &format!("{window}&options=jw-anomaly-rates")).expect("an answer");
    assert_eq!(answer.columns[0].values, [1.0, 1.0]);
    assert_eq!(answer.columns[0].anomaly_rates, [rate, 30.0]);
    assert_eq!(answer.columns[1].anomaly_rates, [0.0, 0.0]);
    assert_eq!(answer.columns[0].resets, [0]);
    assert!(answer.columns[1].resets.is_empty());
    assert!(answer.has(QueryOption::AnomalyRates));
}

#[test]
fn a_dimension_newer_than_the_snapshot_is_all_gaps() {
    let mut fixture = Fixture::synth_a();
    let chart = fixture.chart_mut(3);
    let newer = chart.dimensions[0].clone();
    chart.dimensions.push(newer);
    let answer = ask(&fixture, "ten&after=T-39&before=T").expect("an answer");
    assert!(answer.columns[1].values.iter().all(|value| value.is_nan()));
    assert!(answer.columns[1].newest.is_nan());
}

#[test]
fn pages_and_hot_rows_answer_alike() {
    let mut small = Fixture::empty();
    small.engine = dbengine::Engine::new(EngineOptions { page_rows: 7 });
    small.add("wave", 1, &[("a", |t| (t % 10) as f32)]);
    let whole = Fixture::synth_a();
    for query in ["wave&after=T-99&before=T&dimensions=a", "wave&after=0&points=13&dimensions=a"] {
        let (small, whole) = (ask(&small, query).expect("an answer"), ask(&whole, query).expect("an answer"));
        assert_eq!(small.columns[0].values, whole.columns[0].values, "{query}");
    }
}

/// Found by asking a real 1.37.1 the same: `tests/differential.rs`.
#[test]
fn samples_decide_what_is_zero_and_not_what_became_of_them() {
    let fixture = Fixture::synth_a();
    let shown = |query: &str| {
        let answer = ask(&fixture, query).expect("an answer");
        answer.columns.iter().map(|column| answer.dimension(column).id.to_string()).collect::<Vec<_>>()
    };
    let window = "after=T-9&before=T&points=1&options=nonzero";
    assert_eq!(
        shown(&format!("wave&group=stddev&{window}")),
        ["a", "b", "c"],
        "five is no zero, if it does not vary"
    );
    assert_eq!(shown(&format!("neg&group=countif&group_options=<3&{window}")), ["n"]);
    let answer = ask(&fixture, &format!("neg&dimensions=*&group=countif&group_options=<3&{window}"));
    assert_eq!(answer.expect("an answer").columns.len(), 2, "dimensions that are named stay");
}

#[test]
fn charts_of_a_context_come_together() {
    let mut fixture = Fixture::synth_a();
    fixture.chart_mut(4).context = "synth.wave".into();
    let now = T + 10;
    let query = format!("context=synth.*&after={}&before={T}&points=1", T - 9);
    let answer = fixture.ask(&query, now).expect("an answer");
    let charts: Vec<&str> = answer.columns.iter().map(|column| &*answer.chart(column).id).collect();
    assert_eq!(
        charts,
        [
            "synth.wave",
            "synth.wave",
            "synth.wave",
            "synth.hid",
            "synth.neg",
            "synth.neg",
            "synth.gaps",
            "synth.ten"
        ]
    );
}
