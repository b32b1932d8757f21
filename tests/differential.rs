//! `data` against a real Netdata: both parents get the same stream of one child, and are asked the same random questions.
//!
//! What 1.37.1 gets wrong, and is right here, is not asked, or not compared: see [`Question::draw`] and [`compare`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mainstem::query::weights::ks2;
use serde_json::Value;
use uuid::Uuid;

use crate::child::{V1, greet, request, request_with};
use crate::harness::{PATIENCE, Response, TestParent, get, wait_for};
use crate::peer::{Netdata, free_port, now};
use crate::synth::{Row, Synth, dimension, replicated, synth_charts};

const KEY: &str = "11111111-2222-3333-4444-555555555555";
const QUESTIONS: usize = 500;
const PAST_S: i64 = 2700;
/// What differs for a reason: counts of storage, and values and times of the moment.
const IGNORED: [&str; 3] = ["latest_values", "db_points_per_tier", "last_entry"];

/// Numbers that look random and are the same in every run: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.roll((most - least + 1) as u64) as i64
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len() as u64) as usize]
    }
}

struct Question {
    path: String,
    /// Its answer is JSON; else a text of numbers and other things.
    is_json: bool,
    /// The oldest row is one that 1.37.1 gets wrong.
    without_oldest: bool,
}

impl Question {
    fn draw(dice: &mut Dice, first: i64, last: i64) -> Question {
        let mut path = "/host/synth-a/api/v1/data?".to_owned();
        let chart = dice.pick(&["wave", "wave", "neg", "gaps", "ten", "hid", "twin", "context"]);
        match chart {
            // Two charts of one context, and all of some.
            "context" => {
                path += dice.pick(&[
                    "context=synth.wave",
                    "context=synth.w*|synth.n*",
                    "chart=synth.*&context=synth.wave",
                ])
            }
            chart => path += &format!("chart=synth.{chart}"),
        }
        match dice.roll(6) {
            0 => path += "&dimensions=a|n|g|x|v",
            1 => path += "&dimension=*",
            2 if chart == "wave" => path += "&dimensions=!a|*",
            3 if chart == "hid" => path += "&dims=w",
            _ => {}
        }
        // Well inside: what 1.37.1 makes of the first sample of all is another matter.
        let before = dice.between(first + 700, last - 60);
        let duration = match dice.roll(4) {
            0 => dice.between(0, 20),
            1 => dice.between(0, 600),
            _ => dice.between(0, 120),
        };
        let after = before - duration;
        let is_relative = dice.one_in(5);
        let _ = match is_relative {
            true => write!(path, "&after=-{}&before={before}", duration + 1),
            false if dice.one_in(10) => write!(path, "&after={before}&before={after}"),
            false => write!(path, "&after={after}&before={before}"),
        };
        let points = if dice.one_in(3) { 0 } else { dice.between(1, 1 + duration * 3 / 2) };
        if points > 0 {
            let _ = write!(path, "&points={points}");
        }
        let group = dice.pick(&[
            "average",
            "average",
            "average",
            "sum",
            "min",
            "max",
            "stddev",
            "cv",
            "incremental-sum",
            "ses",
            "des",
            "percentile",
            "percentile50",
            "percentile99",
            "trimmed-mean",
            "trimmed-mean25",
            "countif",
            "nosuch",
            "mean",
        ]);
        let _ = write!(path, "&group={group}");
        if group == "countif" {
            path += dice.pick(&["&group_options=%3E4", "&group_options=!%3D5", "&group_options=%3C%3D3"]);
        }
        // Each row is as wide, and 1.37 loses the very first sample: rows must not reach back to it.
        if group == "average" && (1..=9).contains(&points) && dice.one_in(2) {
            path += dice.pick(&["&gtime=60", "&gtime=10", "&gtime=1", "&gtime=7"]);
        }
        let format = dice.pick(&[
            "json",
            "json",
            "json",
            "array",
            "csv",
            "tsv",
            "ssv",
            "ssvcomma",
            "html",
            "markdown",
            "csvjsonarray",
        ]);
        let _ = write!(path, "&format={format}");
        // Local time depends on the machine; as text there are no dates.
        let mut options = vec![dice.pick(&["seconds", "ms"])];
        let all = [
            "jsonwrap",
            "flip",
            "nonzero",
            "absolute",
            "percentage",
            "null2zero",
            "unaligned",
            "natural-points",
            "virtual-points",
            "min2max",
            "objectrows",
            "match-ids",
            "match-names",
        ];
        options.extend(all.iter().filter(|_| dice.one_in(5)));
        let is_json = ["json", "array", "csvjsonarray"].contains(&format) || options.contains(&"jsonwrap");
        let _ = write!(path, "&options={}", options.join(dice.pick(&[",", "|", "%7C"])));
        let natural = points == 0 || is_relative || options.contains(&"natural-points");
        let virtual_rows = !natural || options.contains(&"virtual-points");
        Question { path, is_json, without_oldest: chart == "ten" && virtual_rows }
    }
}

/// Texts of numbers and other things are alike when the numbers are close and the rest is equal.
fn alike(ours: &str, theirs: &str) -> Result<(), String> {
    let words = |text: &str| -> Vec<String> {
        let mut words = vec![String::new()];
        let mut was_number = false;
        for character in text.chars() {
            if character.is_whitespace() {
                words.push(String::new());
                continue;
            }
            let is_number = character.is_ascii_digit() || ['.', '-'].contains(&character);
            if is_number != was_number {
                words.push(String::new());
                was_number = is_number;
            }
            words.last_mut().expect("one").push(character);
        }
        words.retain(|word| !word.is_empty());
        words
    };
    let (ours, theirs) = (words(ours), words(theirs));
    if ours.len() != theirs.len() {
        return Err(format!("{} words, not {}", ours.len(), theirs.len()));
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let equal = match (ours.parse(), theirs.parse()) {
            (Ok(ours), Ok(theirs)) => close(ours, theirs),
            _ => ours == theirs,
        };
        if !equal {
            return Err(format!("{ours:?}, not {theirs:?}"));
        }
    }
    Ok(())
}

/// Netdata keeps 24 bits of a sample.
fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= theirs.abs() * 1e-5 + 2e-6
}

fn alike_json(ours: &Value, theirs: &Value, place: &str) -> Result<(), String> {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => {
            let equal = close(ours.as_f64().unwrap_or(f64::NAN), theirs.as_f64().unwrap_or(f64::NAN));
            if equal { Ok(()) } else { Err(format!("{place}: {ours}, not {theirs}")) }
        }
        (Value::String(ours), Value::String(theirs)) => {
            alike(ours, theirs).map_err(|error| format!("{place}: {error}"))
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs
                .try_for_each(|(index, (ours, theirs))| alike_json(ours, theirs, &format!("{place}/{index}")))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let wanted = |key: &&String| !IGNORED.contains(&key.as_str());
            let keys: Vec<&String> = theirs.keys().filter(wanted).collect();
            if ours.keys().filter(wanted).collect::<Vec<_>>() != keys {
                return Err(format!("{place}: {:?}, not {keys:?}", ours.keys().collect::<Vec<_>>()));
            }
            keys.into_iter()
                .try_for_each(|key| alike_json(&ours[key], &theirs[key], &format!("{place}/{key}")))
        }
        (ours, theirs) if ours == theirs => Ok(()),
        (ours, theirs) => Err(format!("{place}: {ours}, not {theirs}")),
    }
}

fn compare(question: &Question, ours: &Response, theirs: &Response) -> Result<(), String> {
    // Where percentages need dimensions that are not shown, 1.37 answers with no column at all.
    if ours.status == 404 && question.path.contains("percentage") {
        return Ok(());
    }
    if ours.status != theirs.status {
        return Err(format!("{} {}, not {} {}", ours.status, ours.text(), theirs.status, theirs.text()));
    }
    if ours.status != 200 || !question.is_json {
        return alike(ours.text().trim_end(), theirs.text().trim_end());
    }
    let parsed = |response: &Response| -> Result<Value, String> {
        // 1.37 leaves the tabs of tsv as they are, which no string of JSON may have.
        let text = response.text().replace('\t', "\\t");
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    };
    let (mut ours, mut theirs) = (parsed(ours)?, parsed(theirs)?);
    for answer in [&mut ours, &mut theirs].into_iter().filter_map(Value::as_object_mut) {
        // For these 1.37 says that it does not know the format.
        if question.path.contains("format=markdown") || question.path.contains("format=csvjsonarray") {
            answer.remove("format");
        }
        // Of percentages 1.37 takes them of the oldest row alone.
        if question.path.contains("percentage") {
            answer.remove("min");
            answer.remove("max");
        }
    }
    alike_json(&ours, &theirs, "")
}

/// Two parents that have the same samples of one host.
struct Both {
    parent: TestParent,
    netdata: Netdata,
    /// What they live in, and are connected to.
    _kept: (tempfile::TempDir, [TcpStream; 2]),
}

impl Both {
    fn with(charts: &[Synth], first: i64, last: i64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // One tier: what 1.37.1 takes from which of several depends on its pages.
        let netdata = Netdata::parent(free_port(), directory.path(), KEY, &["TIERS=1"]);
        let parent = TestParent::start();
        wait_for("the real one to listen", PATIENCE, &netdata.api, |api| TcpStream::connect(api).is_ok());

        let (lines, rows) = replicated(charts, first, last);
        let guid = Uuid::from_u128(0xb000_0000_0000_4000_a000_0000_0000_000b);
        let (mut to_ours, _) = greet(parent.address, &request(&parent, "synth-a", guid, V1));
        to_ours.write_all(lines.as_bytes()).expect("sent");
        // Until it has started it refuses.
        let mut accepted = None;
        wait_for("the real one to accept", PATIENCE, &netdata.api, |api| {
            let (stream, prompt) = greet(*api, &request_with(KEY, "synth-a", guid, V1));
            accepted = prompt.starts_with("Hit me baby").then_some(stream);
            accepted.is_some()
        });
        let mut to_theirs = accepted.expect("a connection");
        to_theirs.write_all(lines.as_bytes()).expect("sent");
        parent.wait("all rows", |parent| parent.telemetry().total(|shard| &shard.rows) == rows);
        let has_all = |address: SocketAddr| {
            charts.iter().all(|chart| {
                let path = format!("/host/synth-a/api/v1/chart?chart=synth.{}", chart.id);
                let answer: Value = serde_json::from_slice(&get(address, &path).body).unwrap_or_default();
                answer["last_entry"].as_i64() == Some(last - last.rem_euclid(chart.every))
            })
        };
        wait_for("all charts at the real one", Duration::from_secs(60), &netdata.api, |api| has_all(*api));
        parent.wait("all charts", |parent| has_all(parent.address));
        Self { parent, netdata, _kept: (directory, [to_ours, to_theirs]) }
    }

    /// Both answers, ours first.
    fn ask(&self, path: &str) -> (Response, Response) {
        (self.parent.get(path), get(self.netdata.api, path))
    }
}

/// Samples are formulas of time: so all runs ask the same.
fn past() -> (i64, i64) {
    let last = (now() - 2).div_euclid(600) * 600;
    (last - PAST_S, last)
}

#[test]
fn random_questions_have_the_answers_of_a_real_parent() {
    let (first, last) = past();
    let mut charts = synth_charts();
    charts.push(Synth::new(
        "twin",
        "wave",
        "line",
        1,
        &(dimension("a", "alpha", 1, "") + &dimension("d", "", 1, "")),
        |t| vec![("a", Some((t % 7) as f64)), ("d", Some((t % 90) as f64 / 2.0))],
    ));
    let both = Both::with(&charts, first, last);

    let mut dice = Dice(10);
    let mut wrong = Vec::new();
    let mut answered = 0;
    for _ in 0..QUESTIONS {
        let question = Question::draw(&mut dice, first, last);
        let (ours, theirs) = both.ask(&question.path);
        answered += usize::from(theirs.status == 200);
        if question.without_oldest {
            continue;
        }
        if let Err(error) = compare(&question, &ours, &theirs) {
            wrong.push(format!("{}\n    {error}", question.path));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {QUESTIONS} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert!(answered > QUESTIONS / 2, "{answered}");
}

/// Which of the seconds of ten minutes are the highlight; the baseline is those before it, up to the one of ten minutes ago.
const HIGHLIGHT: std::ops::RangeInclusive<i64> = 421..=540;

/// A sample as 1.37.1 has it: a decimal of 24 bits, times a power of ten that is not exact.
fn stored(value: f64) -> f64 {
    let (mut digits, mut power) = (value.abs(), 0);
    while power < 7 && digits < 1_677_726.0 {
        digits *= 10.0;
        power += 1;
    }
    let unit = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7][power];
    (digits.round() * unit).copysign(value)
}

/// The score of what 1.37.1 sees: changes cut to whole 1/100 000, so that one change may be two.
fn ks2_as_cut(before: &[f64], after: &[f64]) -> f64 {
    let cut = |points: &[f64]| -> Vec<i64> {
        let changes = points.windows(2).map(|pair| (stored(pair[0]) - stored(pair[1])) * 100_000.0);
        changes.map(|change| change as i64).collect()
    };
    let (before, after) = (cut(before), cut(after));
    let different: BTreeSet<i64> = before.iter().chain(&after).copied().collect();
    // Only the order of changes counts: these are small ones that none takes for another.
    let place = |change: &i64| different.range(..change).count() as f64 - different.len() as f64 / 2.0;
    let points = |changes: &[i64]| -> Vec<f64> {
        let mut all = vec![0.0];
        changes.iter().for_each(|change| all.push(all[all.len() - 1] - place(change)));
        all
    };
    ks2(&points(&before), &points(&after)).expect("a score").value()
}

/// Noise from 0 to 100 that is the same in every run.
fn noise(time: i64, dimension: u64) -> f64 {
    Dice(time.rem_euclid(PAST_S) as u64 * 131 + dimension).roll(101) as f64
}

/// Dimensions that change in the highlight, each in its own way.
fn changing(time: i64) -> Row {
    let is_changed = HIGHLIGHT.contains(&time.rem_euclid(600));
    let pick = |changed: f64, usual: f64| Some(if is_changed { changed } else { usual });
    let own = |dimension: u64| noise(time, dimension);
    vec![
        ("same", Some(own(1))),
        ("also", Some(own(2))),
        ("lifted", pick(own(3) + 20.0, own(3))),
        ("lower", pick((own(4) - 40.0).max(0.0), own(4))),
        ("wider1", pick(own(5) * 1.1, own(5))),
        ("wider2", pick(own(6) * 1.3, own(6))),
        ("wider3", pick(own(7) * 1.6, own(7))),
        ("wider4", pick(own(8) * 2.5, own(8))),
        ("narrow1", pick(own(9) * 0.8, own(9))),
        ("narrow2", pick(own(10) * 0.5, own(10))),
        ("still", pick(50.0, own(11))),
        ("begins", pick(own(12), 0.0)),
        ("often", Some(if is_changed && own(13) > 60.0 { 7.0 } else { 0.0 })),
        ("ends", pick(0.0, own(14))),
        ("stairs", Some((time % 60 / 6) as f64)),
        ("faster", pick((time % 30 / 3) as f64, (time % 60 / 6) as f64)),
    ]
}

/// What a host's metrics weigh, by their names.
fn weights(answer: &Response) -> BTreeMap<String, f64> {
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let dimensions =
        answer["correlated_charts"]["synth.change"]["dimensions"].as_object().expect("dimensions");
    dimensions.iter().map(|(name, weight)| (name.clone(), weight.as_f64().expect("a number"))).collect()
}

#[test]
fn metrics_weigh_and_rank_as_they_do_at_a_real_parent() {
    let (first, last) = past();
    let names = changing(0);
    let dimensions: String = names.iter().map(|(name, _)| dimension(name, "", 1, "")).collect();
    let both = Both::with(&[Synth::new("change", "change", "line", 1, &dimensions, changing)], first, last);
    let (begin, end) = (last - 600 + HIGHLIGHT.start(), last - 600 + HIGHLIGHT.end());
    // A baseline is a power of two of highlights wide.
    let points = |name: &str, first: i64, last: i64| -> Vec<f64> {
        let of =
            |time| changing(time).into_iter().find(|(known, _)| *known == name).and_then(|(_, value)| value);
        (first..=last).filter_map(of).collect()
    };
    for method in ["ks2", "volume"] {
        let path = format!(
            "/host/synth-a/api/v1/metric_correlations?method={method}&after={begin}&before={end}&baseline_after={}\
             &baseline_before={}&points=120&options=unaligned,null2zero",
            begin - 480,
            begin - 1
        );
        let (ours, theirs) = both.ask(&format!("{path},raw"));
        let (mut ours, theirs) = (weights(&ours), weights(&theirs));
        if method == "ks2" {
            // 1.37 passes over what is zero throughout one of the windows, as if nothing had begun or ended.
            for name in ["begins", "often", "ends"] {
                assert!(ours.remove(name).is_some_and(|score| score > 0.9), "{name}");
            }
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{method}");
        assert!(theirs.len() > names.len() / 2, "{method}: {theirs:?}");
        for (name, theirs) in &theirs {
            let (ours, mut expected) = (ours[name], ours[name]);
            if method == "ks2" {
                let (before, after) = (points(name, begin - 477, begin - 1), points(name, begin, end));
                let exact = ks2(&before, &after).expect("a score").value();
                assert!((ours - exact).abs() < 1e-6, "{name}: {ours}, not {exact}");
                expected = ks2_as_cut(&before, &after);
            }
            assert!(
                (expected - theirs).abs() <= 1e-5 * theirs.max(1.0),
                "{method} of {name}: {expected}, not {theirs}"
            );
        }

        let (our_ranks, their_ranks) = both.ask(&path);
        let (our_ranks, their_ranks) = (weights(&our_ranks), weights(&their_ranks));
        if method == "volume" {
            let is_same = |(name, rank): (&String, &f64)| close(our_ranks[name], *rank);
            assert!(their_ranks.iter().all(is_same), "{our_ranks:?}, not {their_ranks:?}");
            continue;
        }
        for (ranks, weights) in [(our_ranks, ours), (their_ranks, theirs)] {
            for (stronger, weight) in &weights {
                for (weaker, _) in weights.iter().filter(|(_, other)| *other + 1e-6 < *weight) {
                    assert!(ranks[stronger] < ranks[weaker], "{method}: {stronger} before {weaker}");
                }
            }
        }
    }
}

/// What is of the storage and of the moment: that it is there, is compared.
fn without_statistics(answer: &Response) -> Value {
    let mut answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let statistics = answer.get_mut("statistics").and_then(Value::as_object_mut).into_iter().flatten();
    statistics.for_each(|(_, figure)| *figure = Value::Null);
    answer
}

/// All weights are the same one.
fn without_weights(answer: &mut Value) {
    match answer {
        Value::Number(_) => *answer = Value::Null,
        Value::Object(members) => members.values_mut().for_each(without_weights),
        _ => {}
    }
}

#[test]
fn bodies_of_weights_are_those_of_a_real_parent() {
    let (first, last) = past();
    let chart = |id, context, values: fn(i64) -> Row| {
        let lines: String = values(0).iter().map(|(name, _)| dimension(name, "", 1, "")).collect();
        Synth::new(id, context, "line", 1, &lines, values)
    };
    let named = dimension("i", "a name", 1, "") + &dimension("h", "", 1, "hidden");
    let charts = [
        chart("change", "change", |t| changing(t)[..8].to_vec()),
        // Another one of the same context.
        chart("narrow", "change", |t| changing(t)[8..10].to_vec()),
        chart("begun", "begun", |t| changing(t)[11..14].to_vec()),
        chart("gaps", "gaps", |t| vec![("g", (!(20..40).contains(&(t % 60))).then(|| noise(t, 20)))]),
        Synth::new("named", "named", "area", 1, &named, |t| {
            vec![("i", Some(noise(t, 21))), ("h", Some(noise(t, 22)))]
        }),
        chart("never", "never", |_| vec![("z", Some(0.0))]),
    ];
    let both = Both::with(&charts, first, last);
    let (begin, end) = (last - 600 + HIGHLIGHT.start(), last - 600 + HIGHLIGHT.end());
    let windows =
        format!("after={begin}&before={end}&baseline_after={}&baseline_before={}", begin - 480, begin - 1);
    let options = [
        "",
        "&options=raw",
        "&options=raw,nonzero",
        "&options=null2zero,ms",
        "&contexts=synth.ch*|synth.never&options=raw",
        "&context=synth.none",
        "&points=60&options=raw,unaligned",
        "&points=14",
        // No level of a sum is a sample's: 1.37, whose samples are a little off, counts some that are as high as the level as beyond it.
        "&max_points=120&group=sum&options=raw",
    ];
    for shape in ["weights", "metric_correlations"] {
        for method in ["", "ks2", "volume", "anomaly-rate", "nosuch"] {
            for options in options {
                let is_ks2 = ["ks2", "nosuch"].contains(&method)
                    || method.is_empty() && shape == "metric_correlations";
                let is_rate = !is_ks2 && method != "volume";
                // 1.37 passes over what is zero throughout one of the windows, as if nothing had begun or ended.
                let contexts =
                    if is_ks2 && !options.contains("context") { "&contexts=!synth.begun|*" } else { "" };
                let path =
                    format!("/host/synth-a/api/v1/{shape}?method={method}&{windows}{options}{contexts}");
                let (ours, theirs) = both.ask(&path);
                // To 1.37 all samples of a child are anomalous that does not say of each that it is not.
                if is_rate
                    && ours.status == 404
                    && (!options.contains("options=") || options.contains("nonzero"))
                {
                    continue;
                }
                assert_eq!(ours.status, theirs.status, "{path}: {}{}", ours.text(), theirs.text());
                let (mut ours, mut theirs) = (without_statistics(&ours), without_statistics(&theirs));
                // What KS2 scores is compared above; of wider points than samples we count points, 1.37 samples.
                if is_rate || is_ks2 || options.contains("points=60") {
                    for answer in [&mut ours, &mut theirs] {
                        let is_by_context = shape == "weights";
                        without_weights(
                            &mut answer[if is_by_context { "contexts" } else { "correlated_charts" }],
                        );
                    }
                }
                if let Err(error) = alike_json(&ours, &theirs, "") {
                    panic!("{path}{error}\n{ours}\n{theirs}");
                }
            }
        }
    }
}
