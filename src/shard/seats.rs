//! [`Seats`]: which hosts stream with each API key, over all shards, for the limit of a key.
//!
//! A child takes its [`Seat`] before it is handed to a shard; it goes with the connection, whoever drops that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::message::ApiKey;

/// All seats that are taken.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<ApiKey, Connections>>);

/// How many connections each host has with a key: two while a new one takes over a dead one.
type Connections = HashMap<Uuid, u32>;

/// A connection of a host with a key.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    key: ApiKey,
    host: Uuid,
}

impl Seats {
    /// None: `most` other hosts stream with this key. A host that has a seat gets another; which of its connections stays is
    /// for its shard to decide.
    pub fn take(self: &Arc<Self>, key: ApiKey, host: Uuid, most: Option<u32>) -> Option<Seat> {
        let mut taken = self.lock();
        let hosts = taken.entry(key).or_default();
        let is_full = most.is_some_and(|most| hosts.len() >= most as usize);
        if is_full && !hosts.contains_key(&host) {
            return None;
        }
        *hosts.entry(host).or_default() += 1;
        Some(Seat { seats: Arc::clone(self), key, host })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApiKey, Connections>> {
        // Nothing between its lines can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let Entry::Occupied(mut of_key) = taken.entry(self.key) else { return };
        if let Entry::Occupied(mut host) = of_key.get_mut().entry(self.host) {
            *host.get_mut() -= 1;
            if *host.get() == 0 {
                host.remove();
            }
        }
        if of_key.get().is_empty() {
            of_key.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_seats_and_a_host_one_of_them() {
        let seats = Arc::new(Seats::default());
        let [key, other] = [1, 2].map(|number| ApiKey(Uuid::from_u128(number)));
        let take = |key, host| seats.take(key, Uuid::from_u128(host), Some(2));
        let first = take(key, 1).expect("room");
        let second = take(key, 2).expect("room");
        assert!(take(key, 3).is_none());
        assert!(take(other, 3).is_some(), "another key has its own");
        let again = take(key, 1).expect("it takes over its own connection");
        drop(first);
        assert!(take(key, 3).is_none(), "the connection that took over still sits there");
        drop(again);
        let third = take(key, 3).expect("room again");
        assert!(seats.take(key, Uuid::from_u128(4), Some(3)).is_some(), "the limit was raised");
        assert!(seats.take(key, Uuid::from_u128(4), None).is_some());
        drop((second, third));
        assert!(seats.lock().is_empty(), "nothing is left behind");
    }
}
