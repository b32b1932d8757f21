//! Pages of every class of values, there and back, and what damage does to them.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::sample::SampleFlags;

/// A column as children fill them.
fn values(rows: usize) -> impl Strategy<Value = Vec<f32>> {
    let walk = vec(-3..=3_i32, rows).prop_map(|steps| {
        let walk = steps.into_iter().scan(100, |at, step| {
            *at += step;
            Some(*at as f32)
        });
        walk.collect::<Vec<_>>()
    });
    let special = prop_oneof![
        Just(0.0_f32),
        Just(-0.0),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY),
        Just(f32::MIN_POSITIVE / 4.0),
        Just(f32::MAX),
        any::<f32>(),
    ];
    prop_oneof![
        any::<f32>().prop_map(move |value| vec![value; rows]),
        walk,
        vec((0..50_000_i32).prop_map(|value| value as f32), rows),
        vec((-100_000..100_000_i32).prop_map(|value| value as f32 / 1000.0), rows),
        vec((0..1000_i32).prop_map(|value| -(value as f32) / 10.0), rows),
        vec(0.0..100.0_f32, rows),
        vec(any::<u32>().prop_map(f32::from_bits), rows),
        vec(special, rows),
        // A core's shares.
        (vec((0..200_u8, 1..3_u8), rows))
            .prop_map(|values| values.into_iter().map(|(n, d)| f32::from(n) / f32::from(d) / 3.0).collect()),
        // Pages, and values that few decimals say.
        vec((0..100_000_i32).prop_map(|value| value as f32 / 256.0), rows),
        vec((0..90_000_000_i32).prop_map(|value| (f64::from(value) / 10_000.0) as f32), rows),
        // Mostly nothing.
        vec((0..5_u8, any::<bool>(), 0.0..10.0_f32), rows).prop_map(|values| {
            let value = |(die, negative, value): (u8, bool, f32)| {
                if die > 0 {
                    0.0
                } else if negative {
                    -value
                } else {
                    value
                }
            };
            values.into_iter().map(value).collect()
        }),
        vec((0..5_u8, 0..1000_u16), rows).prop_map(|values| {
            values.into_iter().map(|(die, value)| if die == 0 { -f32::from(value) } else { -0.0 }).collect()
        }),
        // Mostly still.
        vec((0..10_u8, any::<f32>()), rows).prop_map(|values| {
            values.into_iter().map(|(die, value)| if die == 0 { value } else { 7.5 }).collect()
        }),
    ]
}

fn gaps(rows: usize) -> impl Strategy<Value = Vec<bool>> {
    prop_oneof![
        4 => Just(vec![false; rows]),
        2 => vec(any::<bool>(), rows),
        1 => vec((0..20_u8).prop_map(|die| die == 0), rows),
        1 => Just(vec![true; rows]),
    ]
}

fn flags(rows: usize) -> impl Strategy<Value = Vec<SampleFlags>> {
    prop_oneof![
        Just(vec![SampleFlags::NONE; rows]),
        vec((0..4_u8).prop_map(SampleFlags), rows),
        vec((0..2_u8).prop_map(SampleFlags), rows),
    ]
}

/// Columns, and where runs begin.
#[derive(Clone, Debug)]
struct Input {
    step: u32,
    columns: Vec<(Vec<f32>, Vec<SampleFlags>)>,
    times: Vec<i64>,
}

fn input() -> impl Strategy<Value = Input> {
    (1..300_usize, 0..20_usize, 1..100_u32).prop_flat_map(|(rows, columns, step)| {
        let column = (values(rows), gaps(rows), flags(rows)).prop_map(|(mut values, gaps, flags)| {
            values.iter_mut().zip(gaps).filter(|(_, gap)| *gap).for_each(|(value, _)| *value = f32::NAN);
            (values, flags)
        });
        let jumps = vec(prop_oneof![30 => Just(0_u32), 1 => 1..1000_u32], rows);
        let copies = vec((any::<Index>(), any::<bool>(), 0..4_u8), 0..4);
        let input = (vec(column, columns), copies, jumps, -1000..2_000_000_000_i64);
        input.prop_map(move |(mut columns, copies, jumps, first)| {
            let copies = if columns.is_empty() { vec![] } else { copies };
            for (of, negated, die) in copies {
                let (mut values, flags) = columns[of.index(columns.len())].clone();
                values.iter_mut().filter(|_| negated).for_each(|value| *value = -*value);
                values.iter_mut().take(1).filter(|_| die == 0).for_each(|value| *value += 1.0);
                values.iter_mut().filter(|_| die == 1).for_each(|value| *value *= 1.000_01);
                columns.push((values, flags));
            }
            let times = jumps.into_iter().scan(first, |time, jump| {
                *time += i64::from(step) + i64::from(jump);
                Some(*time)
            });
            Input { step, columns, times: times.collect() }
        })
    })
}

fn seal(input: &Input) -> Page {
    let rows = input.times.len();
    let row_major = |row: usize| input.columns.iter().map(move |(values, _)| values[row]);
    let newest: Vec<f32> = (0..rows).flat_map(row_major).collect();
    let flags: Vec<_> =
        (0..rows).flat_map(|row| input.columns.iter().map(move |(_, flags)| flags[row])).collect();
    let mut runs: Vec<RunStart> = vec![];
    for (row, &time) in input.times.iter().enumerate() {
        if row == 0 || time - input.times[row - 1] != i64::from(input.step) {
            runs.push(RunStart { first: UnixSeconds(time), row: row as u16 });
        }
    }
    PageEncoder::default().encode(&RowBlock {
        step: input.step,
        columns: input.columns.len(),
        blocks: SqueezedCopy::default(),
        newest: &newest,
        flags: RowFlags::of_all(rows as u16, &flags).as_ref(),
        rows: rows as u16,
        runs: &runs,
    })
}

fn read(page: &Page, column: usize, window: TimeRange) -> Vec<(i64, Option<u32>, u8)> {
    let mut samples = Samples::default();
    page.read(column, window, &mut samples);
    samples.settle_flags();
    let bits = |value: f32| if value.is_nan() { None } else { Some(value.to_bits()) };
    let sample =
        |index: usize| (samples.times[index], bits(samples.values[index]), samples.flags_at(index).0);
    assert_eq!(samples.times.len(), samples.values.len());
    (0..samples.len()).map(sample).collect()
}

fn expected(input: &Input, column: usize, window: TimeRange) -> Vec<(i64, Option<u32>, u8)> {
    let (values, flags) = &input.columns[column];
    let bits = |value: f32| if value.is_nan() { None } else { Some(value.to_bits()) };
    let rows = (0..values.len()).map(|row| (input.times[row], bits(values[row]), flags[row].0));
    rows.filter(|(time, ..)| window.contains(UnixSeconds(*time))).collect()
}

fn one_column(values: Vec<f32>) -> Input {
    let rows = values.len();
    Input {
        step: 1,
        columns: vec![(values, vec![SampleFlags::NONE; rows])],
        times: (0..rows as i64).collect(),
    }
}

#[test]
fn a_column_younger_than_the_page_is_all_gaps() {
    let page = seal(&one_column(vec![1.0, 2.0, 3.0]));
    let window = TimeRange { first: UnixSeconds(1), last: UnixSeconds(5) };
    assert_eq!(read(&page, 9, window), [(1, None, 0), (2, None, 0)]);
}

#[test]
fn what_is_wrong_is_named() {
    let two = |values: Vec<f32>| (values, vec![SampleFlags::NONE; 3]);
    let columns = vec![two(vec![1.0, 2.0, 3.0]), two(vec![7.0, 9.0, 2.0])];
    let good = seal(&Input { step: 1, columns, times: vec![10, 11, 50] });
    const FORM: usize = 0;
    const FIRST: usize = 1;
    const STEP: usize = 2;
    const ROWS: usize = 3;
    const COLUMNS: usize = 4;
    const JUMP: usize = 6;
    const END: usize = JUMP + JUMP_LEN;
    let len = good.as_bytes().len();
    let bodies = len - END - 1;
    let check = |at: usize, bytes: &[u8], expected: PageError| {
        let mut damaged = good.as_bytes().to_vec();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(Page::from_bytes(&damaged), Err(expected));
    };
    assert_eq!(good.as_bytes()[..END], [4, 20, 1, 2, 2, 1, 2, 0, 40, 0, 0, 0]);
    assert_eq!(Page::from_bytes(good.as_bytes()).as_ref(), Ok(&good));
    assert_eq!(Page::from_bytes(&[]), Err(PageError::Short { needed: LEAST_LEN, found: 0 }));
    assert_eq!(Page::from_bytes(&good.as_bytes()[..COLUMNS]), Err(PageError::Header));
    check(FORM, &[7], PageError::Header);
    check(FIRST, &[0x80, 0], PageError::Header);
    check(STEP, &[0], PageError::NoStep);
    check(ROWS, &[0xff, 0xff, 0x03], PageError::Header);
    check(COLUMNS, &[100], PageError::Short { needed: JUMP + JUMP_LEN + 99, found: len });
    check(JUMP, &[0], PageError::Jump { index: 0 });
    check(JUMP, &[3], PageError::Jump { index: 0 });
    check(JUMP + 2, &[1], PageError::Jump { index: 0 });
    check(END, &[200], PageError::Table { column: 0, previous: 0, end: 200, all: bodies });
    check(END + 1, &[0xff], PageError::Column { column: 0 });
    let endless =
        [&[0][..], &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], &[1, 1, 1]].concat();
    assert_eq!(Page::from_bytes(&endless), Err(PageError::Endless { first: UnixSeconds(i64::MAX) }));
    assert_eq!(Page::from_bytes(&[0, 0, 1, 0, 0, 9]), Err(PageError::NoColumns { found: 1 }));
}

#[test]
fn a_column_like_another_is_a_copy_of_it() {
    let received: Vec<f32> = (0..200_u16).map(|row| f32::from(row) / 7.0).collect();
    let none = vec![SampleFlags::NONE; 200];
    let mut resets = none.clone();
    resets[7] = SampleFlags::RESET;
    let mut gaps = received.clone();
    gaps[3] = f32::NAN;
    let columns = vec![
        (received.clone(), none.clone()),
        (received.iter().map(|value| -value).collect(), resets),
        (gaps.clone(), none.clone()),
        (received, none.clone()),
        (gaps, none),
    ];
    let input = Input { step: 1, columns, times: (0..200).collect() };
    let page = seal(&input);
    let encodings: Vec<_> = (0..5).map(|column| page.encoding(column).0).collect();
    let (own, copy) = (Encoding::Floats, Encoding::Copy);
    assert_eq!(encodings, [own, copy, own, copy, copy]);
    for column in 0..5 {
        assert_eq!(read(&page, column, TimeRange::ALL), expected(&input, column, TimeRange::ALL));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_gives_back_what_was_sealed(input in input(), from in any::<Index>(), to in any::<Index>()) {
        let page = seal(&input);
        let again = Page::from_bytes(page.as_bytes());
        prop_assert_eq!(again.as_ref(), Ok(&page));
        let rows = input.times.len();
        let all = TimeRange { first: UnixSeconds(input.times[0]), last: UnixSeconds(input.times[rows - 1]) };
        prop_assert_eq!(page.span(), all);
        prop_assert_eq!((page.rows(), page.columns(), page.step()), (rows, input.columns.len(), input.step));
        let window = TimeRange {
            first: UnixSeconds(input.times[from.index(rows)] - 1),
            last: UnixSeconds(input.times[to.index(rows)]),
        };
        for column in 0..input.columns.len() {
            for window in [TimeRange::ALL, window] {
                prop_assert_eq!(read(&page, column, window), expected(&input, column, window));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read(
        input in input(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let page = seal(&input);
        let mut bytes = page.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(page) = Page::from_bytes(&bytes) {
            let _ = page.span();
            for column in 0..=page.columns() {
                prop_assert_eq!(read(&page, column, TimeRange::ALL).len(), page.rows());
            }
        }
    }
}
