use super::*;
use crate::load::{Protocol, small};
use crate::value::ChildSeries;

const NOW: i64 = 1_795_342_200;

fn question(load: &Load, samples: bool) -> Question<'_> {
    Question {
        load,
        child: 1,
        chart: 2,
        window: Window { first: NOW, last: NOW + 30 },
        samples,
        rule: Rule::Live,
    }
}

/// What a parent that made no mistake answers; absolute values as collected `late` seconds before.
fn answer(question: &Question<'_>, late: i64) -> (Vec<String>, Vec<Vec<Option<f64>>>) {
    let load = question.load;
    let ids = (0..load.dimensions).map(|dimension| load.dimension_id(dimension));
    let labels = std::iter::once("time".to_owned()).chain(ids).collect();
    let child = ChildSeries::new(load.seed, question.child as u64);
    let rows = (question.window.first - 1..=question.window.last).rev().map(|second| {
        let values = (0..load.dimensions).map(|dimension| {
            let series = child.at(load.position(question.chart, dimension));
            Some(match series.kind {
                _ if question.samples => f64::from(series.stored(second) as f32),
                Kind::Counter => series.rate() as f64 * 1.0004,
                _ => series.sample_of(series.collected((second - late) * MICROSECONDS)),
            })
        });
        std::iter::once(Some(second as f64)).chain(values).collect()
    });
    (labels, rows.collect())
}

fn judge(question: &Question<'_>, answer: &(Vec<String>, Vec<Vec<Option<f64>>>)) -> Verdict {
    let body = serde_json::json!({ "labels": answer.0, "data": answer.1 }).to_string();
    question.judge(body.as_bytes()).expect("readable")
}

#[test]
fn a_right_answer_is_good() {
    let load = small(Protocol::V1);
    for (samples, late) in [(true, 0), (false, 0), (false, 1)] {
        let question = question(&load, samples);
        let verdict = judge(&question, &answer(&question, late));
        assert!(verdict.is_good(), "{samples} {late}: {verdict:?}");
        assert_eq!((verdict.questions, verdict.points), (1, 31 * 10));
    }
}

#[test]
fn one_wrong_point_is_found_and_named() {
    let load = small(Protocol::V1);
    for samples in [true, false] {
        let question = question(&load, samples);
        for column in 1..=load.dimensions {
            let mut answer = answer(&question, 0);
            let value = answer.1[7][column].expect("a value");
            answer.1[7][column] = Some((value * 1.002 + 0.001).round() + 1.0);
            let verdict = judge(&question, &answer);
            assert_eq!((verdict.missing, verdict.wrong), (0, 1), "{samples} {column}");
            let point = &verdict.examples[0];
            assert_eq!((point.second, point.found), (NOW + 23, answer.1[7][column]));
            assert_eq!(point.dimension, format!("value_{column:02}"));
            assert_eq!((&*point.host, &*point.chart), ("test-0002", "load.chart_0003"));
        }
    }
}

#[test]
fn missing_points_rows_and_dimensions_are_found() {
    let load = small(Protocol::V1);
    let question = question(&load, false);

    let mut null = answer(&question, 0);
    null.1[3][4] = None;
    assert_eq!(judge(&question, &null).missing, 1);

    let mut row = answer(&question, 0);
    row.1.remove(3);
    assert_eq!(judge(&question, &row).missing, 10);

    let mut dimension = answer(&question, 0);
    dimension.0[2] = "another".into();
    assert_eq!(judge(&question, &dimension).missing, 31);

    let nothing = (vec!["time".to_owned(), "no data".to_owned()], Vec::new());
    let verdict = judge(&question, &nothing);
    assert_eq!((verdict.missing, verdict.examples.len()), (310, SHOWN));
    assert!(!verdict.is_good());
}

#[test]
fn a_shift_that_is_not_the_same_for_all_points_is_wrong() {
    let load = small(Protocol::V1);
    let question = question(&load, false);
    let (labels, mut rows) = answer(&question, 0);
    let (_, late) = answer(&question, 1);
    let half = rows.len() / 2;
    rows[half..].clone_from_slice(&late[half..]);
    assert!(judge(&question, &(labels, rows)).wrong > 0);

    let two_late = answer(&question, 2);
    assert!(judge(&question, &two_late).wrong > 0);
}

#[test]
fn finished_samples_may_not_be_shifted() {
    let load = small(Protocol::V2);
    let question = question(&load, true);
    let mut shifted = answer(&question, 0);
    for row in &mut shifted.1 {
        row[0] = row[0].map(|second| second + 1.0);
    }
    assert!(judge(&question, &shifted).wrong > 0);
}

fn exact(load: &Load, samples: bool, begins: bool) -> Question<'_> {
    Question { rule: Rule::Exact { begins }, ..question(load, samples) }
}

/// As [`answer`], of collections that are exactly an interval apart, and without a row before the window.
fn exact_answer(question: &Question<'_>) -> (Vec<String>, Vec<Vec<Option<f64>>>) {
    let (labels, mut rows) = answer(question, 0);
    rows.pop();
    let child = ChildSeries::new(question.load.seed, question.child as u64);
    for row in rows.iter_mut().filter(|_| !question.samples) {
        for dimension in 0..question.load.dimensions {
            let series = child.at(question.load.position(question.chart, dimension));
            row[dimension + 1] = Some(series.interpolated(row[0].unwrap() as i64));
        }
    }
    (labels, rows)
}

#[test]
fn of_children_with_a_database_every_point_has_to_be_exact() {
    let load = small(Protocol::V1);
    for samples in [true, false] {
        let question = exact(&load, samples, true);
        assert!(judge(&question, &exact_answer(&question)).is_good(), "{samples}");
    }
    let question = exact(&load, false, true);
    let rates = judge(&question, &answer(&question, 0));
    assert_eq!(rates.missing, 0);
    assert!(rates.wrong > 0 && rates.wrong.is_multiple_of(31), "rates are off by 0.4 thousandths: {rates}");
    assert!(judge(&question, &answer(&question, 1)).wrong > rates.wrong, "nor may they be late");
}

#[test]
fn what_was_never_sent_is_found() {
    let load = small(Protocol::V2);
    let invented = |question: &Question<'_>, row: Vec<Option<f64>>| {
        let mut answer = exact_answer(question);
        answer.1.push(row);
        judge(question, &answer).invented
    };
    let row = |second: i64, value: Option<f64>| {
        std::iter::once(Some(second as f64)).chain(std::iter::repeat_n(value, load.dimensions)).collect()
    };
    for (begins, before) in [(true, 10), (false, 0)] {
        let question = exact(&load, true, begins);
        assert_eq!(invented(&question, row(NOW - 3, Some(1.0))), before);
        assert_eq!(invented(&question, row(NOW - 3, None)), 0);
        assert_eq!(invented(&question, row(NOW - 1, Some(1.0))), 0);
        assert_eq!(invented(&question, row(NOW + 7, Some(1.0))), 10, "the second is there already");
        assert_eq!(invented(&question, row(NOW + 31, Some(1.0))), 0, "not asked for");
    }
    let slow = Load { update_every: 10, ..small(Protocol::V2) };
    let question = Question { window: Window { first: NOW, last: NOW + 30 }, ..exact(&slow, true, true) };
    assert!(judge(&question, &exact_answer(&question)).invented > 0, "nine of ten seconds are no boundaries");
}

#[test]
fn a_question_for_a_beginning_asks_for_what_was_before_it() {
    let load = small(Protocol::V1);
    assert!(exact(&load, true, true).path().contains(&format!("after={}&before={}", NOW - 11, NOW + 30)));
    assert!(exact(&load, true, false).path().contains(&format!("after={}&before={}", NOW - 1, NOW + 30)));
}

#[test]
fn what_is_no_answer_cannot_be_read() {
    let load = small(Protocol::V1);
    let question = question(&load, false);
    for body in
        ["", "No metrics", "{}", r#"{"labels":["a"],"data":[]}"#, r#"{"labels":["time"],"data":[[1,2]]}"#]
    {
        assert!(question.judge(body.as_bytes()).is_err(), "{body}");
    }
    assert!(!Verdict::default().is_good());
}

#[test]
fn windows_keep_away_from_both_ends_of_a_span() {
    let span = |length| Span { first: NOW, last: NOW + length, samples: false, begins: false };
    for (update_every, length, expected) in [
        (1, 5, None),
        (1, 11, None),
        (1, 12, Some((NOW + 6, NOW + 6))),
        (1, 40, Some((NOW + 6, NOW + 34))),
        (10, 50, None),
        (10, 100, Some((NOW + 30, NOW + 70))),
    ] {
        let window = Window::within(span(length), update_every, 120, 0);
        assert_eq!(window.map(|window| (window.first, window.last)), expected, "{update_every} {length}");
    }
    for random in 0..500 {
        let window = Window::within(span(1000), 10, 125, random).expect("long enough");
        assert_eq!((window.first % 10, window.last - window.first), (0, 120));
        assert!(window.first >= NOW + 30 && window.last <= NOW + 970);
    }
}

#[test]
fn a_question_names_host_chart_and_window() {
    let load = small(Protocol::V1);
    let guid = load.machine_guid(1);
    assert_eq!(
        question(&load, false).path(),
        format!(
            "/host/{guid}/api/v1/data?chart=load.chart_0003&after={}&before={}&format=json&options=natural-points",
            NOW - 1,
            NOW + 30
        )
    );
}
