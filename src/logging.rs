//! Records of the [`log`] crate that jobs log, also in the jobs' own files.
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
/// [`log::max_level`] lets through, whatever the inner logger takes. One line each: time, level,
/// target, message.
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
        files::captured(|writer| {
            let now = jiff::Timestamp::now();
            let (level, target, message) = (record.level(), record.target(), record.args());
            // A full disk must not fail what only wanted to log.
            let _ = writeln!(writer, "{now:.3} {level} {target}: {message}");
        });
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
