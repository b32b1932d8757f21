use dbengine::{Samples, TimeRange};

use super::super::message::LostChart;
use super::*;
use crate::config::Database;

const HOUR: i64 = 3600 * SECOND;

fn chart(id: &str) -> String {
    CHART.replace("a.b", id)
}

fn row(id: &str, time: i64) -> String {
    format!("BEGIN2 '{id}' 1 {time} #\nSET2 'd' 1 # A\nEND2\n")
}

impl Story {
    fn leave(&mut self, now_us: i64, connection: ConnectionId) {
        let event = Event::Ended { connection, reason: DisconnectReason::ClosedByChild };
        self.shard.apply(now_us, event, &mut self.actions);
    }

    /// Hosts, charts and groups.
    fn held(&self) -> [u64; 3] {
        let metrics = ShardMetrics::default();
        self.shard.report(&metrics);
        self.shard.report_storage(&metrics);
        [&metrics.hosts, &metrics.charts, &metrics.groups].map(|figure| figure.load(Relaxed))
    }

    /// The charts of a host in the order of their definition.
    fn charts(&self, host: u128) -> Vec<LostChart> {
        let mirror = &self.shard.hosts[self.shard.by_guid[&Uuid::from_u128(host)]];
        let lost = |chart: &Chart| LostChart { id: chart.id.clone(), key: chart.key };
        mirror.charts().iter().map(|mirrored| lost(&mirrored.chart)).collect()
    }

    fn lose(&mut self, host: u128, charts: Vec<LostChart>) {
        let event = Event::Lost { host: Uuid::from_u128(host), charts };
        self.shard.apply(START, event, &mut self.actions);
    }
}

#[test]
fn an_orphan_in_memory_is_forgotten_in_time_and_nobody_else_is() {
    for (mode, is_forgotten) in [
        (MemoryMode::None, true),
        (MemoryMode::Ram, true),
        (MemoryMode::Alloc, true),
        (MemoryMode::Save, true),
        (MemoryMode::Map, true),
        (MemoryMode::Dbengine, false),
    ] {
        let mut story = Story::begin();
        let orphan = story.arrive_with(mode, START, 1, 7);
        let other = story.arrive(START, 2, 8);
        story.say(START, orphan, &(chart("a.b") + &row("a.b", START / SECOND)));
        story.say(START, other, &(chart("a.b") + &chart("a.c")));
        story.leave(START, orphan);
        // The other one still speaks.
        story.say(START + HOUR - SECOND, other, "\n");
        story.settle(START + HOUR - SECOND);
        assert_eq!(story.held(), [2, 3, 3], "{mode}");
        story.actions.clear();
        story.say(START + HOUR, other, &row("a.c", START / SECOND));
        story.settle(START + HOUR + 10 * SECOND);
        assert_eq!(story.held(), if is_forgotten { [1, 2, 2] } else { [2, 3, 3] }, "{mode}");
        let stored = story.stored().1;
        let is_written = stored.contains(&CatalogChange::ForgetHost(Uuid::from_u128(7)));
        assert_eq!(is_written, is_forgotten && matches!(mode, MemoryMode::Save | MemoryMode::Map), "{mode}");
        assert_eq!(story.asked().contains(&"forget 7".to_owned()), is_forgotten, "{mode}");
        // The host that took its place is still the same one.
        story.say(START + HOUR, other, &row("a.b", START / SECOND + 1));
        assert_eq!(story.shard.connections(), 1);
        let again = story.arrive_with(mode, START + 2 * HOUR, 3, 7);
        story.say(START + 2 * HOUR, again, &chart("a.b"));
        assert_eq!(story.held(), [2, 3, 3], "{mode}");
    }
}

#[test]
fn orphans_stay_when_they_are_told_to() {
    fn keep_for_ever(database: &mut Database) {
        database.cleanup_orphan_hosts_after = None;
    }
    fn keep_files(database: &mut Database) {
        database.delete_orphan_hosts_files = false;
    }
    for change in [keep_for_ever as fn(&mut Database), keep_files] {
        let mut story = Story::begin();
        change(&mut story.config.database);
        story.shard.cleanup = Cleanup::new(&story.config.database);
        let orphan = story.arrive_with(MemoryMode::Save, START, 1, 7);
        story.say(START, orphan, &chart("a.b"));
        story.leave(START, orphan);
        story.settle(START + 100 * HOUR);
        assert_eq!(story.held(), [1, 1, 1]);
    }
}

#[test]
fn many_orphans_go_a_few_a_turn() {
    let mut story = Story::begin();
    for host in 1..=50 {
        let child = story.arrive_with(MemoryMode::Ram, START, host, u128::from(host));
        story.say(START, child, &chart("a.b"));
        story.leave(START, child);
    }
    let mut left = Vec::new();
    for turn in 0..5 {
        story.settle(START + 2 * HOUR + turn * 100_000);
        left.push(story.held()[0]);
    }
    assert_eq!(left, [34, 18, 2, 0, 0]);
}

#[test]
fn an_obsolete_chart_is_forgotten_when_nobody_collects_it_any_more() {
    let obsolete = |id: &str| chart(id).replace("1 1 \"\" \"\" \"\"\nDIM", "1 1 \"obsolete\" \"\" \"\"\nDIM");
    for mode in [MemoryMode::Ram, MemoryMode::Dbengine] {
        let mut story = Story::begin();
        let child = story.arrive_with(mode, START, 1, 7);
        story.say(
            START,
            child,
            &(chart("a.gone") + &chart("a.stays") + &chart("a.returns") + &chart("a.late")),
        );
        for id in ["a.gone", "a.returns", "a.late"] {
            story.say(START, child, &obsolete(id));
        }
        story.say(START + HOUR / 2, child, &row("a.late", (START + HOUR / 2) / SECOND));
        story.say(START + HOUR / 2, child, &chart("a.returns").replace("1 1 \"\"", "1 1 \"store_first\""));
        // The receiver speaks of no chart now.
        story.say(START + HOUR / 2, child, &row("a.stays", (START + HOUR / 2) / SECOND));
        let ids = |story: &Story| story.charts(7).into_iter().map(|chart| chart.id).collect::<Vec<_>>();
        let all = ["a.gone", "a.stays", "a.returns", "a.late"];
        story.say(START + HOUR - SECOND, child, "\n");
        story.settle(START + HOUR - SECOND);
        assert_eq!(ids(&story), all);
        story.say(START + HOUR + 10 * SECOND, child, "\n");
        story.settle(START + HOUR + 10 * SECOND);
        let later = START + HOUR + HOUR / 2;
        if mode == MemoryMode::Dbengine {
            assert_eq!(ids(&story), all);
            continue;
        }
        assert_eq!(ids(&story), all[1..]);
        story.say(later + 10 * SECOND, child, "\n");
        story.settle(later + 10 * SECOND);
        assert_eq!(ids(&story), all[1..3]);
        assert_eq!(story.held(), [1, 2, 2]);
        story.say(later, child, &row("a.returns", later / SECOND));
        assert_eq!(story.shard.connections(), 1);
        story.say(later, child, &row("a.gone", later / SECOND));
        assert_eq!(story.shard.connections(), 0, "a forgotten chart is an unknown one");
    }
}

#[test]
fn a_chart_without_any_row_is_forgotten_everywhere_and_made_anew_by_its_definition() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    let ids: Vec<String> = (0..10).map(|number| format!("a.{number}")).collect();
    ids.iter().for_each(|id| story.say(START, child, &chart(id)));
    story.settle(START);
    let before = story.charts(7);
    for id in [1, 4, 9] {
        story.say(START, child, &row(&ids[id], START / SECOND));
    }
    story.stored();
    story.actions.clear();

    // One of another time has another key.
    let other = LostChart { id: "a.2".into(), key: 1 };
    let lost = [&before[..2], &before[3..], &[other]].concat();
    story.lose(7, lost);
    story.lose(8, before.clone());
    assert_eq!(story.held(), [1, 4, 4], "those with rows stay, and a.2");
    story.settle(START + SECOND);
    let forgotten: Vec<String> = story.stored().1.into_iter().map(|change| format!("{change:?}")).collect();
    assert_eq!(forgotten.len(), 6, "{forgotten:?}");
    assert!(forgotten[0].starts_with("ForgetChart") && forgotten[0].contains("a.0"), "{forgotten:?}");
    assert_eq!(story.asked(), ["publish host-7 4 charts"]);

    // Those that stay are still found, by their order, by their ids and after the others were defined anew.
    let rows: String = [9, 1, 2, 4].iter().map(|id| row(&ids[*id], START / SECOND + 2)).collect();
    story.say(START + 2 * SECOND, child, &rows);
    story.say(START + 2 * SECOND, child, &(chart("a.0") + &row("a.0", START / SECOND + 2)));
    story.say(
        START + 3 * SECOND,
        child,
        &rows.replace(&(START / SECOND + 2).to_string(), &(START / SECOND + 3).to_string()),
    );
    assert_eq!(story.shard.connections(), 1);
    assert_eq!(story.held(), [1, 5, 5]);
    let after = story.charts(7);
    assert_eq!(after[..4], [before[1].clone(), before[2].clone(), before[4].clone(), before[9].clone()]);
    assert_eq!(&*after[4].id, "a.0");
    assert_ne!(after[4].key, before[0].key);
    let metrics = ShardMetrics::default();
    story.shard.report(&metrics);
    assert_eq!(metrics.rows.load(Relaxed), 3 + 4 + 1 + 4);
}

#[test]
fn a_chart_that_is_spoken_of_is_not_forgotten_and_its_row_is_stored() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, &(chart("a.0") + &chart("a.1")));
    let whole = row("a.1", START / SECOND);
    let (begin, rest) = whole.split_once('\n').expect("lines");
    story.say(START, child, &format!("{begin}\n"));
    story.lose(7, story.charts(7));
    assert_eq!(story.held(), [1, 1, 1]);
    story.say(START, child, rest);
    assert_eq!(story.shard.connections(), 1);
    let group = story.shard.hosts[0].charts()[0].chart.group;
    assert!(story.shard.engine.newest(group).is_some());
}

#[test]
fn slots_follow_their_charts() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    for number in 1..=6 {
        let definition = chart(&format!("a.{number}")).replace("CHART", &format!("CHART SLOT:{number}"));
        story.say(START, child, &definition);
    }
    let slotted = |number: i64, time: i64| {
        row(&format!("a.{number}"), time).replace("BEGIN2", &format!("BEGIN2 SLOT:{number}"))
    };
    for number in [2, 3, 6] {
        story.say(START, child, &slotted(number, START / SECOND));
    }
    story.lose(7, story.charts(7));
    for number in [3, 6, 2] {
        story.say(START, child, &slotted(number, START / SECOND + 1));
    }
    let metrics = ShardMetrics::default();
    story.shard.report(&metrics);
    assert_eq!((story.shard.connections(), metrics.rows.load(Relaxed)), (1, 6));
    story.say(START, child, &slotted(4, START / SECOND + 1));
    assert_eq!(story.shard.connections(), 0);
}

#[test]
fn a_host_goes_with_its_last_chart_unless_it_is_connected() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, &(chart("a.0") + &chart("a.1")));
    story.say(START, child, "BEGIN2 'a.0' 1 0 #\nEND2\n");
    let charts = story.charts(7);
    story.lose(7, charts[1..].to_vec());
    story.lose(7, charts[..1].to_vec());
    assert_eq!(story.held(), [1, 0, 0]);
    story.say(START, child, &chart("a.2"));
    story.leave(START, child);
    story.actions.clear();
    story.lose(7, story.charts(7));
    assert_eq!(story.held(), [0, 0, 0]);
    assert_eq!(story.asked(), ["forget 7"]);
    story.settle(START + SECOND);
    assert_eq!(story.stored().1.last(), Some(&CatalogChange::ForgetHost(Uuid::from_u128(7))));
}

#[test]
fn who_asks_for_a_chart_that_has_been_forgotten_gets_nothing_and_never_anothers_samples() {
    let mut story = Story::begin();
    let child = story.arrive_with(MemoryMode::Ram, START, 1, 7);
    story.say(START, child, &chart("a.b"));
    story.say(START, child, &row("a.b", START / SECOND));
    let forgotten = ChartGroup::from(&*story.shard.hosts[0].charts()[0].chart);
    let rows = |story: &mut Story| {
        let (answer, mut answered) = tokio::sync::oneshot::channel();
        let question = Question::Rows { groups: vec![forgotten], window: TimeRange::ALL, answer };
        story.shard.apply(START, Event::Asked(question), &mut story.actions);
        let snapshot = answered.try_recv().expect("an answer").remove(0);
        let mut samples = Samples::default();
        snapshot.column(0, TimeRange::ALL, &mut samples);
        samples.len()
    };
    assert_eq!(rows(&mut story), 1);
    story.leave(START, child);
    let later = START + 7200 * SECOND;
    story.settle(later);
    assert_eq!(story.held()[0], 0);
    assert_eq!(rows(&mut story), 0);
    let child = story.arrive_with(MemoryMode::Ram, later, 2, 8);
    story.say(later, child, &chart("x.y"));
    story.say(later, child, &row("x.y", later / SECOND));
    assert_eq!(rows(&mut story), 0, "its place is another's now");
}
