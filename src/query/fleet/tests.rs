//! Whole questions over hosts of a fixture, from the words of a request to columns.

use std::sync::Arc;

use dbengine::GroupSnapshot;

use super::*;
use crate::catalog::function::{Access, Function, Functions};
use crate::catalog::{HostSnapshot, HostState};
use crate::query::fixture::{Fixture, LAST, T, pairs};
use crate::query::{QueryError, Tier, Workspace};
use crate::shard::placement::ShardId;

fn host_of(fixture: &Fixture) -> Arc<HostSnapshot> {
    Arc::new(HostSnapshot {
        info: Arc::clone(&fixture.charts[0].host),
        state: HostState::Localhost,
        shard: ShardId(0),
        charts: Vec::new(),
        functions: Arc::default(),
        stream_path: Arc::default(),
        node_id: None,
    })
}

/// The charts of a fixture as those of one host.
fn selection(fixture: &Fixture, question: &FleetQuestion) -> Selection {
    let host = host_of(fixture);
    let mut selection = Selection::default();
    for queried in &fixture.charts {
        if question.takes_context(&queried.chart.context) && question.takes_chart(&host, &queried.chart) {
            selection.add(question, &host, Arc::clone(&queried.chart), queried.span, LAST);
        }
    }
    selection
}

fn ask(fixture: &Fixture, query: &str) -> Result<FleetResult, QueryError> {
    let pairs = pairs(query);
    let question = FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    let selection = selection(fixture, &question);
    let plan = FleetPlan::new(question, selection, LAST)?;
    let window = plan.window_in(Tier::FINEST);
    let groups: Vec<_> = plan.selection.charts.iter().map(|selected| selected.chart.group).collect();
    let snapshots: Vec<GroupSnapshot> =
        groups.into_iter().map(|group| fixture.engine.read(group, window)).collect();
    let mut execution = FleetExecution::new(&plan, Tier::FINEST);
    let mut workspace = Workspace::default();
    for (chart, snapshot) in snapshots.iter().enumerate() {
        for series in 0..plan.selection.charts[chart].series.len() {
            execution.add(chart, series, snapshot, &mut workspace);
        }
    }
    let mut finishing = execution.finish();
    while finishing.step() {}
    Ok(finishing.result())
}

/// The first point of each column, by its name.
fn newest(answer: &FleetResult) -> Vec<(&str, f64)> {
    answer.columns.iter().map(|column| (&*column.name, column.values[0])).collect()
}

#[test]
fn groups_of_the_verified_examples() {
    let fixture = Fixture::synth_a();
    let window = format!("after={}&before={T}&points=1", T - 9);
    let check = |query: &str, expected: &[(&str, f64)]| {
        let answer = ask(&fixture, &format!("{window}&{query}")).expect("an answer");
        let found = newest(&answer);
        assert_eq!(found.len(), expected.len(), "{query}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let is_close = (found.1 - expected.1).abs() < 1e-6;
            assert!(found.0 == expected.0 && is_close, "{query}: {found:?}, not {expected:?}");
        }
    };
    check("contexts=synth.wave", &[("a", 4.5), ("b", 12.375), ("c", 5.0)]);
    check("contexts=synth.wave&aggregation=sum&group_by=selected", &[("selected", 21.875)]);
    check("contexts=synth.wave&group_by=selected", &[("selected", 21.875 / 3.0)]);
    check(
        "contexts=synth.wave|synth.neg&group_by=context&aggregation=max",
        &[("synth.wave", 12.375), ("synth.neg", 0.0)],
    );
    check("contexts=synth.neg&time_group=max&dimensions=n", &[("n", -5.0)]);
    check("contexts=synth.neg&time_group=min&dimensions=n", &[("n", 0.0)]);
    check("contexts=synth.wave&dimensions=a&time_group=sum", &[("a", 45.0)]);
    check("contexts=synth.wave&dimensions=a&time_group=median", &[("a", 4.5)]);
    check("contexts=synth.wave&dimensions=a&time_group=countif&time_group_options=>5", &[("a", 40.0)]);
    // Hidden ones count in percentages, and are not shown.
    check("contexts=synth.hid&aggregation=percentage", &[("visible name", 100.0)]);
    check("contexts=synth.hid&aggregation=percentage&group_by=selected", &[("selected", 30.0)]);
    check("contexts=synth.hid&aggregation=percentage&group_by=selected&dimensions=w", &[("selected", 70.0)]);
    // The same whichever pass it is: what the first makes of those that are not shown counts in the second. a, b and c are 4.5,
    // 12.375 and 5; v and w 30 and 70, the second hidden.
    let second = "aggregation=sum&group_by[1]=selected&aggregation[1]=percentage";
    let share = 100.0 * 9.5 / 21.875;
    for first in
        ["group_by=instance", "group_by=dimension", "group_by=selected", "group_by=instance,dimension"]
    {
        check(&format!("contexts=synth.hid&{first}&{second}"), &[("selected", 30.0)]);
        check(&format!("contexts=synth.hid&dimensions=w&{first}&{second}"), &[("selected", 70.0)]);
        check(&format!("contexts=synth.wave&dimensions=a|c&{first}&{second}"), &[("selected", share)]);
    }
    let largest = "aggregation=max&group_by[1]=selected&aggregation[1]=percentage";
    check(
        &format!("contexts=synth.wave&dimensions=a|c&group_by=instance&{largest}"),
        &[("selected", 500.0 / 17.375)],
    );
    // A percentage of percentages is their mean.
    let both = "group_by=instance&aggregation=percentage&group_by[1]=selected&aggregation[1]=percentage";
    check(
        &format!("contexts=synth.wave|synth.hid&dimensions=a|c|v&{both}"),
        &[("selected", (share + 30.0) / 2.0)],
    );
    check(
        "contexts=synth.wave&options=percentage&dimensions=a|c",
        &[("a", 4500.0 / 95.0), ("c", 5000.0 / 95.0)],
    );
    check("contexts=synth.neg&options=nonzero,absolute", &[("n", 0.5)]);
    check(
        "contexts=synth.*&labels=kind:wave&group_by=label&group_by_label=kind,nosuch&aggregation=sum",
        &[("wave,[unset]", 21.875)],
    );
    assert_eq!(ask(&fixture, "contexts=nosuch").unwrap_err(), QueryError::NothingMatched);
    assert_eq!(
        ask(&fixture, "contexts=synth.wave&dimensions=nosuch").unwrap_err(),
        QueryError::NothingMatched
    );
    assert_eq!(
        ask(&fixture, "contexts=synth.wave&after=1000000000&before=1000000100").unwrap_err(),
        QueryError::NothingMatched
    );
}

#[test]
fn labels_and_functions_are_those_of_the_charts_that_are_selected() {
    let fixture = Fixture::synth_a();
    let function = |chart: Option<&str>| Function {
        help: "".into(),
        tags: "".into(),
        timeout_s: 10,
        access: Access::default(),
        priority: 100,
        is_global: chart.is_none(),
        charts: chart.into_iter().map(Into::into).collect(),
    };
    let functions = Functions::from([
        ("waves".into(), function(Some("synth.wave"))),
        ("negatives".into(), function(Some("synth.neg"))),
        ("of the host".into(), function(None)),
    ]);
    let mut host = HostSnapshot::clone(&host_of(&fixture));
    host.functions = Arc::new(functions);
    let host = Arc::new(host);
    let question = FleetQuestion::from_pairs([("contexts", "synth.wave|synth.ten")].into_iter());
    let mut selection = Selection::default();
    for queried in fixture.charts.iter().filter(|queried| question.takes_context(&queried.chart.context)) {
        selection.add(&question, &host, Arc::clone(&queried.chart), queried.span, LAST);
    }
    assert_eq!(selection.functions.iter().collect::<Vec<_>>(), ["waves"]);
    let labels: Vec<_> = selection.labels.iter().map(|label| (&*label.name, label.values.clone())).collect();
    let expected = [
        ("_collect_plugin", vec!["synth.plugin".into()]),
        ("_collect_module", vec!["synthmod".into()]),
        ("kind", vec!["wave".into(), "ten".into()]),
    ];
    assert_eq!(labels, expected);
}

#[test]
fn groups_become_columns_one_a_step() {
    let mut fixture = Fixture::empty();
    for number in 0..40 {
        fixture.add(&format!("c{number}"), 1, &[("a", |_| 1.0), ("b", |t| (t % 7) as f32)]);
    }
    let steps = |query: &str| {
        let pairs = pairs(query);
        let question = FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
        let selection = selection(&fixture, &question);
        let plan = FleetPlan::new(question, selection, LAST).expect("a plan");
        let mut finishing = FleetExecution::new(&plan, Tier::FINEST).finish();
        let mut steps = 0;
        while finishing.step() {
            steps += 1;
        }
        (steps, finishing.result().columns.len())
    };
    let by_series = "after=-60&points=60&group_by=instance,dimension";
    let (in_steps, columns) = steps(by_series);
    assert!(columns == 80 && in_steps >= 2 * 80, "{in_steps} steps for {columns} columns");
    // Those of the first pass are steps as well.
    let (in_steps, columns) = steps(&format!("{by_series}&group_by[1]=instance"));
    assert!(columns == 40 && in_steps >= 80 + 2 * 40, "{in_steps} steps for {columns} columns");
}

#[test]
fn what_a_question_holds_is_bounded_whatever_its_numbers() {
    let fixture = Fixture::synth_a();
    for (after, before, points) in [(i64::MIN, i64::MAX, i64::MAX), (0, 0, 0), (i64::MAX, 1, 1), (-1, -1, 7)]
    {
        let query = format!("after={after}&before={before}&points={points}&time_resampling={points}");
        let pairs = pairs(&query);
        let question = FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
        let selection = selection(&fixture, &question);
        let Ok(plan) = FleetPlan::new(question, selection, LAST) else { continue };
        assert!(plan.grid.points <= 2 * 86_400, "{query}");
        let error = plan.check_memory(100).unwrap_err();
        assert!(error.to_string().contains("lets it have 100"), "{error}");
        assert!(plan.check_memory(usize::MAX).is_ok());
        assert!(plan.samples(Tier::FINEST) >= 0);
    }
}

#[test]
fn what_groups_are_called_counts_as_what_a_question_holds() {
    let bytes = |name: &str| {
        let mut fixture = Fixture::empty();
        for number in 0..100 {
            fixture.add(&format!("c{number}"), 1, &[("a", |_| 1.0)]);
            fixture.chart_mut(number).id = format!("synth.{name}{number}").as_str().into();
        }
        let question = |query: &str| {
            let pairs = pairs(query);
            FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))
        };
        let of = |query: &str| selection(&fixture, &question(query)).bytes();
        (of("group_by=selected"), of("group_by=instance"), of("group_by=instance&group_by[1]=instance,node"))
    };
    let (few, many, twice) = bytes("c");
    let (few_long, many_long, twice_long) = bytes(&"c".repeat(1000));
    assert_eq!(few, few_long, "no text of a chart is part of a group");
    assert!(many_long - many >= 99 * 999, "{many} {many_long}");
    assert!(twice_long - twice >= 2 * 99 * 999, "{twice} {twice_long}");
    assert!(many > few + 99 * 200, "{few} {many}");
}

#[test]
fn many_samples_are_read_from_the_tier_that_fits() {
    let fixture = Fixture::synth_a();
    let plan = |query: &str, series: usize| {
        let pairs = pairs(query);
        let question = FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
        let mut selection = selection(&fixture, &question);
        selection.series = series;
        FleetPlan::new(question, selection, LAST).expect("a plan")
    };
    let tier = |query: &str, series: usize| plan(query, series).tier(&[1, 60, 60], 0).number;
    let two_hours = "contexts=synth.wave&after=-7200&points=120";
    assert_eq!(tier(two_hours, 10), 0);
    assert_eq!(tier(two_hours, 10_000), 1);
    assert_eq!(tier("contexts=synth.wave&after=-7200&points=7200", 10_000), 0);
    assert_eq!(tier("contexts=synth.wave&after=-72000&points=10", 10_000), 2);
    assert_eq!(tier("contexts=synth.wave&after=-7200&points=120&tier=0", 10_000), 0);
}
