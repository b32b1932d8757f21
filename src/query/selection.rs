//! Which charts, and which dimensions of them, a question is about.

use std::collections::HashMap;

use ecow::EcoString;
use thiserror::Error;

use super::{options::QueryOption, parameters::Parameters};
use crate::catalog::{Chart, Dimension};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};

/// Why a question has no answer. The texts are Netdata's: clients look for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    #[error("No chart or context is given.")]
    NoChart,
    /// No such chart, no such dimension, or no sample anywhere near the window.
    #[error("No metrics where matched to query.")]
    NothingMatched,
}

/// A label as a question sees it: with the two that say who collects a chart, which no child has to send.
pub fn chart_labels(chart: &Chart) -> impl Iterator<Item = (&str, &str)> {
    let collectors = [("_collect_plugin", &*chart.plugin), ("_collect_module", &*chart.module)];
    let collectors =
        collectors.into_iter().filter(|(name, value)| !value.is_empty() && chart.labels.get(name).is_none());
    collectors.chain(chart.labels.iter().map(|label| (&*label.name, &*label.value)))
}

impl Parameters {
    /// The candidates that the question means, those of one context together: by context, else the chart of this id, else of this
    /// name, else all charts whose id or name matches.
    pub fn select<T>(
        &self,
        mut candidates: Vec<T>,
        chart_of: impl Fn(&T) -> &Chart,
    ) -> Result<Vec<T>, QueryError> {
        let context = self.context();
        if context.is_none() && self.chart.is_none() {
            return Err(QueryError::NoChart);
        }
        if let Some(context) = context {
            let pattern = pattern(context);
            let is_exact = candidates.iter().any(|candidate| &*chart_of(candidate).context == context);
            candidates.retain(|candidate| {
                let found = &*chart_of(candidate).context;
                if is_exact { found == context } else { pattern.matches(found) }
            });
        }
        if let Some(wanted) = self.chart.as_deref() {
            let by_id = candidates.iter().any(|candidate| &*chart_of(candidate).id == wanted);
            let by_name = candidates.iter().any(|candidate| &*chart_of(candidate).name == wanted);
            let pattern = pattern(wanted);
            candidates.retain(|candidate| {
                let chart = chart_of(candidate);
                match (by_id, by_name) {
                    (true, _) => &*chart.id == wanted,
                    (false, true) => &*chart.name == wanted,
                    (false, false) => {
                        pattern.matches(chart.id.as_bytes()) || pattern.matches(chart.name.as_bytes())
                    }
                }
            });
        }
        let one_was_named =
            context.is_none() && candidates.len() == 1 && self.names(chart_of(&candidates[0]));
        if !one_was_named {
            self.keep_labelled(&mut candidates, &chart_of);
        }
        if candidates.is_empty() {
            return Err(QueryError::NothingMatched);
        }
        by_context(&mut candidates, chart_of);
        Ok(candidates)
    }

    /// The context asked for; one that is all contexts is none.
    pub(super) fn context(&self) -> Option<&str> {
        self.context.as_deref().filter(|context| *context != "*")
    }

    /// Whether the question names this very chart.
    pub(super) fn names(&self, chart: &Chart) -> bool {
        self.chart.as_deref().is_some_and(|wanted| wanted == &*chart.id || wanted == &*chart.name)
    }

    fn keep_labelled<T>(&self, candidates: &mut Vec<T>, chart_of: impl Fn(&T) -> &Chart) {
        if let Some(keys) = &self.chart_label_key {
            let keys = pattern(keys);
            candidates
                .retain(|candidate| chart_labels(chart_of(candidate)).any(|(name, _)| keys.matches(name)));
        }
        if let Some(filter) = &self.chart_labels_filter {
            let filter = pattern(filter);
            let mut text = String::new();
            candidates.retain(|candidate| {
                let decisions = chart_labels(chart_of(candidate)).map(|(name, value)| {
                    text.clear();
                    text.extend([name, ":", value]);
                    filter.decide(&[text.as_bytes()])
                });
                // A label that is excluded excludes the chart, whatever its other labels.
                let decisions: Vec<_> = decisions.flatten().collect();
                !decisions.is_empty() && decisions.iter().all(|includes| *includes)
            });
        }
    }
}

/// Puts charts of one context together, in the order of their first charts.
fn by_context<T>(candidates: &mut [T], chart_of: impl Fn(&T) -> &Chart) {
    let mut places: HashMap<EcoString, usize> = HashMap::new();
    for candidate in candidates.iter() {
        let next = places.len();
        places.entry(chart_of(candidate).context.clone()).or_insert(next);
    }
    candidates.sort_by_key(|candidate| places.get(&chart_of(candidate).context).copied());
}

/// A list of patterns as the parameters of a question have it.
fn pattern(list: &str) -> SimplePattern {
    SimplePattern::new(list, API_SEPARATORS)
}

/// Which dimensions of a chart are shown.
#[derive(Debug)]
pub(super) struct DimensionFilter {
    pattern: Option<SimplePattern>,
    ids: bool,
    names: bool,
}

impl DimensionFilter {
    pub(super) fn new(parameters: &Parameters) -> DimensionFilter {
        let (ids, names) = (parameters.has(QueryOption::MatchIds), parameters.has(QueryOption::MatchNames));
        let either = ids == names;
        let is_given = !parameters.dimensions.is_empty();
        DimensionFilter {
            pattern: is_given.then(|| pattern(&parameters.dimensions)),
            ids: ids || either,
            names: names || either,
        }
    }

    /// Whether dimensions were asked for; those that match are shown even if they are hidden or zero.
    pub(super) fn is_given(&self) -> bool {
        self.pattern.is_some()
    }

    pub(super) fn shows(&self, dimension: &Dimension) -> bool {
        let Some(pattern) = &self.pattern else { return !dimension.hidden };
        let by_id = self.ids.then(|| pattern.decide(&[dimension.id.as_bytes()])).flatten();
        let by_name = self.names.then(|| pattern.decide(&[dimension.name().as_bytes()])).flatten();
        // Excluded by one of them is excluded.
        let decisions = [by_id, by_name];
        decisions.contains(&Some(true)) && !decisions.contains(&Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::DimensionFields;
    use crate::wire::command::Algorithm;

    #[test]
    fn dimensions_match_by_id_or_by_name_unless_one_is_meant() {
        let dimension = Dimension::from(DimensionFields {
            id: "a".into(),
            name: "alpha".into(),
            algorithm: Algorithm::Absolute,
            multiplier: 1,
            divisor: 1,
            hidden: true,
            obsolete: false,
            no_reset: false,
        });
        let check = |dimensions: &str, options: &str, expected: bool| {
            let pairs = [("dimensions", dimensions), ("options", options)];
            let parameters = Parameters::from_pairs(pairs.into_iter());
            assert_eq!(
                DimensionFilter::new(&parameters).shows(&dimension),
                expected,
                "{dimensions} {options}"
            );
        };
        check("", "", false);
        check("a", "", true);
        check("alpha", "", true);
        check("alpha", "match-ids", false);
        check("a", "match_names", false);
        check("a", "match-ids,match-names", true);
        check("!a|*", "", false);
        check("!alpha|*", "", false);
        check("b|c", "", false);
    }
}
