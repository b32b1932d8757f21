//! Things that come and go: disks, interfaces, mounts, cgroups.

/// A list by key. Each round names all that are there; the others are gone.
pub(super) struct Roster<T> {
    entries: Vec<Entry<T>>,
    /// Where the next key is looked for first: the kernel lists things in the same order each time.
    expected: usize,
}

struct Entry<T> {
    key: Vec<u8>,
    thing: T,
    is_here: bool,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), expected: 0 }
    }
}

impl<T> Roster<T> {
    /// The thing of this key, made if it is new.
    pub(super) fn meet(&mut self, key: &[u8], new: impl FnOnce() -> T) -> &mut T {
        let is_it = |entry: &Entry<T>| entry.key == key;
        let at = if self.entries.get(self.expected).is_some_and(is_it) {
            self.expected
        } else {
            self.entries.iter().position(is_it).unwrap_or_else(|| {
                self.entries.push(Entry { key: key.to_vec(), thing: new(), is_here: true });
                self.entries.len() - 1
            })
        };
        self.expected = at + 1;
        let entry = &mut self.entries[at];
        entry.is_here = true;
        &mut entry.thing
    }

    /// Ends a round: what was not met in it is handed to `gone` and forgotten.
    pub(super) fn sweep(&mut self, mut gone: impl FnMut(&mut T)) {
        self.expected = 0;
        self.entries.retain_mut(|entry| {
            if !entry.is_here {
                gone(&mut entry.thing);
            }
            std::mem::take(&mut entry.is_here)
        });
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.thing)
    }
}
