//! The hosts that readers can ask for: their newest published state, in order of appearance, ourselves first.

mod contexts;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use ecow::EcoString;
use uuid::Uuid;

use self::contexts::{ContextIndex, Contexts};
use crate::catalog::{Chart, HostInfo, HostSnapshot, HostState};
use crate::shard::placement::ShardId;

/// All known hosts.
#[derive(Debug)]
pub(super) struct Directory {
    own: HostInfo,
    hosts: RefCell<Vec<Arc<HostSnapshot>>>,
    by_guid: RefCell<HashMap<Uuid, usize>>,
    /// As the hosts.
    indexes: RefCell<Vec<ContextIndex>>,
    contexts: RefCell<Contexts>,
    /// Times that anything has changed.
    changes: Cell<u64>,
}

impl Directory {
    /// Knows only ourselves.
    pub(super) fn new(own: HostInfo) -> Self {
        let guid = own.machine_guid;
        Self {
            hosts: RefCell::new(vec![Arc::new(without_charts(&own))]),
            by_guid: RefCell::new(HashMap::from([(guid, 0)])),
            indexes: RefCell::new(vec![ContextIndex::default()]),
            contexts: RefCell::default(),
            changes: Cell::new(1),
            own,
        }
    }

    /// A host is new, or is known anew.
    pub(super) fn publish(&self, snapshot: Arc<HostSnapshot>) {
        let mut hosts = self.hosts.borrow_mut();
        let next = hosts.len();
        let index = *self.by_guid.borrow_mut().entry(snapshot.info.machine_guid).or_insert(next);
        let snapshot = if index == 0 { Arc::new(self.ourselves(&snapshot)) } else { snapshot };
        let mut indexes = self.indexes.borrow_mut();
        if index == next {
            indexes.push(ContextIndex::default());
        }
        self.contexts.borrow_mut().change(
            hosts.get(index).map(|known| &**known),
            Some(&snapshot),
            &mut indexes[index],
        );
        match hosts.get_mut(index) {
            Some(known) => *known = snapshot,
            None => hosts.push(snapshot),
        }
        self.changes.set(self.changes.get() + 1);
    }

    /// Ourselves, with what is collected of us: we are always there, whatever has become of the collectors.
    fn ourselves(&self, collected: &HostSnapshot) -> HostSnapshot {
        let HostInfo { labels, variables, claim_id, .. } = &*collected.info;
        let info = HostInfo {
            labels: labels.clone(),
            variables: variables.clone(),
            claim_id: *claim_id,
            ..self.own.clone()
        };
        HostSnapshot { info: Arc::new(info), state: HostState::Localhost, ..collected.clone() }
    }

    /// A host is gone; ourselves stay, without charts. Those behind it move up.
    pub(super) fn forget(&self, guid: &Uuid) {
        self.changes.set(self.changes.get() + 1);
        let (mut hosts, mut indexes) = (self.hosts.borrow_mut(), self.indexes.borrow_mut());
        if *guid == self.own.machine_guid {
            self.contexts.borrow_mut().change(Some(&hosts[0]), None, &mut indexes[0]);
            hosts[0] = Arc::new(without_charts(&self.own));
            return;
        }
        let mut by_guid = self.by_guid.borrow_mut();
        if let Some(gone) = by_guid.get(guid).copied().filter(|index| *index > 0) {
            by_guid.remove(guid);
            by_guid.values_mut().filter(|index| **index > gone).for_each(|index| *index -= 1);
            self.contexts.borrow_mut().change(Some(&hosts[gone]), None, &mut indexes[gone]);
            indexes.remove(gone);
            hosts.remove(gone);
        }
    }

    /// Grows with every change of a host.
    pub(super) fn version(&self) -> u64 {
        self.changes.get()
    }

    /// The contexts that any host has and that are `wanted`, in order of their names.
    pub(super) fn contexts(&self, wanted: impl Fn(&str) -> bool) -> Vec<EcoString> {
        self.contexts.borrow().names().filter(|name| wanted(name)).cloned().collect()
    }

    /// The charts that a host has of these contexts, context by context.
    pub(super) fn charts_of(&self, host: &HostSnapshot, contexts: &[EcoString]) -> Vec<Arc<Chart>> {
        let Some(place) = self.by_guid.borrow().get(&host.info.machine_guid).copied() else {
            return Vec::new();
        };
        let (hosts, indexes) = (self.hosts.borrow(), self.indexes.borrow());
        let charts = contexts.iter().flat_map(|context| indexes[place].charts(&hosts[place], context));
        charts.map(Arc::clone).collect()
    }

    /// All hosts, ourselves first.
    pub(super) fn hosts(&self) -> Ref<'_, Vec<Arc<HostSnapshot>>> {
        self.hosts.borrow()
    }

    pub(super) fn localhost(&self) -> Arc<HostSnapshot> {
        Arc::clone(&self.hosts()[0])
    }

    pub(super) fn by_guid(&self, guid: &Uuid) -> Option<Arc<HostSnapshot>> {
        let index = *self.by_guid.borrow().get(guid)?;
        Some(Arc::clone(&self.hosts()[index]))
    }

    /// The host of this name, else of this machine GUID, both compared exactly; `localhost` is always ourselves.
    pub(super) fn find(&self, name: &str) -> Option<Arc<HostSnapshot>> {
        if name == "localhost" {
            return Some(self.localhost());
        }
        if let Some(host) = self.hosts().iter().find(|host| &*host.info.hostname == name) {
            return Some(Arc::clone(host));
        }
        let guid = Uuid::try_parse(name).ok().filter(|guid| guid.hyphenated().to_string() == name)?;
        self.by_guid(&guid)
    }
}

fn without_charts(own: &HostInfo) -> HostSnapshot {
    HostSnapshot {
        info: Arc::new(own.clone()),
        state: HostState::Localhost,
        shard: ShardId(0),
        charts: Vec::new(),
        functions: Arc::default(),
        stream_path: Arc::default(),
        node_id: None,
    }
}
