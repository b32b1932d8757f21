//! What was asked over many hosts, as values.

use super::grouping::{Aggregation, Pass};
use crate::catalog::{Chart, Dimension, HostSnapshot};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};
use crate::query::{Group, Parameters, chart_labels};

/// What a list of patterns takes; nothing given takes all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named(Option<SimplePattern>);

impl Named {
    fn read(list: &str) -> Named {
        Named((list.trim() != "*").then(|| SimplePattern::new(list, API_SEPARATORS)))
    }

    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    pub fn takes(&self, names: &[&str]) -> bool {
        let Some(pattern) = &self.0 else { return true };
        let mut is_taken = false;
        for name in names {
            match pattern.decide(&[name.as_bytes()]) {
                // Excluded by one of its names is excluded.
                Some(false) => return false,
                Some(true) => is_taken = true,
                None => {}
            }
        }
        is_taken
    }

    /// Whether labels are taken, each as `name:value`.
    fn takes_labels<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        let Some(pattern) = &self.0 else { return true };
        let (mut text, mut is_taken) = (String::new(), false);
        for (name, value) in labels {
            text.clear();
            text.extend([name, ":", value]);
            match pattern.decide(&[text.as_bytes()]) {
                Some(true) => is_taken = true,
                Some(false) => return false,
                None => {}
            }
        }
        is_taken
    }
}

/// A question over many hosts. What is in scope is what it is about; what is named of that is what is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetQuestion {
    pub scope_nodes: Named,
    pub scope_contexts: Named,
    pub scope_instances: Named,
    pub scope_labels: Named,
    pub scope_dimensions: Named,
    pub nodes: Named,
    pub contexts: Named,
    pub instances: Named,
    pub labels: Named,
    pub dimensions: Named,
    /// One, or two that follow each other.
    pub passes: Vec<Pass>,
    /// Window, points, method, options, tier and time limit, as for one host.
    pub time: Parameters,
    /// Entries of the answer's list of charts at most.
    pub cardinality_limit: usize,
}

/// Charts that an answer lists if nothing else is said.
const CARDINALITY_LIMIT: usize = 1000;
/// And whatever is said: the list is written in one piece.
const MOST_CARDINALITY: usize = 100_000;

impl FleetQuestion {
    /// Reads decoded names and values. Unknown names mean nothing; of what is given twice the last one counts, but options add
    /// up.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> FleetQuestion {
        let mut named: [Named; 10] = Default::default();
        let mut passes: [[&str; 3]; 2] = Default::default();
        let (mut method, mut method_options, mut resampling) = ("", "", "");
        let mut cardinality_limit = CARDINALITY_LIMIT;
        for (name, value) in pairs.clone().filter(|(_, value)| !value.is_empty()) {
            if let Some(place) = PATTERNS.iter().position(|known| *known == name) {
                named[place] = Named::read(value);
                continue;
            }
            match name {
                "group_by" | "group_by[0]" => passes[0][0] = value,
                "group_by_label" | "group_by_label[0]" => passes[0][1] = value,
                "aggregation" | "aggregation[0]" => passes[0][2] = value,
                "group_by[1]" => passes[1][0] = value,
                "group_by_label[1]" => passes[1][1] = value,
                "aggregation[1]" => passes[1][2] = value,
                "time_group" => method = value,
                "time_group_options" => method_options = value,
                "time_resampling" => resampling = value,
                "cardinality_limit" => {
                    cardinality_limit = value
                        .parse()
                        .ok()
                        .filter(|limit| *limit > 0)
                        .unwrap_or(CARDINALITY_LIMIT)
                        .min(MOST_CARDINALITY);
                }
                _ => {}
            }
        }
        let of_one_host = ["after", "before", "points", "options", "tier", "timeout"];
        let time = pairs.filter(|(name, _)| of_one_host.contains(name)).chain([("gtime", resampling)]);
        let time = Parameters { group: Group::parse(method, method_options), ..Parameters::from_pairs(time) };
        let [
            scope_nodes,
            scope_contexts,
            scope_instances,
            scope_labels,
            scope_dimensions,
            nodes,
            contexts,
            instances,
            labels,
            dimensions,
        ] = named;
        FleetQuestion {
            scope_nodes,
            scope_contexts,
            scope_instances,
            scope_labels,
            scope_dimensions,
            nodes,
            contexts,
            instances,
            labels,
            dimensions,
            passes: Pass::read(passes),
            time,
            cardinality_limit,
        }
    }

    pub fn takes_host(&self, host: &HostSnapshot) -> bool {
        if !self.scope_nodes.is_given() && !self.nodes.is_given() {
            return true;
        }
        let guid = host.info.machine_guid.hyphenated().to_string();
        let node = host.node_id.map(|node| node.hyphenated().to_string()).unwrap_or_default();
        let names = [&*host.info.hostname, &guid, &node];
        self.scope_nodes.takes(&names) && self.nodes.takes(&names)
    }

    pub fn takes_context(&self, context: &str) -> bool {
        self.scope_contexts.takes(&[context]) && self.contexts.takes(&[context])
    }

    /// Of a chart of a context that is taken.
    pub fn takes_chart(&self, host: &HostSnapshot, chart: &Chart) -> bool {
        if self.scope_instances.is_given() || self.instances.is_given() {
            let full = format!("{}@{}", chart.id, host.info.machine_guid.hyphenated());
            let names = [&*chart.id, &*chart.name, &full];
            if !(self.scope_instances.takes(&names) && self.instances.takes(&names)) {
                return false;
            }
        }
        self.scope_labels.takes_labels(chart_labels(chart)) && self.labels.takes_labels(chart_labels(chart))
    }

    /// Whether a dimension is read at all, and whether it is shown.
    pub(super) fn takes_dimension(&self, dimension: &Dimension) -> (bool, bool) {
        let names = [&*dimension.id, dimension.name()];
        let is_in_scope = self.scope_dimensions.takes(&names);
        let is_shown =
            if self.dimensions.is_given() { self.dimensions.takes(&names) } else { !dimension.hidden };
        (is_in_scope && (is_shown || self.has_percentage()), is_shown)
    }

    /// Whether what is not shown counts.
    pub(super) fn has_percentage(&self) -> bool {
        self.passes.iter().any(|pass| pass.aggregation == Aggregation::Percentage)
    }
}

/// The parameters that are patterns, in the order of [`FleetQuestion`]'s members.
const PATTERNS: [&str; 10] = [
    "scope_nodes",
    "scope_contexts",
    "scope_instances",
    "scope_labels",
    "scope_dimensions",
    "nodes",
    "contexts",
    "instances",
    "labels",
    "dimensions",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::fixture::pairs;
    use crate::query::fleet::GroupBy;

    fn question(query: &str) -> FleetQuestion {
        let pairs = pairs(query);
        FleetQuestion::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))
    }

    #[test]
    fn a_question_of_the_field_is_understood() {
        // As a dashboard of the second API sends it.
        let asked = question(
            "points=711&format=json2&time_group=average&time_resampling=0&after=-600&before=0\
             &group_by[0]=percentage-of-instance&group_by_label[0]=&aggregation[0]=sum\
             &group_by[1]=selected&aggregation[1]=avg&options=jsonwrap|nonzero|flip|ms|jw-anomaly-rates|minify\
             &contexts=*&scope_contexts=system.ram&scope_nodes=*&nodes=*&instances=*\
             &dimensions=used|buffers|active|wired&labels=*",
        );
        assert_eq!((asked.time.points, asked.time.after), (711, -600));
        assert!(asked.takes_context("system.ram") && !asked.takes_context("system.cpu"));
        assert!(!asked.nodes.is_given() && asked.dimensions.is_given());
        let [first, second] = &asked.passes[..] else { panic!("{:?}", asked.passes) };
        assert_eq!(first.by, GroupBy::INSTANCE);
        assert_eq!(first.aggregation, Aggregation::Percentage);
        assert_eq!((second.by, second.aggregation), (GroupBy::SELECTED, Aggregation::Average));
    }

    #[test]
    fn what_is_not_said_is_an_average_a_dimension() {
        let asked = question("contexts=a.b&group_by_label=room,rack");
        assert_eq!(asked.passes.len(), 1);
        assert_eq!((asked.passes[0].by, asked.passes[0].aggregation), (GroupBy::LABEL, Aggregation::Average));
        assert_eq!(asked.passes[0].labels, ["room", "rack"]);
        assert_eq!(question("").passes[0].by, GroupBy::DIMENSION);
        assert_eq!(question("group_by=nosuch&aggregation=nosuch"), question(""));
        assert_eq!(question("group_by[7]=node&group_by[x]=node"), question(""));
        assert_eq!(question("time_group=max").time.group.name, "max");
    }

    #[test]
    fn a_name_that_is_excluded_excludes_whatever_the_others() {
        let check = |list: &str, names: &[&str], expected: bool| {
            assert_eq!(Named::read(list).takes(names), expected, "{list} {names:?}");
        };
        check("*", &["a"], true);
        check("a|b", &["a", "x"], true);
        check("!x|*", &["a", "x"], false);
        check("b", &["a"], false);
    }
}
