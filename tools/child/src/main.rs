//! The command `mainstem-child`: arguments, the children, what came of them.

mod arguments;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use mainstem_child::freshness::Asking;
use mainstem_child::report::Percentiles;
use mainstem_child::verify::{Verdict, Verifier};
use mainstem_child::workload::Arrival;
use mainstem_child::{Fleet, Workload};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use arguments::Arguments;

/// A parent that asks for longer is asked nevertheless.
const FILLED_WITHIN: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("mainstem-child: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let workload = arguments.workload()?;
    let target = arguments.target(&workload)?;
    let mut verifier = arguments.verifier(&workload, target.tls.as_ref())?;
    let asking = arguments.asking(target.tls.as_ref())?;
    let has_past = workload.load.database.is_some();
    mainstem_child::preflight()?;
    let (report, verdict) = tokio_uring::start(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let fleet = Fleet::start(workload.load.clone(), target, workload.conduct());
        let mut verdict = Verdict::default();
        let verify_every = if has_past { 0 } else { arguments.verify_every };
        tokio::select! {
            () = end(&fleet, &workload) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            never = show_progress(&fleet, arguments.progress) => match never {},
            never = verify_often(&fleet, verifier.as_mut(), verify_every, &mut verdict) => match never {},
            never = ask(&fleet, asking) => match never {},
            never = cut_often(&fleet, workload.arrival) => match never {},
        }
        // The end may have come while all were cut.
        fleet.resume(Duration::ZERO);
        if let Some(verifier) = &mut verifier {
            verdict.merge(match has_past {
                false => verifier.round(&fleet).await,
                true => {
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

/// Waits for the end of the workload; what came before the end of its warm-up is forgotten.
async fn end(fleet: &Fleet, workload: &Workload) {
    sleep(Duration::from_secs(workload.warm_up_s)).await;
    fleet.reset_waits();
    match workload.duration_s {
        0 => std::future::pending().await,
        seconds => sleep(Duration::from_secs(seconds)).await,
    }
}

async fn ask(fleet: &Fleet, asking: Option<Asking>) -> Infallible {
    match asking {
        Some(asking) => fleet.ask_for_newest(asking).await,
        None => std::future::pending().await,
    }
}

async fn show_progress(fleet: &Fleet, every_s: u64) -> Infallible {
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
        if let Some(freshness) = report.freshness {
            let Percentiles { p50_ms, p99_ms, .. } = freshness.in_all;
            eprintln!("          in an answer after p50 {p50_ms:.1} p99 {p99_ms:.1} ms");
        }
        (samples_before, bytes_before) = (samples, bytes);
    }
}

async fn verify_often(
    fleet: &Fleet,
    verifier: Option<&mut Verifier>,
    every_s: u64,
    verdict: &mut Verdict,
) -> Infallible {
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

async fn cut_often(fleet: &Fleet, arrival: Arrival) -> Infallible {
    let Some(mut ticks) = ticks(arrival.storm_every_s) else { return std::future::pending().await };
    loop {
        ticks.tick().await;
        fleet.cut().await;
        eprintln!("all connections are cut");
        sleep(Duration::from_secs(arrival.storm_away_s)).await;
        fleet.resume(Duration::from_secs_f64(arrival.spread_s));
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
