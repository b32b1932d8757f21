//! What a child has and we have not: asked for, filled in, gone on with, given up.

use dbengine::{Samples, TimeRange};

use super::*;

/// Unix seconds of the newest row that the child has.
const LAST: i64 = START / SECOND;

/// What a question asks for: chart, whether live data is to follow, after and before.
pub(super) fn question(line: &str) -> (String, bool, i64, i64) {
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    assert_eq!((words[0], words.len()), ("REPLAY_CHART", 5), "{line:?}");
    let number = |word: &str| word.parse().expect("a number");
    (words[1].trim_matches('"').into(), words[2] == "\"true\"", number(words[3]), number(words[4]))
}

/// A child's answer with a row a second, whose value is the second.
fn answer(
    chart: &str,
    starts: bool,
    seconds: impl Iterator<Item = i64>,
    (first, last): (i64, i64),
    before: i64,
) -> String {
    let mut lines = format!("RBEGIN \"{chart}\"\n");
    for second in seconds {
        lines += &format!("RBEGIN '' {} {second} {last}\nRSET 'd' {second} A\n", second - 1);
    }
    lines + &format!("REND 1 {first} {last} {starts} {first} {before} {last}\n")
}

impl Story {
    fn questions(&mut self) -> Vec<(String, bool, i64, i64)> {
        let lines = self.asked().into_iter().filter(|line| line.starts_with("REPLAY_CHART"));
        lines.flat_map(|lines| lines.lines().map(question).collect::<Vec<_>>()).collect()
    }

    /// A child has the rows after `after` until `last`.
    fn define(&mut self, now_us: i64, child: ConnectionId, chart: &str, after: i64, last: i64) {
        let first = after + 1;
        self.say(now_us, child, &CHART.replace("a.b", chart));
        self.say(now_us, child, &format!("CHART_DEFINITION_END {first} {last} {last}\n"));
    }

    /// The times of a chart's rows, each of which has its time as its value.
    fn seconds(&self, chart: usize) -> Vec<i64> {
        let group = self.shard.hosts[0].charts()[chart].chart.group;
        let mut samples = Samples::default();
        self.shard.engine.read(group, TimeRange::ALL).column(0, TimeRange::ALL, &mut samples);
        let is_right = |(time, value): (&i64, &f32)| (*time as f32) == *value;
        assert!(samples.times.iter().zip(&samples.values).all(is_right), "{samples:?}");
        samples.times
    }

    fn missing(&self, chart: usize) -> Vec<(i64, i64)> {
        let mirror = &self.shard.hosts[0];
        let rows = mirror.charts().iter().enumerate().map(|(index, mirrored)| {
            let missing = mirror.missing(crate::receiver::ChartIndex::nth(index));
            missing.map_or(0, |missing| missing.seconds().div_ceil(mirrored.chart.update_every.into()))
        });
        assert_eq!(mirror.missing_rows(), rows.sum::<u64>(), "what is counted is what is there");
        let missing = mirror.missing(crate::receiver::ChartIndex::nth(chart));
        missing
            .map_or_else(Vec::new, |all| all.spans().iter().map(|span| (span.first.0, span.last.0)).collect())
    }

    /// What the store was told last about what is missing.
    fn stored_missing(&mut self) -> Option<Vec<(i64, i64)>> {
        let changes = self.stored().1.into_iter().rev();
        changes.into_iter().find_map(|change| match change {
            CatalogChange::Missing { spans, .. } => Some(spans),
            _ => None,
        })
    }
}

#[test]
fn the_newest_rows_come_first_and_the_past_is_filled_in_while_live_data_flows() {
    let mut story = Story::begin();
    let child = story.arrive_with(MemoryMode::Save, START, 1, 7);
    let first = LAST - 700;
    story.define(START, child, "a.b", first, LAST);
    assert_eq!(story.questions(), [("a.b".into(), true, LAST - 10, LAST)]);
    story.settle(START);
    assert_eq!(story.stored_missing(), Some(vec![(first + 1, LAST - 10)]));
    assert!(story.questions().is_empty(), "nothing else is asked before the chart is live");

    story.say(START, child, &answer("a.b", true, LAST - 9..=LAST, (first, LAST), LAST));
    assert_eq!(story.questions(), [("a.b".into(), false, first, first + 512)]);
    let live = |second: i64| format!("BEGIN2 'a.b' 1 {second} #\nSET2 'd' {second} # A\nEND2\n");
    story.say(START + SECOND, child, &live(LAST + 1));
    assert_eq!(story.seconds(0), (LAST - 9..=LAST + 1).collect::<Vec<_>>());

    story.say(
        START + SECOND,
        child,
        &answer("a.b", false, first + 1..=first + 512, (first, LAST), first + 512),
    );
    assert_eq!(story.questions(), [("a.b".into(), false, first + 512, LAST - 10)]);
    story.say(START + SECOND, child, &live(LAST + 2));
    // Some of it comes in two answers.
    story.say(
        START + SECOND,
        child,
        &answer("a.b", false, first + 513..=first + 600, (first, LAST), first + 600),
    );
    assert_eq!(story.questions(), [("a.b".into(), false, first + 600, LAST - 10)]);
    assert_eq!(story.missing(0), [(first + 601, LAST - 10)]);
    story.say(
        START + SECOND,
        child,
        &answer("a.b", false, first + 601..=LAST - 10, (first, LAST), LAST - 10),
    );
    assert!(story.questions().is_empty());
    assert_eq!(story.seconds(0), (first + 1..=LAST + 2).collect::<Vec<_>>());
    story.settle(START + SECOND);
    assert_eq!(story.stored_missing(), Some(vec![]));
    let counters = story.shard.children.iter().flatten().next().expect("the child").counters.clone();
    assert_eq!((counters.replayed_rows, counters.filled_rows, counters.stale_rows), (700, 690, 0));
    assert_eq!(story.shard.pace, Pace::default());
}

#[test]
fn what_a_cut_connection_left_out_is_asked_for_by_the_next_one() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    let first = LAST - 300;
    story.define(START, child, "a.b", first, LAST);
    story.say(START, child, &answer("a.b", true, LAST - 9..=LAST, (first, LAST), LAST));
    assert_eq!(story.questions().len(), 2);
    let cut = answer("a.b", false, first + 1..=first + 100, (first, LAST), first + 256);
    let cut = &cut[..cut.rfind("RSET").expect("a last row")];
    story.say(START, child, cut);
    story.shard.apply(
        START,
        Event::Ended { connection: child, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    assert_eq!(story.missing(0), [(first + 100, LAST - 10)]);
    assert_eq!(story.shard.pace, Pace::default());

    let (again, now) = (START + 100 * SECOND, LAST + 100);
    let child = story.arrive(again, 2, 7);
    story.define(again, child, "a.b", first, now);
    assert_eq!(story.questions(), [("a.b".into(), true, now - 10, now)]);
    assert_eq!(story.missing(0), [(first + 100, LAST - 10), (LAST + 1, now - 10)]);
    story.say(again, child, &answer("a.b", true, now - 9..=now, (first, now), now));
    let mut asked = story.questions();
    while let Some((chart, starts, after, before)) = asked.pop() {
        assert!(!starts);
        story.say(again, child, &answer(&chart, false, after + 1..=before, (first, now), before));
        asked = story.questions();
    }
    assert!(story.seconds(0).into_iter().eq(first + 1..=now));
    assert!(story.missing(0).is_empty());
}

#[test]
fn what_is_restored_of_another_day_is_gone_on_with() {
    let mut story = Story::begin();
    let child = story.arrive_with(MemoryMode::Save, START, 1, 7);
    story.define(START, child, "a.b", LAST - 100, LAST);
    story.say(START, child, &answer("a.b", true, LAST - 9..=LAST, (LAST - 100, LAST), LAST));
    story.settle(START);
    let (mut host, mut chart, mut missing) = (None, None, None);
    for change in story.stored().1 {
        match change {
            CatalogChange::Host(record) => host = Some(record),
            CatalogChange::Chart { chart: record, .. } => chart = Some(record),
            CatalogChange::Missing { spans, .. } => missing = Some(spans),
            _ => {}
        }
    }
    let span = |(first, last)| TimeRange { first: UnixSeconds(first), last: UnixSeconds(last) };
    let missing = crate::catalog::Missing::new(missing.expect("the past").into_iter().map(span));
    let chart = RestoredChart {
        record: chart.expect("the chart"),
        newest: UnixSeconds(LAST),
        saved: Default::default(),
        missing,
    };
    let mut story = Story::begin();
    let restored = Event::Restored { host: Box::new(host.expect("the host")), charts: vec![chart] };
    story.shard.apply(START, restored, &mut story.actions);
    let child = story.arrive_with(MemoryMode::Save, START, 1, 7);
    story.define(START, child, "a.b", LAST - 100, LAST + 5);
    assert_eq!(story.questions(), [("a.b".into(), true, LAST, LAST + 5)]);
    story.say(START, child, &answer("a.b", true, LAST + 1..=LAST + 5, (LAST - 100, LAST + 5), LAST + 5));
    assert_eq!(story.questions(), [("a.b".into(), false, LAST - 100, LAST - 10)]);
}

#[test]
fn a_child_that_does_not_answer_is_asked_again_and_then_given_up() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.define(START, child, "a.b", LAST - 100, LAST);
    let mut asked = story.questions();
    for seconds in 1..500 {
        story.settle(START + seconds * SECOND);
        asked.extend(story.questions());
    }
    let newest = |after, before| ("a.b".to_owned(), true, after, before);
    let past = ("a.b".to_owned(), false, LAST - 100, LAST - 10);
    // What is not answered is taken for live after a while; then its past is asked for.
    let expected = [newest(LAST - 10, LAST), newest(0, 0), newest(0, 0), past.clone(), past.clone(), past];
    assert_eq!(asked, expected);
    assert!(story.missing(0).is_empty());
    let counters = story.shard.children.iter().flatten().next().expect("the child").counters.clone();
    assert_eq!(counters.replication_given_up, 2);
    assert_eq!(story.shard.pace, Pace::default());
}

#[test]
fn a_child_that_never_comes_to_an_end_is_not_asked_for_ever() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.define(START, child, "a.b", LAST - 100, LAST);
    let mut asked = story.questions().len();
    for _ in 0..50 {
        story.say(START, child, &answer("a.b", false, 0..0, (LAST - 100, LAST), 0));
        asked += story.questions().len();
    }
    assert!(asked < 10, "{asked} questions");
    assert_eq!(story.shard.pace, Pace::default());
}

#[test]
fn rows_that_nobody_lacks_are_passed_over() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.define(START, child, "a.b", LAST - 5, LAST);
    story.say(START, child, &answer("a.b", true, LAST - 4..=LAST, (LAST - 5, LAST), LAST));
    story.say(START, child, &answer("a.b", true, LAST - 50..=LAST, (LAST - 50, LAST), LAST));
    story.say(START, child, &answer("a.b", false, LAST - 50..=LAST, (LAST - 50, LAST), LAST));
    assert_eq!(story.seconds(0), (LAST - 4..=LAST).collect::<Vec<_>>());
}

#[test]
fn no_more_of_the_past_is_asked_for_at_once_than_is_answered_soon() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    for chart in 0..50 {
        story.define(START, child, &format!("a.{chart}"), LAST - 1000, LAST);
    }
    assert_eq!(story.questions().len(), 50);
    for chart in 0..50 {
        let newest = answer(&format!("a.{chart}"), true, LAST - 9..=LAST, (LAST - 1000, LAST), LAST);
        story.say(START, child, &newest);
    }
    let mut asked = story.questions();
    assert_eq!(asked.len(), 4);
    let mut answered = 0;
    while !asked.is_empty() {
        let (chart, _, after, before) = asked.remove(0);
        answered += 1;
        story.say(START, child, &answer(&chart, false, after + 1..=before, (LAST - 1000, LAST), before));
        asked.extend(story.questions());
        assert!(asked.len() <= 4);
    }
    assert_eq!(answered, 100);
    assert!((0..50).all(|chart| story.seconds(chart).len() == 1000));
}

#[test]
fn a_child_whose_answers_end_at_gaps_is_asked_for_what_comes_behind_them() {
    let mut story = Story::begin();
    story.program_version = "v1.37.1";
    let child = story.arrive(START, 1, 7);
    let first = LAST - 400;
    // Its database has gaps of 5 and of 200 seconds, and one that begins with the newest rows.
    let has = |second: &i64| {
        let place = second - first;
        !((100..105).contains(&place) || (150..350).contains(&place) || (390..395).contains(&place))
    };
    story.define(START, child, "a.b", first, LAST);
    let mut asked = story.questions();
    let mut questions = 0;
    while let Some((chart, starts, after, before)) = asked.pop() {
        questions += 1;
        let run = (after + 1..=before).take_while(has);
        story.say(START, child, &answer(&chart, starts, run, (first, LAST), before));
        asked = story.questions();
        assert!(questions < 200);
    }
    assert!(story.missing(0).is_empty());
    let found = story.seconds(0);
    let lost: Vec<i64> = (first + 1..=LAST)
        .filter(has)
        .filter(|second| !found.contains(second))
        .map(|second| second - first)
        .collect();
    assert!(lost.is_empty(), "{lost:?} of {questions}");
}

/// A child whose chart is collected now and then comes back within one of its intervals, to a parent that was restarted: it has
/// no row to replay, but its answer says where its arithmetic stands.
#[test]
fn a_counter_whose_child_comes_back_between_two_rows_goes_on_where_it_was() {
    let definition = CHART.replace("absolute", "incremental").replace("\"d\"", "\"never\"")
        + "DIMENSION \"d\" \"\" \"incremental\" 1 1 \"\"\n";
    let rows_after = |first: i64, before: i64| {
        let mut story = Story::begin();
        story.program_version = "v1.37.1";
        story.capabilities = Capabilities::from_version(16376).without(Capabilities::COMPRESSIONS);
        let child = story.arrive(START, 1, 7);
        story.say(START, child, &definition);
        story.say(START, child, &format!("CHART_DEFINITION_END {first} {LAST} {LAST}\n"));
        assert_eq!(story.questions().len(), 1);
        // Collected 0.3 s after the last boundary, when 3 had come since that.
        let collected = START + 300_000;
        let answer = format!(
            "RBEGIN \"a.b\"\nRDSTATE \"never\" 0 0 0 0\nRDSTATE \"d\" {collected} 100 3 10\n\
             RSSTATE {collected} {START}\nREND 1 {first} {LAST} true {} {before} {LAST}\n",
            before - 10,
        );
        story.say(collected, child, &answer);
        for (seconds, value) in [(2, 120), (3, 130)] {
            let step = if seconds == 2 { 2 * SECOND } else { SECOND };
            let row = format!("BEGIN a.b {step}\nSET never = {value}\nSET d = {value}\nEND\n");
            story.say(collected + seconds * SECOND, child, &row);
        }
        let group = story.shard.hosts[0].charts()[0].chart.group;
        let column = |index| {
            let mut samples = Samples::default();
            story.shard.engine.read(group, TimeRange::ALL).column(index, TimeRange::ALL, &mut samples);
            samples.times.into_iter().map(|time| time - LAST).zip(samples.values).collect::<Vec<_>>()
        };
        [column(0), column(1)]
    };
    let [never, counter] = rows_after(LAST - 60, LAST);
    assert_eq!(counter, [(1, 10.0), (2, 10.0), (3, 10.0)]);
    assert!(never.iter().all(|(time, value)| *time == 3 || value.is_nan()), "{never:?}");
    // Answers about no time at all, and of a chart that was just collected for the first time: a Netdata parent takes the next
    // collection for the first.
    for [first, before] in [[LAST - 60, 0], [LAST, LAST]] {
        let [_, counter] = rows_after(first, before);
        assert_eq!(counter.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [3], "{first} {before}");
    }
}
