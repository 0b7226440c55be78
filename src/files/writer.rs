//! What a job's function writes through.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::surroundings::Surroundings;

/// A job's stdout or stderr, as [`JobContext::stdout`](crate::JobContext::stdout) gives it: the
/// job's file, if it has one, else the process's own stream.
///
/// Unbuffered to a file; each `write!` or `writeln!` is one write, so that lines of several
/// writers do not mix. Cheap to clone.
///
/// ```
/// use executor_engine::prelude::*;
/// use std::io::Write;
///
/// let engine = Engine::new()?;
/// let job = |ctx: JobContext| writeln!(ctx.stdout(), "{} of {}", 1, 10);
/// engine.submit(ThreadJob::try_new(job, (Context,)))?.result()?;
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JobWriter(Sink);

#[derive(Clone, Debug)]
enum Sink {
    File(Arc<File>),
    Stdout,
    Stderr,
    /// The job's file cannot be opened.
    Broken(io::ErrorKind),
}

impl JobWriter {
    pub(crate) fn stdout_of(surroundings: Option<&Surroundings>) -> Self {
        Self::of(surroundings, 0, Sink::Stdout)
    }

    pub(crate) fn stderr_of(surroundings: Option<&Surroundings>) -> Self {
        Self::of(surroundings, 1, Sink::Stderr)
    }

    fn of(surroundings: Option<&Surroundings>, which: usize, else_to: Sink) -> Self {
        Self(match surroundings.and_then(|surroundings| surroundings.stream(which)) {
            None => else_to,
            Some(Ok(file)) => Sink::File(file),
            Some(Err(error)) => Sink::Broken(error.kind()),
        })
    }
}

impl Write for JobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Sink::File(file) => (&**file).write(bytes),
            Sink::Stdout => io::stdout().write(bytes),
            Sink::Stderr => io::stderr().write(bytes),
            Sink::Broken(kind) => Err((*kind).into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.0 {
            Sink::Stdout => io::stdout().flush(),
            _ => Ok(()),
        }
    }

    fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> io::Result<()> {
        match args.as_str() {
            Some(text) => self.write_all(text.as_bytes()),
            None => self.write_all(args.to_string().as_bytes()),
        }
    }
}
