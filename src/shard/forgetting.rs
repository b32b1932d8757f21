//! What a shard forgets: charts and hosts whose last sample has gone, and those in memory that nobody sends any more.
//!
//! | memory mode | a chart goes | a host goes |
//! |---|---|---|
//! | `dbengine` | when no datafile has a row of it and none is on its way | with its last chart, unless it is connected |
//! | `none`, `ram`, `alloc` | obsolete for long enough | away for long enough |
//! | `save`, `map` | the same, if its rows may be deleted | the same, if its rows may be deleted |
//!
//! An operator may forget a host that is not connected, in any of them.
//!
//! A forgotten host or chart is as one that never was: readers, the store and the engine lose it together. That of the
//! dbengine is found elsewhere, by those who remove files ([`Event::Lost`]); nothing here looks at all charts.
//!
//! [`Event::Lost`]: super::event::Event::Lost

use super::message::{ForgetOutcome, LostChart};
use super::{Action, HostIndex, RowsOp, Shard};
use crate::catalog::CatalogChange;
use crate::config::{Database, MemoryMode};
use crate::receiver::ChartIndex;
use uuid::Uuid;

/// How often it is looked for what was away or obsolete for too long. The shortest time that can be asked for is 10 s.
const CLEAN_UP_EVERY_US: i64 = 5_000_000;
/// Hosts forgotten in one turn; each has some hundred charts to drop.
const HOSTS_A_TURN: usize = 16;

/// When what is in memory is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Microseconds since a chart was called obsolete; `None`: never.
    obsolete_after_us: Option<i64>,
    /// Microseconds since a child has left; `None`: never.
    orphan_after_us: Option<i64>,
    /// The rows that are kept in files may go with their chart.
    deletes_charts: bool,
    /// The rows that are kept in files may go with their host.
    deletes_hosts: bool,
}

impl Cleanup {
    pub fn new(database: &Database) -> Self {
        let microseconds = |after: std::time::Duration| i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        Self {
            obsolete_after_us: database.cleanup_obsolete_charts_after.map(microseconds),
            orphan_after_us: database.cleanup_orphan_hosts_after.map(microseconds),
            deletes_charts: database.delete_obsolete_charts_files,
            deletes_hosts: database.delete_orphan_hosts_files,
        }
    }
}

impl Shard {
    /// No complete datafile has a row of these charts.
    pub(super) fn lost(&mut self, host: Uuid, charts: &[LostChart], actions: &mut Vec<Action>) {
        let Some(&host) = self.by_guid.get(&host) else { return };
        let mirror = &self.hosts[host];
        let without_rows = |chart: &ChartIndex| {
            let group = mirror.charts()[chart.index()].chart.group;
            self.engine.span(group).is_none()
        };
        let gone = charts.iter().filter_map(|lost| mirror.chart_of(&lost.id, lost.key)).filter(without_rows);
        let gone = gone.collect();
        self.forget_charts(host, gone, "their last samples have expired");
        if self.hosts[host].charts().is_empty() && self.hosts[host].away_since_us().is_some() {
            self.forget_host(host, "its last sample has expired", actions);
        }
    }

    /// Forgets what has been away or obsolete for too long.
    pub(super) fn clean_up(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        if now_us - self.cleaned_up_us < CLEAN_UP_EVERY_US {
            return;
        }
        let mut orphans = 0;
        // From the end: the last host takes the place of one that is forgotten.
        for host in (0..self.hosts.len()).rev() {
            self.forget_obsolete(now_us, host);
            if self.is_orphan(now_us, host) {
                if orphans == HOSTS_A_TURN {
                    return;
                }
                orphans += 1;
                self.forget_host(
                    host,
                    "its child is away for longer than '[db] cleanup orphan hosts after'",
                    actions,
                );
            }
        }
        self.cleaned_up_us = now_us;
    }

    /// An operator's wish. What datafiles have of the host expires with them.
    pub(super) fn forget_by_hand(&mut self, host: &Uuid, actions: &mut Vec<Action>) -> ForgetOutcome {
        let Some(&host) = self.by_guid.get(host) else { return ForgetOutcome::Unknown };
        if self.hosts[host].away_since_us().is_none() || self.is_own(host) {
            return ForgetOutcome::Connected;
        }
        let charts = self.hosts[host].charts().len();
        self.forget_host(host, "an operator asked for it", actions);
        ForgetOutcome::Forgotten { charts }
    }

    fn forget_obsolete(&mut self, now_us: i64, host: HostIndex) {
        let Some(after_us) = self.cleanup.obsolete_after_us else { return };
        let before_us = now_us.saturating_sub(after_us);
        let gone = self.hosts[host].take_obsolete(before_us, &self.engine);
        let may_go = match self.hosts[host].info().memory_mode {
            MemoryMode::None | MemoryMode::Ram | MemoryMode::Alloc => true,
            MemoryMode::Map | MemoryMode::Save => self.cleanup.deletes_charts,
            // Until its last sample expires.
            MemoryMode::Dbengine => false,
        };
        if may_go {
            self.forget_charts(host, gone, "obsolete for longer than '[db] cleanup obsolete charts after'");
        }
    }

    /// Whether the host has been away for too long and is to go. One that stays for its samples gives memory back.
    fn is_orphan(&mut self, now_us: i64, host: HostIndex) -> bool {
        let Some(after_us) = self.cleanup.orphan_after_us else { return false };
        if self.is_own(host) {
            return false;
        }
        let mirror = &mut self.hosts[host];
        if mirror.away_since_us().is_none_or(|since_us| now_us.saturating_sub(since_us) < after_us) {
            return false;
        }
        match mirror.info().memory_mode {
            MemoryMode::None | MemoryMode::Ram | MemoryMode::Alloc => true,
            MemoryMode::Map | MemoryMode::Save => self.cleanup.deletes_hosts,
            MemoryMode::Dbengine => {
                mirror.rest();
                mirror.charts().is_empty()
            }
        }
    }

    fn forget_charts(&mut self, host: HostIndex, gone: Vec<ChartIndex>, why: &str) {
        if gone.is_empty() {
            return;
        }
        let mirror = &mut self.hosts[host];
        let child = self.children.iter_mut().flatten().find(|child| child.host == host);
        let charts = match child {
            Some(child) => child.receiver.forget(gone, mirror, &mut self.engine, &mut self.pace),
            None => {
                mirror.forget(&gone, &mut self.engine);
                gone.len()
            }
        };
        self.forgotten_charts += charts as u64;
        self.saving.forget(&mirror.info().machine_guid);
        tracing::info!(host = &*mirror.info().hostname, charts, "charts forgotten: {why}");
        self.mark_changed(host);
    }

    /// Forgets a host that is not connected. The last host gets its index.
    fn forget_host(&mut self, host: HostIndex, why: &str, actions: &mut Vec<Action>) {
        let mut mirror = self.hosts.swap_remove(host);
        self.attendance.swap_remove(host);
        let guid = mirror.info().machine_guid;
        tracing::info!(
            host = &*mirror.info().hostname,
            machine_guid = %guid,
            charts = mirror.charts().len(),
            "host forgotten: {why}"
        );
        self.forgotten_hosts += 1;
        self.forgotten_charts += mirror.charts().len() as u64;
        mirror.forget_all(&mut self.engine);
        self.saving.forget(&guid);
        if matches!(mirror.info().memory_mode, MemoryMode::Map | MemoryMode::Save) {
            self.saving.hand_out(RowsOp::Remove { host: guid }, actions);
        }
        self.by_guid.remove(&guid);
        self.changed.retain(|changed| *changed != host);
        self.unsaved.retain(|unsaved| *unsaved != host);
        let last = self.hosts.len();
        if host < last {
            self.by_guid.insert(self.hosts[host].info().machine_guid, host);
            let of_children = self.children.iter_mut().flatten().map(|child| &mut child.host);
            for index in of_children.chain(&mut self.changed).chain(&mut self.unsaved) {
                if *index == last {
                    *index = host;
                }
            }
        }
        actions.push(Action::Forget(guid));
        if mirror.info().is_persistent() {
            self.hosts_to_forget.push_back(CatalogChange::ForgetHost(guid));
        }
    }
}
