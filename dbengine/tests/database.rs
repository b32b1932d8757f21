//! An engine, its disk and its readers, run by hand; beside it, a map of all rows that it was given.

use std::collections::BTreeMap;

use dbengine::simulated_disk::SimulatedDisk;
use dbengine::{
    Appended, DatafileOptions, Disk, DiskOp, Engine, EngineOptions, FileSet, GroupId, GroupKey, Keep,
    Recovered, Row, SampleFlags, Samples, SealedFile, StoreOptions, TimeRange, UnixSeconds, WriterId,
    read_from, recover,
};

/// Values of a row, as bits; `None` is a gap.
pub(crate) type Values = Vec<Option<u32>>;
/// Rows by time.
pub(crate) type Rows = BTreeMap<i64, Values>;

pub(crate) fn options() -> DatafileOptions {
    DatafileOptions {
        extent_bytes: 2048,
        file_bytes: 64 << 10,
        file_seconds: 700,
        waiting_bytes: 16 << 20,
        syncs: true,
    }
}

pub(crate) struct Database {
    pub(crate) engine: Engine,
    pub(crate) disk: SimulatedDisk,
    pub(crate) files: FileSet,
}

impl Database {
    /// Opens what is on the disk.
    pub(crate) fn open(mut disk: SimulatedDisk, datafiles: DatafileOptions, now: i64) -> Database {
        let mut recovered = recover(&mut disk, &mut |_| {}).expect("a database that a crash left");

        recovered.finish(&mut disk).expect("the journal goes");
        let Recovered { files, next_sequence, .. } = recovered;
        let store = StoreOptions {
            writer: WriterId(0),
            first_sequence: next_sequence,
            survives_power_loss: true,
            datafiles,
        };
        let engine = Engine::with_store(EngineOptions { page_rows: 16 }, store, UnixSeconds(now));
        Database { engine, disk, files }
    }

    pub(crate) fn create_group(&mut self, key: GroupKey, step: u32, columns: usize) -> GroupId {
        let id = self.engine.create_group(key, step, columns, Keep::OnDisk);
        if let Some(newest) = self.files.newest().get(key) {
            self.engine.resume_after(id, newest);
        }
        id
    }

    pub(crate) fn append(
        &mut self,
        id: GroupId,
        time: i64,
        values: &[f32],
        flags: Option<&[SampleFlags]>,
    ) -> Appended {
        self.engine.append(id, UnixSeconds(time), Row { values, flags })
    }

    /// Carries out what the engine asks for, until it asks for nothing. `before` sees each operation before it happens.
    pub(crate) fn drain(&mut self, mut before: impl FnMut(&SimulatedDisk, &DiskOp)) {
        loop {
            while let Some(op) = self.engine.poll_disk() {
                before(&self.disk, &op);
                let done = self.disk.carry_out(op);
                self.engine.disk_done(&done);
            }
            let Some(file) = self.engine.poll_sealed() else { return };
            let index = self.disk.index(0, file).expect("a sealed file has an index");
            let (data, _) = self.disk.open(dbengine::FileName::Data { tier: 0, id: file }).expect("and data");
            self.files = self.files.with(SealedFile::new(0, file, index, data).into());
            self.engine.published(file);
        }
    }

    pub(crate) fn commit(&mut self, now: i64) {
        self.engine.commit(UnixSeconds(now));
        self.drain(|_, _| {});
    }

    /// Stops in good order.
    pub(crate) fn stop(mut self) -> SimulatedDisk {
        self.engine.stop();
        self.drain(|_, _| {});
        while !self.engine.stop_further() {
            self.drain(|_, _| {});
        }
        self.drain(|_, _| {});
        self.disk
    }

    /// All rows of a group in `window`: in memory, in files of the engine, and in those of its readers.
    pub(crate) fn read(&self, id: GroupId, window: TimeRange) -> Rows {
        let mut snapshot = self.engine.read(id, window);
        let covered = snapshot.files().expect("a group on disk").to_vec();
        let mut pages = Vec::new();
        for (file, place) in self.files.pages(0, snapshot.key(), window, &covered) {
            pages.push(file.read(place).expect("a whole page"));
        }
        for page in snapshot.on_disk() {
            let name = dbengine::FileName::Data { tier: 0, id: page.file };
            let (data, _) = self.disk.open(name).expect("the file is there");
            pages.push(read_from(name, &*data, page.place).expect("a whole page"));
        }
        snapshot.add_pages(pages);
        rows(snapshot.columns(), |column, samples| snapshot.column(column, window, samples))
    }
}

/// All rows of a group in complete files.
pub(crate) fn rows_in_files(files: &FileSet, key: GroupKey) -> Rows {
    let mut all = Rows::new();
    let places = |file: &SealedFile| file.index.pages(key, TimeRange::ALL).collect::<Vec<_>>();
    for page in files.tier(0).iter().flat_map(|file| file.read_many(&places(file))) {
        let page = page.expect("a whole page");
        let rows = rows(page.columns(), |column, samples| {
            samples.clear();
            page.read(column, TimeRange::ALL, samples);
        });
        for (time, values) in rows {
            assert!(all.insert(time, values).is_none(), "the row at {time} is there twice");
        }
    }
    all
}

fn rows(columns: usize, mut read: impl FnMut(usize, &mut Samples)) -> Rows {
    let mut rows = Rows::new();
    let mut samples = Samples::default();
    for column in 0..columns {
        read(column, &mut samples);
        for (time, value) in samples.times.iter().zip(&samples.values) {
            rows.entry(*time).or_default().push(bits(*value));
        }
    }
    rows
}

pub(crate) fn bits(value: f32) -> Option<u32> {
    if value.is_nan() { None } else { Some(value.to_bits()) }
}

/// Numbers that follow from a seed (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}
