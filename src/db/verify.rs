//! Everything on disk, read and checked.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use dbengine::{Directory, Disk, FileName, Flaw, Verified, verify_file};

use crate::catalog::{CatalogStore, StoreError};
use crate::config::Config;

/// Between two lines about how it goes.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// A file with a flaw is read again so much later: its writer may have been at it.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Writes what is broken, and a summary. Says whether all is whole.
pub(super) fn verify(directory: &Directory, config: &Config, out: &mut dyn Write) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut files = directory.list()?;
    files.sort_unstable();
    let mut sum = Verified::default();
    let (mut datafiles, mut segments) = (0, 0);
    let mut suspicious = Vec::new();
    let mut told = begun;
    for (count, file) in files.iter().enumerate() {
        let Some(verified) = read(directory, *file) else { continue };
        match file {
            FileName::Data { .. } => datafiles += 1,
            FileName::Journal(_) => segments += 1,
            FileName::Index { .. } => {}
        }
        if verified.flaws.is_empty() {
            add(&mut sum, verified)
        } else {
            suspicious.push(*file)
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            eprintln!("{} of {} files, {:.1} GB read", count + 1, files.len(), sum.bytes as f64 / 1e9);
        }
    }
    if !suspicious.is_empty() {
        std::thread::sleep(AGAIN_AFTER);
    }
    suspicious
        .into_iter()
        .filter_map(|file| read(directory, file))
        .for_each(|verified| add(&mut sum, verified));
    for flaw in &sum.flaws {
        writeln!(out, "{flaw}")?;
    }
    let catalog_is_whole = catalog(config, out)?;
    let Verified { bytes, extents, pages, samples, batches, rows, torn_bytes, .. } = sum;
    writeln!(out, "{datafiles} datafiles: {extents} extents, {pages} pages, {samples} samples")?;
    writeln!(out, "{segments} journal segments: {batches} batches, {rows} rows")?;
    if torn_bytes > 0 {
        writeln!(
            out,
            "{torn_bytes} bytes at the end of files were being written, now or when a parent ended; no loss"
        )?;
    }
    let is_whole = sum.flaws.is_empty() && catalog_is_whole;
    let verdict = if is_whole {
        "all is whole".to_owned()
    } else {
        format!("{} broken", sum.flaws.len() + usize::from(!catalog_is_whole))
    };
    writeln!(out, "{bytes} bytes read in {:.1} s: {verdict}", begun.elapsed().as_secs_f64())?;
    Ok(is_whole)
}

/// `None`: it was removed since it was listed.
fn read(directory: &Directory, file: FileName) -> Option<Verified> {
    match verify_file(directory, file) {
        Ok(verified) => Some(verified),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let flaw = Flaw::Unreadable { file, at: 0, why: error.to_string() };
            Some(Verified { flaws: vec![flaw], ..Verified::default() })
        }
    }
}

fn add(sum: &mut Verified, of_file: Verified) {
    let Verified { bytes, extents, pages, samples, batches, rows, torn_bytes, flaws } = of_file;
    sum.bytes += bytes;
    sum.extents += extents;
    sum.pages += pages;
    sum.samples += samples;
    sum.batches += batches;
    sum.rows += rows;
    sum.torn_bytes += torn_bytes;
    sum.flaws.extend(flaws);
}

/// Whether the catalog can be read, all of it. None at all is not broken: its samples wait for their children.
fn catalog(config: &Config, out: &mut dyn Write) -> io::Result<bool> {
    let path = config.directories.catalog();
    if !path.exists() {
        writeln!(out, "{}: there is no catalog", path.display())?;
        return Ok(true);
    }
    match CatalogStore::open_copy(&path).and_then(|mut store| store.load(|_, _| {})) {
        Ok(stored) => {
            writeln!(
                out,
                "catalog: {} hosts, {} charts, {} dimensions",
                stored.hosts, stored.charts, stored.dimensions
            )?;
            if stored.damaged > 0 {
                writeln!(out, "{}: {} damaged records", path.display(), stored.damaged)?;
            }
            Ok(stored.damaged == 0)
        }
        Err(error @ (StoreError::Damaged { .. } | StoreError::Newer { .. })) => {
            writeln!(out, "{error}")?;
            Ok(false)
        }
        Err(error) => Err(io::Error::other(error)),
    }
}
