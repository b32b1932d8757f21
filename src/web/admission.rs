//! [`Admission`]: who may ask questions now, how long they may take, and who waits for whom.
//!
//! All questions take turns on one thread, some milliseconds each. So a small one is answered soon if few others run: of
//! those that read much only some run at once, the others wait, and small ones pass them. A question that would be one too
//! many is turned away at once, so that nobody waits in vain.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::TURN;
use super::answer::Answer;
use crate::config::Queries;
use crate::runtime::breathe;
use crate::telemetry::Telemetry;

/// Questions that read more samples than this are large: they take more than a few turns.
const LARGE_SAMPLES: i64 = 1 << 20;

/// All questions that run or wait.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Queries,
    running: Rc<Cell<usize>>,
    large: Arc<Semaphore>,
    telemetry: Arc<Telemetry>,
}

impl Admission {
    pub(super) fn new(limits: Queries, telemetry: Arc<Telemetry>) -> Admission {
        let large = Arc::new(Semaphore::new(limits.large_at_once));
        Admission { limits, running: Rc::default(), large, telemetry }
    }

    /// The answer to a question, which is let in or turned away. `timeout_ms` is as for [`admit`](Self::admit).
    pub(super) async fn answer(
        &self,
        timeout_ms: u64,
        question: impl AsyncFnOnce(&mut RunningQuery) -> Result<Answer, Answer>,
    ) -> Answer {
        let mut query = match self.admit(timeout_ms) {
            Ok(query) => query,
            Err(answer) => return answer,
        };
        match question(&mut query).await {
            Ok(answer) => {
                query.done();
                answer
            }
            Err(answer) => answer,
        }
    }

    /// Lets a question in, which wants to wait for so long at most (0: as long as it may), or turns it away.
    pub(super) fn admit(&self, timeout_ms: u64) -> Result<RunningQuery, Answer> {
        if self.running.get() >= self.limits.at_once {
            self.telemetry.query_outcomes.add("refused");
            let text = format!(
                "{} questions run or wait already, as many as `[web] queries` in mainstem.toml lets in. Come back.\n",
                self.limits.at_once
            );
            let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE, text);
            return Err(answer.with_header(header::RETRY_AFTER, "1"));
        }
        let asked = Some(Duration::from_millis(timeout_ms)).filter(|asked| !asked.is_zero());
        let longest = asked.map_or(self.limits.longest, |asked| asked.min(self.limits.longest));
        self.running.set(self.running.get() + 1);
        self.telemetry.running_queries.store(self.running.get() as u64, Relaxed);
        let begun = Instant::now();
        Ok(RunningQuery {
            limit: if longest < self.limits.longest { Limit::OfRequest } else { Limit::OfConfig },
            longest,
            begun,
            memory_bytes: self.limits.memory_bytes,
            turn: begun,
            outcome: "cancelled",
            running: Rc::clone(&self.running),
            large: Arc::clone(&self.large),
            permit: None,
            telemetry: Arc::clone(&self.telemetry),
        })
    }
}

/// Who said how long a question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    OfRequest,
    OfConfig,
}

/// A question that was let in. Dropped without a word, its client has left.
#[derive(Debug)]
pub(super) struct RunningQuery {
    begun: Instant,
    longest: Duration,
    limit: Limit,
    memory_bytes: usize,
    /// When it had its turn.
    turn: Instant,
    outcome: &'static str,
    running: Rc<Cell<usize>>,
    large: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    telemetry: Arc<Telemetry>,
}

impl RunningQuery {
    /// It is to read about so many samples: if they are many, it waits for those who read many as well.
    pub(super) async fn reads(&mut self, samples: i64) -> Result<(), Answer> {
        if samples <= LARGE_SAMPLES || self.permit.is_some() {
            return Ok(());
        }
        let left = self.longest.saturating_sub(self.begun.elapsed());
        let permit = tokio::time::timeout(left, Arc::clone(&self.large).acquire_owned()).await;
        self.turn = Instant::now();
        match permit {
            Ok(permit) => {
                // The semaphore is never closed.
                self.permit = permit.ok();
                Ok(())
            }
            Err(_) => Err(self.timed_out()),
        }
    }

    /// To be called after each step of work: lets others have their turn when this one is over.
    pub(super) async fn step(&mut self) -> Result<(), Answer> {
        if self.turn.elapsed() >= TURN {
            breathe().await;
            self.turn = Instant::now();
        }
        if self.begun.elapsed() >= self.longest { Err(self.timed_out()) } else { Ok(()) }
    }

    /// When its time is over; `None`: not before any that can be told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.begun.checked_add(self.longest)
    }

    /// Its time is over.
    pub(super) fn timed_out(&mut self) -> Answer {
        self.outcome = "timed_out";
        let text = match self.limit {
            Limit::OfRequest => "Query timeout exceeded".to_owned(),
            Limit::OfConfig => format!(
                "Query timeout exceeded: it ran for {} seconds, as long as `[web] query_seconds` in mainstem.toml lets it. \
                 Ask for a shorter window, fewer points or fewer dimensions, or raise the limit.\n",
                self.longest.as_secs()
            ),
        };
        Answer::error(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// It has no answer: it cannot be answered as it is, or a shard is too busy.
    pub(super) fn fails(&mut self, answer: Answer) -> Answer {
        self.outcome = "failed";
        answer
    }

    /// What one question may hold in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// It holds, or is to hold, so many bytes, of what `what` says: if they are more than it may, it is refused with the advice
    /// to ask for less.
    pub(super) fn holds(
        &mut self,
        bytes: usize,
        what: impl std::fmt::Display,
        less: &str,
    ) -> Result<(), Answer> {
        if bytes <= self.memory_bytes {
            return Ok(());
        }
        let allowed = self.memory_bytes;
        Err(self.too_large(format_args!(
            "This question would take {bytes} bytes of memory ({what}), and `[web] query_memory_bytes` in mainstem.toml lets it \
             have {allowed}. Ask for {less}, or raise the limit.\n"
        )))
    }

    /// It would take more memory than it may.
    pub(super) fn too_large(&mut self, error: impl std::fmt::Display) -> Answer {
        self.outcome = "too_large";
        Answer::error(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// How long it has been running.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// It has its answer: what is left is to write it.
    pub(super) fn done(mut self) {
        self.outcome = "answered";
        self.telemetry.queries.fetch_add(1, Relaxed);
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.running.set(self.running.get() - 1);
        self.telemetry.running_queries.store(self.running.get() as u64, Relaxed);
        self.telemetry.query_outcomes.add(self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn admission(at_once: usize, large_at_once: usize) -> (Admission, Arc<Telemetry>) {
        admission_for(Duration::from_secs(60), at_once, large_at_once)
    }

    fn admission_for(longest: Duration, at_once: usize, large_at_once: usize) -> (Admission, Arc<Telemetry>) {
        let telemetry = Arc::new(Telemetry::new(1));
        let limits = Queries { longest, memory_bytes: 1 << 20, at_once, large_at_once };
        (Admission::new(limits, Arc::clone(&telemetry)), telemetry)
    }

    fn outcomes(telemetry: &Telemetry) -> Vec<String> {
        let page = telemetry.prometheus();
        let lines =
            page.lines().filter_map(|line| line.strip_prefix("mainstem_query_outcomes_total{outcome="));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn one_too_many_is_turned_away_and_told_to_come_back() {
        let (admission, telemetry) = admission(2, 1);
        let first = admission.admit(0).unwrap();
        let _second = admission.admit(0).unwrap();
        let refused = admission.admit(0).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers.iter().any(|(name, _)| *name == header::RETRY_AFTER));
        assert!(String::from_utf8_lossy(&refused.body).contains("`[web] queries`"));
        first.done();
        admission.admit(0).unwrap().fails(Answer::overloaded());
        assert_eq!(outcomes(&telemetry), ["\"answered\"} 1", "\"failed\"} 1", "\"refused\"} 1"]);
    }

    #[tokio::test]
    async fn small_questions_pass_large_ones_that_wait() {
        let (admission, telemetry) = admission(10, 1);
        let mut first = admission.admit(0).unwrap();
        first.reads(i64::MAX).await.unwrap();
        let mut second = admission.admit(0).unwrap();
        {
            let waiting = second.reads(LARGE_SAMPLES + 1);
            tokio::pin!(waiting);
            assert!(waiting.as_mut().now_or_never().is_none());
            let mut small = admission.admit(0).unwrap();
            small.reads(LARGE_SAMPLES).await.unwrap();
            small.done();
            assert!(waiting.as_mut().now_or_never().is_none());
            // Its client leaves.
            drop(first);
            waiting.await.unwrap();
        }
        second.done();
        assert_eq!(outcomes(&telemetry), ["\"answered\"} 2", "\"cancelled\"} 1"]);
        assert!(telemetry.prometheus().contains("mainstem_running_queries 0\n"));
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_which_limit_it_was() {
        let (admission, telemetry) = admission_for(Duration::from_millis(20), 10, 1);
        let mut first = admission.admit(0).unwrap();
        first.reads(i64::MAX).await.unwrap();
        let mut hasty = admission.admit(1).unwrap();
        let answer = hasty.reads(i64::MAX).await.unwrap_err();
        assert_eq!(answer.body, b"Query timeout exceeded");
        drop(hasty);
        let mut patient = admission.admit(0).unwrap();
        let answer = patient.reads(i64::MAX).await.unwrap_err();
        assert!(String::from_utf8_lossy(&answer.body).contains("`[web] query_seconds`"));
        drop(patient);
        assert_eq!(outcomes(&telemetry), ["\"timed_out\"} 2"]);
    }
}
