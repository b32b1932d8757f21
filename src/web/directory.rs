//! The hosts that readers can ask for: their newest published state, in order of appearance, ourselves first.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{HostInfo, HostSnapshot, HostState};
use crate::shard::placement::ShardId;

/// All known hosts.
#[derive(Debug)]
pub(super) struct Directory {
    own: HostInfo,
    hosts: RefCell<Vec<Arc<HostSnapshot>>>,
    by_guid: RefCell<HashMap<Uuid, usize>>,
}

impl Directory {
    /// Knows only ourselves.
    pub(super) fn new(own: HostInfo) -> Self {
        let guid = own.machine_guid;
        Self {
            hosts: RefCell::new(vec![Arc::new(without_charts(&own))]),
            by_guid: RefCell::new(HashMap::from([(guid, 0)])),
            own,
        }
    }

    /// A host is new, or is known anew.
    pub(super) fn publish(&self, snapshot: Arc<HostSnapshot>) {
        let mut hosts = self.hosts.borrow_mut();
        let next = hosts.len();
        let index = *self.by_guid.borrow_mut().entry(snapshot.info.machine_guid).or_insert(next);
        match hosts.get_mut(index) {
            Some(known) if index == 0 => *known = Arc::new(self.ourselves(&snapshot)),
            Some(known) => *known = snapshot,
            None => hosts.push(snapshot),
        }
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
        if *guid == self.own.machine_guid {
            self.hosts.borrow_mut()[0] = Arc::new(without_charts(&self.own));
            return;
        }
        let mut by_guid = self.by_guid.borrow_mut();
        if let Some(gone) = by_guid.get(guid).copied().filter(|index| *index > 0) {
            by_guid.remove(guid);
            by_guid.values_mut().filter(|index| **index > gone).for_each(|index| *index -= 1);
            self.hosts.borrow_mut().remove(gone);
        }
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
