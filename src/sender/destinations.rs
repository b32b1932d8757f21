//! The parents of a host, in the order of the configuration, and which of them are left alone for now.

use crate::config::Destination;

#[derive(Debug)]
struct Known {
    destination: Destination,
    postponed_until_us: i64,
}

/// Never empty. A list that is tried from its front: whoever may be asked is, however often another one failed.
#[derive(Debug)]
pub struct Destinations {
    known: Vec<Known>,
    current: usize,
    /// Places of those that were ready last.
    asked: Vec<usize>,
    /// Failures in a row; with `seed` what makes the waits of many hosts differ.
    failures: u32,
    seed: u64,
}

impl Destinations {
    pub(super) fn new(destinations: &[Destination], seed: u64) -> Self {
        assert!(!destinations.is_empty(), "a host is sent somewhere or not at all");
        let known =
            |destination: &Destination| Known { destination: destination.clone(), postponed_until_us: 0 };
        Self {
            known: destinations.iter().map(known).collect(),
            current: 0,
            asked: Vec::new(),
            failures: 0,
            seed,
        }
    }

    /// Whether these are what the configuration says.
    pub(super) fn is_of(&self, destinations: &[Destination]) -> bool {
        self.known.iter().map(|known| &known.destination).eq(destinations)
    }

    /// The one that is connected, or was tried last.
    pub(super) fn current(&self) -> &Destination {
        &self.known[self.current].destination
    }

    /// Those that may be tried. The first of them is the current one until another is chosen.
    pub(super) fn ready(&mut self, now_us: i64) -> Vec<Destination> {
        self.asked.clear();
        let is_ready = |(_, known): &(usize, &Known)| known.postponed_until_us <= now_us;
        self.asked.extend(self.known.iter().enumerate().filter(is_ready).map(|(place, _)| place));
        self.current = self.asked.first().copied().unwrap_or(self.current);
        self.asked.iter().map(|place| self.known[*place].destination.clone()).collect()
    }

    /// One of those that were ready last is the current one.
    pub(super) fn choose(&mut self, asked: usize) {
        self.current = self.asked.get(asked).copied().unwrap_or(self.current);
    }

    /// When the first of them may be tried again.
    pub(super) fn due(&self) -> i64 {
        self.known.iter().map(|known| known.postponed_until_us).min().unwrap_or(0)
    }

    /// The current one is left alone until then.
    pub(super) fn postpone(&mut self, until_us: i64) {
        self.failures = self.failures.wrapping_add(1);
        self.known[self.current].postponed_until_us = until_us;
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Between half of a delay and all of it; another part of it for each host and each time.
    pub(super) fn jitter(&self, delay_us: i64) -> i64 {
        // A step of SplitMix64.
        let mut bits = self.seed.wrapping_add(u64::from(self.failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let half = delay_us / 2;
        half + (((bits >> 32) as i64 * half) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(host: &str) -> Destination {
        Destination { host: host.to_owned(), interface: None, port: 1, is_encrypted: false }
    }

    #[test]
    fn the_first_that_may_be_tried_is() {
        let mut all = Destinations::new(&[destination("a"), destination("b")], 7);
        let ready = |all: &mut Destinations, now| -> Vec<String> {
            all.ready(now).into_iter().map(|found| found.host).collect()
        };
        assert_eq!(ready(&mut all, 0), ["a", "b"]);
        assert_eq!(all.current().host, "a");
        all.postpone(100);
        assert_eq!(ready(&mut all, 0), ["b"]);
        assert_eq!(all.current().host, "b");
        all.postpone(50);
        assert_eq!((ready(&mut all, 49), all.due()), (vec![], 50));
        assert_eq!(ready(&mut all, 50), ["b"]);
        assert_eq!(ready(&mut all, 100), ["a", "b"]);
        all.choose(1);
        assert_eq!(all.current().host, "b");
    }

    #[test]
    fn waits_differ_between_half_and_all() {
        let one = destination("a");
        let waits: Vec<i64> = (0..100)
            .map(|seed| {
                Destinations::new(std::slice::from_ref(&one), seed * 0x1234_5678_9abc).jitter(1_000_000)
            })
            .collect();
        assert!(waits.iter().all(|wait| (500_000..=1_000_000).contains(wait)), "{waits:?}");
        let (few, many) = (waits.iter().filter(|wait| **wait < 600_000).count(), waits.len());
        assert!(few > 5 && few < many / 2, "{few} of {many}");
    }
}
