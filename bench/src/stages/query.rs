//! A dashboard's question.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use dbengine::{Appended, Engine, EngineOptions, GroupKey, Keep, Row, UnixSeconds};
use mainstem::catalog::{Chart, Dimension, DimensionFields, Labels};
use mainstem::query::{Parameters, Plan, QueriedChart, Workspace};
use mainstem::wire::command::{Algorithm, ChartType};
use mainstem_child::capture::nobody;

use super::Stage;
use super::input::{BEGUN, DIMENSIONS, samples};

/// Charts asked for, one after the other.
const CHARTS: usize = 10;
/// An hour of seconds, of which a point is made for every six.
const ROWS: i64 = 3600;
const POINTS: &str = "600";

struct Query {
    engine: Engine,
    charts: Vec<QueriedChart>,
    workspace: Workspace,
    /// All samples, for the floor.
    samples: Vec<f32>,
}

pub(super) fn query() -> Box<dyn Stage> {
    let mut engine = Engine::new(EngineOptions::default());
    let host = Arc::new(nobody());
    let mut all = Vec::new();
    let charts = (0..CHARTS).map(|number| {
        let key = number as u128 + 1;
        let group = engine.create_group(GroupKey(key), 1, DIMENSIONS, Keep::Rows(1 << 20));
        for time in BEGUN + 1..=BEGUN + ROWS {
            let values = samples(0, number, time);
            all.extend(values);
            let appended = engine.append(group, UnixSeconds(time), Row { values: &values, flags: None });
            debug_assert_eq!(appended, Appended::Stored);
        }
        let dimension = |number: usize| {
            Dimension::from(DimensionFields {
                id: format!("value_{number}").into(),
                name: format!("value_{number}").into(),
                algorithm: Algorithm::Absolute,
                multiplier: 1,
                divisor: 1,
                hidden: false,
                obsolete: false,
                no_reset: false,
            })
        };
        let id = format!("load.chart_{number}");
        let chart = Chart {
            id: id.as_str().into(),
            name: id.as_str().into(),
            title: "".into(),
            units: "".into(),
            family: "load".into(),
            context: "load.context".into(),
            chart_type: ChartType::Line,
            priority: 1000,
            update_every: 1,
            plugin: "".into(),
            module: "".into(),
            hidden: false,
            obsolete: false,
            store_first: false,
            labels: Labels::default(),
            dimensions: (0..DIMENSIONS).map(dimension).collect(),
            variables: BTreeMap::new(),
            key,
            group,
        };
        let (host, chart) = (Arc::clone(&host), Arc::new(chart));
        QueriedChart { host, chart, span: engine.span(group), newest: Vec::new() }
    });
    let charts = charts.collect();
    Box::new(Query { engine, charts, workspace: Workspace::default(), samples: all })
}

impl Stage for Query {
    fn samples(&self) -> u64 {
        self.samples.len() as u64
    }

    fn prepare(&mut self) {}

    fn run(&mut self) {
        let (after, before) = (BEGUN.to_string(), (BEGUN + ROWS).to_string());
        for queried in &self.charts {
            let pairs =
                [("chart", &*queried.chart.id), ("after", &after), ("before", &before), ("points", POINTS)];
            let parameters = Parameters::from_pairs(pairs.into_iter());
            let plan = Plan::new(parameters, vec![queried.clone()], BEGUN + ROWS).expect("a plan");
            let window = plan.window();
            let snapshots = plan.charts().iter().map(|queried| self.engine.read(queried.chart.group, window));
            let snapshots = snapshots.collect();
            black_box(plan.execute(snapshots, &mut self.workspace));
        }
    }

    fn floor(&mut self) {
        black_box(black_box(&self.samples).iter().map(|sample| f64::from(*sample)).sum::<f64>());
    }
}
