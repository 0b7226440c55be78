//! Counts the words of real files: each file in a worker process, the counts merged on the
//! thread pool by dataflow, and the same work done serially beside it.
//!
//! `cargo run --release --example wordcount [PATH...]`
//!
//! Without paths it reads this crate's own sources and the toolchain's documentation, if that
//! is installed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use executor_engine::prelude::*;

type Counts = HashMap<String, u64>;

/// How many counts one merge takes.
const MERGE: usize = 16;

/// The words of a file, lower case, and how often each occurs; and the file's size in bytes.
#[task]
fn count_words(path: PathBuf) -> std::io::Result<(Counts, u64)> {
    let bytes = std::fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut counts = Counts::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok((counts, bytes.len() as u64))
}

fn merge(parts: Vec<(Counts, u64)>) -> (Counts, u64) {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    for (counts, bytes) in parts {
        for (word, count) in counts {
            *all.0.entry(word).or_default() += count;
        }
        all.1 += bytes;
    }
    all
}

fn in_parallel(engine: &Engine, files: &[PathBuf]) -> executor_engine::Result<(Counts, u64)> {
    let mut level = engine
        .submit_all(files.iter().map(|path| ProcessJob::new(count_words, (path.clone(),))))?;
    while level.len() > 1 {
        let merges = level.chunks(MERGE).map(|parts| ThreadJob::new(merge, (parts,)));
        level = engine.submit_all(merges)?;
    }
    match level.first() {
        Some(all) => Ok(all.take()?),
        None => Ok(Default::default()),
    }
}

fn serially(files: &[PathBuf]) -> std::io::Result<(Counts, u64)> {
    let parts: std::io::Result<Vec<_>> =
        files.iter().map(|path| count_words(path.clone())).collect();
    Ok(merge(parts?))
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_file() {
        files.push(path.to_owned());
    } else if kind.is_dir() {
        for entry in path.read_dir()? {
            walk(&entry?.path(), files)?;
        }
    }
    Ok(())
}

/// This crate's sources and, if it is there, the toolchain's documentation.
fn default_paths() -> Vec<PathBuf> {
    let mut paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let sysroot = std::process::Command::new("rustc").args(["--print", "sysroot"]).output();
    if let Ok(output) = sysroot {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let docs = Path::new(&sysroot).join("share/doc");
        if docs.is_dir() {
            paths.push(docs);
        }
    }
    paths
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = default_paths();
    }
    let mut files = Vec::new();
    for path in &paths {
        walk(path, &mut files).map_err(|error| format!("{}: {error}", path.display()))?;
    }

    let engine = Engine::new()?;
    let start = Instant::now();
    let (counts, bytes) = in_parallel(&engine, &files)?;
    let parallel = start.elapsed();

    let start = Instant::now();
    let (serial_counts, serial_bytes) = serially(&files)?;
    let serial = start.elapsed();

    assert_eq!((&counts, bytes), (&serial_counts, serial_bytes), "the two ways must agree");

    let mut top: Vec<(&String, &u64)> = counts.iter().collect();
    top.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (word, count) in top.iter().take(20) {
        println!("{count:>10}  {word}");
    }
    println!("{} files, {bytes} bytes, {} different words", files.len(), counts.len());
    println!("in worker processes {parallel:.2?}, serially {serial:.2?}; both agree");
    Ok(())
}
