//! What all benches share: measuring in alternating pairs, the table, the JSON.
//!
//! Absolute times on a shared machine mean nothing, so every bar is a ratio: A and B in turn,
//! the median of the ratios pair by pair, and their spread. What is no time, bytes and counts, is
//! a [figure](Table::figure) without a baseline. `BENCH_SMOKE=1` runs everything once at a small
//! size, to check that it works.

#![allow(dead_code, unreachable_pub, reason = "each bench uses what it needs")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Pairs that are measured for each bar.
pub const PAIRS: usize = 15;

/// Whether this is only a check that the benches work.
pub fn smoke() -> bool {
    std::env::var_os("BENCH_SMOKE").is_some()
}

/// `full`, or a hundredth of it in a smoke run.
pub fn size(full: usize) -> usize {
    if smoke() { (full / 100).max(20) } else { full }
}

/// A line of the table.
pub struct Row {
    bar: String,
    what: String,
    measured: Measured,
    /// What the median of the ratios, or of the figures, may be at most.
    target: Option<f64>,
}

enum Measured {
    /// Times per job, in seconds, and their ratio pair by pair.
    Times { ours: f64, baseline: f64, baseline_name: String, ratios: Vec<f64> },
    /// Values that stand for themselves.
    Figure { values: Vec<f64>, unit: String },
}

/// The table of one bench program.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// How long `f` takes for each of `jobs` jobs, in seconds.
pub fn per_job(jobs: usize, f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() / jobs as f64
}

/// The median time of `runs` calls, in seconds.
pub fn median_call(runs: usize, mut f: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Table {
    /// Measures `ours` and `baseline` in turn; each gives seconds per job.
    pub fn pairs(
        &mut self,
        bar: &str,
        what: &str,
        baseline_name: &str,
        target: Option<f64>,
        mut ours: impl FnMut() -> f64,
        mut baseline: impl FnMut() -> f64,
    ) {
        let pairs = if smoke() { 1 } else { PAIRS };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        // One of each first, so that neither pays for the first touch of memory and code.
        if !smoke() {
            ours();
            baseline();
        }
        for _ in 0..pairs {
            a.push(ours());
            b.push(baseline());
        }
        let ratios = a.iter().zip(&b).map(|(a, b)| a / b).collect();
        self.add(bar, what, median(&a), baseline_name, median(&b), ratios, target);
    }

    /// A line whose figures come from elsewhere.
    #[allow(clippy::too_many_arguments, reason = "the columns of the table")]
    pub fn add(
        &mut self,
        bar: &str,
        what: &str,
        ours: f64,
        baseline_name: &str,
        baseline: f64,
        ratios: Vec<f64>,
        target: Option<f64>,
    ) {
        let baseline_name = baseline_name.into();
        let measured = Measured::Times { ours, baseline, baseline_name, ratios };
        self.push(bar, what, measured, target);
    }

    /// A line whose values stand for themselves; their median is told, and their spread.
    pub fn figure(
        &mut self,
        bar: &str,
        what: &str,
        unit: &str,
        values: Vec<f64>,
        target: Option<f64>,
    ) {
        self.push(bar, what, Measured::Figure { values, unit: unit.into() }, target);
    }

    fn push(&mut self, bar: &str, what: &str, measured: Measured, target: Option<f64>) {
        eprintln!("  measured {bar}: {what}");
        self.rows.push(Row { bar: bar.into(), what: what.into(), measured, target });
    }

    /// Cost per job at a tenth and at ten times the size, beside the size itself.
    pub fn growth(&mut self, bar: &str, jobs: usize, mut run: impl FnMut(usize) -> f64) {
        let pairs = if smoke() { 1 } else { 5 };
        for factor in [0.1, 10.0] {
            let other = ((jobs as f64 * factor) as usize).max(10);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for _ in 0..pairs {
                a.push(run(other));
                b.push(run(jobs));
            }
            let ratios = a.iter().zip(&b).map(|(a, b)| a / b).collect();
            let what = format!("growth: {other} jobs");
            let base = format!("{jobs} jobs");
            // Ten times the size may cost 20 % more per job; a tenth may cost what it costs.
            let target = (factor > 1.0).then_some(1.2);
            self.add(bar, &what, median(&a), &base, median(&b), ratios, target);
        }
    }

    /// Prints the table and writes it to `target/bench/<name>.json`.
    pub fn finish(self, name: &str) {
        println!("\n{name}");
        println!(
            "| {:<4} | {:<44} | {:>10} | {:<38} | {:>10} | {:>8} | {:>15} | {:>8} |",
            "bar", "what", "ours", "baseline", "baseline", "ratio", "spread", "target"
        );
        println!(
            "|{:-<6}|{:-<46}|{:->12}|{:-<40}|{:->12}|{:->10}|{:->17}|{:->10}|",
            "", "", "", "", "", "", "", ""
        );
        for row in &self.rows {
            let (low, high) = row.spread();
            let (ours, baseline_name, baseline, ratio, unit) = match &row.measured {
                Measured::Times { ours, baseline, baseline_name, ratios } => {
                    let ratio = short(median(ratios));
                    (time(*ours), baseline_name.as_str(), time(*baseline), ratio, String::new())
                }
                Measured::Figure { values, unit } => {
                    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                    let value = format!("{}{unit}", short(median(values)));
                    (value, "-", "-".into(), "-".into(), unit)
                }
            };
            let target = row.target.map_or("-".into(), |target| format!("≤ {target}{unit}"));
            println!(
                "| {:<4} | {:<44} | {:>10} | {:<38} | {:>10} | {:>8} | {:>15} | {:>8} |",
                row.bar,
                row.what,
                ours,
                baseline_name,
                baseline,
                ratio,
                format!("{}–{}", short(low), short(high)),
                target
            );
        }
        let path = output_dir().join(format!("{name}.json"));
        let json =
            serde_json::to_string_pretty(&self.rows.iter().map(Row::json).collect::<Vec<_>>())
                .expect("plain numbers and text");
        std::fs::create_dir_all(output_dir()).expect("the target directory is writable");
        std::fs::write(&path, json).expect("the target directory is writable");
        println!("written to {}", path.display());
    }
}

impl Row {
    /// Of the ratios, or of the figures.
    fn spread(&self) -> (f64, f64) {
        let (Measured::Times { ratios: all, .. } | Measured::Figure { values: all, .. }) =
            &self.measured;
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }

    fn json(&self) -> serde_json::Value {
        let (low, high) = self.spread();
        match &self.measured {
            Measured::Times { ours, baseline, baseline_name, ratios } => serde_json::json!({
                "bar": self.bar,
                "what": self.what,
                "ours_seconds_per_job": ours,
                "baseline": baseline_name,
                "baseline_seconds_per_job": baseline,
                "ratio": median(ratios),
                "ratio_low": low,
                "ratio_high": high,
                "target": self.target,
            }),
            Measured::Figure { values, unit } => serde_json::json!({
                "bar": self.bar,
                "what": self.what,
                "value": median(values),
                "value_low": low,
                "value_high": high,
                "unit": unit,
                "target": self.target,
            }),
        }
    }
}

/// Whole numbers where the fraction tells nothing.
fn short(number: f64) -> String {
    match number {
        n if n == 0.0 || n >= 100.0 => format!("{n:.0}"),
        n if n < 0.1 => format!("{n:.5}"),
        n => format!("{n:.2}"),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s => format!("{:.2} ms", s * 1e3),
    }
}

fn output_dir() -> PathBuf {
    // `target/tmp` is what cargo tells; its parent is the target directory.
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp").join("bench")
}

/// The Python that has the peers: `PEERS_PYTHON`, or `python3`.
pub fn peers_python() -> String {
    std::env::var("PEERS_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Runs a peer's script for so many jobs: seconds per job, or `None` with a line that says that
/// the peer is not installed.
pub fn peer(script: &str, module: &str, jobs: usize) -> Option<f64> {
    let python = peers_python();
    let there = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        println!(
            "skipped {script}: {python} has no module {module} (pip install executor-engine \
             distributed loky; PEERS_PYTHON names another Python)"
        );
        return None;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(script);
    let output = Command::new(&python)
        .arg(path)
        .arg(jobs.to_string())
        .output()
        .expect("python3 was there a moment ago");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        // A check that the benches work is not one of the peers.
        assert!(smoke(), "{script} failed: {why}");
        println!("skipped {script}, which failed: {why}");
        return None;
    }
    let line: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the script prints one line of JSON");
    line["per_job_us"].as_f64().map(|micros| micros * 1e-6)
}
