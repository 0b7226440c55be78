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

/// A writer that writes everything to two others: to a job's file and to the terminal, say.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::Tee;
/// use std::io::Write;
///
/// let engine = Engine::new()?;
/// let both = |ctx: JobContext| writeln!(Tee::new(ctx.stdout(), std::io::stdout()), "hello");
/// let job = ThreadJob::try_new(both, (Context,)).redirect_output(CacheDir);
/// let job = engine.submit(job)?;
/// job.result()?;
/// assert_eq!(std::fs::read(job.stdout_path().unwrap()).unwrap(), b"hello\n");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tee<A, B> {
    first: A,
    second: B,
}

impl<A: Write, B: Write> Tee<A, B> {
    /// Writes to both, to `first` first.
    ///
    /// ```
    /// # use executor_engine::Tee;
    /// # use std::io::Write;
    /// let mut both = Tee::new(Vec::new(), Vec::new());
    /// both.write_all(b"twice")?;
    /// assert_eq!(both.into_inner(), (b"twice".to_vec(), b"twice".to_vec()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// The two.
    ///
    /// ```
    /// # use executor_engine::Tee;
    /// let (first, _) = Tee::new(vec![1], std::io::sink()).into_inner();
    /// assert_eq!(first, [1]);
    /// ```
    pub fn into_inner(self) -> (A, B) {
        (self.first, self.second)
    }
}

impl<A: Write, B: Write> Write for Tee<A, B> {
    /// What the first one takes of it goes to the second one whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.first.write(bytes)?;
        self.second.write_all(&bytes[..taken])?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.first.flush()?;
        self.second.flush()
    }

    fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> io::Result<()> {
        whole(self, args)
    }
}

/// Writes it in one piece.
fn whole(to: &mut impl Write, args: std::fmt::Arguments<'_>) -> io::Result<()> {
    match args.as_str() {
        Some(text) => to.write_all(text.as_bytes()),
        None => to.write_all(args.to_string().as_bytes()),
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
        whole(self, args)
    }
}
