//! Running a claimed job on this thread.

use std::sync::Arc;

use super::{Here, Reports};
use crate::clock;
use crate::job::{AnyJob, Caller, judge};

/// Runs a job that the caller has claimed, and reports it. Takes the time and gives the time
/// when the job's function had returned: for a pump, that is when the next job starts.
pub(crate) fn execute(job: &Arc<dyn AnyJob>, reports: &dyn Reports, now: u64) -> u64 {
    let head = job.head();
    let key = head.key();
    head.start(now);
    let tells_start = head.tells_start();
    if tells_start {
        reports.post_started(key, now);
        reports.drive();
    }
    let ok = Here::running(key, || job.run_here(Caller(job)));
    let ended = judge(&**job, ok);
    let then = clock::now();
    if tells_start {
        reports.post_finished(key, ended);
        reports.drive();
    } else {
        reports.finished(key, ended, then);
    }
    then
}
