use super::*;
use crate::load::{Load, Protocol, small};
use mainstem::collect::{Collection, Collector, Reading};
use mainstem::wire::capability::Capabilities;
use mainstem::wire::command::{Command, PointFlags, ReplayedPoint};
use mainstem::wire::compression::Workspace;
use mainstem::wire::inbound::InboundError;
use mainstem::wire::{Encoder, Inbound};
use proptest::prelude::*;

/// A boundary of every interval that is tested.
const NOW: i64 = 1_795_342_200;
const CHILD: usize = 2;

/// A child whose newest row is of [`NOW`], that has so much of a past.
struct Simulated {
    load: Load,
    database: Database,
    agreed: Capabilities,
    script: Script,
    history_s: u32,
}

impl Simulated {
    fn new(load: Load, agreed: Capabilities, history_s: u32) -> Simulated {
        let database = Database::new(3600, history_s);
        let load = Load { database: Some(database), ..load };
        Simulated { script: Script::new(&load, agreed), database, agreed, history_s, load }
    }

    fn of(protocol: Protocol, history_s: u32) -> Simulated {
        let load = small(protocol);
        let agreed = load.offered();
        Simulated::new(load, agreed, history_s)
    }

    fn failing(fault: ReplayFault) -> Simulated {
        let mut simulated = Simulated::of(Protocol::V2, 300);
        simulated.database.fault = Some(fault);
        simulated
    }

    fn timeline(&self) -> Timeline {
        Timeline::new(&self.load, CHILD, self.history_s, NOW * MICROSECONDS)
    }

    fn series(&self) -> ChildSeries {
        ChildSeries::new(self.load.seed, CHILD as u64)
    }

    fn respondent(&self, newest: i64) -> Respondent<'_> {
        let timeline = self.timeline();
        let first = timeline.first_held(newest, self.database.retention_s, self.script.sends_samples());
        Respondent {
            script: &self.script,
            series: self.series(),
            timeline,
            database: self.database,
            held: (first <= newest).then_some(Held { first, last: newest }),
            now: newest,
        }
    }

    fn held(&self) -> Held {
        self.respondent(NOW).held.expect("a past")
    }

    /// The text of an answer, and what a parent understands of it.
    fn answer(&self, chart: usize, request: Request) -> (Vec<u8>, Reply) {
        let mut text = Vec::new();
        let answered = self.respondent(NOW).answer(chart, request, &mut text);
        let reply = Reply::read(&text);
        assert_eq!(reply.chart, self.load.chart_id(chart));
        assert_eq!(reply.seconds().into_iter().collect::<BTreeSet<i64>>().len(), answered.rows);
        assert_eq!(reply.end.start_streaming, answered.start_streaming);
        (text, reply)
    }

    /// What has to be stored of the dimensions of a chart at a second.
    fn expected(&self, chart: usize, second: i64) -> Vec<f64> {
        let series = |dimension| self.series().at(self.load.position(chart, dimension));
        let stored = |dimension| match self.script.sends_samples() {
            true => series(dimension).stored(second),
            false => series(dimension).interpolated(second),
        };
        (0..self.load.dimensions).map(stored).collect()
    }
}

#[derive(Debug, Default)]
struct Reply {
    chart: String,
    rows: Vec<Row>,
    states: Vec<State>,
    /// When it was collected, and the boundary before it, in microseconds.
    chart_state: Option<(i64, i64)>,
    end: End,
}

#[derive(Debug)]
struct Row {
    point: ReplayedPoint,
    values: Vec<f64>,
    flags: Vec<PointFlags>,
}

#[derive(Debug)]
struct State {
    collected_us: i64,
    collected: i64,
    calculated: f64,
    stored: f64,
}

#[derive(Debug, Default)]
struct End {
    first: i64,
    last: i64,
    start_streaming: bool,
    after: i64,
    before: i64,
}

impl Reply {
    fn read(text: &[u8]) -> Reply {
        let mut reply = Reply::default();
        let mut is_over = false;
        let mut apply = |command: Command<'_>| {
            assert!(!is_over, "something after the end: {command:?}");
            match command {
                Command::ReplayBegin { chart, point: None } => {
                    reply.chart = String::from_utf8_lossy(chart.id).into_owned();
                }
                Command::ReplayBegin { point: Some(point), .. } => {
                    assert!(reply.chart_state.is_none(), "a row after the state");
                    reply.rows.push(Row { point, values: Vec::new(), flags: Vec::new() });
                }
                Command::ReplaySet { dimension, value, flags } => {
                    let row = reply.rows.last_mut().expect("a row");
                    assert_eq!(dimension.id, format!("value_{:02}", row.values.len() + 1).as_bytes());
                    row.values.push(value);
                    row.flags.push(flags);
                }
                Command::ReplayDimensionState {
                    dimension,
                    last_collected_us: collected_us,
                    last_collected_value: collected,
                    last_calculated: calculated,
                    last_stored: stored,
                } => {
                    assert_eq!(dimension.id, format!("value_{:02}", reply.states.len() + 1).as_bytes());
                    reply.states.push(State { collected_us, collected, calculated, stored });
                }
                Command::ReplayChartState { last_collected_us, last_updated_us } => {
                    reply.chart_state = Some((last_collected_us, last_updated_us));
                }
                Command::ReplayEnd { first, last, start_streaming, after, before, .. } => {
                    reply.end = End { first, last, start_streaming, after, before };
                    is_over = true;
                }
                other => panic!("{other:?} is no part of an answer"),
            }
            Ok::<(), InboundError<()>>(())
        };
        let taken = Inbound::new(None)
            .feed(text, &mut Workspace::default(), &mut apply)
            .expect("a parent understands it");
        assert_eq!(taken, text.len());
        assert!(is_over);
        reply
    }

    fn seconds(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.point.end).collect()
    }
}

/// The same lines, written by the encoder.
fn written_again(agreed: Capabilities, text: &[u8]) -> String {
    let mut encoder = Encoder::new(agreed);
    let mut again = Vec::new();
    let mut apply = |command: Command<'_>| {
        encoder.encode(&command, &mut again);
        Ok::<(), InboundError<()>>(())
    };
    Inbound::new(None).feed(text, &mut Workspace::default(), &mut apply).expect("a parent understands it");
    String::from_utf8_lossy(&again).into_owned()
}

fn request(after: i64, before: i64, start_streaming: bool) -> Request {
    Request { after, before, start_streaming }
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-7 * expected.abs().max(1.0), "{found} is not {expected}");
}

#[test]
fn answers_have_the_form_of_their_generation() {
    let simulated = Simulated::of(Protocol::V1, 100);
    let load = Load { dimensions: 1, ..simulated.load.clone() };
    let simulated = Simulated::new(load, simulated.agreed, 100);
    let (text, _) = simulated.answer(3, request(NOW - 2, NOW, true));
    let series = simulated.series().at(3);
    let (before, last) = (series.interpolated(NOW - 1), series.interpolated(NOW));
    let collection = simulated.timeline().collection(NOW);
    let collected_us = collection.moment_us;
    let collected = series.collected(NOW * MICROSECONDS);
    let expected = format!(
        "RBEGIN \"load.chart_0004\"\n\
         RBEGIN '' {} {} {NOW}\nRSET \"value_01\" {before:.7} \"\"\n\
         RBEGIN '' {} {NOW} {NOW}\nRSET \"value_01\" {last:.7} \"\"\n\
         RDSTATE \"value_01\" {collected_us} {collected} {last:.7} {last:.7}\n\
         RSSTATE {collected_us} {NOW}000000\n\
         REND 1 {} {NOW} true {} {NOW} {NOW}\n",
        NOW - 2,
        NOW - 1,
        NOW - 1,
        NOW - 100 + 2,
        NOW - 2,
    );
    assert_eq!(String::from_utf8_lossy(&text), expected);

    let simulated = Simulated::of(Protocol::V2, 100);
    let (text, _) = simulated.answer(1, request(NOW - 2, NOW, true));
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("RBEGIN SLOT:#C 'load.chart_0002'"));
    assert_eq!(lines.next(), Some("RBEGIN SLOT:#C '' #BrAr92 #BrAr93 #BrAr94"));
    let set = lines.next().expect("a value");
    assert!(set.starts_with("RSET SLOT:#B \"value_01\" @") && set.ends_with(" A"), "{set}");
}

/// All that changes how answers are written.
fn agreements() -> impl Strategy<Value = Capabilities> {
    let parts = [Capabilities::INTERPOLATED, Capabilities::IEEE754, Capabilities::SLOTS];
    (0..8_usize).prop_map(move |set| {
        let chosen = parts.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
        chosen.fold(small(Protocol::V1).offered(), |all, (_, part)| all | part)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_has_the_rows_of_its_window_and_says_where_it_ends(
        agreed in agreements(),
        update_every in prop::sample::select(vec![1_u32, 2, 10]),
        history_s in 30_u32..2000,
        retention_s in 1_u32..2500,
        (back_after, back_before) in (-200_i64..2500, -200_i64..2500),
        nothing in prop::bool::weighted(0.1),
        start_streaming: bool,
        up_to_now: bool,
        send_buffer in 2000_usize..200_000,
    ) {
        let load = Load { update_every, ..small(Protocol::V1) };
        let mut simulated = Simulated::new(load, agreed, history_s);
        simulated.database.style = if up_to_now { ReplicationStyle::UpToNow } else { ReplicationStyle::Exact };
        simulated.database.send_buffer_bytes = send_buffer;
        simulated.database.retention_s = retention_s;
        let step = i64::from(update_every);
        let held = simulated.held();
        let asked = match nothing {
            true => request(0, 0, start_streaming),
            false => request(NOW - back_after, NOW - back_before, start_streaming),
        };
        let (text, reply) = simulated.answer(1, asked);
        prop_assert_eq!(written_again(agreed, &text), String::from_utf8_lossy(&text));
        let End { first, last, start_streaming, after, before } = reply.end;
        prop_assert_eq!((first, last), (held.first, held.last));
        prop_assert!(after <= before);

        // The rows are those of the window that the answer names, in their order.
        let in_window = |second: &i64| after < *second && *second <= before;
        let all = (held.first..=held.last).step_by(update_every as usize);
        prop_assert_eq!(reply.seconds(), all.clone().filter(in_window).collect::<Vec<_>>());
        for row in &reply.rows {
            let second = row.point.end;
            prop_assert_eq!(row.point, ReplayedPoint { start: second - step, end: second, wall_clock: NOW });
            for (found, expected) in row.values.iter().zip(simulated.expected(1, second)) {
                close(*found, expected);
            }
            prop_assert_eq!(row.values.len(), simulated.load.dimensions);
            let not_anomalous = agreed.contains(Capabilities::INTERPOLATED);
            let flags = PointFlags { not_anomalous, ..PointFlags::default() };
            prop_assert_eq!(&row.flags, &vec![flags; row.values.len()]);
        }

        // The window is the one asked for, as far as it is held, or its beginning.
        let (oldest, newest) = (asked.after.min(asked.before), asked.after.max(asked.before));
        if nothing || oldest > NOW {
            prop_assert!(start_streaming && reply.rows.is_empty());
        } else {
            let wanted: Vec<i64> = all.filter(|second| oldest < *second && *second <= newest).collect();
            let end = if asked.start_streaming { held.last } else { newest.min(held.last) };
            let is_cut = before < end;
            prop_assert!(wanted.iter().all(|second| *second > before || in_window(second)));
            prop_assert!(!is_cut || !reply.rows.is_empty());
            prop_assert!(!is_cut || text.len() >= send_buffer / ANSWER_SHARE);
            prop_assert!(!(start_streaming && is_cut), "the parent would think that it has everything");
            prop_assert!(is_cut || !asked.start_streaming || start_streaming);
            prop_assert!(up_to_now || asked.start_streaming || newest >= held.last || !start_streaming);
        }

        // `true` is said of what reaches the newest row, and only then where the arithmetic stands.
        prop_assert_eq!(reply.states.len(), if start_streaming { simulated.load.dimensions } else { 0 });
        prop_assert_eq!(reply.chart_state.is_some(), start_streaming);
        prop_assert!(!start_streaming || before == held.last || reply.rows.is_empty());
    }

    #[test]
    fn a_parent_that_asks_on_gets_every_row_once(
        history_s in 30_u32..3000,
        step in 1_i64..700,
        partial: bool,
        send_buffer in 2000_usize..100_000,
    ) {
        let mut simulated = Simulated::of(Protocol::V1, history_s);
        simulated.database.send_buffer_bytes = send_buffer;
        simulated.database.fault = partial.then_some(ReplayFault::Partial);
        let held = simulated.held();
        let mut seconds = Vec::new();
        let mut after = held.first - 1;
        loop {
            let before = (after + step).min(held.last);
            let (_, reply) = simulated.answer(0, request(after, before, before == held.last));
            seconds.extend(reply.seconds());
            if reply.end.start_streaming {
                break;
            }
            prop_assert!(reply.end.before > after);
            after = reply.end.before;
        }
        prop_assert_eq!(seconds, (held.first..=held.last).collect::<Vec<_>>());
    }
}

/// After `true` a parent's arithmetic goes on where the child's stands.
#[test]
fn the_first_live_values_of_v1_are_right() {
    for update_every in [1, 5, 10] {
        let load = Load { update_every, ..small(Protocol::V1) };
        let agreed = load.offered();
        let simulated = Simulated::new(load, agreed, 300);
        let step = i64::from(update_every);
        for chart in 0..simulated.load.charts {
            let (_, reply) = simulated.answer(chart, request(NOW - 10 * step, NOW, true));
            let mut collector = Collector::new(update_every, false);
            for (dimension, state) in reply.states.iter().enumerate() {
                let kind = simulated.series().at(simulated.load.position(chart, dimension)).kind;
                collector.add_dimension(Reading {
                    algorithm: kind.algorithm(),
                    multiplier: 1,
                    divisor: kind.divisor(),
                    no_reset_flag: false,
                });
                reply.rows.iter().for_each(|_| collector.replayed(dimension));
                collector.restore_dimension(dimension, state.collected, state.calculated);
                close(state.stored, simulated.expected(chart, NOW)[dimension]);
                assert_eq!(state.collected_us, simulated.timeline().collection(NOW).moment_us);
            }
            let (collected_us, updated_us) = reply.chart_state.expect("a state");
            collector.restore(collected_us, updated_us);

            for second in (NOW + step..=NOW + 4 * step).step_by(update_every as usize) {
                let mut row = Vec::new();
                let collection = simulated.timeline().collection(second);
                simulated.script.row(chart, simulated.series(), collection, &mut row);
                let stored = collect(&mut collector, &row);
                assert_eq!(stored.len(), 1, "one row at a time");
                assert_eq!(stored[0].0, second);
                for (found, expected) in stored[0].1.iter().zip(simulated.expected(chart, second)) {
                    assert_eq!(*found, expected as f32, "chart {chart} at {second}, every {update_every} s");
                }
            }
        }
    }
}

/// What a parent stores of a row of collected values.
fn collect(collector: &mut Collector, row: &[u8]) -> Vec<(i64, Vec<f32>)> {
    let mut collection = Collection::default();
    let mut dimension = 0;
    let mut stored = Vec::new();
    let mut apply = |command: Command<'_>| {
        match command {
            Command::Begin { microseconds, .. } => {
                collector.begin(microseconds, 0, i64::MAX, &mut collection)
            }
            Command::Set { value, .. } => {
                collection.set(dimension, value.expect("a value"));
                dimension += 1;
            }
            Command::End => {
                collector.end(0, &mut collection, |row| stored.push((row.time, row.values.to_vec())));
            }
            other => panic!("{other:?} is no part of a row"),
        }
        Ok::<(), InboundError<()>>(())
    };
    Inbound::new(None).feed(row, &mut Workspace::default(), &mut apply).expect("a parent understands it");
    stored
}

#[test]
fn finished_samples_are_replayed_as_they_are_sent_live() {
    let simulated = Simulated::of(Protocol::V2, 100);
    let (_, reply) = simulated.answer(2, request(NOW - 5, NOW, true));
    for row in &reply.rows {
        let second = row.point.end;
        let mut text = Vec::new();
        simulated.script.row(2, simulated.series(), simulated.timeline().collection(second), &mut text);
        let mut live = Vec::new();
        let mut apply = |command: Command<'_>| {
            match command {
                Command::Begin2 { end_time, .. } => assert_eq!(end_time, second),
                Command::Set2 { value, .. } => live.push(value),
                _ => {}
            }
            Ok::<(), InboundError<()>>(())
        };
        Inbound::new(None)
            .feed(&text, &mut Workspace::default(), &mut apply)
            .expect("a parent understands it");
        assert_eq!(live, row.values);
    }
    assert_eq!(reply.rows.len(), 5);
}

#[test]
fn a_child_without_a_past_says_so() {
    let simulated = Simulated::of(Protocol::V1, 0);
    let mut text = Vec::new();
    simulated.respondent(NOW - 1).answer(0, request(0, 0, true), &mut text);
    let expected = format!("RBEGIN \"load.chart_0001\"\nREND 1 0 0 true 0 0 {}\n", NOW - 1);
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

#[test]
fn the_past_may_be_asked_for_after_the_newest() {
    let simulated = Simulated::of(Protocol::V2, 1000);
    let held = simulated.held();
    let (_, newest) = simulated.answer(0, request(NOW - 60, NOW, true));
    assert!(newest.end.start_streaming);
    let (_, older) = simulated.answer(0, request(NOW - 300, NOW - 60, false));
    assert_eq!((older.end.start_streaming, older.end.before), (false, NOW - 60));
    assert_eq!(older.seconds(), (NOW - 299..=NOW - 60).collect::<Vec<_>>());
    let (_, oldest) = simulated.answer(0, request(held.first - 500, held.first - 400, false));
    assert!(!oldest.end.start_streaming && oldest.rows.is_empty());
}

#[test]
fn newer_children_answer_up_to_now_whatever_is_asked() {
    let mut simulated = Simulated::of(Protocol::V2, 1000);
    simulated.database.style = ReplicationStyle::UpToNow;
    let (_, near) = simulated.answer(0, request(NOW - 103, NOW - 100, false));
    assert_eq!((near.end.start_streaming, near.end.before, near.rows.len()), (true, NOW, 103));
    let (_, far) = simulated.answer(0, request(NOW - 104, NOW - 101, false));
    assert_eq!((far.end.start_streaming, far.end.before, far.rows.len()), (false, NOW - 101, 3));
}

#[test]
fn faults_are_what_they_are_called() {
    let all = request(NOW - 100, NOW, true);
    let (_, partial) = Simulated::failing(ReplayFault::Partial).answer(0, all);
    assert_eq!((partial.seconds(), partial.end.before), (vec![NOW - 99, NOW - 98, NOW - 97], NOW - 97));
    assert!(!partial.end.start_streaming);

    let (_, endless) = Simulated::failing(ReplayFault::Endless).answer(0, all);
    assert!(endless.rows.is_empty() && !endless.end.start_streaming);
    assert_eq!((endless.end.after, endless.end.before), (NOW - 100, NOW - 100));
    let (_, given_up) = Simulated::failing(ReplayFault::Endless).answer(0, request(0, 0, true));
    assert!(given_up.end.start_streaming);

    let (_, disordered) = Simulated::failing(ReplayFault::WrongOrder).answer(0, all);
    let expected: Vec<i64> = (NOW - 99..=NOW).rev().chain([NOW]).collect();
    assert_eq!(disordered.seconds(), expected);
    for row in &disordered.rows {
        assert_eq!(row.values, Simulated::failing(ReplayFault::WrongOrder).expected(0, row.point.end));
    }
}

impl Simulated {
    fn queue(&self) -> Queue {
        Queue::new(&self.database, self.load.charts)
    }
}

fn taken(queue: &mut Queue, now_us: i64) -> Vec<(usize, i64)> {
    std::iter::from_fn(|| {
        let (chart, request) = (queue.turn(now_us, 0) == Turn::Now).then(|| queue.take())??;
        Some((chart, request.after))
    })
    .collect()
}

#[test]
fn the_oldest_is_answered_first_and_a_newer_request_replaces_an_older_one() {
    let mut queue = Simulated::of(Protocol::V2, 100).queue();
    for (chart, after) in [(0, 50), (1, 20), (2, 90), (1, 70), (3, 60)] {
        queue.ask(chart, request(after, 100, false), 0);
    }
    assert_eq!(taken(&mut queue, 0), [(0, 50), (3, 60), (1, 70), (2, 90)]);
    assert!(queue.is_empty());
    assert_eq!(queue.turn(0, 0), Turn::Idle);
}

#[test]
fn late_answers_come_when_their_time_has_come() {
    let mut queue = Simulated::failing(ReplayFault::Late { seconds: 5 }).queue();
    queue.ask(0, request(50, 100, false), NOW);
    queue.ask(1, request(40, 100, true), NOW + 1000);
    queue.ask(0, request(60, 100, false), NOW + 2000);
    let first = NOW + 1000 + 5 * MICROSECONDS;
    assert_eq!(queue.turn(NOW, 0), Turn::At { moment_us: first });
    assert_eq!(taken(&mut queue, first - 1), []);
    assert_eq!(taken(&mut queue, first), [(1, 40)]);
    assert_eq!(queue.turn(first, 0), Turn::At { moment_us: first + 1000 });
    assert_eq!(taken(&mut queue, first + 1000), [(0, 60)]);
    assert!(queue.is_empty());
}

#[test]
fn a_silent_child_answers_for_what_is_new_alone() {
    let mut queue = Simulated::failing(ReplayFault::Silent).queue();
    queue.ask(0, request(50, 100, false), 0);
    queue.ask(1, request(50, 100, true), 0);
    queue.ask(2, request(0, 0, true), 0);
    assert_eq!(taken(&mut queue, 0), [(2, 0), (1, 50)]);
}

#[test]
fn nothing_is_answered_between_half_full_and_nearly_empty() {
    let simulated = Simulated::of(Protocol::V2, 100);
    let mut queue = simulated.queue();
    queue.ask(0, request(50, 100, false), 0);
    let full = simulated.database.send_buffer_bytes;
    for (waiting, expected) in [
        (0, Turn::Now),
        (full / 2, Turn::Now),
        (full / 2 + 1, Turn::Idle),
        (full / 4, Turn::Idle),
        (full / 10 + 1, Turn::Idle),
        (full / 10, Turn::Now),
        (full / 4, Turn::Now),
    ] {
        assert_eq!(queue.turn(0, waiting), expected, "{waiting} bytes wait");
    }
}

/// A quarter of an hour of a hundred charts goes through a slow connection; the rows of every second go with it.
#[test]
fn the_past_neither_fills_the_buffer_nor_holds_up_the_present() {
    const MILLISECOND: i64 = 1000;
    let load = Load { charts: 100, ..small(Protocol::V2) };
    let agreed = load.offered();
    let mut simulated = Simulated::new(load, agreed, 900);
    simulated.database.send_buffer_bytes = 256 << 10;
    let drained_per_ms = 4096;
    let mut queue = simulated.queue();
    let held = simulated.held();
    (0..100).for_each(|chart| queue.ask(chart, request(held.first - 1, NOW, true), NOW * MICROSECONDS));

    let (mut waiting, mut most, mut answers, mut longest_row_us) = (0_usize, 0, 0, 0);
    let mut live: Vec<usize> = Vec::new();
    let mut text = Vec::new();
    let mut now_us = NOW * MICROSECONDS;
    let mut newest = NOW;
    while live.len() < 100 || waiting > 0 {
        assert!(now_us < (NOW + 600) * MICROSECONDS, "{} charts are live", live.len());
        now_us += MILLISECOND;
        waiting = waiting.saturating_sub(drained_per_ms);
        if simulated.timeline().newest(now_us) > newest {
            newest += 1;
            text.clear();
            let collection = simulated.timeline().collection(newest);
            live.iter().for_each(|chart| {
                simulated.script.row(*chart, simulated.series(), collection, &mut text);
            });
            waiting += text.len();
            longest_row_us = longest_row_us.max((waiting / drained_per_ms) as i64 * MILLISECOND);
        }
        while queue.turn(now_us, waiting) == Turn::Now {
            let (chart, asked) = queue.take().expect("a request");
            text.clear();
            simulated.respondent(newest).answer(chart, asked, &mut text);
            let reply = Reply::read(&text);
            answers += 1;
            waiting += text.len();
            if reply.end.start_streaming {
                live.push(chart);
            } else {
                queue.ask(chart, request(reply.end.before, newest, true), now_us);
            }
        }
        most = most.max(waiting);
    }
    let row = 100 * 1000;
    let bound = 256 * 1024 * 3 / 4 + row;
    assert!(answers > 300, "{answers} answers");
    assert!(most <= bound, "{most} bytes waited");
    assert!(
        longest_row_us <= (bound / drained_per_ms) as i64 * MILLISECOND,
        "a row waited {longest_row_us} us"
    );
}
