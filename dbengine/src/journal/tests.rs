//! What was journalled is read back, up to where it ends.

use proptest::prelude::*;

use super::*;
use crate::key::WriterId;

const FILE: FileId = FileId { sequence: 5, writer: WriterId(1) };

/// The bytes of a segment that got these operations.
fn segment(ops: &mut DiskOps) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(op) = ops.next() {
        assert_eq!(op.file, FileName::Journal(FILE));
        if let DiskOpKind::Write { offset, bytes: written } = op.kind {
            assert_eq!(offset as usize, bytes.len());
            bytes.extend(written);
        }
    }
    bytes
}

/// A record that owns what it has.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Row { key: GroupKey, step: u32, time: i64, values: Vec<u32>, flags: Vec<SampleFlags> },
    Note(Vec<u8>),
    Group { key: GroupKey, again: bool },
    Page { key: GroupKey, page: Vec<u8> },
}

fn read(bytes: &[u8]) -> (Vec<Owned>, SegmentEnd) {
    let mut records = Vec::new();
    let end = read_segment(bytes, FILE, |record| {
        records.push(match record {
            Record::Row { key, step, time, values, flags } => Owned::Row {
                key,
                step,
                time: time.0,
                values: values.iter().map(|value| value.to_bits()).collect(),
                flags: flags.to_vec(),
            },
            Record::Note(note) => Owned::Note(note.into()),
            Record::Group { key, again } => Owned::Group { key, again },
            Record::Page { key, page } => Owned::Page { key, page: page.as_bytes().to_vec() },
        });
    });
    (records, end)
}

/// Three batches: 2 groups with 20 rows each in the first, a note and more rows in the others.
fn example() -> (Vec<u8>, Vec<Owned>) {
    let mut ops = DiskOps::default();
    let mut journal = Journal::new(FILE, true);
    let mut expected = Vec::new();
    let mut last = [vec![0.0; 3], vec![0.0; 11]];
    for batch in 0..3i64 {
        for row in 0..20i64 {
            for group in 0..2u32 {
                let key = GroupKey(u128::from(group) + 100);
                let values: Vec<f32> = (0..last[group as usize].len())
                    .map(|column| (row / (column as i64 + 1)) as f32)
                    .collect();
                let time = 1_000_000 + (batch * 20 + row) * 10;
                let previous = std::mem::replace(&mut last[group as usize], values.clone());
                if batch == 0 && row == 0 {
                    journal.group(GroupId(group * 1000), key, 10, values.len() as u32, group == 1);
                    expected.push(Owned::Group { key, again: group == 1 });
                    journal.row(
                        GroupId(group * 1000),
                        None,
                        UnixSeconds(time),
                        Row { values: &values, flags: None },
                    );
                } else if row == 7 {
                    let flags = vec![SampleFlags::ANOMALOUS; values.len()];
                    let before = Some((UnixSeconds(time - 10), &previous[..]));
                    let row = Row { values: &values, flags: Some(&flags) };
                    journal.row(GroupId(group * 1000), before, UnixSeconds(time), row);
                } else {
                    journal.next_row(GroupId(group * 1000), &previous, &values);
                }
                let flags = if row == 7 { vec![SampleFlags::ANOMALOUS; values.len()] } else { vec![] };
                let values = values.iter().map(|value| value.to_bits()).collect();
                expected.push(Owned::Row { key, step: 10, time, values, flags });
            }
        }
        if batch == 1 {
            journal.note(b"a note");
            expected.push(Owned::Note(b"a note".into()));
        }
        journal.commit(&mut ops);
        journal.commit(&mut ops);
    }
    (segment(&mut ops), expected)
}

#[test]
fn a_segment_is_read_as_it_was_written() {
    let (bytes, expected) = example();
    let (found, end) = read(&bytes);
    assert_eq!(found, expected);
    assert_eq!(end, SegmentEnd { batches: 3, read: bytes.len() as u64, damage: None });
}

#[test]
fn reading_ends_at_the_first_batch_that_is_not_whole_and_says_whether_more_would_have_come() {
    let (bytes, expected) = example();
    let mut torn = bytes.clone();
    torn[2 * BLOCK + 30] ^= 1;
    let (found, end) = read(&torn);
    assert_eq!(found, expected[..83]);
    assert_eq!(end.damage, Some(SegmentDamage::Torn { at: 2 * BLOCK as u64 }));

    let mut hole = bytes.clone();
    hole[BLOCK + 30] ^= 1;
    let (found, end) = read(&hole);
    assert_eq!(found, expected[..42]);
    assert_eq!(end.damage, Some(SegmentDamage::Hole { at: BLOCK as u64, next: 2 * BLOCK as u64 }));

    let mut longer = bytes.clone();
    longer.resize(bytes.len() + 3 * BLOCK, 0);
    assert_eq!(read(&longer).1.damage, None);

    let other = FileId { sequence: 6, ..FILE };
    assert_eq!(read_segment(&bytes, other, |_| {}).batches, 0);
}

#[test]
fn a_page_stands_between_rows_and_is_of_no_group_of_the_segment() {
    let page = Page::seal(1, &[UnixSeconds(5), UnixSeconds(6)], &[1.5, 2.5], &[]);
    let mut ops = DiskOps::default();
    let mut journal = Journal::new(FILE, true);
    journal.group(GroupId(3), GroupKey(1), 1, 1, false);
    journal.page(GroupKey(9), &page);
    journal.row(GroupId(3), None, UnixSeconds(100), Row { values: &[7.0], flags: None });
    journal.commit(&mut ops);
    let (records, end) = read(&segment(&mut ops));
    assert_eq!((records.len(), end.damage), (3, None));
    assert_eq!(records[1], Owned::Page { key: GroupKey(9), page: page.as_bytes().to_vec() });
    assert!(matches!(records[2], Owned::Row { key: GroupKey(1), time: 100, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_records_panic(records: Vec<u8>) {
        let mut groups = HashMap::default();
        read_records(&records, &mut groups, &mut |_| {});
    }
}
