//! Whose samples are whose: the catalog as of now, also while a parent has it.
//!
//! The catalog's file is copied into memory, because the parent's lock on it lets nobody else open it; what the journal
//! noted is added, as the next start would.

use std::path::Path;

use anyhow::{Context, bail};
use dbengine::{Directory, Record, read_journal};

use crate::catalog::{CatalogChange, CatalogStore, ChartRecord, HostRecord};
#[cfg(feature = "parquet")]
use crate::config::simple_pattern::{SimplePattern, WHITE_SPACE};

/// All hosts with their charts, ordered by hostname, then by machine GUID.
pub(super) struct Names {
    hosts: Vec<(HostRecord, Vec<ChartRecord>)>,
}

impl Names {
    /// The catalog first: what the journal forgets while we read was in the catalog long before.
    pub(super) fn read(catalog: &Path, directory: &Directory) -> anyhow::Result<Names> {
        let mut store = CatalogStore::open_copy(catalog).context(
            "the names of hosts and charts are in the catalog, without which samples have only keys",
        )?;
        let mut changes = Vec::new();
        read_journal(directory, |record| {
            if let Record::Note(note) = record {
                changes.extend(CatalogChange::decode(note));
            }
        })?;
        store.apply(&changes)?;
        let mut hosts = Vec::new();
        store.load(|host, charts| hosts.push((host, charts)))?;
        hosts.sort_by(|(a, _), (b, _)| {
            (&a.info.hostname, a.info.machine_guid).cmp(&(&b.info.hostname, b.info.machine_guid))
        });
        Ok(Names { hosts })
    }

    /// A chart by its id or name, of a host by its name or machine GUID.
    pub(super) fn chart(&self, host: &str, chart: &str) -> anyhow::Result<&ChartRecord> {
        let is_it = |record: &HostRecord| {
            *record.info.hostname == *host || record.info.machine_guid.to_string().eq_ignore_ascii_case(host)
        };
        let found: Vec<_> = self.hosts.iter().filter(|(record, _)| is_it(record)).collect();
        let charts = match found[..] {
            [] => bail!(
                "there is no host {host}; there are: {}",
                list(self.hosts.iter().map(|(host, _)| &*host.info.hostname))
            ),
            [(_, charts)] => charts,
            _ => {
                let guids: Vec<String> =
                    found.iter().map(|(host, _)| host.info.machine_guid.to_string()).collect();
                bail!("several hosts are called {host}; say which by its machine GUID: {}", guids.join(", "))
            }
        };
        let by_id = charts.iter().find(|record| *record.id == *chart);
        by_id.or_else(|| charts.iter().find(|record| record.name.as_deref() == Some(chart))).with_context(
            || {
                format!(
                    "{host} has no chart {chart}; it has: {}",
                    list(charts.iter().map(|chart| &*chart.id))
                )
            },
        )
    }

    /// The hosts whose names match a pattern.
    #[cfg(feature = "parquet")]
    pub(super) fn matching(&self, pattern: &str) -> Vec<&(HostRecord, Vec<ChartRecord>)> {
        let pattern = SimplePattern::new(pattern, WHITE_SPACE);
        self.hosts.iter().filter(|(host, _)| pattern.matches(&*host.info.hostname)).collect()
    }
}

/// The first few, and how many more.
fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
