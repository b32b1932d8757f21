//! The command `mainstem-child`: arguments, the children, what came of them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use mainstem_child::database::{Database, ReplayFault, ReplicationStyle};
use mainstem_child::load::{Compression, Load, Protocol};
use mainstem_child::tls::{Tls, Trust};
use mainstem_child::verify::{Verdict, Verifier};
use mainstem_child::{Fleet, Target};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use uuid::Uuid;

/// Simulates Netdata children: hosts that stream to a parent in real time, with values that can be checked.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the parent listens.
    #[arg(long, value_name = "HOST:PORT")]
    parent: String,
    /// The API key that the parent knows.
    #[arg(long, value_name = "UUID")]
    key: Uuid,
    /// Speak TLS, to a parent that --tls-ca knows or --tls-insecure does not want to know.
    #[arg(long, requires = "trust")]
    tls: bool,
    /// The authorities whose certificates are accepted, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls", group = "trust")]
    tls_ca: Option<PathBuf>,
    /// Accept every certificate.
    #[arg(long, requires = "tls", group = "trust")]
    tls_insecure: bool,
    /// The name that the parent's certificate has to have. [default: the HOST of --parent]
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// How many children.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: u32,
    /// Charts of a child.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    charts: u32,
    /// Dimensions of a chart.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    dimensions: u32,
    /// Seconds between two samples.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    update_every: u32,
    /// v1: collected values. v2: finished samples; when the parent does not know them, v1.
    #[arg(long, value_enum, default_value_t = Protocol::V2)]
    protocol: Protocol,
    /// What the children offer to compress with.
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    compression: Compression,
    /// How much past each child keeps and replays; 0: none.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    database: u32,
    /// How much of it there is at the start. It goes on while a child is not connected.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "database")]
    history: u32,
    /// 1.37: answers have the window that was asked for. 2.3: one that ends near now goes up to now.
    #[arg(long, value_enum, default_value_t = ReplicationStyle::Exact, requires = "database")]
    replication_style: ReplicationStyle,
    /// The buffer of which an answer takes a quarter at most; while half of it waits nothing is answered.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, requires = "database",
        value_parser = clap::value_parser!(u32).range(1 << 12..=8 << 20))]
    send_buffer: u32,
    /// How children fail to replay: late=SECONDS, partial, silent, endless or wrong-order.
    #[arg(long, value_name = "FAULT", requires = "database")]
    replay_fault: Option<ReplayFault>,
    /// Seconds after which all connections are cut, again and again; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "cut_for")]
    cut_every: u64,
    /// How long they stay cut.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "cut_every")]
    cut_for: u64,
    /// How long it lasts; 0: until a signal.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    duration: u64,
    /// The time over which connections are spread.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    arrival: f64,
    /// What host names begin with: PREFIX-0001 and so on. Machine GUIDs follow from the names.
    #[arg(long, value_name = "PREFIX", default_value = "child")]
    name: String,
    /// Asks the parent's API for what was sent and compares, at the end and every so often. The exit code is 1 when a
    /// point is missing or wrong. With --database: at the end only, when the parent has all that it asks for (or after two
    /// minutes), but for everything since the children began.
    #[arg(long, value_name = "URL")]
    verify: Option<String>,
    /// Seconds between two verifications; 0: at the end only.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "verify")]
    verify_every: u64,
    /// Charts that a verification asks for, chosen at random among those of all children; 0: all.
    #[arg(long, value_name = "CHARTS", default_value_t = 100, requires = "verify")]
    verify_charts: usize,
    /// The longest time that a verification asks for at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "verify")]
    verify_window: u32,
    /// Where the report goes as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Seconds between two lines about how it goes; 0: none.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    progress: u64,
    /// Another seed, other values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 86400 seconds".into()) }
}

/// A parent that asks for longer is asked nevertheless.
const FILLED_WITHIN: Duration = Duration::from_secs(120);

impl Arguments {
    fn load(&self) -> Load {
        Load {
            children: self.children as usize,
            charts: self.charts as usize,
            dimensions: self.dimensions as usize,
            update_every: self.update_every,
            protocol: self.protocol,
            compression: self.compression,
            database: self.database(),
            name: self.name.clone(),
            seed: self.seed,
        }
    }

    fn database(&self) -> Option<Database> {
        (self.database > 0).then_some(Database {
            retention_s: self.database,
            history_s: self.history,
            style: self.replication_style,
            fault: self.replay_fault,
            send_buffer: self.send_buffer as usize,
        })
    }

    fn target(&self) -> anyhow::Result<Target> {
        let trust = self.tls_ca.as_deref().map_or(Trust::Anyone, Trust::Authorities);
        let tls = self.tls.then(|| Tls::new(self.tls_name.as_deref().unwrap_or(self.host()), trust));
        Ok(Target { address: resolve(&self.parent)?, key: self.key, tls: tls.transpose()? })
    }

    /// The parent's name, without its port and the brackets of an address.
    fn host(&self) -> &str {
        let host = self.parent.rsplit_once(':').map_or(&*self.parent, |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// `tls`: what the children speak, if they do.
    fn verifier(&self, tls: Option<Tls>) -> anyhow::Result<Option<Verifier>> {
        let Some(url) = &self.verify else { return Ok(None) };
        let (scheme, address) = url.split_once("://").context("--verify needs an URL")?;
        let address = resolve(address.trim_end_matches('/'))?;
        let verifier = Verifier::new(address, self.verify_charts, self.verify_window.into(), self.seed);
        match scheme {
            "http" => Ok(Some(verifier)),
            "https" => Ok(Some(verifier.with_tls(tls.context("--verify with https:// needs --tls")?))),
            _ => bail!("--verify needs an URL that begins with http:// or https://"),
        }
    }
}

fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let mut found = address.to_socket_addrs().with_context(|| format!("'{address}' is no HOST:PORT"))?;
    found.next().with_context(|| format!("'{address}' has no address"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("mainstem-child: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.name.is_empty() {
        bail!("--name must not be empty");
    }
    let target = arguments.target()?;
    let mut verifier = arguments.verifier(target.tls.clone())?;
    mainstem_child::preflight()?;
    let (report, verdict) = tokio_uring::start(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let fleet = Fleet::start(arguments.load(), target, Duration::from_secs_f64(arguments.arrival));
        let mut verdict = Verdict::default();
        let verify_every = if arguments.database > 0 { 0 } else { arguments.verify_every };
        tokio::select! {
            () = end(arguments.duration) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            never = show_progress(&fleet, arguments.progress) => match never {},
            never = verify_often(&fleet, verifier.as_mut(), verify_every, &mut verdict) => match never {},
            never = cut_often(&fleet, arguments) => match never {},
        }
        // The end may have come while all were cut.
        fleet.resume(Duration::ZERO);
        if let Some(verifier) = &mut verifier {
            verdict.merge(match arguments.database {
                0 => verifier.round(&fleet).await,
                _ => {
                    // What the parent has not asked for yet is not missing.
                    if !fleet.until_filled(FILLED_WITHIN).await {
                        eprintln!("the parent still asks for the past after {} s", FILLED_WITHIN.as_secs());
                    }
                    verifier.whole(&fleet).await
                }
            });
        }
        let report = fleet.report();
        fleet.stop().await;
        anyhow::Ok((report, verdict))
    })?;

    let mut report = report;
    let verified = verifier.is_none() || verdict.is_good();
    report.verified = verifier.is_some().then(|| verdict.clone());
    print!("{report}");
    if !verified {
        verdict.examples.iter().for_each(|point| println!("  {point}"));
        verdict.unanswered.iter().for_each(|why| println!("  {why}"));
        if verdict.questions == 0 {
            println!("  nothing was asked: no child streamed for long enough");
        }
    }
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if report.accepted == 0 {
        bail!("no child was accepted");
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn end(duration_s: u64) {
    if duration_s == 0 {
        std::future::pending().await
    } else {
        sleep(Duration::from_secs(duration_s)).await;
    }
}

async fn show_progress(fleet: &Fleet, every_s: u64) -> std::convert::Infallible {
    let Some(mut ticks) = ticks(every_s) else { return std::future::pending().await };
    let begun = Instant::now();
    let (mut samples_before, mut bytes_before) = (0, 0);
    loop {
        ticks.tick().await;
        let report = fleet.report();
        let totals = fleet.totals();
        let (samples, bytes) = (totals.samples.load(Relaxed), totals.wire_bytes.load(Relaxed));
        eprintln!(
            "{:6.0} s  {} of {} connected, {} streaming  {:.0} samples/s  {:.2} MB/s  late p50 {:.1} p99 {:.1} \
             max {:.1} ms  {} reconnects  {} bytes delayed",
            begun.elapsed().as_secs_f64(),
            report.connected,
            report.load.children,
            report.streaming,
            (samples - samples_before) as f64 / every_s as f64,
            (bytes - bytes_before) as f64 / every_s as f64 / 1e6,
            report.lag.p50_ms,
            report.lag.p99_ms,
            report.lag.max_ms,
            report.reconnects,
            report.delayed_bytes,
        );
        (samples_before, bytes_before) = (samples, bytes);
    }
}

async fn verify_often(
    fleet: &Fleet,
    verifier: Option<&mut Verifier>,
    every_s: u64,
    verdict: &mut Verdict,
) -> std::convert::Infallible {
    let (Some(verifier), Some(mut ticks)) = (verifier, ticks(every_s)) else {
        return std::future::pending().await;
    };
    loop {
        ticks.tick().await;
        let round = verifier.round(fleet).await;
        if round.questions > 0 {
            eprintln!("verified {round}");
        }
        verdict.merge(round);
    }
}

async fn cut_often(fleet: &Fleet, arguments: &Arguments) -> std::convert::Infallible {
    let Some(mut ticks) = ticks(arguments.cut_every) else { return std::future::pending().await };
    loop {
        ticks.tick().await;
        fleet.cut().await;
        eprintln!("all connections are cut");
        sleep(Duration::from_secs(arguments.cut_for)).await;
        fleet.resume(Duration::from_secs_f64(arguments.arrival));
    }
}

fn ticks(every_s: u64) -> Option<tokio::time::Interval> {
    let every = Duration::from_secs(every_s);
    (every_s > 0).then(|| {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    })
}
