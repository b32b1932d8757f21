//! `mainstem-bench scale`: whether cost grows in proportion, by samples and by children; a table, and a plot of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};
use mainstem_child::Load;
use mainstem_child::load::{Compression, Protocol};

use crate::cost::Cost;
use crate::results::{Machine, commit, today};

/// Samples a second, at 500 children: charts of each, of ten dimensions.
const BY_SAMPLES: [(usize, usize); 4] = [(500, 20), (500, 100), (500, 200), (500, 400)];
/// Children of half a million samples a second.
const BY_CHILDREN: [(usize, usize); 4] = [(10, 5000), (100, 500), (1000, 50), (5000, 10)];

/// Processor time a sample at 100 k to 2 M samples a second, and from 10 to 5000 children.
#[derive(clap::Args)]
pub(crate) struct Scale {
    #[arg(long, value_enum, default_value_t = Protocol::V2)]
    protocol: Protocol,
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    compression: Compression,
    /// How long each load runs before it is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 40)]
    warm_up: u64,
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
    /// Where the plot goes.
    #[arg(long, value_name = "FILE.svg", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale.svg"))]
    plot: PathBuf,
}

/// A point of a plot.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: f64,
    ns: f64,
}

/// The path as one would write it here, if it leads below the current directory.
fn from_here(path: &Path) -> PathBuf {
    let Ok(whole) = path.canonicalize() else { return path.to_owned() };
    let below = env::current_dir().ok().and_then(|here| whole.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or(whole)
}

impl Scale {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let Machine { cpu, cores, kernel } = Machine::this();
        println!(
            "{:?} {:?}, commit {}, {cpu}, {cores} cores, Linux {kernel}, {}\n",
            self.protocol,
            self.compression,
            commit(),
            today()?
        );
        println!(
            "| samples a second | children | dimensions of each | ns a sample | cores | bytes a metric | sent late, p99 ms |"
        );
        println!("|---:|---:|---:|---:|---:|---:|---:|");
        let samples = self.measure(&BY_SAMPLES, |cost, _| cost.samples_a_second()).await?;
        let children = self.measure(&BY_CHILDREN, |_, children| children as f64).await?;
        let plot = plot(&[("samples a second, 500 children", &samples), ("children, at 500 k/s", &children)]);
        fs::write(&self.plot, plot).with_context(|| format!("cannot write {}", self.plot.display()))?;
        println!("\nplotted in {}", from_here(&self.plot).display());
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(
        &self,
        loads: &[(usize, usize)],
        at: impl Fn(&Cost, usize) -> f64,
    ) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        for (children, charts) in loads.iter().copied() {
            let (protocol, compression) = (self.protocol, self.compression);
            let load =
                Load { children, charts, protocol, compression, name: "scale".into(), ..Load::default() };
            let seconds = Duration::from_secs;
            let cost = Cost::of(&load, seconds(self.warm_up), seconds(self.seconds)).await?;
            let ns = 1e3 * cost.us_a_sample();
            println!(
                "| {:.0} | {children} | {} | {ns:.0} | {:.2} | {:.0} | {:.1} |",
                cost.samples_a_second(),
                charts * load.dimensions,
                cost.cores(),
                cost.resident_bytes as f64 / load.metrics() as f64,
                cost.lag.p99_ms
            );
            points.push(Point { at: at(&cost, children), ns });
        }
        Ok(points)
    }
}

/// Size of one plot, and of the space around what is plotted.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 48.0;

/// Plots side by side, all from zero to the same height, with a logarithmic axis below.
fn plot(plots: &[(&str, &[Point])]) -> String {
    let most = plots.iter().flat_map(|(_, points)| *points).map(|point| point.ns).fold(1.0, f64::max);
    let top = (most / 50.0).ceil() * 50.0;
    let width = WIDTH * plots.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for (number, (title, points)) in plots.iter().enumerate() {
        one(&mut svg, WIDTH * number as f64, title, points, top);
    }
    svg + "</svg>\n"
}

fn one(svg: &mut String, left: f64, title: &str, points: &[Point], top: f64) {
    let logs = points.iter().map(|point| point.at.max(1.0).log10());
    let (least, most) = logs.fold((f64::MAX, f64::MIN), |(least, most), log| (least.min(log), most.max(log)));
    let span = (most - least).max(1e-9);
    let x = |at: f64| left + MARGIN + (at.max(1.0).log10() - least) / span * (WIDTH - 1.5 * MARGIN);
    let y = |ns: f64| HEIGHT - MARGIN - ns / top * (HEIGHT - 2.0 * MARGIN);
    let (from, to) = (left + MARGIN, left + WIDTH - 0.5 * MARGIN);
    let _ = writeln!(svg, "<text x=\"{from}\" y=\"24\" font-weight=\"bold\">ns a sample, by {title}</text>");
    for quarter in 0..=4 {
        let ns = top * f64::from(quarter) / 4.0;
        let (height, text) = (y(ns), y(ns) + 4.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{from} {height:.1}H{to}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{ns:.0}</text>",
            from - 6.0
        );
    }
    let line: Vec<String> =
        points.iter().map(|point| format!("{:.1},{:.1}", x(point.at), y(point.ns))).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0b6\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for point in points {
        let (x, y) = (x(point.at), y(point.ns));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#0b6\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y - 8.0,
            point.ns,
            HEIGHT - MARGIN + 18.0,
            short(point.at)
        );
    }
}

/// 500 k, 2 M.
fn short(number: f64) -> String {
    match number {
        number if number >= 950_000.0 => format!("{:.1} M", number / 1e6).replace(".0 M", " M"),
        number if number >= 10_000.0 => format!("{:.0} k", number / 1e3),
        number => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases =
            [(10.0, "10"), (5000.0, "5000"), (99_998.0, "100 k"), (1_000_020.0, "1 M"), (1.5e6, "1.5 M")];
        for (number, expected) in cases {
            assert_eq!(short(number), expected);
        }
    }

    #[test]
    fn a_plot_has_a_mark_for_each_point_and_stays_within_itself() {
        let points = [Point { at: 10.0, ns: 80.0 }, Point { at: 5000.0, ns: 149.0 }];
        let svg = plot(&[("children", &points), ("nothing else", &points[..1])]);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains(">149</text>") && svg.contains(">150</text>"), "{svg}");
        let places = svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap());
        let places: Vec<f64> = places.collect();
        assert!(places.iter().all(|x| (0.0..2.0 * WIDTH).contains(x)), "{places:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
