//! [`Question`] and [`Verifier`]: what a parent answers, compared with what was sent, second by second.
//!
//! A finished sample (v2) must be answered as it was sent. Of collected values (v1) the parent makes samples itself:
//!
//! - absolute: the sample at a boundary is the value collected first after it. Whether that is the boundary's own
//!   second or the one before depends on when the first collection arrived, so it is found out for each chart and
//!   window, and must then hold for every point;
//! - incremental: the rate, which is constant; the times of collection are not, so it is met within a thousandth.
//!
//! A point that is missing is wrong. Nothing is said about points outside of the window.
//!
//! Children with a database are held to more ([`Rule::Exact`]): what they collect is the same whether it was sent live
//! or replayed, rates included, and nothing may be stored that they did not send.

pub mod http;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::fleet::{Fleet, Span};
use crate::load::Load;
use crate::tls::Tls;
use crate::value::{Kind, MICROSECONDS, mix};

/// Seconds at the end of a span that the parent may not have stored yet, and at its beginning, where rates are not.
const MARGIN: i64 = 5;
/// Rows before the first that must be empty.
const BEFORE: i64 = 10;
/// How many wrong points are kept to be shown.
const SHOWN: usize = 20;
/// How far a sample may be off: the precision of what parents store and print.
const PRECISION: f64 = 1e-6;
/// How far a rate may be off that was made of real times of collection.
const RATE_PRECISION: f64 = 1e-3;

/// The boundaries in `first..=last`, in seconds; both are boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub first: i64,
    pub last: i64,
}

impl Window {
    /// The part of a span that can be asked for: at most `longest` seconds, somewhere in it.
    pub fn within(span: Span, update_every: u32, longest: i64, random: u64) -> Option<Window> {
        let step = i64::from(update_every);
        let margin = MARGIN.max(2 * step).div_euclid(step) * step + step;
        let (first, last) = (span.first + margin, span.last - margin);
        let length = (last - first).min(longest.div_euclid(step) * step);
        if length < 0 {
            return None;
        }
        let slack = ((last - first - length) / step + 1) as u64;
        let first = first + (random % slack) as i64 * step;
        Some(Window { first, last: first + length })
    }

    fn seconds(self, update_every: u32) -> impl Iterator<Item = i64> {
        (self.first..=self.last).step_by(update_every as usize)
    }
}

/// How strictly an answer is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What comes of real times of collection.
    Live,
    /// Every point is as the formula has it, and there is none in between. If the child's past `begins` with the window,
    /// there is none before it either, but for one row, for which parents may or may not ask.
    Exact { begins: bool },
}

/// What the parent is asked: all points of a chart.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub load: &'a Load,
    pub child: usize,
    pub chart: usize,
    pub window: Window,
    /// Finished samples were sent, not collected values.
    pub samples: bool,
    pub rule: Rule,
}

/// A point that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrongPoint {
    pub host: String,
    pub chart: String,
    pub dimension: String,
    pub second: i64,
    /// `None`: it is missing.
    pub found: Option<f64>,
    /// `None`: nothing was sent.
    pub expected: Option<f64>,
}

impl fmt::Display for WrongPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongPoint { host, chart, dimension, second, found, expected } = self;
        write!(f, "{host} {chart} {dimension} at {second}: ")?;
        match found {
            Some(found) => write!(f, "{found}, not ")?,
            None => f.write_str("missing, not ")?,
        }
        match expected {
            Some(expected) => write!(f, "{expected}"),
            None => f.write_str("sent"),
        }
    }
}

/// What came of questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// Charts asked for.
    pub questions: u64,
    /// Points that had to be answered.
    pub points: u64,
    pub missing: u64,
    pub wrong: u64,
    /// Points answered that were never sent.
    pub invented: u64,
    /// The first of the missing, the wrong and the invented.
    pub examples: Vec<WrongPoint>,
    /// The first questions without an answer that could be read.
    pub unanswered: Vec<String>,
}

impl Verdict {
    /// Whether something was asked, everything was answered, and every point was right.
    pub fn is_good(&self) -> bool {
        self.points > 0 && self.faults() == 0 && self.unanswered.is_empty()
    }

    fn faults(&self) -> u64 {
        self.missing + self.wrong + self.invented
    }

    fn fault(&mut self, point: WrongPoint) {
        match (point.found, point.expected) {
            (None, _) => self.missing += 1,
            (_, None) => self.invented += 1,
            _ => self.wrong += 1,
        }
        if self.examples.len() < SHOWN {
            self.examples.push(point);
        }
    }

    pub fn merge(&mut self, other: Verdict) {
        self.questions += other.questions;
        self.points += other.points;
        self.missing += other.missing;
        self.wrong += other.wrong;
        self.invented += other.invented;
        self.examples.extend(other.examples);
        self.examples.truncate(SHOWN);
        self.unanswered.extend(other.unanswered);
        self.unanswered.truncate(SHOWN);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { questions, points, missing, wrong, invented, .. } = self;
        write!(f, "{points} points of {questions} charts: {missing} missing, {wrong} wrong")?;
        if *invented > 0 {
            write!(f, ", {invented} invented")?;
        }
        if !self.unanswered.is_empty() {
            write!(f, ", some not answered")?;
        }
        Ok(())
    }
}

/// An answer that cannot be compared.
#[derive(Debug)]
pub enum Unreadable {
    Json(serde_json::Error),
    /// The first column is not the time, or a row is longer than the header.
    Shape,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Json(error) => write!(f, "the answer is not as format=json has it: {error}"),
            Unreadable::Shape => f.write_str("the answer's rows do not fit its labels"),
        }
    }
}

/// `format=json`.
#[derive(Deserialize)]
struct Answer {
    labels: Vec<String>,
    data: Vec<Vec<Option<f64>>>,
}

impl Question<'_> {
    /// What is asked, as path and query.
    pub fn path(&self) -> String {
        let Window { first, last } = self.window;
        // Both edges are inside, but rows are counted from the end: one more keeps the first.
        let rows_before = if self.rule == (Rule::Exact { begins: true }) { 1 + BEFORE } else { 1 };
        format!(
            "/host/{}/api/v1/data?chart={}&after={}&before={last}&format=json&options=natural-points",
            self.load.machine_guid(self.child),
            self.load.chart_id(self.chart),
            first - rows_before * i64::from(self.load.update_every),
        )
    }

    /// Whether an answer has a point of every dimension at the end of the window.
    pub fn has_newest(&self, body: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else { return false };
        let is_newest = |row: &&Vec<Option<f64>>| row.first() == Some(&Some(self.window.last as f64));
        let newest = answer.data.iter().find(is_newest);
        newest.is_some_and(|row| row.len() == 1 + self.load.dimensions && row.iter().all(Option::is_some))
    }

    /// Compares an answer with the formula.
    pub fn judge(&self, body: &[u8]) -> Result<Verdict, Unreadable> {
        let answer: Answer = serde_json::from_slice(body).map_err(Unreadable::Json)?;
        let columns = answer.labels.len();
        if answer.labels.first().is_none_or(|label| label != "time")
            || answer.data.iter().any(|row| row.len() != columns)
        {
            return Err(Unreadable::Shape);
        }
        let offset = i64::from(self.load.update_every);
        let mut on_time = self.compare(&answer, 0);
        if let Rule::Exact { begins } = self.rule {
            self.find_invented(&answer, begins, &mut on_time);
            return Ok(on_time);
        }
        if self.samples || on_time.is_good() {
            return Ok(on_time);
        }
        let one_late = self.compare(&answer, offset);
        Ok(if one_late.faults() < on_time.faults() { one_late } else { on_time })
    }

    /// Notes the points where none was sent: between boundaries, twice at one, or before there was anything.
    fn find_invented(&self, answer: &Answer, begins: bool, verdict: &mut Verdict) {
        let load = self.load;
        let Window { first, last } = self.window;
        let mut seen = HashSet::new();
        for row in &answer.data {
            let second = row[0].unwrap_or(0.0) as i64;
            let is_sent = second % i64::from(load.update_every) == 0 && seen.insert(second);
            let is_told =
                (first..=last).contains(&second) || begins && second < first - i64::from(load.update_every);
            if !is_told || is_sent && second >= first {
                continue;
            }
            for (dimension, found) in answer.labels.iter().zip(row).skip(1) {
                if found.is_some() {
                    verdict.fault(WrongPoint {
                        host: load.hostname(self.child),
                        chart: load.chart_id(self.chart),
                        dimension: dimension.clone(),
                        second,
                        found: *found,
                        expected: None,
                    });
                }
            }
        }
    }

    /// As if absolute values had been collected `late` seconds before the boundary at which they are.
    fn compare(&self, answer: &Answer, late: i64) -> Verdict {
        let load = self.load;
        let mut verdict = Verdict { questions: 1, ..Verdict::default() };
        let child = load.series(self.child);
        let mut rows: Vec<&[Option<f64>]> = answer.data.iter().map(Vec::as_slice).collect();
        let second_of = |row: &[Option<f64>]| row[0].unwrap_or(0.0) as i64;
        rows.sort_by_key(|row| second_of(row));
        for dimension in 0..load.dimensions {
            let id = load.dimension_id(dimension);
            let column = answer.labels.iter().skip(1).position(|label| *label == id).map(|place| place + 1);
            let position = load.position(self.chart, dimension);
            let series = child.of_kind(load.kind(position), position);
            for second in self.window.seconds(load.update_every) {
                let row = rows.binary_search_by_key(&second, |row| second_of(row)).ok();
                let found = row.zip(column).and_then(|(row, column)| rows[row][column]);
                let (expected, precision) = match series.kind {
                    _ if self.samples => (series.stored(second), PRECISION),
                    _ if self.rule != Rule::Live => (series.interpolated(second), PRECISION),
                    Kind::Counter => (series.rate() as f64, RATE_PRECISION),
                    _ => (series.sample_of(series.collected((second - late) * MICROSECONDS)), PRECISION),
                };
                verdict.points += 1;
                let is_right = found
                    .is_some_and(|found| (found - expected).abs() <= precision * expected.abs().max(1.0));
                if is_right {
                    continue;
                }
                verdict.fault(WrongPoint {
                    host: load.hostname(self.child),
                    chart: load.chart_id(self.chart),
                    dimension: id.clone(),
                    second,
                    found,
                    expected: Some(expected),
                });
            }
        }
        verdict
    }
}

/// Asks a parent about running children.
#[derive(Debug)]
pub struct Verifier {
    parent: SocketAddr,
    tls: Option<Tls>,
    /// Charts asked for in a round, all children together; 0: all.
    charts: usize,
    /// The longest window, in seconds.
    longest: i64,
    random: u64,
}

impl Verifier {
    pub fn new(parent: SocketAddr, charts: usize, longest: i64, seed: u64) -> Verifier {
        Verifier { parent, tls: None, charts, longest, random: mix(seed) }
    }

    /// Asks encrypted.
    pub fn with_tls(self, tls: Tls) -> Verifier {
        Verifier { tls: Some(tls), ..self }
    }

    /// Asks for random charts of children that stream now, one question after the other.
    pub async fn round(&mut self, fleet: &Fleet) -> Verdict {
        let load = fleet.load();
        let mut verdict = Verdict::default();
        for (child, chart) in self.choose(load) {
            let Some(span) = fleet.span(child) else { continue };
            self.random = mix(self.random);
            let Some(window) = Window::within(span, load.update_every, self.longest, self.random >> 32)
            else {
                continue;
            };
            let rule = Rule::Live;
            let question = Question { load, child, chart, window, samples: span.samples, rule };
            verdict.merge(self.ask(&question).await);
        }
        verdict
    }

    /// Asks for every second of random charts, from the first that their children ever offered up to now, whatever cuts
    /// there were in between. For children with a database, when all of them stream and the parent has asked for all that
    /// it wants.
    pub async fn whole(&mut self, fleet: &Fleet) -> Verdict {
        let load = fleet.load();
        let step = i64::from(load.update_every);
        let longest = (self.longest / step).max(1) * step;
        let mut verdict = Verdict::default();
        for (child, chart) in self.choose(load) {
            let Some(span) = fleet.span(child) else {
                let unanswered = vec![format!("{} does not stream", load.hostname(child))];
                verdict.merge(Verdict { unanswered, ..Verdict::default() });
                continue;
            };
            let end = span.last - MARGIN.div_euclid(step) * step - step;
            for first in (span.first..=end).step_by(longest as usize) {
                let window = Window { first, last: end.min(first + longest - step) };
                let rule = Rule::Exact { begins: span.begins && first == span.first };
                let question = Question { load, child, chart, window, samples: span.samples, rule };
                verdict.merge(self.ask(&question).await);
            }
        }
        verdict
    }

    /// The children and charts of a round.
    fn choose(&mut self, load: &Load) -> Vec<(usize, usize)> {
        let all = load.children * load.charts;
        let is_all = self.charts == 0 || self.charts >= all;
        let count = if is_all { all } else { self.charts };
        let choose = |turn| {
            self.random = mix(self.random);
            let place = if is_all { turn } else { (self.random % all as u64) as usize };
            (place / load.charts, place % load.charts)
        };
        (0..count).map(choose).collect()
    }

    async fn ask(&self, question: &Question<'_>) -> Verdict {
        let path = question.path();
        let judged = match http::get_with(self.parent, self.tls.as_ref(), &path).await {
            Ok(body) => question.judge(&body).map_err(|unreadable| unreadable.to_string()),
            Err(error) => Err(error.to_string()),
        };
        judged.unwrap_or_else(|why| Verdict {
            questions: 1,
            unanswered: vec![format!("{path}: {why}")],
            ..Verdict::default()
        })
    }
}

#[cfg(test)]
mod tests;
