//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

/// What can be set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How many workers may be busy at once.
    pub(crate) limit: usize,
    /// After how many jobs a worker is replaced.
    pub(crate) max_jobs_per_worker: Option<u32>,
    /// The longest encoded arguments or result.
    pub(crate) max_frame_bytes: usize,
    /// How long after SIGTERM a worker gets SIGKILL.
    pub(crate) kill_grace: Duration,
    /// The program to start as fork server, if not this one.
    pub(crate) worker_exe: Option<PathBuf>,
}
