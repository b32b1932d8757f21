//! The hosts that readers can ask for: their newest published state, in order of appearance, ourselves first.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::HostSnapshot;

/// All known hosts.
#[derive(Debug)]
pub(super) struct Directory {
    hosts: RefCell<Vec<Arc<HostSnapshot>>>,
    by_guid: RefCell<HashMap<Uuid, usize>>,
}

impl Directory {
    /// Knows only ourselves.
    pub(super) fn new(localhost: HostSnapshot) -> Self {
        let guid = localhost.info.machine_guid;
        Self {
            hosts: RefCell::new(vec![Arc::new(localhost)]),
            by_guid: RefCell::new(HashMap::from([(guid, 0)])),
        }
    }

    /// A host is new, or is known anew.
    pub(super) fn publish(&self, snapshot: Arc<HostSnapshot>) {
        let mut hosts = self.hosts.borrow_mut();
        let next = hosts.len();
        let index = *self.by_guid.borrow_mut().entry(snapshot.info.machine_guid).or_insert(next);
        match hosts.get_mut(index) {
            Some(known) => *known = snapshot,
            None => hosts.push(snapshot),
        }
    }

    /// A host is gone; ourselves stay. Those behind it move up.
    pub(super) fn forget(&self, guid: &Uuid) {
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
