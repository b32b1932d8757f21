//! [`Registry`]: which persons (browsers, by a cookie) looked at which machines at which addresses, as a Netdata registry
//! remembers it for the node menus of dashboards.
//!
//! ```text
//! persons   person GUID               -> when last seen
//! visits    (person GUID, address)    -> machine GUID, when last, how often, name
//! machines  (machine GUID, address)   -> when last, how often, by all persons
//! ```
//!
//! Times are unix seconds. One file, `registry.redb`, of one owner, who may block. Wishes are answered in batches, and a
//! batch is one transaction: what was answered survives a crash.
//!
//! Everybody may be a person, so all of it is bounded: persons, addresses of each of them and of a machine, addresses in all,
//! and their lengths. When a person has too many addresses, the one of the longest ago goes; where there is no room for another
//! person, or in all, what is there stays and what is new is refused. Persons who are not seen any more are forgotten.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition};
use uuid::Uuid;

use crate::config;

const PERSONS: TableDefinition<'_, u128, i64> = TableDefinition::new("persons");
const VISITS: TableDefinition<'_, (u128, &str), (u128, i64, u64, &str)> = TableDefinition::new("visits");
const MACHINES: TableDefinition<'_, (u128, &str), (i64, u64)> = TableDefinition::new("machines");

/// Pages that the database keeps in memory.
const CACHE_BYTES: usize = 1 << 20;
/// How soon a file that could not be used is tried again.
const RETRY_EVERY_S: i64 = 600;
/// How often those are looked for who are not seen any more.
const FORGET_EVERY_S: i64 = 86_400;

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(
        "the registry {path} cannot be made: {cause}; make its directory for the user that runs mainstem"
    )]
    Directory { path: PathBuf, cause: std::io::Error },
    #[error(
        "the registry {path} cannot be used: {cause}. Move it away to begin with an empty one, or set '[registry] enabled = no'"
    )]
    Database { path: PathBuf, cause: redb::Error },
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub persons: u64,
    pub addresses_of_a_person: usize,
    pub addresses_of_a_machine: usize,
    /// Of all persons, and of all machines.
    pub addresses: u64,
    pub url_bytes: usize,
    pub name_bytes: usize,
    /// `None`: nobody is forgotten.
    pub forget_idle_after: Option<Duration>,
}

impl Limits {
    /// As configured. With addresses of 1024 bytes, the longest by default, all that is kept takes up to some 3 GB of disk; at a usual
    /// hundred bytes 400 MB.
    pub fn new(config: &config::Registry) -> Limits {
        Limits {
            persons: 100_000,
            addresses_of_a_person: 1000,
            addresses_of_a_machine: 1000,
            addresses: 1_000_000,
            url_bytes: config.url_bytes,
            name_bytes: config.name_bytes,
            forget_idle_after: config.forget_idle_after,
        }
    }
}

/// What a browser wants. A person is who the cookie says, if it says somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A person looks at a machine at this address.
    Access { person: Option<Uuid>, machine: Uuid, url: String, name: String },
    /// An address is to be forgotten.
    Delete { person: Option<Uuid>, machine: Uuid, url: String, deleted: String },
    /// Where else a machine was seen.
    Search { person: Option<Uuid>, machine: Uuid, url: String, wanted: Uuid },
    /// A person wants to be another one, who has looked at this machine too.
    Switch { person: Option<Uuid>, machine: Uuid, to: Uuid },
}

/// An address that a person looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub machine: Uuid,
    pub url: String,
    /// Unix seconds.
    pub last: i64,
    pub times: u64,
    pub name: String,
}

/// An address where a machine was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub url: String,
    /// Unix seconds.
    pub last: i64,
    pub times: u64,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accessed {
        person: Uuid,
        visits: Vec<Visit>,
    },
    Deleted,
    Found(Vec<Sighting>),
    Switched {
        person: Uuid,
    },
    /// No such person, machine or address, or no room for it.
    Refused,
    /// Why a person cannot be another: the person is unknown.
    UnknownPerson,
    UnknownOther,
    UnknownMachine,
    /// The person has not looked at the machine.
    NotVisited,
    /// The other has not.
    NotVisitedByOther,
    /// The file cannot be used.
    Unavailable,
}

/// The registry on disk.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    limits: Limits,
    state: State,
    /// What was said last of why the file cannot be used; empty while it can.
    said: String,
    forgotten_at: i64,
}

/// Whether the file can be used.
///
/// ```text
///          an error                         RETRY_EVERY_S later
///  Open ---------------> Unavailable -------------------------------> Open, or Unavailable again
/// ```
#[derive(Debug)]
enum State {
    Open(Database),
    /// redb does nothing more with a file that failed it, and what is broken does not mend itself within a batch.
    Unavailable {
        /// Unix seconds.
        retry_at: i64,
    },
}

impl Registry {
    /// Opens the file in this directory, or makes it, at `now` (unix seconds). If it cannot be used that is told in the log, and
    /// wishes have no outcome until it can.
    pub fn open(directory: &Path, limits: Limits, now: i64) -> Registry {
        let path = directory.join("registry.redb");
        let state = State::Unavailable { retry_at: now };
        let mut registry = Registry { path, limits, state, said: String::new(), forgotten_at: 0 };
        if let Err(error) = registry.reopen() {
            registry.give_up(&error, now);
        }
        registry
    }

    /// Fulfils wishes, in their order, at `now` (unix seconds). What is answered is on disk.
    pub fn fulfil(&mut self, wishes: &[Wish], now: i64) -> Vec<Outcome> {
        self.try_fulfil(wishes, now).unwrap_or_else(|error| {
            self.give_up(&error, now);
            vec![Outcome::Unavailable; wishes.len()]
        })
    }

    fn try_fulfil(&mut self, wishes: &[Wish], now: i64) -> Result<Vec<Outcome>, RegistryError> {
        if let State::Unavailable { retry_at } = self.state {
            if now < retry_at {
                return Ok(vec![Outcome::Unavailable; wishes.len()]);
            }
            self.reopen()?;
            tracing::info!("the registry {} can be used again", self.path.display());
        }
        // Until the wishes are on disk nothing is known of the file.
        let unknown = State::Unavailable { retry_at: now };
        let State::Open(database) = std::mem::replace(&mut self.state, unknown) else {
            return Ok(vec![Outcome::Unavailable; wishes.len()]);
        };
        let outcomes = self
            .write(&database, wishes, now)
            .map_err(|cause| RegistryError::Database { path: self.path.clone(), cause })?;
        self.state = State::Open(database);
        Ok(outcomes)
    }

    fn reopen(&mut self) -> Result<(), RegistryError> {
        let directories = [self.path.parent(), self.path.parent().and_then(Path::parent)];
        let directory_error = |cause| RegistryError::Directory { path: self.path.clone(), cause };
        std::fs::create_dir_all(directories[0].unwrap_or(Path::new("."))).map_err(directory_error)?;
        let database = open(&self.path)?;
        // A file's name is part of its directory, which is to be on disk, too, before anybody is told of a visit.
        directories
            .into_iter()
            .flatten()
            .try_for_each(|directory| std::fs::File::open(directory)?.sync_all())
            .map_err(directory_error)?;
        self.state = State::Open(database);
        self.said.clear();
        Ok(())
    }

    /// The file is left alone for a while. Why is said once, until it is another reason.
    fn give_up(&mut self, error: &RegistryError, now: i64) {
        self.state = State::Unavailable { retry_at: now.saturating_add(RETRY_EVERY_S) };
        let text = error.to_string();
        if self.said != text {
            let minutes = RETRY_EVERY_S / 60;
            tracing::error!(
                "{text}. Until then browsers are told that this parent is no registry; it is tried again every {minutes} minutes"
            );
            self.said = text;
        }
    }

    fn write(&mut self, database: &Database, wishes: &[Wish], now: i64) -> Result<Vec<Outcome>, redb::Error> {
        let transaction = database.begin_write()?;
        let forgets = now.saturating_sub(self.forgotten_at) >= FORGET_EVERY_S;
        let outcomes = {
            let mut book = Book {
                limits: &self.limits,
                now,
                persons: transaction.open_table(PERSONS)?,
                visits: transaction.open_table(VISITS)?,
                machines: transaction.open_table(MACHINES)?,
            };
            if forgets {
                book.forget_idle()?;
            }
            wishes.iter().map(|wish| book.fulfil(wish)).collect::<Result<Vec<_>, redb::Error>>()?
        };
        transaction.commit()?;
        if forgets {
            self.forgotten_at = now;
        }
        Ok(outcomes)
    }

    /// Persons, and addresses of all of them.
    pub fn counts(&self) -> Result<(u64, u64), RegistryError> {
        let failed = |cause: redb::Error| RegistryError::Database { path: self.path.clone(), cause };
        let State::Open(database) = &self.state else { return Ok((0, 0)) };
        let count = || -> Result<(u64, u64), redb::Error> {
            let transaction = database.begin_read()?;
            Ok((transaction.open_table(PERSONS)?.len()?, transaction.open_table(VISITS)?.len()?))
        };
        count().map_err(failed)
    }
}

fn open(path: &Path) -> Result<Database, RegistryError> {
    let failed = |cause: redb::Error| RegistryError::Database { path: path.to_path_buf(), cause };
    let mut builder = Database::builder();
    // Also a file that was closed in order: what another program has damaged since would make redb panic.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let database = builder.create(path).map_err(|error| failed(error.into()))?;
    let make_tables = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(PERSONS)?;
        transaction.open_table(VISITS)?;
        transaction.open_table(MACHINES)?;
        Ok(transaction.commit()?)
    };
    make_tables().map_err(failed)?;
    Ok(database)
}

/// The tables, while they are written to.
struct Book<'a> {
    limits: &'a Limits,
    now: i64,
    persons: Table<'a, u128, i64>,
    visits: Table<'a, (u128, &'static str), (u128, i64, u64, &'static str)>,
    machines: Table<'a, (u128, &'static str), (i64, u64)>,
}

impl Book<'_> {
    fn fulfil(&mut self, wish: &Wish) -> Result<Outcome, redb::Error> {
        match wish {
            Wish::Access { person, machine, url, name } => self.access(*person, *machine, url, name),
            Wish::Delete { person, machine, url, deleted } => {
                let Some(person) = self.looking_at(*person, *machine, url)? else {
                    return Ok(Outcome::Refused);
                };
                if self.visits.remove((person.as_u128(), &**deleted))?.is_none() {
                    return Ok(Outcome::Refused);
                }
                Ok(Outcome::Deleted)
            }
            Wish::Search { person, machine, url, wanted } => {
                let Some(person) = self.looking_at(*person, *machine, url)? else {
                    return Ok(Outcome::Refused);
                };
                if !self.has_visited(person, *wanted)? {
                    return Ok(Outcome::Refused);
                }
                Ok(Outcome::Found(self.sightings(*wanted)?))
            }
            Wish::Switch { person, machine, to } => self.switch(*person, *machine, *to),
        }
    }

    fn access(
        &mut self,
        person: Option<Uuid>,
        machine: Uuid,
        url: &str,
        name: &str,
    ) -> Result<Outcome, redb::Error> {
        if url.len() > self.limits.url_bytes {
            return Ok(Outcome::Refused);
        }
        let name = beginning(name, self.limits.name_bytes);
        let person = match self.known(person)? {
            Some(person) => person,
            None if self.persons.len()? < self.limits.persons => Uuid::new_v4(),
            None => return Ok(Outcome::Refused),
        };
        let key = (person.as_u128(), url);
        let known = self.visits.get(key)?.map(|visit| visit.value().2);
        if known.is_none() && !self.make_room(person)? {
            return Ok(Outcome::Refused);
        }
        let times = known.unwrap_or(0).saturating_add(1);
        self.visits.insert(key, (machine.as_u128(), self.now, times, name))?;
        self.persons.insert(person.as_u128(), self.now)?;
        self.sight(machine, url)?;
        Ok(Outcome::Accessed { person, visits: self.visits_of(person)? })
    }

    /// Whether there is room for another address of a person.
    fn make_room(&mut self, person: Uuid) -> Result<bool, redb::Error> {
        let visits = self.visits_of(person)?;
        if visits.len() >= self.limits.addresses_of_a_person {
            if let Some(oldest) = visits.iter().min_by_key(|visit| visit.last) {
                self.visits.remove((person.as_u128(), &*oldest.url))?;
            }
            return Ok(true);
        }
        Ok(self.visits.len()? < self.limits.addresses)
    }

    /// A machine was seen at an address; a new one is only remembered while there is room.
    fn sight(&mut self, machine: Uuid, url: &str) -> Result<(), redb::Error> {
        let key = (machine.as_u128(), url);
        let known = self.machines.get(key)?.map(|sighting| sighting.value().1);
        let has_room = known.is_some()
            || self.machines.len()? < self.limits.addresses
                && self.sightings(machine)?.len() < self.limits.addresses_of_a_machine;
        if has_room {
            self.machines.insert(key, (self.now, known.unwrap_or(0).saturating_add(1)))?;
        }
        Ok(())
    }

    fn switch(&mut self, person: Option<Uuid>, machine: Uuid, to: Uuid) -> Result<Outcome, redb::Error> {
        let Some(person) = self.known(person)? else { return Ok(Outcome::UnknownPerson) };
        if self.known(Some(to))?.is_none() {
            return Ok(Outcome::UnknownOther);
        }
        if self.sightings(machine)?.is_empty() {
            return Ok(Outcome::UnknownMachine);
        }
        if !self.has_visited(person, machine)? {
            return Ok(Outcome::NotVisited);
        }
        if !self.has_visited(to, machine)? {
            return Ok(Outcome::NotVisitedByOther);
        }
        self.persons.insert(to.as_u128(), self.now)?;
        Ok(Outcome::Switched { person: to })
    }

    fn known(&self, person: Option<Uuid>) -> Result<Option<Uuid>, redb::Error> {
        match person {
            Some(person) if self.persons.get(person.as_u128())?.is_some() => Ok(Some(person)),
            _ => Ok(None),
        }
    }

    /// The person, if it is one that looked at this machine at this address.
    fn looking_at(
        &mut self,
        person: Option<Uuid>,
        machine: Uuid,
        url: &str,
    ) -> Result<Option<Uuid>, redb::Error> {
        let Some(person) = self.known(person)? else { return Ok(None) };
        let visited = self.visits.get((person.as_u128(), url))?.map(|visit| visit.value().0);
        if visited != Some(machine.as_u128()) {
            return Ok(None);
        }
        self.persons.insert(person.as_u128(), self.now)?;
        Ok(Some(person))
    }

    fn has_visited(&self, person: Uuid, machine: Uuid) -> Result<bool, redb::Error> {
        Ok(self.visits_of(person)?.iter().any(|visit| visit.machine == machine))
    }

    fn visits_of(&self, person: Uuid) -> Result<Vec<Visit>, redb::Error> {
        let mut visits = Vec::new();
        for entry in self.visits.range((person.as_u128(), "")..)? {
            let (key, value) = entry?;
            let (owner, url) = key.value();
            if owner != person.as_u128() {
                break;
            }
            let (machine, last, times, name) = value.value();
            visits.push(Visit {
                machine: Uuid::from_u128(machine),
                url: url.into(),
                last,
                times,
                name: name.into(),
            });
        }
        Ok(visits)
    }

    fn sightings(&self, machine: Uuid) -> Result<Vec<Sighting>, redb::Error> {
        let mut sightings = Vec::new();
        for entry in self.machines.range((machine.as_u128(), "")..)? {
            let (key, value) = entry?;
            let (owner, url) = key.value();
            if owner != machine.as_u128() {
                break;
            }
            let (last, times) = value.value();
            sightings.push(Sighting { url: url.into(), last, times });
        }
        Ok(sightings)
    }

    /// Forgets persons who were not seen for long, with their visits, and where machines were not seen for as long.
    fn forget_idle(&mut self) -> Result<(), redb::Error> {
        let Some(idle) = self.limits.forget_idle_after else { return Ok(()) };
        let since = self.now.saturating_sub(i64::try_from(idle.as_secs()).unwrap_or(i64::MAX));
        let mut idle = Vec::new();
        for entry in self.persons.iter()? {
            let (person, last) = entry?;
            if last.value() < since {
                idle.push(Uuid::from_u128(person.value()));
            }
        }
        for person in &idle {
            for visit in self.visits_of(*person)? {
                self.visits.remove((person.as_u128(), &*visit.url))?;
            }
            self.persons.remove(person.as_u128())?;
        }
        self.machines.retain(|_, (last, _)| last >= since)?;
        if !idle.is_empty() {
            tracing::info!("the registry has forgotten {} persons who were not seen for long", idle.len());
        }
        Ok(())
    }
}

/// As many whole characters of a text as are so many bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests;
