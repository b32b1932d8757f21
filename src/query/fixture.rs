//! For tests: the host of `tests/golden/api/`, whose samples are formulas of time, in an engine.

use std::{collections::BTreeMap, sync::Arc};

use dbengine::{Appended, Engine, EngineOptions, GroupKey, GroupSnapshot, Keep, Row, UnixSeconds};
use uuid::Uuid;

use super::{Answer, Parameters, Plan, QueriedChart, QueryError, Workspace};
use crate::{
    catalog::{Chart, Dimension, DimensionFields, HostInfo, Label, Labels, label::LabelSource},
    config::MemoryMode,
    wire::command::{Algorithm, ChartType},
};

/// A multiple of 600.
pub(crate) const T: i64 = 1_795_342_200;
pub(crate) const FIRST: i64 = 1_795_339_801;
pub(crate) const LAST: i64 = 1_795_343_438;

/// A host with its samples.
pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) charts: Vec<QueriedChart>,
}

/// What a dimension is called, and its value at a time.
pub(crate) type Formula = (&'static str, fn(i64) -> f32);

impl Fixture {
    pub(crate) fn empty() -> Fixture {
        Fixture { engine: Engine::new(EngineOptions::default()), charts: Vec::new() }
    }

    /// The synthetic child of the golden samples.
    pub(crate) fn synth_a() -> Fixture {
        let mut fixture = Fixture::empty();
        fixture.add(
            "wave",
            1,
            &[("a", |t| (t % 10) as f32), ("b", |t| (t % 60) as f32 / 4.0), ("c", |_| 5.0)],
        );
        fixture.add("neg", 1, &[("n", |t| (t % 10 - 5) as f32), ("zero", |_| 0.0)]);
        fixture.add(
            "gaps",
            1,
            &[("g", |t| if (20..40).contains(&(t % 60)) { f32::NAN } else { (t % 10) as f32 })],
        );
        fixture.add("ten", 10, &[("x", |t| (t / 10 % 10) as f32)]);
        fixture.add("hid", 1, &[("v", |_| 30.0), ("w", |_| 70.0)]);
        let hid = Arc::make_mut(&mut fixture.charts[4].chart);
        hid.dimensions[0].rename("visible name");
        hid.dimensions[1].hidden = true;
        fixture
    }

    /// A chart `synth.<family>` with all its samples.
    pub(crate) fn add(&mut self, family: &str, update_every: u32, dimensions: &[Formula]) {
        let step = i64::from(update_every);
        let first = FIRST + (-FIRST).rem_euclid(step);
        let times: Vec<i64> = (first..=LAST).step_by(update_every as usize).collect();
        let rows = times
            .into_iter()
            .map(|time| (time, dimensions.iter().map(|(_, formula)| formula(time)).collect()));
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        self.add_rows(family, update_every, &names, rows);
    }

    /// A chart `synth.<family>` with these rows.
    pub(crate) fn add_rows(
        &mut self,
        family: &str,
        update_every: u32,
        dimensions: &[&str],
        rows: impl Iterator<Item = (i64, Vec<f32>)>,
    ) {
        let group = self.engine.create_group(
            GroupKey(self.charts.len() as u128),
            update_every,
            dimensions.len(),
            Keep::Rows(1 << 20),
        );
        for (time, values) in rows {
            let row = Row { values: &values, flags: None };
            assert_eq!(self.engine.append(group, UnixSeconds(time), row), Appended::Stored);
        }
        let id = format!("synth.{family}");
        let mut labels = Labels::default();
        labels.insert(Label { name: "kind".into(), value: family.into(), source: LabelSource::default() });
        let dimension = |name: &&str| {
            Dimension::from(DimensionFields {
                id: (*name).into(),
                name: (*name).into(),
                algorithm: Algorithm::Absolute,
                multiplier: 1,
                divisor: 1,
                hidden: false,
                obsolete: false,
                no_reset: false,
            })
        };
        let chart = Chart {
            id: id.as_str().into(),
            name: id.as_str().into(),
            title: "Synthetic".into(),
            units: "things".into(),
            family: family.into(),
            context: id.as_str().into(),
            chart_type: ChartType::Line,
            priority: 1000,
            update_every,
            plugin: "synth.plugin".into(),
            module: "synthmod".into(),
            hidden: false,
            obsolete: false,
            store_first: false,
            labels,
            dimensions: dimensions.iter().map(dimension).collect(),
            variables: BTreeMap::new(),
            key: self.charts.len() as u128,
            group,
        };
        self.charts.push(QueriedChart {
            host: Arc::new(host()),
            chart: Arc::new(chart),
            span: self.engine.span(group),
            newest: self.engine.newest(group).map(|(_, row)| row.to_vec()).unwrap_or_default(),
        });
    }

    pub(crate) fn chart_mut(&mut self, index: usize) -> &mut Chart {
        Arc::make_mut(&mut self.charts[index].chart)
    }

    /// The answer to the question in a URL's query, at this time of the clock.
    pub(crate) fn ask(&self, query: &str, now: i64) -> Result<Answer, QueryError> {
        let pairs = pairs(query);
        let parameters = Parameters::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
        let plan = self.plan(parameters, now)?;
        let snapshots = self.read(&plan);
        Ok(plan.execute(snapshots, &mut Workspace::default()))
    }

    pub(crate) fn plan(&self, parameters: Parameters, now: i64) -> Result<Plan, QueryError> {
        Plan::new(parameters, self.charts.clone(), now)
    }

    pub(crate) fn read(&self, plan: &Plan) -> Vec<GroupSnapshot> {
        plan.charts().iter().map(|queried| self.engine.read(queried.chart.group, plan.window())).collect()
    }
}

/// The decoded names and values of a URL's query.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let split = |part: &str| part.split_once('=').map(|(name, value)| (decoded(name), decoded(value)));
    query.split('&').filter_map(split).collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("text")
}

fn host() -> HostInfo {
    HostInfo {
        machine_guid: Uuid::from_u128(0xb000_0000_0000_4000_a000_0000_0000_000b),
        hostname: "synth-a".into(),
        registry_hostname: "synth-a".into(),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        abbrev_timezone: "UTC".into(),
        utc_offset: 0,
        hops: 1,
        update_every: 1,
        program_name: "test".into(),
        program_version: "1".into(),
        system: BTreeMap::new(),
        labels: Labels::default(),
        variables: BTreeMap::new(),
        claim_id: None,
        memory_mode: MemoryMode::Ram,
        history: 1 << 20,
    }
}
