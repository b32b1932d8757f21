use dbengine::{Engine, EngineOptions, GroupId, GroupKey, Keep};
use proptest::prelude::*;

use super::*;
use crate::catalog::store;

const HOST: Uuid = Uuid::from_u128(7);

fn chart(key: u128) -> ChartRecord {
    ChartRecord { key, ..store::tests::chart(1, "a.b", &["x", "y"]) }
}

/// An engine with a group of two columns, and its chart.
struct Group {
    engine: Engine,
    chart: Chart,
}

impl Group {
    fn new(key: u128) -> Group {
        let mut engine = Engine::new(EngineOptions { page_rows: 8 });
        let group = engine.create_group(GroupKey(key), 1, 2, Keep::Rows(1000));
        Group { engine, chart: chart(key).into_chart(group) }
    }

    fn group(&self) -> GroupId {
        self.chart.group
    }

    fn append(&mut self, times: impl IntoIterator<Item = i64>) {
        for time in times {
            let flags = [SampleFlags::NONE, SampleFlags::ANOMALOUS];
            let flags = (time % 5 == 0).then_some(&flags[..]);
            let row = Row { values: &[time as f32, f32::NAN], flags };
            assert_eq!(
                self.engine.append(self.chart.group, UnixSeconds(time), row),
                dbengine::Appended::Stored
            );
        }
    }

    /// Times, values and flags of both columns.
    fn all(&self) -> Vec<String> {
        let snapshot = self.engine.read(self.group(), TimeRange::ALL);
        let mut samples = Samples::default();
        (0..2)
            .map(|column| {
                snapshot.column(column, TimeRange::ALL, &mut samples);
                format!("{samples:?}")
            })
            .collect()
    }

    fn after(&self, time: i64) -> GroupSnapshot {
        self.engine.read(self.group(), TimeRange { first: UnixSeconds(time + 1), last: TimeRange::ALL.last })
    }

    /// A group that got back what a file has of this one.
    fn restored(&self, saved: &mut SavedHost) -> Group {
        let mut group = Group::new(self.chart.key);
        let (_, rows) = saved.charts.get_mut(&self.chart.key).expect("the chart");
        let id = group.group();
        for page in rows.pages.drain(..) {
            let _ = group.engine.restore_page(id, page);
        }
        for row in &mut rows.rows {
            let _ = group.engine.append(id, row.time, row.row(2));
        }
        group
    }
}

fn whole(groups: &[&Group]) -> Vec<u8> {
    let mut encoder = Encoder::begin(&HOST, UnixSeconds(1000));
    for (number, group) in groups.iter().enumerate() {
        encoder.chart(number as u32, HOST, &group.chart, number as u32);
        encoder.pages(number as u32, &group.engine.read(group.group(), TimeRange::ALL));
    }
    encoder.finish()
}

fn appended(groups: &[&Group], after: i64) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for (number, group) in groups.iter().enumerate() {
        encoder.rows(number as u32, &group.after(after));
    }
    encoder.finish()
}

#[test]
fn what_was_written_comes_back_also_when_rows_were_appended_to_it() {
    let mut group = Group::new(1);
    let empty = Group::new(2);
    group.append((100..130).chain([200, 300]).chain(400..403));
    let mut file = whole(&[&empty, &group]);
    let mut saved = read(&HOST, &file);
    assert_eq!((saved.damage.len(), saved.cut_at, saved.charts.len()), (0, None, 2));
    assert!(saved.charts[&2].1.is_empty());
    assert_eq!(saved.charts[&1].0, ChartRecord::of(&group.chart, 1));
    assert_eq!(group.restored(&mut saved).all(), group.all());

    group.append([403, 405]);
    file.extend(appended(&[&empty, &group], 402));
    group.append([410]);
    // Also what was written before.
    file.extend(appended(&[&empty, &group], 404));
    let mut saved = read(&HOST, &file);
    let mut restored = group.restored(&mut saved);
    assert_eq!(restored.all(), group.all());
    restored.append([411]);
    let row = Row { values: &[0.0; 2], flags: None };
    assert_eq!(restored.engine.append(restored.group(), UnixSeconds(411), row), dbengine::Appended::Stale);
}

#[test]
fn pages_that_were_given_back_make_older_rows_stale() {
    let mut group = Group::new(1);
    group.append(100..120);
    let mut saved = read(&HOST, &whole(&[&group]));
    let mut restored = group.restored(&mut saved);
    let row = Row { values: &[0.0; 2], flags: None };
    assert_eq!(restored.engine.append(restored.group(), UnixSeconds(119), row), dbengine::Appended::Stale);
    restored.append(120..140);
    group.append(120..140);
    assert_eq!(restored.all(), group.all());
}

#[test]
fn a_broken_frame_costs_only_itself() {
    let mut groups: Vec<Group> = (0..40).map(Group::new).collect();
    for (index, group) in groups.iter_mut().enumerate() {
        // Frames of 64 KiB need values that hardly pack.
        for time in 0..500 {
            let value = |seed: u32| {
                f32::from_bits((time as u32 + index as u32 * seed).wrapping_mul(2_654_435_761) >> 2)
            };
            let row = Row { values: &[value(77), value(99)], flags: None };
            let _ = group.engine.append(group.group(), UnixSeconds(time + 1), row);
        }
    }
    let mut file = whole(&groups.iter().collect::<Vec<_>>());
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let saved = read(&HOST, &file);
    let [Damage::Frame { at, bytes }] = saved.damage[..] else { panic!("one frame: {:?}", saved.damage) };
    assert!((at..at + FRAME_HEADER_LEN + bytes).contains(&middle));
    let whole = saved.charts.values().filter(|(_, rows)| rows.pages.len() >= 62).count();
    assert!((20..40).contains(&whole), "{whole} charts are whole");
}

#[test]
fn files_that_are_none_are_told_apart() {
    let file = whole(&[&Group::new(1)]);
    let damage = |bytes: &[u8]| read(&HOST, bytes).damage;
    let with = |at: usize, byte: u8| {
        let mut bytes = file.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(damage(b"short"), [Damage::NoSuchFile]);
    assert_eq!(damage(&[b'x'; 100]), [Damage::NoSuchFile]);
    assert_eq!(damage(&with(3, b'2')), [Damage::Newer { version: '2' }]);
    assert_eq!(damage(&with(30, 9)), [Damage::Header]);
    assert_eq!(read(&Uuid::from_u128(8), &file).damage, [Damage::Header]);
    assert_eq!(
        damage(&with(HEADER_LEN + 1, 9)),
        [Damage::Frames { at: HEADER_LEN, bytes: file.len() - HEADER_LEN }]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_is_cut_anywhere_has_what_was_before(cut in 0.0f64..1.0) {
        let mut group = Group::new(1);
        group.append(100..120);
        let begun = whole(&[&group]);
        let mut file = begun.clone();
        let mut ends = vec![];
        for time in 120..125 {
            group.append([time]);
            file.extend(appended(&[&group], time - 1));
            ends.push(file.len());
        }
        let cut = begun.len() + ((file.len() - begun.len()) as f64 * cut) as usize;
        let saved = read(&HOST, &file[..cut]);
        prop_assert_eq!(saved.damage.len(), 0);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        prop_assert_eq!(saved.charts[&1].1.rows.len(), whole);
        prop_assert_eq!(saved.cut_at.is_none(), cut == begun.len() || ends.contains(&cut));
    }

    #[test]
    fn no_bytes_make_reading_panic(at in 0usize..2000, bytes in prop::collection::vec(any::<u8>(), 1..40), honest: bool) {
        let mut group = Group::new(1);
        group.append(100..120);
        let mut file = whole(&[&group]);
        file.extend(appended(&[&group], 110));
        let at = at % file.len();
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        if honest {
            // With checksums that fit.
            let mut frame = HEADER_LEN;
            while let Some(header) = file.get(frame..frame + FRAME_HEADER_LEN) {
                let records = frame + FRAME_HEADER_LEN;
                let length = number(header) as usize;
                let Some(payload) = file.get(records..records + length) else { break };
                let crc = crc32fast::hash(payload);
                file[frame + 4..frame + 8].copy_from_slice(&crc.to_le_bytes());
                let check = crc32fast::hash(&file[frame..frame + 8]);
                file[frame + 8..records].copy_from_slice(&check.to_le_bytes());
                frame = records + length;
            }
        }
        let mut saved = read(&HOST, &file);
        if saved.charts.contains_key(&1) {
            group.restored(&mut saved);
        }
    }
}
