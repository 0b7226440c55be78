//! Running a claimed job on this thread.

use super::{Here, Reports};
use crate::clock;
use crate::job::AnyJob;

/// Runs a job that the caller has claimed, and reports it.
pub(crate) fn execute(job: &dyn AnyJob, reports: &dyn Reports) {
    let head = job.head();
    let key = head.key();
    head.start(clock::now());
    let ok = Here::running(key, || job.run_here());
    reports.post_finished(key, ok);
    reports.drive();
}
