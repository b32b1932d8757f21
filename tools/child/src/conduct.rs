//! [`Conduct`]: how children behave beside sending: when they come, whether they stay, and what they do that they should
//! not. [`Habits`] is one child's part in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::value::mix;

/// Of all children of a fleet. By default they come at once, stay, and keep to the protocol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conduct {
    /// Connections are spread over this.
    pub arrival: Duration,
    pub churn: Option<Churn>,
    pub faults: Vec<Fault>,
}

impl From<Duration> for Conduct {
    /// Well-behaved children that arrive within a time.
    fn from(arrival: Duration) -> Conduct {
        Conduct { arrival, ..Conduct::default() }
    }
}

/// Children that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// The part of the children that does, 0 to 1.
    pub share: f64,
    /// How long a connection is kept, in seconds: shortest and longest.
    pub life_s: [f64; 2],
    /// How long the child stays away then.
    pub away_s: [f64; 2],
}

/// What some children do again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    /// The part of the children that does, 0 to 1.
    pub share: f64,
    /// The mean time between two times, in seconds; each lies between half of it and half more.
    pub every_s: f64,
    /// How long it lasts, if it lasts, in seconds.
    #[serde(default)]
    pub for_s: f64,
}

impl Fault {
    /// Whether it has a length.
    pub(crate) fn lasts(&self) -> bool {
        matches!(self.kind, FaultKind::HalfOpen | FaultKind::SlowReader)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Half a second's data, and the connection is closed.
    Cut,
    /// Instead of a second's data, as many bytes that mean nothing.
    Garbage,
    /// Nothing is sent or read any more, and nobody is told, as when a machine loses its power.
    HalfOpen,
    /// Nothing is read any more for a while.
    SlowReader,
}

/// What a child does next that is not sending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    /// It closes the connection and stays away.
    Leave {
        away: Duration,
    },
    Cut,
    Garbage,
    HalfOpen {
        lasts: Duration,
    },
    SlowReader {
        lasts: Duration,
    },
}

/// One child's deeds, drawn from its own random numbers.
#[derive(Debug)]
pub(crate) struct Habits {
    churn: Option<Churn>,
    faults: Vec<Fault>,
    random: u64,
    /// What comes in this connection, the earliest last.
    planned: Vec<(Instant, Deed)>,
}

impl Habits {
    /// Of the child with this number; another seed chooses others.
    pub(crate) fn new(conduct: &Conduct, seed: u64, number: usize) -> Habits {
        let mut random = mix(mix(seed) ^ mix(!(number as u64)));
        let mut is_chosen = |share: f64| {
            random = mix(random);
            unit(random) < share
        };
        let churn = conduct.churn.filter(|churn| is_chosen(churn.share));
        let faults = conduct.faults.iter().copied().filter(|fault| is_chosen(fault.share)).collect();
        Habits { churn, faults, random, planned: Vec::new() }
    }

    /// A connection begins at `now`.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.planned.clear();
        if let Some(Churn { life_s, away_s, .. }) = self.churn {
            let (life, away) = (self.between(life_s), self.between(away_s));
            self.planned.push((now + life, Deed::Leave { away }));
        }
        for at in 0..self.faults.len() {
            self.plan(self.faults[at], now);
        }
    }

    fn plan(&mut self, fault: Fault, now: Instant) {
        let lasts = Duration::from_secs_f64(fault.for_s);
        let deed = match fault.kind {
            FaultKind::Cut => Deed::Cut,
            FaultKind::Garbage => Deed::Garbage,
            FaultKind::HalfOpen => Deed::HalfOpen { lasts },
            FaultKind::SlowReader => Deed::SlowReader { lasts },
        };
        let wait = self.between([fault.every_s * 0.5, fault.every_s * 1.5]);
        self.planned.push((now + wait, deed));
        self.planned.sort_by_key(|(moment, _)| std::cmp::Reverse(*moment));
    }

    /// When the next deed is due; `None`: never.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.planned.last().map(|(moment, _)| *moment)
    }

    /// The deed that is due now. One that does not end the connection comes again.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Deed> {
        let (_, deed) = self.planned.pop_if(|(moment, _)| *moment <= now)?;
        if matches!(deed, Deed::SlowReader { .. })
            && let Some(fault) = self.faults.iter().find(|fault| fault.kind == FaultKind::SlowReader)
        {
            self.plan(*fault, now);
        }
        Some(deed)
    }

    fn between(&mut self, [shortest, longest]: [f64; 2]) -> Duration {
        self.random = mix(self.random);
        Duration::from_secs_f64(shortest + (longest - shortest) * unit(self.random))
    }
}

/// A number in `0.0..1.0`.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fault(kind: FaultKind, share: f64) -> Fault {
        Fault { kind, share, every_s: 30.0, for_s: 4.0 }
    }

    #[test]
    fn as_many_children_have_a_habit_as_were_wanted() {
        let conduct = Conduct {
            churn: Some(Churn { share: 0.5, life_s: [1.0, 2.0], away_s: [1.0, 2.0] }),
            faults: vec![fault(FaultKind::Cut, 0.1), fault(FaultKind::Garbage, 0.0)],
            ..Conduct::default()
        };
        let all: Vec<Habits> = (0..2000).map(|number| Habits::new(&conduct, 1, number)).collect();
        let leaving = all.iter().filter(|habits| habits.churn.is_some()).count();
        let cutting = all.iter().filter(|habits| !habits.faults.is_empty()).count();
        assert!((900..1100).contains(&leaving), "{leaving}");
        assert!((150..250).contains(&cutting), "{cutting}");
        assert!(all.iter().flat_map(|habits| &habits.faults).all(|fault| fault.kind == FaultKind::Cut));
        // Nobody leaves because of a fault: each is drawn by itself.
        let both = all.iter().filter(|habits| habits.churn.is_some() && !habits.faults.is_empty()).count();
        assert!((cutting / 4..cutting * 3 / 4).contains(&both), "{both} of {cutting}");
    }

    #[test]
    fn deeds_come_in_their_time_and_those_that_end_nothing_again() {
        let conduct = Conduct {
            churn: Some(Churn { share: 1.0, life_s: [1000.0, 1000.0], away_s: [7.0, 7.0] }),
            faults: vec![fault(FaultKind::SlowReader, 1.0)],
            ..Conduct::default()
        };
        let mut habits = Habits::new(&conduct, 1, 0);
        assert_eq!(habits.next(), None);
        let begun = Instant::now();
        habits.begin(begun);
        let mut slow = 0;
        loop {
            let due = habits.next().expect("the child leaves in the end");
            assert_eq!(habits.take(due - SECOND / 1000), None);
            match habits.take(due).expect("it is due") {
                Deed::SlowReader { lasts } => {
                    assert_eq!(lasts, 4 * SECOND);
                    slow += 1;
                }
                deed => {
                    assert_eq!(deed, Deed::Leave { away: 7 * SECOND });
                    assert_eq!(due, begun + 1000 * SECOND);
                    break;
                }
            }
        }
        // Every 15 to 45 seconds.
        assert!((22..=66).contains(&slow), "{slow}");
    }
}
