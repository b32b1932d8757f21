//! The parents of a host, in the order of the configuration, and which of them are left alone for now.

use crate::config::Destination;

/// A link that has streamed for so long was a good one.
const GOOD_AFTER_US: i64 = 60_000_000;
/// However many of its links end soon, a parent is left alone for no longer, unless the configured delay is.
const LONGEST_US: i64 = 300_000_000;

#[derive(Debug)]
struct Known {
    destination: Destination,
    postponed_until_us: i64,
    /// Links in a row that ended before they were good ones.
    short_links: u32,
}

/// What follows from the end of a link that streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) delay_us: i64,
    /// Links of the parent that have ended soon, in a row, this one among them.
    pub(super) short_links: u32,
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
        let known = |destination: &Destination| Known {
            destination: destination.clone(),
            postponed_until_us: 0,
            short_links: 0,
        };
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

    /// The link to the current one has streamed for so long, and is lost: how long it is to be left alone. That is the
    /// configured delay, and twice as long with each further link that ended soon: who accepts a host and then does not want
    /// it, as in a loop of parents, would else be told of all its charts every few seconds, for ever.
    pub(super) fn lost(&mut self, streamed_us: i64, delay_us: i64) -> Pause {
        let known = &mut self.known[self.current];
        known.short_links = if streamed_us < GOOD_AFTER_US { known.short_links.saturating_add(1) } else { 0 };
        let short_links = known.short_links;
        let doublings = short_links.saturating_sub(1).min(32);
        let grown = delay_us.saturating_mul(1 << doublings).min(delay_us.max(LONGEST_US));
        Pause { delay_us: self.jitter(grown), short_links }
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
    fn links_that_end_soon_are_begun_again_later_and_later() {
        const SECOND: i64 = 1_000_000;
        let mut all = Destinations::new(&[destination("a"), destination("b")], 7);
        let grows = |all: &mut Destinations, expected: &[i64]| {
            for (count, most_s) in expected.iter().enumerate() {
                let Pause { delay_us, short_links } = all.lost(SECOND, 5 * SECOND);
                assert_eq!(short_links as usize, count + 1);
                assert!((most_s * SECOND / 2..=most_s * SECOND).contains(&delay_us), "{count}: {delay_us}");
            }
        };
        grows(&mut all, &[5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(all.lost(59 * SECOND, 5 * SECOND).short_links, 10);
        assert_eq!(all.lost(60 * SECOND, 5 * SECOND).short_links, 0, "a good one makes all well");
        grows(&mut all, &[5, 10]);
        all.postpone(1);
        assert_eq!(all.ready(0).len(), 1, "the other");
        grows(&mut all, &[5, 10, 20]);
        for _ in 0..100 {
            all.lost(0, 1000 * SECOND);
        }
        let Pause { delay_us, .. } = all.lost(0, 1000 * SECOND);
        assert!(
            (500 * SECOND..=1000 * SECOND).contains(&delay_us),
            "the configured delay is the least: {delay_us}"
        );
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
