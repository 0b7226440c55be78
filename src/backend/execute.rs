//! Running a claimed job on this thread.

use std::sync::Arc;

use super::{Here, Reports};
use crate::clock;
use crate::error::JobError;
use crate::files::{self, Surroundings};
use crate::job::{AnyJob, Caller, judge};
use crate::record::record;

/// Runs a job that the caller has claimed, and reports it. Takes the time, read just now, and gives
/// the time when the job's function had returned. Reporting comes after that, and can take as long as
/// users' wakers and drops do.
pub(crate) fn execute(job: &Arc<dyn AnyJob>, reports: &dyn Reports, now: u64) -> u64 {
    let head = job.head();
    let key = head.key();
    head.start(now);
    record!(Debug, "executor_engine::job", "{} starts, attempt {}", head.label(), head.attempt());
    let tells_start = head.tells_start();
    if tells_start {
        reports.post_started(key, now);
        reports.drive();
    }
    let surroundings = head.surroundings();
    let ok = if surroundings.is_none() && files::is_plain() {
        Here::running(key, || job.run_here(Caller(job)))
    } else {
        run_in_place(job, surroundings)
    };
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

/// Runs a job that asked for a place of its own, or that runs on a thread which has had one.
fn run_in_place(job: &Arc<dyn AnyJob>, surroundings: Option<&Surroundings>) -> bool {
    let nested = Here::in_job();
    let ran = files::run_in_place(job.head().id(), surroundings, nested, || {
        let ok = Here::running(job.head().key(), || job.run_here(Caller(job)));
        if !ok && let (Some(surroundings), Some(error)) = (surroundings, job.error()) {
            surroundings.complain(&error);
        }
        ok
    });
    ran.unwrap_or_else(|error| {
        job.store_error(JobError::no_place(error.to_string()));
        false
    })
}
