//! Rows and pages.

use std::hint::black_box;

use dbengine::{
    Appended, Engine, EngineOptions, ExtentPage, FileId, GroupId, GroupKey, Keep, Page, Row, Samples,
    TimeRange, UnixSeconds, WriterId, build_extent,
};

use super::Stage;
use super::input::{BEGUN, CHARTS, CHILDREN, DIMENSIONS, SECONDS, samples};
use super::wire::{commit, engine};

/// Rows of a page, as an engine seals it.
const PAGE_ROWS: usize = 256;
/// Pages that are sealed, written and read: as many charts of one child.
const PAGES: usize = CHARTS;

/// Rows of a group that are stored: so many that most of them do not stay as they came.
const ROWS: usize = 4 * SECONDS;

/// Rows into an engine.
struct Store {
    is_journalled: bool,
    /// By second, child, chart and dimension.
    rows: Vec<f32>,
    engine: Engine,
    groups: Vec<GroupId>,
    copy: Vec<f32>,
}

fn stored(is_journalled: bool) -> Box<dyn Stage> {
    let seconds = BEGUN + 1..=BEGUN + ROWS as i64;
    let charts = |second| {
        let all = (0..CHILDREN).flat_map(|child| (0..CHARTS).map(move |chart| (child, chart)));
        all.flat_map(move |(child, chart)| samples(child, chart, second))
    };
    let rows: Vec<f32> = seconds.flat_map(charts).collect();
    let copy = vec![0.0; rows.len()];
    let engine = Engine::new(EngineOptions::default());
    Box::new(Store { is_journalled, rows, engine, groups: Vec::new(), copy })
}

pub(super) fn store() -> Box<dyn Stage> {
    stored(false)
}

pub(super) fn journal() -> Box<dyn Stage> {
    stored(true)
}

impl Stage for Store {
    fn samples(&self) -> u64 {
        self.rows.len() as u64
    }

    fn prepare(&mut self) {
        let keep = if self.is_journalled { Keep::OnDisk } else { Keep::Rows(3600) };
        self.engine = if self.is_journalled { engine() } else { Engine::new(EngineOptions::default()) };
        let create = |key| self.engine.create_group(GroupKey(key as u128 + 1), 1, DIMENSIONS, keep);
        self.groups = (0..CHILDREN * CHARTS).map(create).collect();
    }

    fn run(&mut self) {
        let mut rows = self.rows.chunks(DIMENSIONS);
        for second in BEGUN + 1..=BEGUN + ROWS as i64 {
            for (group, values) in self.groups.iter().zip(&mut rows) {
                let row = Row { values, flags: None };
                let appended = self.engine.append(*group, UnixSeconds(second), row);
                debug_assert_eq!(appended, Appended::Stored);
            }
            if self.is_journalled {
                commit(&mut self.engine, second);
            }
        }
    }

    fn floor(&mut self) {
        self.copy.copy_from_slice(black_box(&self.rows));
    }
}

/// Rows that fill pages, and what becomes of them.
struct Pages {
    step: Step,
    times: Vec<UnixSeconds>,
    /// By page, row and column.
    rows: Vec<Vec<f32>>,
    pages: Vec<ExtentPage>,
    samples: Samples,
    copy: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Seal,
    Extent,
    Decode,
}

fn pages(step: Step) -> Box<dyn Stage> {
    let times: Vec<UnixSeconds> = (1..=PAGE_ROWS as i64).map(|second| UnixSeconds(BEGUN + second)).collect();
    let rows: Vec<Vec<f32>> =
        (0..PAGES).map(|chart| times.iter().flat_map(|time| samples(0, chart, time.0)).collect()).collect();
    let seal = |(number, rows): (usize, &Vec<f32>)| ExtentPage {
        number: number as u32,
        key: Some(GroupKey(number as u128 + 1)),
        page: Page::seal(1, &times, rows, &[]),
    };
    let pages = rows.iter().enumerate().map(seal).collect();
    Box::new(Pages { step, times, rows, pages, samples: Samples::default(), copy: Vec::new() })
}

pub(super) fn seal() -> Box<dyn Stage> {
    pages(Step::Seal)
}

pub(super) fn extent() -> Box<dyn Stage> {
    pages(Step::Extent)
}

pub(super) fn decode() -> Box<dyn Stage> {
    pages(Step::Decode)
}

impl Stage for Pages {
    fn samples(&self) -> u64 {
        (PAGES * PAGE_ROWS * DIMENSIONS) as u64
    }

    fn prepare(&mut self) {}

    fn run(&mut self) {
        match self.step {
            Step::Seal => self.rows.iter().for_each(|rows| {
                black_box(Page::seal(1, &self.times, rows, &[]));
            }),
            Step::Extent => {
                let file = FileId { sequence: 1, writer: WriterId(0) };
                black_box(build_extent(file, 0, &self.pages));
            }
            Step::Decode => {
                for ExtentPage { page, .. } in &self.pages {
                    for column in 0..DIMENSIONS {
                        self.samples.clear();
                        page.read(column, TimeRange::ALL, &mut self.samples);
                        black_box(&self.samples.values);
                    }
                }
            }
        }
    }

    fn floor(&mut self) {
        self.copy.clear();
        match self.step {
            Step::Extent => {
                self.pages
                    .iter()
                    .for_each(|page| self.copy.extend_from_slice(black_box(page.page.as_bytes())));
            }
            Step::Seal | Step::Decode => {
                for rows in &self.rows {
                    self.samples.values.clear();
                    self.samples.values.extend_from_slice(black_box(rows));
                }
            }
        }
    }
}
