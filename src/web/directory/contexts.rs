//! Which hosts have which contexts, and which of their charts those are: kept as hosts change, so that a question about one
//! context looks at no chart of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use ecow::EcoString;

use crate::catalog::{Chart, HostSnapshot};

/// The charts of one host in the order of their contexts.
#[derive(Debug, Default)]
pub(super) struct ContextIndex {
    /// Indexes in the host's charts; those of one context in the order of their definition.
    order: Box<[u32]>,
}

impl ContextIndex {
    fn new(charts: &[Arc<Chart>]) -> ContextIndex {
        let mut order: Vec<u32> = (0..charts.len() as u32).collect();
        let context = |index: &u32| &charts[*index as usize].context;
        order.sort_by(|a, b| context(a).cmp(context(b)));
        ContextIndex { order: order.into() }
    }

    /// Those of a context.
    pub(super) fn charts<'a>(
        &'a self,
        host: &'a HostSnapshot,
        context: &str,
    ) -> impl Iterator<Item = &'a Arc<Chart>> + use<'a> {
        let of = |index: &u32| &*host.charts[*index as usize].context;
        let first = self.order.partition_point(|index| of(index) < context);
        let count = self.order[first..].partition_point(|index| of(index) == context);
        self.order[first..first + count].iter().map(|index| &host.charts[*index as usize])
    }

    /// One chart of each context.
    fn contexts<'a>(&'a self, host: &'a HostSnapshot) -> impl Iterator<Item = &'a EcoString> {
        let mut last = None;
        self.order.iter().filter_map(move |index| {
            let context = &host.charts[*index as usize].context;
            let is_next = last != Some(context);
            last = Some(context);
            is_next.then_some(context)
        })
    }
}

/// All contexts of all hosts.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    /// How many hosts have it.
    hosts: BTreeMap<EcoString, usize>,
}

impl Contexts {
    pub(super) fn names(&self) -> impl Iterator<Item = &EcoString> {
        self.hosts.keys()
    }

    /// A host is known anew: `index` becomes that of its charts.
    pub(super) fn change(
        &mut self,
        before: Option<&HostSnapshot>,
        now: Option<&HostSnapshot>,
        index: &mut ContextIndex,
    ) {
        let charts = |host: Option<&HostSnapshot>| host.map_or(0, |host| host.charts.len());
        let both = || before.iter().zip(&now).flat_map(|(before, now)| before.charts.iter().zip(&now.charts));
        if charts(before) == charts(now) && both().all(|(before, now)| Arc::ptr_eq(before, now)) {
            return;
        }
        for context in before.iter().flat_map(|host| index.contexts(host)) {
            if let Some(hosts) = self.hosts.get_mut(context) {
                *hosts -= 1;
                if *hosts == 0 {
                    self.hosts.remove(context);
                }
            }
        }
        *index = now.map(|host| ContextIndex::new(&host.charts)).unwrap_or_default();
        for context in now.iter().flat_map(|host| index.contexts(host)) {
            match self.hosts.get_mut(context) {
                Some(hosts) => *hosts += 1,
                None => {
                    self.hosts.insert(context.clone(), 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::HostState;
    use crate::query::fixture::Fixture;
    use crate::shard::placement::ShardId;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        /// Hosts come, change and go; what is known of contexts is what a look at all charts says.
        #[test]
        fn contexts_are_those_of_all_charts(
            changes in proptest::collection::vec((0usize..4, proptest::option::weighted(0.8, proptest::collection::vec(0u8..6, 0..8))), 1..20),
        ) {
            let fixture = Fixture::synth_a();
            let mut contexts = Contexts::default();
            let mut hosts: Vec<(Option<HostSnapshot>, ContextIndex)> = Default::default();
            hosts.resize_with(4, Default::default);
            for (place, change) in changes {
                let (known, index) = &mut hosts[place];
                let next = change.map(|names| HostSnapshot {
                    info: Arc::clone(&fixture.charts[0].host),
                    state: HostState::Localhost,
                    shard: ShardId(0),
                    charts: names
                        .into_iter()
                        .map(|name| {
                            let context = format!("context.{name}").as_str().into();
                            Arc::new(Chart { context, ..(*fixture.charts[0].chart).clone() })
                        })
                        .collect(),
                    functions: Arc::default(),
                    stream_path: Arc::default(),
                    node_id: None,
                });
                contexts.change(known.as_ref(), next.as_ref(), index);
                *known = next;
                let mut all: BTreeMap<&str, usize> = BTreeMap::new();
                for (host, index) in &hosts {
                    let Some(host) = host else { continue };
                    for name in 0..6 {
                        let context = format!("context.{name}");
                        let found: Vec<_> = index.charts(host, &context).map(Arc::as_ptr).collect();
                        let naive = host.charts.iter().filter(|chart| *chart.context == *context);
                        prop_assert_eq!(found, naive.map(Arc::as_ptr).collect::<Vec<_>>());
                    }
                    let mut of_host: Vec<&str> = host.charts.iter().map(|chart| &*chart.context).collect();
                    of_host.sort_unstable();
                    of_host.dedup();
                    of_host.into_iter().for_each(|context| *all.entry(context).or_default() += 1);
                }
                let known: BTreeMap<&str, usize> =
                    contexts.hosts.iter().map(|(name, hosts)| (&**name, *hosts)).collect();
                prop_assert_eq!(known, all);
            }
        }
    }
}
