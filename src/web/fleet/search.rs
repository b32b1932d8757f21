//! `q`: in which names, titles and labels a text stands.

use std::collections::{BTreeMap, BTreeSet};

use ecow::EcoString;
use http::StatusCode;

use super::contexts::{collect, write_contexts};
use super::{Around, candidates, hosts_of};
use crate::catalog::Chart;
use crate::query::chart_labels;
use crate::query::fleet::FleetQuestion;
use crate::web::Api;
use crate::web::admission::RunningQuery;
use crate::web::answer::{Answer, JSON};
use crate::web::object::Object;
use crate::web::piecewise::{Piecewise, Writer};
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
    for (_, charts) in &mut candidates {
        charts.retain(|chart| found.contains_key(&chart.context));
        query.step().await?;
    }
    let contexts = collect(api, &candidates, false, query).await?;
    let mut nodes = Vec::new();
    for host in hosts_of(api, &question, query).await? {
        let labels = &host.info.labels;
        if contains(&host.info.hostname, &text)
            || contains(&host.info.machine_guid.hyphenated().to_string(), &text)
            || labels.iter().any(|label| contains(&label.name, &text) || contains(&label.value, &text))
        {
            nodes.push(host);
        }
        query.step().await?;
    }
    let around = Around::new(api);
    Ok(Answer::in_pieces(
        JSON,
        Piecewise::new(async move |writer: &mut Writer| {
            around.begin(writer);
            writer
                .array("nodes", &nodes, |host, item| {
                    item.object(|node| {
                        node.text("mg", &host.info.machine_guid.hyphenated().to_string());
                        node.text("nm", &host.info.hostname);
                    });
                })
                .await;
            write_contexts(&contexts, writer, |id, _, context| {
                if let Some(found) = found.get(id) {
                    found.write(context);
                }
            })
            .await;
            around.end(writer);
        }),
    ))
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
