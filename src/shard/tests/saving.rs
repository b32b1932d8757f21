use super::super::saving::RowsOp;
use super::*;
use crate::saved::{self, RestoredChart, SavedHost};

/// The file of a host as the operations leave it, and the bytes of all of them.
#[derive(Default)]
struct File(Vec<u8>, u64);

impl File {
    /// What was asked for since the last time, a word each, carried out.
    fn written(&mut self, story: &mut Story) -> Vec<&'static str> {
        let mut words = Vec::new();
        story.actions.retain(|action| {
            let Action::Rows(op) = action else { return true };
            self.1 += op.bytes();
            words.push(match op {
                RowsOp::Replace { bytes, .. } => {
                    self.0 = bytes.clone();
                    "replace"
                }
                RowsOp::Append { bytes, .. } => {
                    self.0.extend(bytes);
                    "append"
                }
                RowsOp::Remove { .. } => "remove",
                RowsOp::Saved { .. } => "saved",
            });
            false
        });
        words
    }

    fn read(&self) -> SavedHost {
        let saved = saved::read(&Uuid::from_u128(7), &self.0);
        assert_eq!((saved.damage.len(), saved.cut_at), (0, None));
        saved
    }

    fn acknowledge(&self, story: &mut Story) {
        story.shard.apply(START, Event::RowsWritten { bytes: self.1 }, &mut story.actions);
    }

    /// The newest second of each chart that has rows, by id.
    fn newest(&self) -> Vec<(String, i64)> {
        let mut all: Vec<(String, i64)> = self
            .read()
            .charts
            .into_values()
            .filter_map(|(chart, rows)| {
                let row = rows.rows.last().map(|row| row.time.0);
                let newest = row.or_else(|| rows.pages.last().map(|page| page.span().last.0))?;
                Some((chart.id.into(), newest - START / SECOND))
            })
            .collect();
        all.sort();
        all
    }
}

fn row(id: &str, second: i64) -> String {
    format!("BEGIN2 '{id}' 1 {} #\nSET2 'd' 1 # A\nEND2\n", START / SECOND + second)
}

#[test]
fn rows_of_mode_map_are_appended_every_second_and_the_file_is_begun_anew_when_it_must() {
    let mut story = Story::begin();
    let mut file = File::default();
    let child = story.arrive_with(MemoryMode::Map, START, 1, 7);
    story.say(START, child, &(CHART.to_owned() + &row("a.b", 0)));
    story.settle(START);
    assert_eq!(file.written(&mut story), ["replace"]);
    story.say(START + SECOND / 2, child, &row("a.b", 1));
    story.settle(START + SECOND / 2);
    assert!(file.written(&mut story).is_empty(), "not more often than every second");
    story.settle(START + SECOND);
    assert_eq!(file.written(&mut story), ["append"]);
    assert_eq!(file.newest(), [("a.b".to_owned(), 1)]);
    story.settle(START + 2 * SECOND);
    assert!(file.written(&mut story).is_empty(), "nothing new");

    // A chart and a dimension that come later; more rows than one page.
    let wider = CHART.to_owned() + "DIMENSION \"e\" \"\" \"absolute\" 1 1 \"\"\n";
    story.say(START + 2 * SECOND, child, &(CHART.replace("a.b", "a.c") + &row("a.c", 2) + &wider));
    let rows: String = (2..600).map(|second| row("a.b", second)).collect();
    story.say(START + 2 * SECOND, child, &rows);
    story.settle(START + 3 * SECOND);
    assert_eq!(file.written(&mut story), ["append"]);
    assert_eq!(file.newest(), [("a.b".to_owned(), 599), ("a.c".to_owned(), 2)]);
    let saved = file.read();
    let widened = saved.charts.values().find(|(chart, _)| &*chart.id == "a.b").expect("the chart");
    assert_eq!(widened.0.dimensions.len(), 2);
    let rows = widened.1.rows.len() + widened.1.pages.iter().map(|page| page.rows()).sum::<usize>();
    assert_eq!(rows, 600);

    // The file could not be written.
    story.shard.apply(START + 3 * SECOND, Event::RowsFailed { host: Uuid::from_u128(7) }, &mut story.actions);
    story.say(START + 4 * SECOND, child, &row("a.b", 600));
    story.settle(START + 4 * SECOND);
    assert!(file.written(&mut story).is_empty());
    story.settle(START + 9 * SECOND);
    assert_eq!(file.written(&mut story), ["replace"]);
    assert_eq!(file.newest(), [("a.b".to_owned(), 600), ("a.c".to_owned(), 2)]);

    // Twice as long as what it was begun with.
    let begun = file.0.len();
    let mut words = Vec::new();
    for second in 0..20_000 {
        story.say(START + (10 + second) * SECOND, child, &row("a.b", 601 + second));
        story.settle(START + (10 + second) * SECOND);
        words.extend(file.written(&mut story));
        file.acknowledge(&mut story);
        assert!(file.0.len() < 3 * begun + (300 << 10));
    }
    let anew = words.iter().filter(|word| **word == "replace").count();
    assert!((1..10).contains(&anew) && words.len() == 20_000, "{anew} of {}", words.len());

    // Its child leaves: once more what is left, then silence.
    story.say(START + 30_000 * SECOND, child, &row("a.b", 30_000));
    let event = Event::Ended { connection: child, reason: DisconnectReason::ClosedByChild };
    story.shard.apply(START + 30_000 * SECOND, event, &mut story.actions);
    for second in 0..5 {
        story.settle(START + (30_001 + second) * SECOND);
    }
    assert_eq!(file.written(&mut story), ["append"]);
    assert_eq!(file.newest()[0].1, 30_000);
}

#[test]
fn a_slow_disk_delays_files_and_loses_nothing() {
    let mut story = Story::begin();
    let child = story.arrive_with(MemoryMode::Map, START, 1, 7);
    let mut file = File::default();
    let wide: String =
        (0..4000).map(|number| format!("DIMENSION \"d{number}\" \"\" \"absolute\" 1 1 \"\"\n")).collect();
    story.say(START, child, &(CHART.to_owned() + &wide));
    let mut last = 0;
    let mut silent = 0;
    for second in 1..6000 {
        story.say(START + second * SECOND, child, &row("a.b", second));
        story.settle(START + second * SECOND);
        if file.written(&mut story).is_empty() {
            silent += 1;
        } else {
            last = second;
        }
        if silent == 5 {
            break;
        }
    }
    assert!((1500..4000).contains(&last), "it is bounded: {last}");
    file.acknowledge(&mut story);
    story.settle(START + 6001 * SECOND);
    file.written(&mut story);
    assert_eq!(file.newest(), [("a.b".to_owned(), last + 5)]);
}

#[test]
fn hosts_of_mode_save_are_written_when_it_is_asked_for_and_at_the_stop() {
    let mut story = Story::begin();
    let mut file = File::default();
    let saved = story.arrive_with(MemoryMode::Save, START, 1, 7);
    let ram = story.arrive_with(MemoryMode::Ram, START, 2, 8);
    for child in [saved, ram] {
        story.say(START, child, &(CHART.to_owned() + &row("a.b", 0)));
    }
    story.settle(START + SECOND);
    assert!(file.written(&mut story).is_empty());
    story.shard.apply(START + SECOND, Event::Save, &mut story.actions);
    story.shard.apply(START + SECOND, Event::Save, &mut story.actions);
    story.settle(START + SECOND);
    assert_eq!(file.written(&mut story), ["replace", "saved"]);
    assert_eq!(file.newest(), [("a.b".to_owned(), 0)]);
    story.say(START + SECOND, saved, &row("a.b", 1));
    story.shard.stop(START + SECOND, &mut story.actions);
    while !story.shard.is_stopped(START + SECOND, &mut story.actions) {}
    assert_eq!(file.written(&mut story), ["replace", "saved"]);
    assert_eq!(file.newest(), [("a.b".to_owned(), 1)]);
}

#[test]
fn a_restored_host_has_its_rows_and_takes_newer_ones_unless_its_mode_is_another_now() {
    for (mode, kept) in [(MemoryMode::Map, 600), (MemoryMode::Save, 600), (MemoryMode::None, 0)] {
        let mut story = Story::begin();
        let mut file = File::default();
        let child = story.arrive_with(MemoryMode::Save, START, 1, 7);
        let rows: String = (0..600).map(|second| row("a.b", second)).collect();
        story.say(START, child, &(CHART.to_owned() + &rows));
        story.shard.stop(START, &mut story.actions);
        while !story.shard.is_stopped(START, &mut story.actions) {}
        file.written(&mut story);
        let (_, changes) = story.stored();
        let mut hosts = changes.into_iter().rev().filter_map(|change| match change {
            CatalogChange::Host(host) => Some(host),
            _ => None,
        });
        let host = Box::new(hosts.next().expect("the host"));

        let mut story = Story::begin();
        let charts = file.read().charts.into_values().map(|(record, saved)| RestoredChart {
            record,
            newest: UnixSeconds(0),
            saved,
            missing: Default::default(),
        });
        let event = Event::Restored { host, charts: charts.collect() };
        story.shard.apply(START, event, &mut story.actions);
        let child = story.arrive_with(mode, START, 1, 7);
        story.say(START, child, &(CHART.to_owned() + &row("a.b", 599) + &row("a.b", 600)));
        let metrics = ShardMetrics::default();
        story.shard.report(&metrics);
        story.shard.report_storage(&metrics);
        let newer = if mode == MemoryMode::None { 2 } else { 1 };
        assert_eq!(metrics.rows.load(Relaxed), newer, "{mode}");
        let held = if kept == 0 { 0 } else { kept + 1 };
        assert_eq!(metrics.stored_samples.load(Relaxed), held, "{mode}");
        assert_eq!((metrics.charts.load(Relaxed), metrics.groups.load(Relaxed)), (1, 1), "{mode}");
    }
}

#[test]
fn a_forgotten_host_loses_its_file() {
    let mut story = Story::begin();
    let child = story.arrive_with(MemoryMode::Map, START, 1, 7);
    story.say(START, child, CHART);
    let event = Event::Ended { connection: child, reason: DisconnectReason::ClosedByChild };
    story.shard.apply(START, event, &mut story.actions);
    story.settle(START);
    story.settle(START + 3700 * SECOND);
    assert_eq!(File::default().written(&mut story), ["replace", "remove"]);
}
