//! Threads that wait: for one job, or for all. They sleep without a timeout of ours, and are
//! woken by what concerns them.
//!
//! A thread of the engine that waits inside a job must not keep the pool from running what it
//! waits for. So it runs the job itself if that has not begun; it lends its permit while it
//! sleeps; and when every thread of some kind sleeps like this, they are all woken to look for
//! something to run that brings their own job nearer ([`Core::find_runnable`]).
//!
//! [`Core::find_runnable`]: super::core::Core::find_runnable

use std::sync::Arc;
use std::thread::Thread;
use std::time::Instant;

use super::core::Lane;
use super::message::{Event, Key};
use super::run::{Desk, Dispatcher, Payload};
use super::sleepers::Place;
use crate::backend::{Here, execute};
use crate::clock;
use crate::error::CancelReason;
use crate::error::{Error, Kind, Result, StalledJob};
use crate::id::JobId;
use crate::job::{AnyJob, KindId, Link, Waiter};

impl Dispatcher {
    /// Wakes the sleepers whom the last events concern. (Those who wait for a job that ended are
    /// woken through the job.)
    pub(super) fn wake_sleepers(&self, desk: &mut Desk) {
        let Desk { core, sleepers, .. } = desk;
        let all = [&sleepers.idle, &sleepers.outside, &sleepers.inside];
        if all.iter().all(|list| list.is_empty()) {
            return;
        }
        if core.is_stalled_for_good() {
            all.into_iter().flatten().for_each(Thread::unpark);
        } else if core.is_stalled() {
            // Jobs that are told so go on, so it is too early to tell others.
            sleepers.inside.iter().for_each(Thread::unpark);
        } else if core.is_idle() {
            sleepers.idle.iter().for_each(Thread::unpark);
        } else if KindId::ALL.into_iter().any(|kind| self.is_stuck(desk, kind)) {
            desk.sleepers.inside.iter().for_each(Thread::unpark);
        }
    }

    /// Whether all threads for jobs of this kind sleep inside a job while such jobs wait.
    fn is_stuck(&self, desk: &Desk, kind: KindId) -> bool {
        let asleep = desk.sleepers.inside_of[kind as usize];
        asleep > 0
            && asleep >= desk.core.ready.limits().per_kind[kind as usize]
            && (desk.core.ready.waits(kind) || self.backends[kind as usize].has_waiting())
    }

    /// Blocks until no job is unfinished (`true`) or the time is up (`false`).
    ///
    /// # Errors
    /// Stalled; called inside a job.
    pub(crate) fn wait_all(&self, deadline: Option<Instant>) -> Result<bool> {
        if Here::of(self.engine).is_some_and(|here| here.job.is_some()) {
            return Err(Kind::WaitInsideJob.into());
        }
        let me = std::thread::current();
        let mut entered = false;
        loop {
            let mut desk = self.desk.take();
            self.take_in_all(&mut desk);
            let answer = if desk.core.is_idle() {
                Some(Ok(true))
            } else if desk.core.is_stalled_for_good() {
                Some(Err(stalled_error(&desk)))
            } else if is_over(deadline) {
                Some(Ok(false))
            } else {
                None
            };
            if let Some(answer) = answer {
                if entered {
                    desk.sleepers.leave(Place::Idle, &me);
                }
                self.settle(desk);
                return answer;
            }
            if !entered {
                desk.sleepers.enter(Place::Idle, me.clone());
                entered = true;
            }
            self.settle(desk);
            sleep(deadline);
        }
    }

    fn wait_outside(&self, job: &Payload, deadline: Option<Instant>) -> Result<bool> {
        let me = std::thread::current();
        let head = job.head();
        {
            let mut desk = self.desk.take();
            self.take_in_all(&mut desk);
            if desk.core.is_stalled_for_good() && !head.status().is_finished() {
                let error = stalled_error(&desk);
                self.settle(desk);
                return Err(error);
            }
            if head.add_waiter(Waiter::Thread(me.clone())).is_err() {
                self.settle(desk);
                return Ok(true);
            }
            desk.sleepers.enter(Place::Outside, me.clone());
            self.settle(desk);
        }
        self.backends[head.kind() as usize].serve(job, deadline);
        let answer = loop {
            if head.status().is_finished() {
                break Ok(true);
            }
            if is_over(deadline) {
                break Ok(false);
            }
            sleep(deadline);
            if head.status().is_finished() {
                break Ok(true);
            }
            let mut desk = self.desk.take();
            self.take_in_all(&mut desk);
            let stalled = desk.core.is_stalled_for_good() && !head.status().is_finished();
            let error = stalled.then(|| stalled_error(&desk));
            self.settle(desk);
            if let Some(error) = error {
                break Err(error);
            }
        };
        if !matches!(answer, Ok(true)) {
            head.remove_waiter(&me);
        }
        self.desk.take().sleepers.leave(Place::Outside, &me);
        answer
    }

    fn wait_inside(&self, here: Here, job: &Payload, deadline: Option<Instant>) -> Result<bool> {
        let me = std::thread::current();
        let head = job.head();
        let goal = head.key();
        let lane = if here.server == KindId::Local { Lane::Serial } else { Lane::Other };
        loop {
            let mut desk = self.desk.take();
            self.take_in_all(&mut desk);
            if head.status().is_finished() {
                self.settle(desk);
                return Ok(true);
            }
            if is_over(deadline) {
                self.settle(desk);
                return Ok(false);
            }
            if let Some(found) = self.take_runnable(&mut desk, goal, lane, false) {
                self.settle(desk);
                execute(&*found, self, clock::now());
                continue;
            }
            if head.add_waiter(Waiter::Thread(me.clone())).is_err() {
                self.settle(desk);
                return Ok(true);
            }
            desk.sleepers.enter(Place::Inside(here), me.clone());
            if let Some(key) = here.job {
                self.handle(&mut desk, Event::Blocked { key, on: goal }, clock::now());
            }
            let stuck = KindId::ALL.into_iter().any(|kind| self.is_stuck(&desk, kind));
            let mut found = None;
            let mut error = None;
            if stuck {
                found = self.take_runnable(&mut desk, goal, lane, true);
            } else if desk.core.is_stalled() {
                error = Some(stalled_error(&desk));
            }
            if found.is_none() && error.is_none() {
                self.settle(desk);
                if !stuck {
                    self.backends[head.kind() as usize].serve(job, deadline);
                }
                if !head.status().is_finished() {
                    sleep(deadline);
                }
                desk = self.desk.take();
                self.take_in_all(&mut desk);
                // Seen while still counted as blocked, so that a stall shows as one.
                if desk.core.is_stalled() && !head.status().is_finished() {
                    error = Some(stalled_error(&desk));
                } else if KindId::ALL.into_iter().any(|kind| self.is_stuck(&desk, kind)) {
                    found = self.take_runnable(&mut desk, goal, lane, true);
                }
            }
            head.remove_waiter(&me);
            desk.sleepers.leave(Place::Inside(here), &me);
            if let Some(key) = here.job {
                self.handle(&mut desk, Event::Unblocked { key }, clock::now());
            }
            self.settle(desk);
            if let Some(error) = error {
                return Err(error);
            }
            if let Some(found) = found {
                execute(&*found, self, clock::now());
            }
        }
    }

    /// Takes a job that this thread can run for the sake of `goal`: `goal` itself, or (`deep`)
    /// any that it waits for.
    fn take_runnable(&self, desk: &mut Desk, goal: Key, lane: Lane, deep: bool) -> Option<Payload> {
        let mut queued = None;
        let mut claimed = None;
        let mut try_take = |key: Key, job: &Payload, in_queue: bool| {
            if in_queue {
                queued = Some((key, Arc::clone(job)));
                return true;
            }
            let head = job.head();
            let mine = head.claim(head.run());
            if mine {
                claimed = Some(Arc::clone(job));
            }
            mine
        };
        if deep {
            desk.core.find_runnable(goal, lane, &mut try_take);
        } else {
            desk.core.offer(goal, lane, &mut try_take);
        }
        if let Some((key, job)) = queued {
            self.handle(desk, Event::TakeInline { key }, clock::now());
            let taken = desk.inline.take();
            debug_assert!(taken.is_some(), "the job was ready under this lock");
            let head = job.head();
            // Nobody else can have claimed a job that was in the core's own queue.
            return taken.filter(|_| head.claim(head.run()));
        }
        claimed
    }
}

impl Link for Dispatcher {
    fn wait_job(&self, job: &Arc<dyn AnyJob>, deadline: Option<Instant>) -> Result<bool> {
        match Here::of(self.engine) {
            Some(here) => self.wait_inside(here, job, deadline),
            None => self.wait_outside(job, deadline),
        }
    }

    fn cancel_job(&self, job: &Arc<dyn AnyJob>, reason: CancelReason) {
        self.tell(Event::Cancel { key: job.head().key(), reason });
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Sleeps until unparked, which may be for no reason, or until the time is up.
fn sleep(deadline: Option<Instant>) {
    match deadline {
        None => std::thread::park(),
        Some(deadline) => {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

fn stalled_error(desk: &Desk) -> Error {
    let jobs = desk
        .core
        .stalled()
        .into_iter()
        .map(|stalled| StalledJob {
            id: JobId::from_count(stalled.key),
            name: desk
                .core
                .get(stalled.key)
                .and_then(|job| job.head().meta())
                .and_then(|meta| meta.name.clone()),
            waits_for: stalled.waits_for.into_iter().map(JobId::from_count).collect(),
        })
        .collect();
    Kind::Stalled(jobs).into()
}
