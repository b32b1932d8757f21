//! `q`: in which names, titles and labels a text stands.

use std::collections::{BTreeMap, BTreeSet};

use ecow::EcoString;
use http::StatusCode;

use super::contexts::{collect, write_contexts};
use super::object::Object;
use super::{candidates, hosts_of, write_agents, write_versions};
use crate::catalog::Chart;
use crate::query::chart_labels;
use crate::query::fleet::FleetQuestion;
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::request::Target;

/// Names that are listed of a context, of each kind.
const MOST_NAMES: usize = 20;

/// Where a text stands among what belongs to a context.
#[derive(Debug, Default)]
struct Found {
    is_itself: bool,
    instances: BTreeSet<EcoString>,
    dimensions: BTreeSet<EcoString>,
    labels: BTreeSet<EcoString>,
}

impl Found {
    fn look(&mut self, chart: &Chart, text: &str) {
        let itself = [&chart.context, &chart.title, &chart.family, &chart.units];
        self.is_itself |= itself.iter().any(|of_context| contains(of_context, text));
        if contains(&chart.id, text) || contains(&chart.name, text) {
            note(&mut self.instances, &chart.id);
        }
        for dimension in &chart.dimensions {
            if contains(&dimension.id, text) || contains(dimension.name(), text) {
                note(&mut self.dimensions, dimension.name());
            }
        }
        for (name, value) in chart_labels(chart) {
            if contains(name, text) || contains(value, text) {
                note(&mut self.labels, &format!("{name}:{value}"));
            }
        }
    }

    fn is_empty(&self) -> bool {
        !self.is_itself
            && [&self.instances, &self.dimensions, &self.labels].iter().all(|names| names.is_empty())
    }

    fn write(&self, object: &mut Object<'_>) {
        let names =
            [("instances", &self.instances), ("dimensions", &self.dimensions), ("labels", &self.labels)];
        object.object("found", |found| {
            found.flag("context", self.is_itself);
            for (kind, names) in names.into_iter().filter(|(_, names)| !names.is_empty()) {
                found.texts(kind, names.iter().map(|name| &**name));
            }
        });
    }
}

fn note(names: &mut BTreeSet<EcoString>, name: &str) {
    if names.len() < MOST_NAMES && !names.contains(name) {
        names.insert(name.into());
    }
}

/// Whether `text`, which is in lower case, stands in `name`. Letters of ASCII count as one whatever their case.
fn contains(name: &str, text: &str) -> bool {
    let (name, text) = (name.as_bytes(), text.as_bytes());
    name.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

pub(super) async fn answer(
    api: &Api,
    target: &Target,
    question: FleetQuestion,
    query: &mut RunningQuery,
) -> Result<Answer, Answer> {
    let text = target.parameter("q").map(|text| text.trim().trim_matches('*').to_ascii_lowercase());
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let answer = Answer::error(StatusCode::BAD_REQUEST, "What is to be searched? Say q=<text>.\n");
        return Err(query.fails(answer));
    };
    let mut candidates = candidates(api, &question, query).await?;
    let mut found: BTreeMap<EcoString, Found> = BTreeMap::new();
    for (_, charts) in &candidates {
        for chart in charts {
            match found.get_mut(&chart.context) {
                Some(known) => known.look(chart, &text),
                None => {
                    let mut first = Found::default();
                    first.look(chart, &text);
                    found.insert(chart.context.clone(), first);
                }
            }
            query.step().await?;
        }
    }
    found.retain(|_, found| !found.is_empty());
    candidates.iter_mut().for_each(|(_, charts)| charts.retain(|chart| found.contains_key(&chart.context)));
    let contexts = collect(api, &candidates, false, query).await?;
    let hosts = hosts_of(api, &question);
    let nodes = hosts.iter().filter(|host| {
        let labels = &host.info.labels;
        contains(&host.info.hostname, &text)
            || contains(&host.info.machine_guid.hyphenated().to_string(), &text)
            || labels.iter().any(|label| contains(&label.name, &text) || contains(&label.value, &text))
    });
    let mut body = Vec::new();
    let mut object = Object::open(&mut body);
    object.integer("api", 2);
    write_versions(api, &mut object);
    object.array("nodes", nodes, |host, item| {
        item.object(|node| {
            node.text("mg", &host.info.machine_guid.hyphenated().to_string());
            node.text("nm", &host.info.hostname);
        });
    });
    write_contexts(&contexts, &mut object, |id, context| {
        if let Some(found) = found.get(id) {
            found.write(context);
        }
    });
    write_agents(api, &mut object);
    object.close();
    Ok(Answer::new(JSON, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(contains("System.CPU", "cpu") && contains("a", "a"));
        assert!(!contains("cp", "cpu") && !contains("", "a"));
        assert!(contains("größe", "öß"));
    }
}
