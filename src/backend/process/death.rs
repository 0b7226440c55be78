//! Workers and fork servers that have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use log::Level;
use nix::sys::epoll::EpollFlags;
use nix::sys::signal::Signal;

use super::pool::{About, Pool};
use super::server;
use super::shared::Shared;
use super::stderr::last_lines;
use super::worker::{End, Inbox, Queued, State, Worker};
use crate::error::{JobError, WorkerDeath};
use crate::job::{AnyJob, Stop};
use crate::record::record;
use crate::sys;
use crate::task;
use crate::wire::codec;
use crate::wire::message::{FromServer, PROTOCOL};

/// A job fails when so many workers have died that had it, though none had begun it.
const MOST_DEATHS: u8 = 3;

/// The most of what a dead worker has left in its socket that is looked at, in reads.
const LAST_READS: usize = 1 << 16;

impl Shared {
    /// Gives back the right to read a worker's replies. If the stream has ended, the worker is
    /// killed, in case it still runs. Says whether anything was posted.
    pub(super) fn return_inbox(&self, id: u64, inbox: Box<Inbox>) -> bool {
        let (bury, posted) = self.locked(|pool| {
            let Some(worker) = pool.workers.get_mut(&id) else { return false };
            let deaf = inbox.deaf;
            worker.inbox = Some(inbox);
            let waited = std::mem::take(&mut worker.waiter);
            let ended = worker.end.is_some();
            if let Some(threads) = &pool.threads {
                if deaf {
                    worker.unwatch(&threads.epoll);
                    worker.out.clear();
                } else if waited && !worker.in_flight.is_empty() {
                    // An idle worker is watched again when it gets something to do.
                    worker.watch(&threads.epoll);
                }
            }
            if deaf && !ended && worker.state != State::Dying {
                let closing = worker.state == State::Closing;
                if !closing {
                    worker.unasked = true;
                    pool.kill(id, false, None);
                    pool.schedule(self);
                }
            }
            ended
        });
        posted | (bury && self.bury(id))
    }

    /// A worker has ended: reads what it still said, and lets it go. Left to whoever has its
    /// inbox, if somebody does. Says whether anything was posted.
    pub(super) fn bury(&self, id: u64) -> bool {
        let Some((mut inbox, socket)) = self.take_inbox(id) else { return false };
        let mut posted = false;
        for _ in 0..LAST_READS {
            if inbox.deaf {
                break;
            }
            // Its socket is shut down, so this ends with the end of the stream.
            posted |= self.receive(id, &mut inbox, &socket, false, None).posted;
        }
        let dead = self.locked(|pool| {
            let worker = pool.workers.get(&id)?;
            let at_work = worker.head().and_then(|entry| entry.job.as_ref());
            Some((worker.stderr.clone(), at_work.map(|job| Arc::clone(&job.run.job))))
        });
        let Some((stderr, at_work)) = dead.0 else { return posted };
        let mut tail = stderr.drain();
        // A job whose stderr is a file has left its last words there.
        let place = at_work.as_ref().and_then(|job| job.head().surroundings());
        if let Some(end) = place.and_then(|place| place.place().stderr_end())
            && !end.is_empty()
        {
            tail = last_lines(&end);
        }
        let ((), failed) = self.locked(|pool| {
            pool.inter(id, tail);
            pool.schedule(self);
        });
        posted | failed
    }

    /// The control socket of a fork server has something, or room.
    pub(super) fn control_ready(&self, generation: u64, what: EpollFlags) -> bool {
        let (messages, ended) = self
            .locked(|pool| {
                let Pool { server, threads, .. } = pool;
                let (Some(server), Some(threads)) = (server, threads) else {
                    return (Vec::new(), false);
                };
                if server.generation != generation {
                    return (Vec::new(), false);
                }
                if what.contains(EpollFlags::EPOLLOUT) {
                    let _ = server.flush(&threads.epoll);
                }
                let ended = match sys::recv_with_fds(
                    std::os::fd::AsFd::as_fd(&*server.control),
                    server.decoder.space(),
                ) {
                    Ok((0, _)) => true,
                    Ok((n, _)) => {
                        server.decoder.filled(n);
                        false
                    }
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                };
                let mut messages = Vec::new();
                loop {
                    match server.decoder.next() {
                        Ok(Some((_, range))) => {
                            match codec::decode::<FromServer>(server.decoder.bytes(range)) {
                                Ok(message) => messages.push(message),
                                Err(_) => return (messages, true),
                            }
                        }
                        Ok(None) => break,
                        Err(_) => return (messages, true),
                    }
                }
                (messages, ended)
            })
            .0;
        let mut posted = false;
        for message in messages {
            posted |= self.hear(generation, message);
        }
        if ended {
            posted |= self.server_ended(generation, None);
        }
        posted
    }

    fn hear(&self, generation: u64, message: FromServer) -> bool {
        match message {
            FromServer::Hello { protocol, build_id } => {
                let same = (protocol, build_id) == (PROTOCOL, task::build_id());
                if !same {
                    let error = server::other_build(&self.settings);
                    return self.server_ended(generation, Some(error));
                }
                self.locked(|pool| {
                    let server = pool.server.as_mut();
                    if let Some(server) = server.filter(|s| s.generation == generation) {
                        server.greeted = true;
                    }
                });
                false
            }
            FromServer::Spawned { worker, pid } => {
                self.locked(|pool| {
                    let known = pool.workers.get_mut(&worker);
                    if let Some(worker) = known {
                        worker.pid = Some(pid);
                    }
                    pool.tell_log(Level::Debug, About::Process, || {
                        format!("worker process {pid} has started")
                    });
                });
                false
            }
            FromServer::SpawnFailed { worker, why } => {
                let error = JobError::no_worker(format!(
                    "a worker process cannot be started: {why}: check the limits on processes \
                     and memory"
                ));
                self.ended(worker, End::NoWorker(error))
            }
            FromServer::Exited { worker, signal, code, peak_memory } => {
                self.ended(worker, End::Process { signal, code, peak_memory })
            }
        }
    }

    fn ended(&self, id: u64, end: End) -> bool {
        let ((), posted) = self.locked(|pool| pool.set_end(id, end));
        posted | self.bury(id)
    }

    /// A fork server has ended, or is not one. Its workers end with it; jobs that were begun
    /// fail; and if it never worked, so do those that wait.
    fn server_ended(&self, generation: u64, refusal: Option<JobError>) -> bool {
        let (gone, posted) = self.locked(|pool| {
            if pool.server.as_ref().is_none_or(|server| server.generation != generation) {
                return None;
            }
            let server = pool.server.take()?;
            if let Some(threads) = &pool.threads {
                let _ = threads.epoll.delete(&*server.control);
            }
            let mut ids = Vec::new();
            for worker in pool.workers.values().filter(|w| w.generation == generation) {
                ids.push(worker.id);
                // Workers die with their parent; this is for what they started. The pids are
                // those of a moment ago, when the server still held them unreaped.
                if let (Some(pid), None) = (worker.pid, &worker.end) {
                    sys::kill_group(pid, Signal::SIGKILL);
                }
            }
            Some((server, ids))
        });
        let Some((mut server, ids)) = gone else { return posted };
        let how = server.end();
        let error = match refusal {
            Some(error) => Some(error),
            None if server.greeted => None,
            None => Some(server::no_answer(&self.settings, &how)),
        };
        if server.greeted {
            record!(Warn, "executor_engine::process", "the fork server died ({how})");
        }
        let ((), mut posted) = self.locked(|pool| {
            for &id in &ids {
                let end = error.clone().map_or(End::ServerDied, End::NoWorker);
                pool.set_end(id, end);
            }
            if let Some(error) = &error {
                pool.fail_all(None, error);
            }
        });
        for id in ids {
            posted |= self.bury(id);
        }
        posted | self.locked(|pool| pool.schedule(self)).1
    }

    /// Ends a fork server whose answer is overdue.
    pub(super) fn check_answer(&self) -> bool {
        if !self.greeting.load(Ordering::Acquire) {
            return false;
        }
        let overdue = self.locked(|pool| {
            let server = pool.server.as_ref()?;
            let overdue = !server.greeted && server.answer_by <= Instant::now();
            overdue.then_some(server.generation)
        });
        match overdue.0 {
            Some(generation) => {
                let error = server::no_answer(&self.settings, "it took too long");
                self.server_ended(generation, Some(error))
            }
            None => false,
        }
    }
}

impl Pool {
    /// Removes a worker that has ended. Jobs that it had begun fail; the others go elsewhere.
    fn inter(&mut self, id: u64, stderr_tail: String) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        self.idle.retain(|&idle| idle != id);
        if let Some(threads) = &self.threads {
            worker.unwatch(&threads.epoll);
            // What was read for the error is still to be passed on.
            if !stderr_tail.is_empty() {
                threads.stderr.wake();
            }
        }
        // Nothing is begun from here on, whoever may still run.
        let begun = worker.claims().lower(0);
        if let Some(server) = &mut self.server
            && server.generation == worker.generation
        {
            server.free_slots.push(worker.slot);
        }
        let in_flight = std::mem::take(&mut worker.in_flight);
        let (begun, waiting): (Vec<_>, Vec<_>) = in_flight
            .into_iter()
            .filter_map(|entry| Some((entry.seq, entry.job?)))
            .partition(|&(seq, _)| seq <= begun);
        self.log_death(&worker, begun.first().map(|(_, job)| &*job.run.job));
        let error = error_of(&worker, stderr_tail);
        for (_, job) in begun {
            self.fail(job, Some(error.clone()));
        }
        let never_was = matches!(worker.end, Some(End::NoWorker(_)));
        for (_, mut job) in waiting {
            job.deaths += 1;
            if self.gives_up(&job, never_was) {
                self.fail(job, Some(error.clone()));
            } else {
                self.returned.push_back(job);
            }
        }
    }

    /// Notes for the log how a worker ended that had begun this job: a death that nobody asked for,
    /// where it is noticed. (What it wrote to stderr is the job's affair.)
    fn log_death(&mut self, worker: &Worker, begun: Option<&dyn AnyJob>) {
        let stopped = begun.is_none_or(|job| job.head().stop() != Stop::No);
        // A note says why the library killed it.
        let trouble = worker.unasked || worker.note.is_some();
        let asked = worker.state == State::Closing || (stopped && !trouble);
        let level = if asked { Level::Debug } else { Level::Warn };
        if matches!(worker.end, Some(End::ServerDied)) && begun.is_none() {
            // That has a record of its own.
            return;
        }
        self.tell_log(level, About::Process, || {
            let pid = worker.pid.map_or_else(String::new, |pid| format!(" {pid}"));
            let job = begun.map(|job| format!(", which ran {}", job.head().label()));
            let job = job.unwrap_or_default();
            match error_of(worker, String::new()) {
                _ if asked => format!("worker process{pid}{job}: it has ended, as it was to"),
                error => format!("worker process{pid}{job}: {error}"),
            }
        });
    }

    /// Whether a job that lost its worker, and was not begun, fails.
    fn gives_up(&self, job: &Queued, never_was: bool) -> bool {
        job.deaths >= MOST_DEATHS || (never_was && (job.fresh || !self.somebody_serves()))
    }
}

fn error_of(worker: &Worker, stderr_tail: String) -> JobError {
    let mut death =
        WorkerDeath { stderr_tail, note: worker.note.clone(), ..WorkerDeath::default() };
    match &worker.end {
        Some(End::NoWorker(error)) => return error.clone(),
        Some(End::Process { signal, code, peak_memory }) => {
            death.signal = *signal;
            death.exit_code = *code;
            death.peak_memory = Some(*peak_memory);
        }
        Some(End::ServerDied) | None => death.note = Some("the fork server died".to_owned()),
    }
    JobError::worker_died(death)
}
