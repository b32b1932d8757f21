//! [`Stored`]: a parent on a generated database, from outside: its start, its questions, and the page cache it finds.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::catalog;
use crate::contender::{Contender, Running};
use crate::generate::{Dataset, Generated, now};

/// Everything that was generated stays.
const SETTINGS: &str = "[db]\n    dbengine tier 0 retention size = 0\n    dbengine tier 1 retention size = 0\n    \
                        dbengine tier 2 retention size = 0\n    dbengine tier 0 retention time = 0\n";
/// How long a parent may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which database, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// Where a directory for the database is made, on the kind of disk that is meant. It is removed in the end.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    directory: PathBuf,
    /// A state directory that 'generate' made of this dataset, instead of a new one. It stays.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// A database, and the directory of a parent around it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) dataset: Dataset,
    /// The seconds that all groups have samples of.
    pub(crate) first: i64,
    pub(crate) last: i64,
    state: PathBuf,
}

impl Stored {
    /// Makes the database, unless there is one. The directory goes when what is returned beside it is dropped.
    pub(crate) fn make(place: &Place, dataset: Dataset) -> Result<(Stored, TempDir)> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir_in(&place.directory)?;
        let state = directory.path().join("state");
        let (first, last) = match &place.state {
            None => {
                let generated: Generated = dataset.generate(&state, now())?;
                println!("{generated}");
                (generated.first, generated.last)
            }
            Some(given) => {
                std::os::unix::fs::symlink(std::path::absolute(given)?, &state)?;
                dataset.span_in(&state)?
            }
        };
        let margin = crate::generate::PAGE_ROWS;
        Ok((Stored { dataset, first: first + margin, last: last - margin, state }, directory))
    }

    /// Starts a parent on it, in the directory that came with it.
    pub(crate) fn start(directory: TempDir) -> Result<Running> {
        Contender::start_ours(directory, SETTINGS)
    }

    /// Starts one more in the directory of one that was ended.
    pub(crate) fn start_again(running: &mut Running) -> Result<()> {
        running.start_ours_again(SETTINGS)
    }

    /// Lets the kernel forget what it has of the database's files, but for what is mapped and in use.
    pub(crate) fn forget(&self) -> Result<()> {
        let cache = self.state.join("cache");
        let tiers = (0..3).map(|tier| cache.join(format!("db/tier-{tier}")));
        for directory in tiers.chain([cache.clone()]) {
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.is_file() {
                    let file = File::open(&path)?;
                    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                        .with_context(|| format!("{}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// The path of a question about a chart.
    pub(crate) fn question(
        &self,
        host: u32,
        chart: u32,
        window: std::ops::Range<i64>,
        points: u32,
    ) -> String {
        format!(
            "/host/host-{host:04}/api/v1/data?chart={}&after={}&before={}&points={points}&format=csv&options=seconds",
            catalog::chart_id(chart),
            window.start,
            window.end
        )
    }

    /// Checks an answer in CSV with a line a second, newest first: every second of the window, every value.
    pub(crate) fn check_seconds(
        &self,
        host: u32,
        chart: u32,
        window: std::ops::Range<i64>,
        csv: &str,
    ) -> Result<()> {
        let group = self.dataset.group(host, chart);
        let mut expected: Vec<i64> = (window.start + 1..=window.end).collect();
        let lines: Vec<&str> = csv.lines().skip(1).collect();
        ensure!(lines.len() == expected.len(), "{} lines of {}", lines.len(), expected.len());
        expected.reverse();
        for (line, time) in lines.into_iter().zip(expected) {
            let mut fields = line.split(',');
            let found: i64 =
                fields.next().unwrap_or_default().trim().parse().with_context(|| line.to_owned())?;
            ensure!(found == time, "a line of {found} instead of {time}");
            for column in 0..self.dataset.dimensions {
                let field = fields.next().with_context(|| line.to_owned())?;
                let found: f32 = field.trim().parse().with_context(|| line.to_owned())?;
                let expected = self.dataset.value(group, column, time);
                ensure!(found == expected, "host {host}, chart {chart} at {time}: {found}, not {expected}");
            }
        }
        Ok(())
    }
}

/// The body of an answer; a status other than 200 is an error.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}
