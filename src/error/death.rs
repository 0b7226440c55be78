//! How a worker process ended: [`WorkerDeath`].

use std::fmt;

/// How a worker process ended while it ran a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerDeath {
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Its exit code, if it exited.
    pub(crate) exit_code: Option<i32>,
    /// Peak resident memory in bytes, if the kernel told.
    pub(crate) peak_memory: Option<u64>,
    /// The last lines it wrote to stderr.
    pub(crate) stderr_tail: String,
    /// What else is known, e.g. "it broke the wire protocol".
    pub(crate) note: Option<String>,
}

impl fmt::Display for WorkerDeath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the worker process died")?;
        match (self.signal, self.exit_code) {
            (Some(signal), _) => {
                write!(f, " by signal {signal}")?;
                if let Ok(known) = nix::sys::signal::Signal::try_from(signal) {
                    write!(f, " ({})", known.as_str())?;
                }
            }
            (None, Some(code)) => write!(f, " with exit code {code}")?,
            (None, None) => {}
        }
        if let Some(note) = &self.note {
            write!(f, ": {note}")?;
        }
        if let Some(bytes) = self.peak_memory {
            write!(f, "; peak memory {} KiB", bytes / 1024)?;
        }
        if !self.stderr_tail.is_empty() {
            write!(f, "; last on stderr: {}", self.stderr_tail.trim_end())?;
        }
        Ok(())
    }
}
