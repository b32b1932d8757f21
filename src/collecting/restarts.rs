//! [`Restarts`]: whether and when a plugin that has ended is started again.
//!
//! | it ended | with data | without |
//! |---|---|---|
//! | with 0, or by SIGTERM | after its interval | after ten, ten times in a row |
//! | otherwise with a status | after ten intervals | never |
//! | by another signal | never | never |
//!
//! One that speaks of what is not there, or asks for it, is never started again, however it ends.
//!
//! Source: configuration reference section 11.4.

use std::time::Duration;

use super::plugin::Verdict;

/// Starts in a row without any data after which it is enough.
const MOST_SERIAL_FAILURES: u32 = 10;
/// Intervals until a plugin that failed is tried again.
const PATIENCE: u32 = 10;
const SIGTERM: i32 = 15;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Killed {
        signal: i32,
    },
    /// It could not be started, or not be waited for.
    Unknown,
}

/// What becomes of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    StartAfter(Duration),
    /// It is disabled; why, unless it asked for it.
    Never(Option<String>),
}

/// The history of one plugin.
#[derive(Debug)]
pub struct Restarts {
    update_every: Duration,
    /// Starts in a row without any collection.
    serial_failures: u32,
}

impl Restarts {
    pub fn new(update_every_s: u32) -> Self {
        Self { update_every: Duration::from_secs(update_every_s.into()), serial_failures: 0 }
    }

    /// A run has ended, after so many collections, maybe because of what the plugin wrote.
    pub fn ended(&mut self, ended: Ended, collections: u64, verdict: Option<&Verdict>) -> Next {
        match verdict {
            Some(Verdict::Disable) => return Next::Never(None),
            Some(Verdict::Mistaken(why)) => return Next::Never(Some(why.clone())),
            Some(Verdict::Exit | Verdict::Unintelligible(_)) | None => {}
        }
        let has_data = collections > 0;
        self.serial_failures = if has_data { 0 } else { self.serial_failures + 1 };
        let never = |why: String| Next::Never(Some(why));
        let much_later = Next::StartAfter(self.update_every * PATIENCE);
        match (ended, has_data) {
            (Ended::Exited(0) | Ended::Killed { signal: SIGTERM }, true) => {
                Next::StartAfter(self.update_every)
            }
            (Ended::Exited(0) | Ended::Killed { signal: SIGTERM }, false) => {
                if self.serial_failures > MOST_SERIAL_FAILURES {
                    never(format!("it was started {} times and collected nothing", self.serial_failures))
                } else {
                    much_later
                }
            }
            (Ended::Exited(_), true) => much_later,
            (Ended::Exited(code), false) => {
                never(format!("it ended with status {code} and collected nothing"))
            }
            (Ended::Killed { signal }, _) => never(format!("it was killed by signal {signal}")),
            (Ended::Unknown, _) => never("it could not be run".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Next {
        Next::StartAfter(Duration::from_secs(seconds))
    }

    #[test]
    fn the_way_it_ended_decides_when_it_is_started_again() {
        let unintelligible = Some(Verdict::Unintelligible("it wrote rubbish".to_owned()));
        let cases = [
            (Ended::Exited(0), 5, None, Some(seconds(3))),
            (Ended::Exited(0), 0, None, Some(seconds(30))),
            (Ended::Exited(1), 0, None, None),
            (Ended::Exited(1), 5, None, Some(seconds(30))),
            (Ended::Killed { signal: 15 }, 5, None, Some(seconds(3))),
            (Ended::Killed { signal: 15 }, 0, None, Some(seconds(30))),
            (Ended::Killed { signal: 9 }, 5, None, None),
            (Ended::Killed { signal: 11 }, 0, None, None),
            (Ended::Exited(126), 0, None, None),
            (Ended::Unknown, 0, None, None),
            (Ended::Killed { signal: 15 }, 5, unintelligible.clone(), Some(seconds(3))),
            (Ended::Exited(1), 5, unintelligible, Some(seconds(30))),
            (Ended::Exited(0), 5, Some(Verdict::Mistaken("SET".to_owned())), None),
            (Ended::Killed { signal: 15 }, 5, Some(Verdict::Disable), None),
        ];
        for (ended, collections, verdict, expected) in cases {
            let next = Restarts::new(3).ended(ended, collections, verdict.as_ref());
            match expected {
                Some(expected) => assert_eq!(next, expected, "{ended:?} {collections} {verdict:?}"),
                None => {
                    assert!(matches!(next, Next::Never(_)), "{ended:?} {collections} {verdict:?}: {next:?}")
                }
            }
        }
        assert_eq!(Restarts::new(1).ended(Ended::Exited(0), 0, Some(&Verdict::Disable)), Next::Never(None));
    }

    #[test]
    fn eleven_starts_in_a_row_without_data_are_enough() {
        let mut restarts = Restarts::new(1);
        for _ in 0..10 {
            assert_eq!(restarts.ended(Ended::Exited(0), 0, None), seconds(10));
        }
        assert_eq!(restarts.ended(Ended::Exited(0), 1, None), seconds(1), "data makes all good again");
        for _ in 0..10 {
            assert_eq!(restarts.ended(Ended::Exited(0), 0, None), seconds(10));
        }
        assert!(matches!(restarts.ended(Ended::Exited(0), 0, None), Next::Never(Some(_))));
    }
}
