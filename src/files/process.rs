//! A job's place in a worker process: its directory, and where descriptors 1 and 2 lead.
//!
//! Whatever writes there while the job runs, writes to the job's files: Rust and C code, threads,
//! panic messages, the last words of a process that aborts, and child processes, which keep the
//! files for as long as they live.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::private;
use super::surroundings::Place;
use super::thread::current_directory;
use crate::sys;

/// This process could not be put back as it was before a job.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether this process is to serve no other job, for it could not be put back as it was.
pub(crate) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// How this process was; its drop brings that back.
#[derive(Debug)]
pub(crate) struct InPlace {
    directory: Option<OwnedFd>,
    streams: Option<[OwnedFd; 2]>,
    /// What variables were.
    variables: Vec<(String, Option<OsString>)>,
}

impl InPlace {
    /// Puts this process into a job's place.
    ///
    /// # Errors
    /// It cannot be had; the error names the path. The process is as it was.
    pub(crate) fn enter(place: &Place) -> io::Result<Self> {
        place.make_own()?;
        let output = place.open_output()?;
        let mut before = Self { directory: None, streams: None, variables: Vec::new() };
        for (name, value) in &place.variables {
            let was = std::env::var_os(name);
            sys::set_variable(name, Some(value.as_ref())).map_err(|error| {
                let text = format!(
                    "{name} cannot be set in the worker's environment, for threads that earlier \
                     jobs left there may be reading it: give the job a fresh_process: {error}"
                );
                io::Error::new(error.kind(), text)
            })?;
            before.variables.push((name.clone(), was));
        }
        if let Some(path) = &place.directory {
            let here = current_directory()?;
            std::env::set_current_dir(path)
                .map_err(|error| private::about(path, "cannot be changed into", &error))?;
            before.directory = Some(here);
        }
        if let Some(output) = output {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            let stderr = io::stderr().as_fd().try_clone_to_owned()?;
            before.streams = Some([stdout, stderr]);
            lead_to(output.map(File::into))?;
        }
        Ok(before)
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        let variables = self.variables.drain(..);
        let put_back = |(name, was): (String, Option<OsString>)| {
            sys::set_variable(&name, was.as_deref()).err()
        };
        let environment = variables.filter_map(put_back).next();
        let streams = self.streams.take().map_or(Ok(()), lead_to);
        let directory = self.directory.take().map(|here| nix::unistd::fchdir(&here));
        if let Some(error) = directory
            .and_then(Result::err)
            .map(io::Error::from)
            .or_else(|| streams.err())
            .or(environment)
        {
            let _ = writeln!(
                io::stderr(),
                "executor-engine: a worker cannot go back to where it was, and ends: {error}"
            );
            LOST.store(true, Ordering::Relaxed);
        }
    }
}

/// Makes stdout and stderr lead to these. What was printed so far goes to where they led before.
fn lead_to([stdout, stderr]: [OwnedFd; 2]) -> io::Result<()> {
    let _ = io::stdout().flush();
    sys::flush_c_stdout();
    sys::lead_output_to(&stdout, &stderr)
}
