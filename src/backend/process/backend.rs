//! `ProcessBackend`: the backend's interface, abort, shutdown.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::outbox::Args;
use super::pool::Pool;
use super::settings::Settings;
use super::shared::Shared;
use super::worker::Queued;
use crate::backend::{Backend, Reports, Run};
use crate::error::JobError;
use crate::job::{AnyJob, Caller, Word};
use crate::sys;
use crate::wire::message::{PLACED, REQUEST, STREAM, ToServer};

/// Runs process jobs.
pub(crate) struct ProcessBackend {
    shared: Arc<Shared>,
}

impl ProcessBackend {
    /// A backend that has started nothing yet.
    pub(crate) fn new(settings: Settings, reports: Weak<dyn Reports>) -> Self {
        Self { shared: Shared::new(settings, reports) }
    }

    /// Starts the fork server before the first job needs it.
    ///
    /// # Errors
    /// It cannot be started. That is tried again when a job needs it.
    #[cfg(test)]
    pub(crate) fn prestart(&self) -> Result<(), JobError> {
        self.shared
            .locked(|pool| if pool.closed { Ok(()) } else { pool.ensure_server(&self.shared) })
            .0
    }

    /// The pids of the workers that have not ended, as far as known.
    #[cfg(test)]
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.shared
            .locked(|pool| {
                let alive = pool.workers.values().filter(|worker| worker.end.is_none());
                alive.filter_map(|worker| worker.pid).collect()
            })
            .0
    }

    /// The pid of the fork server, if one runs.
    #[cfg(test)]
    pub(crate) fn server(&self) -> Option<u32> {
        self.shared.locked(|pool| pool.server.as_ref().map(|server| server.child.id())).0
    }
}

impl Backend for ProcessBackend {
    fn push(&self, run: Run) {
        self.shared.arrivals.push(run);
    }

    fn kick(&self) {
        let mut arrived = Vec::new();
        let mut posted = false;
        let takings = self.shared.takings.load(Ordering::SeqCst);
        while let Some(run) = self.shared.arrivals.pop() {
            match encode(&self.shared.settings, run) {
                Ok(queued) => arrived.push(queued),
                Err((run, error)) => {
                    // A cancelled one was reported by who cancelled it.
                    if run.claim() {
                        run.job.store_error(error);
                        self.shared.post(&run.job, false);
                        posted = true;
                    }
                }
            }
        }
        if !arrived.is_empty() {
            let mut late = Vec::new();
            let (look, failed) = self.shared.locked(|pool| {
                if self.shared.takings.load(Ordering::SeqCst) != takings {
                    // All was taken back meanwhile, but what this thread had in hand.
                    late = arrived;
                    return None;
                }
                pool.may_look = arrived.len() == 1;
                pool.queue.extend(arrived);
                if pool.closed {
                    let error = JobError::no_worker("the engine is shut down".into());
                    pool.fail_all(None, &error);
                } else {
                    pool.schedule(&self.shared);
                }
                pool.may_look = false;
                pool.look.take()
            });
            posted |= failed | self.give_back(late);
            if let Some((id, mut inbox, socket)) = look {
                posted |= self.shared.look(id, &mut inbox, &socket);
                posted |= self.shared.return_inbox(id, inbox);
            }
        }
        if posted {
            self.shared.drive();
        }
    }

    /// What was sent to a worker stays: it was claimed by that.
    fn take_back(&self) -> Vec<Run> {
        self.shared.takings.fetch_add(1, Ordering::SeqCst);
        let queued = std::mem::take(&mut self.shared.pool.lock().queue);
        let mut runs: Vec<Run> = queued.into_iter().map(|queued| queued.run).collect();
        runs.extend(std::iter::from_fn(|| self.shared.arrivals.pop()));
        runs
    }

    fn abort(&self, run: &Run) {
        if run.claim() {
            self.shared.post(&run.job, false);
            // Where it is not in the queue yet, it is dropped when its turn comes.
            self.shared.locked(|pool| pool.forget(run));
            self.shared.drive();
            return;
        }
        let ((), posted) = self.shared.locked(|pool| {
            pool.abort(run);
            pool.schedule(&self.shared);
        });
        if posted {
            self.shared.drive();
        }
    }

    /// Serves the worker that runs the job, and so is woken by the worker itself. Does nothing
    /// if another thread does it already, or the job is not at the head of a worker.
    fn serve(&self, job: &Arc<dyn AnyJob>, deadline: Option<Instant>, enough: &dyn Fn() -> bool) {
        self.shared.wait_here(job, deadline, enough);
    }

    fn tell_stream(&self, job: &Arc<dyn AnyJob>, word: Word) {
        self.shared.tell_stream(job, &word);
    }

    fn shutdown(&self) {
        let grace = self.shared.settings.kill_grace;
        let ((server, threads), _) = self.shared.locked(|pool| {
            pool.closed = true;
            for worker in pool.workers.values() {
                // Idle workers exit at the end of their stream.
                sys::shutdown(&worker.socket, std::net::Shutdown::Both);
            }
            let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            pool.tell(&ToServer::Bye { grace: millis }, Vec::new());
            (pool.server.take(), pool.threads.take())
        });
        let Some(mut threads) = threads else { return };
        threads.stop_io();
        if let Some(mut server) = server {
            // It ends when its workers have. The limit is for one that is stopped or lost.
            server.wait(grace + Duration::from_secs(5));
        }
        threads.stderr.stop();
        self.shared.locked(|pool| pool.workers.clear());
    }
}

impl ProcessBackend {
    /// Gives back runs that were to be taken back. Says whether there were any.
    fn give_back(&self, late: Vec<Queued>) -> bool {
        !late.is_empty()
            && self.shared.post_taken_back(late.into_iter().map(|queued| queued.run).collect())
    }
}

impl Drop for ProcessBackend {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Makes a run ready to be sent.
fn encode(settings: &Settings, run: Run) -> Result<Queued, (Run, JobError)> {
    let Some(task) = run.job.task() else {
        return Err((run, JobError::codec("this job has no task".into())));
    };
    if u16::try_from(task.name().len()).is_err() {
        return Err((run, JobError::codec("the name of its task is too long".into())));
    }
    let mut args = Vec::new();
    let mut kind = REQUEST;
    if run.job.head().stream().is_some() {
        kind |= STREAM;
    }
    let surroundings = run.job.head().surroundings();
    let variables = run.job.head().granted_variables();
    if surroundings.is_some() || !variables.is_empty() {
        kind |= PLACED;
        let place = surroundings.map(|surroundings| surroundings.place().clone());
        let place = place.unwrap_or_default().with_variables(variables);
        if let Err(error) = place.put(&mut args) {
            return Err((run, JobError::no_place(error.to_string())));
        }
    }
    if let Err(error) = run.job.encode_args(Caller(&run.job), &mut args) {
        return Err((run, error));
    }
    if args.len() > settings.max_frame_bytes {
        let error = JobError::codec(format!(
            "the arguments of task {} are {} bytes encoded, where {} are allowed: raise \
             max_message_bytes, or put them into a file",
            task.name(),
            args.len(),
            settings.max_frame_bytes
        ));
        return Err((run, error));
    }
    let fresh = run.job.head().meta().is_some_and(|meta| meta.fresh_process);
    Ok(Queued { run, task, kind, args: Args::new(args), fresh, claimed: false, deaths: 0 })
}

impl Pool {
    /// Drops a run that waits and was claimed by who calls it off: its arguments may be large.
    fn forget(&mut self, run: &Run) {
        if let Some(at) = self.queue.iter().position(|queued| queued.is_of(run)) {
            let queued = self.queue.remove(at);
            self.dropped.extend(queued.map(|queued| queued.run));
        }
    }

    /// Calls off a run that was claimed: it waits after it was taken back, or a worker has it.
    fn abort(&mut self, run: &Run) {
        let same = |job: &Queued| job.is_of(run);
        if let Some(at) = self.returned.iter().position(same) {
            if let Some(job) = self.returned.remove(at) {
                self.fail(job, None);
            }
            return;
        }
        let found = self.workers.values().find_map(|worker| {
            let entry = worker.in_flight.iter().find(|e| e.job.as_ref().is_some_and(same))?;
            Some((worker.id, entry.seq))
        });
        // Not found: its reply is being handled.
        let Some((id, seq)) = found else { return };
        self.take_back(id, seq - 1);
        match self.returned.iter().position(same) {
            Some(at) => {
                if let Some(job) = self.returned.remove(at) {
                    self.fail(job, None);
                }
            }
            // The worker is through with it, and at another: the reply is on its way.
            None if self.workers.get(&id).is_some_and(|worker| worker.claims().begun() > seq) => {}
            None => self.kill(id, true, None),
        }
    }
}
