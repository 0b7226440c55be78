//! Records of the [`log`] crate: what this library logs, and what jobs log, also in their own files.
//!
//! A program that logs at `info` hears of trouble only; at `debug`, of each job's way:
//!
//! | target | level | what |
//! |---|---|---|
//! | `executor_engine::job` | `debug` | a job is submitted, refused, starts, is tried again, is done or cancelled |
//! | | `warn` | a job failed, after its last attempt |
//! | | `error` | a callback, a waker, or the drop of a job's value panicked; a thread cannot go back from a job's directory |
//! | `executor_engine::process` | `debug` | a worker process has started, or ended as it was to |
//! | | `warn` | one has died by itself, of what and with which job, also if that is tried again; the fork server died |
//! | | `error` | the library cannot hear its processes |
//! | `executor_engine::engine` | `info` | a signal came, and what it does (feature `signals`) |
//! | | `debug` | an engine has ended |
//! | | `warn`, `error` | its end is not as it should be |
//! | `executor_engine::dispatcher`, `::backend` | `warn`, `error` | the system refuses timers; a thread of the engine panicked |
//!
//! Records about a job name its kind, id and name. None holds arguments, results or environment; errors
//! are those that the job's handle has. A level that [`log::max_level`] does not let through costs
//! nothing.
//!
//! This library installs no logger: a program has one, and chooses it. [`JobLogger`] goes around
//! the program's logger and passes on to it what it wants; records that are logged on the thread
//! of a running job which asked for it ([`capture_log`](crate::Job::capture_log)) it writes to
//! that job's stderr, too.

use std::fmt;
use std::io::Write;

use log::{Log, Metadata, Record};

use crate::files;

/// A logger that writes records of jobs that asked for it to their own stderr, and passes every
/// record on to the logger that it was made from.
///
/// Captured are records on the thread that runs the job, of every level that
/// [`log::max_level`] lets through, whatever the inner logger takes, but for this library's own. One
/// line each: time, level, target, message.
///
/// ```
/// use executor_engine::logging::JobLogger;
/// use executor_engine::prelude::*;
///
/// # struct Quiet;
/// # impl log::Log for Quiet {
/// #     fn enabled(&self, _: &log::Metadata<'_>) -> bool { false }
/// #     fn log(&self, _: &log::Record<'_>) {}
/// #     fn flush(&self) {}
/// # }
/// # let programs_logger = Quiet;
/// let logger = JobLogger::wrap(Box::new(programs_logger)); // env_logger or whatever it is
/// log::set_boxed_logger(Box::new(logger)).unwrap();
/// log::set_max_level(log::LevelFilter::Info);
///
/// let engine = Engine::new()?;
/// let job = ThreadJob::new(|| log::info!("half way"), ())
///     .redirect_output(CacheDir)
///     .capture_log();
/// let job = engine.submit(job)?;
/// job.wait()?;
/// let written = std::fs::read_to_string(job.stderr_path().unwrap()).unwrap();
/// assert!(written.contains("INFO") && written.ends_with("half way\n"));
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct JobLogger {
    inner: Box<dyn Log>,
}

impl JobLogger {
    /// Goes around the program's own logger. To be installed by the program with
    /// [`log::set_boxed_logger`].
    ///
    /// ```
    /// # use executor_engine::logging::JobLogger;
    /// # use log::{Level, Log, Metadata, Record};
    /// struct Quiet;
    /// impl Log for Quiet {
    ///     fn enabled(&self, metadata: &Metadata<'_>) -> bool { metadata.level() <= Level::Warn }
    ///     fn log(&self, _: &Record<'_>) {}
    ///     fn flush(&self) {}
    /// }
    ///
    /// let logger = JobLogger::wrap(Box::new(Quiet));
    /// assert!(logger.enabled(&Metadata::builder().level(Level::Error).build()));
    /// assert!(!logger.enabled(&Metadata::builder().level(Level::Info).build()));
    /// ```
    #[must_use]
    pub fn wrap(inner: Box<dyn Log>) -> Self {
        Self { inner }
    }
}

impl Log for JobLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        files::is_capturing() || self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // What the library itself says of other jobs, on whatever thread, is not this one's.
        if !record.target().starts_with("executor_engine::") {
            files::captured(|writer| {
                let now = jiff::Timestamp::now();
                let (level, target, message) = (record.level(), record.target(), record.args());
                // A full disk must not fail what only wanted to log.
                let _ = writeln!(writer, "{now:.3} {level} {target}: {message}");
            });
        }
        if self.inner.enabled(record.metadata()) {
            self.inner.log(record);
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

impl fmt::Debug for JobLogger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobLogger").finish_non_exhaustive()
    }
}
