//! Which job goes where; what is sent ahead; what is taken back.
//!
//! In order of arrival, each job goes to the worker that was idle last; if none is idle and
//! there may be more, to a new one; else behind the jobs of a busy worker, if jobs are short.
//! A job that wants a process of its own waits until one more may be busy, and those behind it
//! with it.
//!
//! A job that was sent ahead is stuck if the one before it turns out to be long. It is taken
//! back when another worker has nothing to do, or when the others have got through many jobs
//! since: both are noticed when a worker replies. Half of what is behind is taken, so that two
//! workers do not take the last few jobs from each other in turn.

use std::sync::atomic::Ordering;

use log::Level;

use super::pool::{About, MOST_AHEAD, Pool};
use super::shared::Shared;
use super::worker::{InFlight, Queued};
use crate::clock;
use crate::wire::frame::Header;

/// Where a job goes.
enum Place {
    Idle(u64),
    New,
    /// Behind others: this worker, and how many jobs it may have.
    Behind(u64, usize),
}

impl Pool {
    /// Gives jobs to workers as long as it can, and sends them.
    pub(super) fn schedule(&mut self, shared: &Shared) {
        let now = clock::now();
        let mut may_spawn = !self.closed;
        self.unstick();
        loop {
            if self.returned.is_empty()
                && self.queue.is_empty()
                && !self.take_from_busiest(may_spawn)
            {
                break;
            }
            let Some(place) = self.place(may_spawn) else { break };
            let Some(job) = self.next_claimed(now) else { continue };
            match place {
                Place::Idle(id) => {
                    self.idle.retain(|&idle| idle != id);
                    self.assign(id, job, now);
                }
                Place::New => match self.spawn(shared, job.fresh) {
                    Ok(Some(id)) => self.assign(id, job, now),
                    Ok(None) => {
                        may_spawn = false;
                        self.returned.push_front(job);
                    }
                    Err(error) => {
                        may_spawn = false;
                        self.cannot_spawn(job, error);
                    }
                },
                Place::Behind(id, room) => {
                    self.assign(id, job, now);
                    for _ in 1..room {
                        if self.front().is_none_or(|job| job.fresh || job.timed() || job.streams())
                        {
                            break;
                        }
                        let Some(job) = self.next_claimed(now) else { break };
                        self.assign(id, job, now);
                    }
                }
            }
        }
        self.flush();
        let crowded = self.workers.values().any(|worker| worker.in_flight.len() > 1);
        shared.crowded.store(crowded, Ordering::Relaxed);
    }

    fn front(&self) -> Option<&Queued> {
        self.returned.front().or_else(|| self.queue.front())
    }

    /// Where the job at the front can go now.
    fn place(&self, may_spawn: bool) -> Option<Place> {
        let front = self.front()?;
        let room = may_spawn && self.busy() < self.settings.limit;
        if front.fresh {
            return room.then_some(Place::New);
        }
        if let Some(&id) = self.idle.last() {
            return Some(Place::Idle(id));
        }
        if room {
            return Some(Place::New);
        }
        // Its time would run while it waits behind others.
        if front.timed() || front.streams() {
            return None;
        }
        // Workers are refilled when half empty, so that several requests go into one write.
        let depth = self.depth();
        let max_jobs = self.max_jobs();
        let takers = || self.workers.values().filter(|worker| worker.takes_jobs(max_jobs));
        let worker = takers()
            .filter(|worker| worker.in_flight.len() <= depth / 2)
            .min_by_key(|worker| worker.in_flight.len())?;
        let has = worker.in_flight.len();
        let all: usize = takers().map(|worker| worker.in_flight.len()).sum();
        let share = (all + self.returned.len() + self.queue.len()).div_ceil(takers().count());
        let left = usize::try_from(max_jobs - worker.given).unwrap_or(usize::MAX);
        let room = depth.min(share).saturating_sub(has).min(left);
        (room > 0).then_some(Place::Behind(worker.id, room))
    }

    /// Takes the job at the front out of the queue, if nobody has cancelled it meanwhile.
    fn next_claimed(&mut self, now: u64) -> Option<Queued> {
        let mut job = self.returned.pop_front().or_else(|| self.queue.pop_front())?;
        if !job.claimed {
            if !job.run.claim() {
                // Whoever cancelled it has reported it, too.
                self.dropped.push(job.run);
                return None;
            }
            job.claimed = true;
            let head = job.run.job.head();
            head.start(now);
            if head.tells_start() {
                self.started.push((head.key(), now));
            }
            self.tell_log(Level::Debug, About::Job, || {
                let head = job.run.job.head();
                format!("{} starts, attempt {}", head.label(), head.attempt())
            });
        }
        Some(job)
    }

    fn assign(&mut self, id: u64, job: Queued, now: u64) {
        let Some(worker) = self.workers.get_mut(&id) else {
            self.returned.push_front(job);
            return;
        };
        if worker.in_flight.is_empty() {
            worker.mark = now;
            worker.pool_mark = self.finished;
        }
        worker.last_seq += 1;
        worker.given += 1;
        let seq = worker.last_seq;
        let name = job.task.name().as_bytes();
        let stream = job.run.job.head().stream().map(|stream| stream.opening());
        let header = Header {
            length: (name.len() + job.args.len()) as u64,
            seq,
            // Checked when the job was encoded.
            extra: u16::try_from(name.len()).unwrap_or(u16::MAX),
            kind: job.kind,
        };
        worker.out.push(&header.to_bytes(), name, &job.args);
        if let Some(opening) = stream {
            worker.open_stream(seq, opening);
            // With no room it waits from the start; and a worker before it, which died, may have.
            let waits = worker.awaits_reader();
            if waits || job.deaths > 0 {
                self.lent.push((job.run.job.head().key(), job.run.run, waits));
            }
        }
        worker.in_flight.push_back(InFlight { seq, job: Some(job) });
        if self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
    }

    /// Sends what was assigned: one write per worker.
    fn flush(&mut self) {
        let Some(threads) = &self.threads else { return };
        for id in self.dirty.drain(..) {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.claims().raise(worker.last_seq);
                if self.may_look && worker.in_flight.len() == 1 && worker.prompt.worth_a_look() {
                    self.look = worker.lend();
                    self.may_look = self.look.is_none();
                }
                worker.flush(&threads.epoll);
            }
        }
    }

    /// If somebody could do something and the queue is empty: takes half of what is behind from
    /// the worker that has the most behind. False if there was nothing to take.
    fn take_from_busiest(&mut self, may_spawn: bool) -> bool {
        if self.idle.is_empty() && !(may_spawn && self.busy() < self.settings.limit) {
            return false;
        }
        let Some(worker) = self.workers.values().max_by_key(|worker| worker.behind()) else {
            return false;
        };
        let (id, behind) = (worker.id, worker.behind());
        if behind == 0 {
            return false;
        }
        // Those of its requests that are not taken back are in front; the first of them stays,
        // and of those behind it the smaller half.
        let keep = worker
            .in_flight
            .iter()
            .filter(|entry| entry.job.is_some())
            .nth(behind / 2)
            .map_or(0, |entry| entry.seq);
        self.take_back(id, keep) > 0
    }

    /// Takes everything behind its head from each worker that has not replied while the others
    /// finished many jobs.
    fn unstick(&mut self) {
        let many = u64::try_from(MOST_AHEAD * self.workers.len().max(2)).unwrap_or(u64::MAX);
        let stuck: Vec<(u64, u32)> = self
            .workers
            .values()
            .filter(|worker| worker.behind() > 0 && self.finished - worker.pool_mark > many)
            .filter_map(|worker| Some((worker.id, worker.head()?.seq)))
            .collect();
        for (id, keep) in stuck {
            self.take_back(id, keep);
        }
    }
}
