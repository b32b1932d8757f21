//! The same samples in Netdata's storage engine: children with a past of hours, which a Netdata fetches by replication.
//!
//! ```text
//! CHART, DIMENSION .., CHART_DEFINITION_END first last now  ------->
//!                        <-------  REPLAY_CHART "chart" "flag" after before
//! RBEGIN, RSET .., REND ------->                                              until all of a chart was told
//! ```

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use dbengine::SampleFlags;
use uuid::Uuid;

use crate::contender::Running;
use crate::corpus::ChartRows;

/// What a Netdata 1.37 offers, but for compression; in our words a child of that version.
const OFFERED: u32 = 15352;
/// Longer than it takes to fetch a day; then something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// Every so many charts, one is asked for and its rows are counted.
const CHECKED_EVERY: usize = 25;

/// What Netdata wrote.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) data_bytes: u64,
    pub(crate) journal_bytes: u64,
}

/// How much of its past a child says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    All,
    Nothing,
}

/// A child: the id of its machine, and its charts.
#[derive(Debug)]
struct Host<'a> {
    name: String,
    guid: Uuid,
    pasts: Vec<Past<'a>>,
}

/// A chart of a child, with its rows moved to end now.
#[derive(Debug)]
struct Past<'a> {
    chart: &'a ChartRows,
    /// Seconds that its rows are moved by.
    later: i64,
}

impl Past<'_> {
    fn first(&self) -> i64 {
        self.chart.times[0] + self.later
    }

    fn last(&self) -> i64 {
        self.chart.times[self.chart.times.len() - 1] + self.later
    }

    fn define(&self, offer: Offer, now: i64, out: &mut String) {
        let ChartRows { id, step, columns, .. } = self.chart;
        let (first, last) = match offer {
            Offer::All => (self.first(), self.last()),
            Offer::Nothing => (0, 0),
        };
        let _ = writeln!(
            out,
            r#"CHART "{id}" "" "title" "units" "family" "context" "line" 1000 {step} "" "" """#
        );
        for column in 0..*columns {
            let _ = writeln!(out, r#"DIMENSION "d{column}" "d{column}" "absolute" 1 1 """#);
        }
        let _ = writeln!(out, "CHART_DEFINITION_END {first} {last} {now}");
    }

    /// Answers `REPLAY_CHART`. Says whether that was all of it.
    fn replay(&self, after: i64, before: i64, now: i64, out: &mut String) -> bool {
        let ChartRows { id, step, columns, times, values, flags } = self.chart;
        let _ = writeln!(out, r#"RBEGIN "{id}""#);
        let is_asked = |time: i64| time > after && time <= before;
        let asked =
            times.iter().map(|time| time + self.later).enumerate().filter(|(_, time)| is_asked(*time));
        for (row, time) in asked {
            let _ = writeln!(out, "RBEGIN '' {} {time} {now}", time - i64::from(*step));
            for column in 0..*columns {
                let sample = row * columns + column;
                let value = values[sample];
                let is_reset = flags.get(sample).is_some_and(|flags| flags.contains(SampleFlags::RESET));
                let _ = match (value.is_nan(), is_reset) {
                    (true, _) => writeln!(out, r#"RSET "d{column}" NAN "E""#),
                    (false, true) => writeln!(out, r#"RSET "d{column}" {value} "R""#),
                    (false, false) => writeln!(out, r#"RSET "d{column}" {value} """#),
                };
            }
        }
        let is_all = before == 0 || before >= self.last();
        let _ = writeln!(out, "REND {step} {} {} {is_all} {after} {before} {now}", self.first(), self.last());
        is_all
    }
}

/// Has a Netdata keep all rows of these children, as if they ended now. When it was ended and started again, it must have
/// them, with children that have no past any more.
pub(crate) fn keep(binary: &Path, children: &[(&'static str, Vec<ChartRows>)]) -> Result<Kept> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() as i64;
    let hosts = children.iter().enumerate().map(|(number, (_, charts))| {
        let last = charts.iter().filter_map(|chart| chart.times.last()).max().copied();
        // Whole minutes, so that times keep their place in the steps of slow charts.
        let later = (now - last.unwrap_or(now)) / 60 * 60;
        let pasts = charts.iter().map(|chart| Past { chart, later }).collect();
        Host { name: format!("child-{number}"), guid: Uuid::new_v4(), pasts }
    });
    let hosts: Vec<Host<'_>> = hosts.collect();
    let command = |directory: &Path, port: u16, key: Uuid| {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peer/run.sh"));
        command.arg("parent").arg(directory.join("netdata")).env("NETDATA", binary);
        command.args([format!("PORT={port}"), format!("KEY={key}")]);
        // A cache that has room for all of it: pages that wait too long for the disk would be dropped.
        command.args(["TIERS=1", "CACHE=1024", "DISK=4096", "COMPRESSION=no"]);
        Ok(command)
    };
    let mut running = Running::start("netdata", command)?;
    each(&hosts, |host| tell(&running, host, Offer::All, now).map(drop))?;
    ensure!(running.end()?.success(), "Netdata did not end in good order");
    let mut kept = Kept { data_bytes: 0, journal_bytes: 0 };
    for file in fs::read_dir(running.directory().join("netdata/cache/dbengine"))? {
        let file = file?;
        let bytes = file.metadata()?.len();
        match file.path().extension().and_then(|extension| extension.to_str()) {
            Some("ndf") => kept.data_bytes += bytes,
            Some("njf") => kept.journal_bytes += bytes,
            _ => bail!("{} is no file of the storage engine's", file.path().display()),
        }
    }
    running.start_again("netdata", command)?;
    each(&hosts, |host| {
        let connection = tell(&running, host, Offer::Nothing, now)?;
        check(running.address, host)?;
        drop(connection);
        Ok(())
    })?;
    running.stop()?;
    Ok(kept)
}

/// All children at once.
fn each(hosts: &[Host<'_>], work: impl Fn(&Host<'_>) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let children: Vec<_> = hosts.iter().map(|host| scope.spawn(move || work(host))).collect();
        children.into_iter().try_for_each(|child| child.join().expect("a child does not panic"))
    })
}

/// A child from its request until all of its past was fetched.
fn tell(parent: &Running, host: &Host<'_>, offer: Offer, now: i64) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(parent.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (key, Host { name, guid, pasts }) = (parent.key, host);
    let request = format!(
        "STREAM key={key}&hostname={name}&registry_hostname={name}&machine_guid={guid}&update_every=1&os=linux\
         &timezone=UTC&abbrev_timezone=UTC&utc_offset=0&hops=1&tags=&ver={OFFERED}&NETDATA_PROTOCOL_VERSION=1.1 \
         HTTP/1.1\r\nUser-Agent: netdata/v1.37.1\r\nAccept: */*\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]);
    ensure!(answer.contains("with the version="), "the parent answers: {answer}");
    let mut text = String::new();
    pasts.iter().for_each(|past| past.define(offer, now, &mut text));
    stream.write_all(text.as_bytes())?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut rest, mut told) = (pasts.len(), None);
    let mut line = String::new();
    while rest > 0 {
        line.clear();
        ensure!(lines.read_line(&mut line).context("waiting to be asked")? > 0, "the parent hung up");
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let ["REPLAY_CHART", id, _, after, before] = words[..] else { continue };
        let past =
            pasts.iter().find(|past| past.chart.id == id).with_context(|| format!("asked for {id}"))?;
        text.clear();
        told = Some(past);
        rest -= usize::from(past.replay(after.parse()?, before.parse()?, now, &mut text));
        stream.write_all(text.as_bytes())?;
    }
    // What was sent is taken in order, and what was not taken yet would be lost when the parent ends.
    let begun = Instant::now();
    while let Some(past) = told.filter(|_| offer == Offer::All) {
        let answer = get(parent.address, &format!("/host/{name}/api/v1/chart?chart={}", past.chart.id))?;
        if serde_json::from_str::<serde_json::Value>(&answer)?["last_entry"].as_i64() >= Some(past.last()) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "the parent is still busy with {}", past.chart.id);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(stream)
}

/// Asks for some charts: are all values there?
fn check(address: SocketAddr, host: &Host<'_>) -> Result<()> {
    for past in host.pasts.iter().step_by(CHECKED_EVERY) {
        let path = format!(
            "/host/{}/api/v1/data?chart={}&after={}&before={}&points=0&format=csv",
            host.name,
            past.chart.id,
            past.first(),
            past.last()
        );
        let body = get(address, &path)?;
        let cells = body.lines().skip(1).flat_map(|row| row.split(',').skip(1));
        let found = cells.filter(|cell| !matches!(*cell, "" | "null")).count();
        let sent = past.chart.values.iter().filter(|value| !value.is_nan()).count();
        ensure!(found * 100 >= sent * 99, "{found} values of {sent} of {} are there", past.chart.id);
    }
    Ok(())
}

/// The body of an answer. A busy Netdata may hang up without one, and is asked again.
fn get(address: SocketAddr, path: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: netdata\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if let (Ok(_), Some((_, body))) = (&read, answer.split_once("\r\n\r\n")) {
            return Ok(body.to_owned());
        }
        ensure!(begun.elapsed() < PATIENCE, "no answer to {path}: {read:?}, {answer}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
