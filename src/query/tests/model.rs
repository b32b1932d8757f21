//! Random questions about random samples, against a model that looks at all samples for every row.

use proptest::{prelude::*, sample::select};

use super::super::{
    Answer, Parameters, QueryOptions, Window, Workspace,
    fixture::{Fixture, T},
    group::Group,
};

const NOW: i64 = T + 700;

#[derive(Clone, Debug)]
struct Question {
    after: i64,
    before: i64,
    points: i64,
    gtime: i64,
    group: &'static str,
    options: String,
}

/// Samples of a chart: its step, and a value, a gap or nothing for every step.
#[derive(Clone, Debug)]
struct Past {
    step: u32,
    steps: Vec<Option<f32>>,
}

impl Past {
    fn rows(&self) -> impl Iterator<Item = (i64, f32)> + '_ {
        let times = (T..).step_by(self.step as usize);
        times.zip(&self.steps).filter_map(|(time, value)| Some((time, (*value)?)))
    }

    /// Every value of (start, end], and the one at `end` between two samples if `finer` allows that.
    fn values(&self, start: i64, end: i64, finer: bool) -> Vec<f64> {
        let within = self.rows().filter(|(time, value)| start < *time && *time <= end && !value.is_nan());
        let mut values: Vec<f64> = within.map(|(_, value)| f64::from(value)).collect();
        let step = i64::from(self.step);
        let next =
            self.rows().find(|(time, _)| *time >= end).filter(|(time, _)| *time > end && *time < end + step);
        if let Some((time, value)) = next.filter(|(_, value)| finer && !value.is_nan()) {
            let last = self.rows().find(|(last, value)| *last == time - step && !value.is_nan());
            let from = last.map_or(value, |(_, value)| value);
            let part = (end - (time - step)) as f64 / step as f64;
            values.push(f64::from(from) + (f64::from(value) - f64::from(from)) * part);
        }
        values
    }
}

fn point(group: &str, values: &[f64], resampled: f64) -> f64 {
    let by_magnitude = |a: &f64, b: &f64| a.abs().total_cmp(&b.abs());
    let sum: f64 = values.iter().sum();
    let found = match group {
        "average" if resampled > 0.0 => Some(sum / resampled),
        "average" => Some(sum / values.len() as f64),
        "sum" => Some(sum),
        "min" => values.iter().copied().min_by(by_magnitude),
        _ => values.iter().copied().max_by(by_magnitude),
    };
    found.filter(|_| !values.is_empty()).unwrap_or(f64::NAN)
}

fn past() -> impl Strategy<Value = Past> {
    let value = prop_oneof![
        8 => (-400i32..400).prop_map(|quarters| Some(quarters as f32 / 4.0)),
        1 => Just(Some(f32::NAN)),
        1 => Just(None),
    ];
    (select(vec![1u32, 2, 10]), prop::collection::vec(value, 1..300))
        .prop_map(|(step, steps)| Past { step, steps })
}

fn edge() -> impl Strategy<Value = i64> {
    prop_oneof![4 => T - 100..T + 800, 2 => -900i64..900, 1 => Just(0), 1 => any::<i64>()]
}

fn question() -> impl Strategy<Value = Question> {
    let points = prop_oneof![1 => Just(0), 4 => 0i64..400, 1 => any::<i64>()];
    let gtime = prop_oneof![6 => Just(0), 2 => 0i64..200, 1 => any::<i64>()];
    let flag =
        |name: &'static str| prop::bool::weighted(0.2).prop_map(move |set| if set { name } else { "" });
    let flags = (flag("unaligned"), flag("natural-points"), flag("virtual-points"), flag("null2zero"));
    let groups = select(vec!["average", "sum", "min", "max"]);
    (edge(), edge(), points, gtime, groups, flags).prop_map(|(after, before, points, gtime, group, flags)| {
        let options = [flags.0, flags.1, flags.2, flags.3].join(",");
        Question { after, before, points, gtime, group, options }
    })
}

fn parameters(question: &Question) -> Parameters {
    Parameters {
        chart: Some("synth.random".into()),
        after: question.after,
        before: question.before,
        points: question.points.max(0),
        gtime: question.gtime.max(0),
        group: Group::parse(question.group, ""),
        options: QueryOptions::parse(&question.options),
        ..Parameters::default()
    }
}

fn answer(past: &Past, parameters: &Parameters) -> Option<Answer> {
    let mut fixture = Fixture::empty();
    fixture.add_rows("random", past.step, &["d"], past.rows().map(|(time, value)| (time, vec![value])));
    let plan = fixture.plan(parameters.clone(), NOW).ok()?;
    let snapshots = fixture.read(&plan);
    Some(plan.execute(snapshots, &mut Workspace::default()))
}

fn check_grid(parameters: &Parameters, answer: &Answer) {
    let grid = answer.grid;
    let window = Window::resolve(parameters, answer.retention, NOW);
    let (view, rows) = (grid.view(), grid.points as i64);
    assert_eq!(answer.columns[0].values.len(), grid.points);
    assert!(rows >= 1 && grid.group >= 1);
    assert!(grid.granularity == 1 || grid.granularity == i64::from(answer.update_every));
    let is_aligned = grid.before % view == 0;
    if parameters.options.contains(super::QueryOption::Unaligned) {
        assert!(window.before - grid.granularity < grid.before && grid.before <= window.before);
    } else if parameters.before == 0 {
        assert!(is_aligned && window.before - view < grid.before && grid.before <= window.before);
    } else {
        assert!(is_aligned && window.before - view < grid.before && grid.before < window.before + view);
    }
    let asked = window.before - window.after;
    match grid.gtime {
        Some(gtime) => assert!(view % gtime == 0 || view >= gtime, "{view} of {gtime}"),
        // Never less than the window but for a row's remainder, never more than about twice of it.
        None => {
            assert!(rows * view + grid.granularity >= asked.min(86_400), "{rows} * {view} of {asked}");
            assert!((rows - 1) * view <= asked + grid.granularity + asked / 2, "{rows} * {view} of {asked}");
        }
    }
    assert_eq!(grid.after(), grid.before - rows * view + grid.granularity);
    assert!(grid.stamps().rev().zip(1..).all(|(stamp, row)| stamp == grid.start() + row * view));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_what_a_look_at_all_samples_says(past in past(), question in question()) {
        let parameters = parameters(&question);
        let Some(answer) = answer(&past, &parameters) else { return Ok(()) };
        check_grid(&parameters, &answer);
        let grid = answer.grid;
        let finer = grid.granularity < i64::from(past.step);
        let resampled = grid.gtime.map_or(0.0, |gtime| grid.view() as f64 / gtime as f64);
        let null = if question.options.contains("null2zero") { 0.0 } else { f64::NAN };
        // The model is slow: of many rows, a few at either end and around the samples.
        let near = |stamp: i64| (T - 50..T + 3100).contains(&stamp);
        for (row, stamp) in grid.stamps().enumerate().filter(|(row, stamp)| *row < 50 || near(*stamp)).take(2000) {
            let expected = point(question.group, &past.values(stamp - grid.view(), stamp, finer), resampled);
            let expected = if expected.is_nan() { null } else { expected };
            let found = answer.columns[0].values[row];
            let same = found.is_nan() && expected.is_nan()
                || found.abs() == expected.abs() && question.group.starts_with('m')
                || (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            prop_assert!(same, "row {} at {}: {}, not {}", row, stamp, found, expected);
        }
    }

    #[test]
    fn no_numbers_in_a_question_panic(
        edges: (i64, i64),
        points: i64,
        gtime: i64,
        now: i64,
        shape in (select(vec!["average", "median", "des", "countif"]), any::<bool>(), any::<bool>()),
    ) {
        let (group, is_virtual, is_unaligned) = shape;
        let mut fixture = Fixture::empty();
        let rows = [(i64::MIN, vec![1.0]), (0, vec![2.0]), (i64::MAX, vec![3.0])];
        fixture.add_rows("random", u32::MAX, &["d"], rows.into_iter());
        let text = format!(
            "chart=synth.random&after={}&before={}&points={points}&gtime={gtime}&group={group}&options={}{}",
            edges.0,
            edges.1,
            if is_virtual { "virtual-points," } else { "" },
            if is_unaligned { "unaligned" } else { "" },
        );
        if let Ok(answer) = fixture.ask(&text, now) {
            prop_assert!(answer.grid.points <= 2 * 86_400);
        }
    }
}
