//! Threads that wait: for one job, or for all. They sleep without a timeout of ours, and are
//! woken by what concerns them.
//!
//! A thread of the engine that waits inside a job must not keep the engine from running what it
//! waits for. So it runs that job itself if it is of the thread's kind and has not begun, and
//! lends its permit while it sleeps. When every thread of a kind sleeps like this while such jobs
//! wait, each looks for a job that brings its own nearer ([`Core::find_runnable`]): of its own
//! kind, or, when nothing moves any more, of any kind whose threads all sleep.
//!
//! That is no deadlock in whatever order threads fall asleep. Follow what a sleeping job waits
//! for to a job that waits for nothing: it can be run by the very thread that sleeps (or, a local
//! job, by the lane's thread, which the same holds for). And it must be one of those, not any job
//! that is ready: the job run last lies uppermost on the thread's stack, so one that the lower
//! ones do not wait for, and that itself comes to wait for them, would never let them go on.
//!
//! [`Core::find_runnable`]: super::core::Core::find_runnable

use std::cell::Cell;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Instant;

use super::core::Core;
use super::graph::Path;
use super::key::{Key, Nanos};
use super::message::{Event, Refusal};
use super::reports::News;
use super::run::{Desk, Dispatcher, Payload};
use super::sleepers::Place;
use crate::backend::{Here, Reports, execute, is_of};
use crate::clock::{self, Timed};
use crate::error::{CancelReason, Error, Kind, Result, StalledJob};
use crate::id::JobId;
use crate::job::{AnyJob, KindId, Link, Status, Stop, Word};

impl Dispatcher {
    /// Wakes the sleepers whom the last events concern. (Those who wait for a job that ended are
    /// woken through the job.)
    pub(super) fn wake_sleepers(&self, desk: &mut Desk) {
        let Desk { core, sleepers, .. } = desk;
        if !sleepers.quiet.is_empty() && core.is_settled() {
            sleepers.quiet.iter().for_each(Thread::unpark);
        }
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
        } else if self.moves_nothing(desk)
            || KindId::ALL.into_iter().any(|kind| self.is_stuck(desk, kind))
        {
            desk.sleepers.inside.iter().for_each(Thread::unpark);
        }
    }

    /// Whether all threads for jobs of this kind sleep inside a job while such jobs wait.
    fn is_stuck(&self, desk: &Desk, kind: KindId) -> bool {
        all_sleep(desk, kind)
            && (desk.core.ready.waits(kind) || self.backends[kind as usize].waiting() > 0)
    }

    /// Whether jobs could run, and all that are out sleep, or wait for threads that all sleep. A
    /// job whose parallel part sleeps may be running otherwise; it is taken for asleep.
    fn moves_nothing(&self, desk: &Desk) -> bool {
        if desk.sleepers.inside.is_empty() {
            return false;
        }
        let stuck: usize = KindId::ALL
            .into_iter()
            .filter(|&kind| all_sleep(desk, kind))
            .map(|kind| self.backends[kind as usize].waiting())
            .sum();
        let counts = desk.core.counts();
        let asleep = counts.blocked + desk.sleepers.unknown;
        counts.out <= asleep + stuck && stuck + desk.core.ready.len() > 0
    }

    /// Blocks until no job is unfinished (`true`) or the time is up (`false`).
    ///
    /// # Errors
    /// Stalled; called inside a job.
    pub(crate) fn wait_all(&self, deadline: Option<Instant>) -> Result<bool> {
        self.wait_for(
            Place::Idle,
            |desk| {
                if desk.core.is_idle() {
                    Some(Ok(true))
                } else if desk.core.is_stalled_for_good() {
                    Some(Err(stalled_error(desk)))
                } else if is_over(deadline) {
                    Some(Ok(false))
                } else {
                    None
                }
            },
            deadline,
        )
    }

    /// Sleeps in that place until the question has an answer.
    ///
    /// # Errors
    /// The answer; called inside a job.
    fn wait_for<A>(
        &self,
        place: Place,
        answer: impl Fn(&Desk) -> Option<Result<A>>,
        deadline: Option<Instant>,
    ) -> Result<A> {
        // Also in a part of a parallel loop, whose job is unknown, and in a custom condition.
        if is_of(self.engine) {
            return Err(Kind::WaitInsideJob.into());
        }
        let me = std::thread::current();
        let mut entered = false;
        loop {
            let mut desk = self.turn();
            if let Some(answer) = answer(&desk) {
                if entered {
                    desk.sleepers.leave(place, &me);
                }
                return answer;
            }
            if !entered {
                desk.sleepers.enter(place, me.clone());
                entered = true;
            }
            drop(desk);
            sleep(deadline);
        }
    }

    /// Blocks until the job is finished or there is enough (`true`), or the time is up (`false`).
    fn wait_or(
        &self,
        job: &Payload,
        deadline: Option<Instant>,
        enough: &dyn Fn() -> bool,
    ) -> Result<bool> {
        match Here::of(self.engine) {
            Some(here) => self.wait_inside(here, job, deadline, enough),
            None => self.wait_outside(job, deadline, enough),
        }
    }

    fn wait_outside(
        &self,
        job: &Payload,
        deadline: Option<Instant>,
        enough: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let me = std::thread::current();
        let head = job.head();
        {
            let mut desk = self.turn();
            if desk.core.is_stalled_for_good() && !head.status().is_finished() {
                return Err(stalled_error(&desk));
            }
            if !head.add_thread(&me) {
                return Ok(true);
            }
            desk.sleepers.enter(Place::Outside, me.clone());
        }
        self.backends[head.kind() as usize].serve(job, deadline, enough);
        let answer = loop {
            if !head.is_awaited_by(&me) || enough() {
                break Ok(true);
            }
            if is_over(deadline) {
                break Ok(false);
            }
            sleep(deadline);
            if !head.is_awaited_by(&me) || enough() {
                break Ok(true);
            }
            let desk = self.turn();
            if desk.core.is_stalled_for_good() && !head.status().is_finished() {
                break Err(stalled_error(&desk));
            }
        };
        if !matches!(answer, Ok(true)) || head.is_awaited_by(&me) {
            head.remove_thread(&me);
        }
        self.turn().sleepers.leave(Place::Outside, &me);
        answer
    }

    fn wait_inside(
        &self,
        here: Here,
        job: &Payload,
        deadline: Option<Instant>,
        enough: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let me = std::thread::current();
        let head = job.head();
        let goal = head.key();
        let mut asleep = false;
        let mut path = Path::default();
        // A stream that needs this very thread, which waits for it.
        let lane = Cell::new(None);
        loop {
            let mut desk = self.turn();
            let mut found = None;
            let ended = if asleep { !head.is_awaited_by(&me) } else { head.status().is_finished() };
            let answer = if ended || enough() {
                Some(Ok(true))
            } else if is_over(deadline) {
                Some(Ok(false))
            } else if asleep && desk.core.is_stalled() {
                Some(Err(stalled_error(&desk)))
            } else {
                found = if asleep {
                    self.take_needed(&mut desk, goal, here.server, &mut path, &lane)
                } else {
                    self.take_offered(&mut desk, here.server, &lane, false, |core, try_take| {
                        core.offer(goal, &|kind| kind == here.server, try_take);
                    })
                };
                let needed = lane.take().filter(|_| found.is_none());
                needed.map(|stream| Err(lane_error(&desk, stream, here)))
            };
            if answer.is_some() || found.is_some() {
                if std::mem::take(&mut asleep) {
                    self.wake_up(&mut desk, here, job, &me);
                }
                // While it runs another job, its own blocks as if it slept: others must see what it
                // waits for.
                if let Some(key) = here.job {
                    let event = match answer {
                        Some(_) => Event::Unblocked { key },
                        None => Event::Blocked { key, on: goal },
                    };
                    self.handle(&mut desk, event, clock::now());
                }
                drop(desk);
                if let Some(answer) = answer {
                    return answer;
                }
                if let Some(found) = found {
                    execute(&found, self, clock::now());
                }
                continue;
            }
            if asleep {
                drop(desk);
                self.backends[head.kind() as usize].serve(job, deadline, enough);
                if !enough() && head.is_awaited_by(&me) {
                    sleep(deadline);
                }
                continue;
            }
            // Counted as asleep, it looks once more before it sleeps.
            if head.add_thread(&me) {
                asleep = true;
                self.fall_asleep(&mut desk, here, job, &me);
            }
        }
    }

    fn fall_asleep(&self, desk: &mut Desk, here: Here, job: &Payload, me: &Thread) {
        desk.sleepers.enter(Place::Inside(here), me.clone());
        self.backends[here.server as usize].asleep(true);
        desk.kicks |= 1 << here.server as u8;
        if let Some(key) = here.job {
            self.handle(desk, Event::Blocked { key, on: job.head().key() }, clock::now());
        }
    }

    fn wake_up(&self, desk: &mut Desk, here: Here, job: &Payload, me: &Thread) {
        job.head().remove_thread(me);
        desk.sleepers.leave(Place::Inside(here), me);
        self.backends[here.server as usize].asleep(false);
    }

    /// Takes, and claims, a job that this sleeping thread can run and that its own waits for, if
    /// the situation demands it.
    fn take_needed(
        &self,
        desk: &mut Desk,
        goal: Key,
        kind: KindId,
        path: &mut Path,
        lane: &Cell<Option<Key>>,
    ) -> Option<Payload> {
        let moves_nothing = self.moves_nothing(desk);
        if !moves_nothing && !self.is_stuck(desk, kind) {
            return None;
        }
        let helpless: [bool; KindId::COUNT] = KindId::ALL.map(|of| {
            moves_nothing && matches!(of, KindId::Thread | KindId::Blocking) && all_sleep(desk, of)
        });
        let found = self.take_offered(desk, kind, lane, moves_nothing, |core, try_take| {
            let may = |of| of == kind || helpless[of as usize];
            core.find_runnable(goal, path, moves_nothing, &may, try_take);
        });
        // The permits are with jobs that cannot use them: whose parallel parts sleep, or whose
        // threads do.
        if found.is_none() && self.moves_nothing(desk) && desk.core.may_start_one() {
            self.handle(desk, Event::StartOne, clock::now());
        }
        found
    }

    /// Takes, and claims, a job that the core offers; `over` the limits if need be. A stream is
    /// none of them: it and its reader must run at once. If it is a local one, and this thread the
    /// `server` of local jobs, then it can never run: its key goes into `lane`.
    fn take_offered(
        &self,
        desk: &mut Desk,
        server: KindId,
        lane: &Cell<Option<Key>>,
        over: bool,
        offer: impl FnOnce(&Core<Payload>, &mut TryTake<'_>),
    ) -> Option<Payload> {
        let ready = &desk.core.ready;
        // Where only the kinds have limits, this thread, of the kind or idle, keeps them.
        let over = over || ready.limits().max_jobs.is_none();
        let mut queued = None;
        let mut claimed = None;
        offer(&desk.core, &mut |key, job, in_queue| {
            let head = job.head();
            if head.stream().is_some() {
                let waits = head.status() == Status::Pending && head.stop() == Stop::No;
                if waits && head.kind() == KindId::Local && server == KindId::Local {
                    lane.set(Some(key));
                }
                return false;
            }
            if in_queue {
                let permitted = over || ready.has_permit(job.head().kind());
                let may = permitted && desk.core.may_take_inline(key);
                queued = may.then_some(key);
                return may;
            }
            let mine = job.head().claim(job.head().run());
            if mine {
                claimed = Some(Arc::clone(job));
            }
            mine
        });
        if let Some(key) = queued {
            self.handle(desk, Event::TakeInline { key, over }, clock::now());
            // Nobody else can have claimed a job that was in the core's own queue.
            return desk.inline.take().filter(|job| job.head().claim(job.head().run()));
        }
        claimed
    }
}

/// What the core offers a job to: its key, the job, and whether it is in the ready queue.
type TryTake<'a> = dyn FnMut(Key, &Payload, bool) -> bool + 'a;

impl Timed for Dispatcher {
    fn next_deadline(&self) -> Option<Nanos> {
        self.ask(|core| core.next_deadline())
    }

    fn tick(&self) {
        self.tell(Event::Tick);
    }

    fn clock_set(&self, offset: i64) {
        self.tell(Event::ClockSet { offset });
    }

    fn settle_down(&self) -> Result<()> {
        self.wait_for(Place::Quiet, |desk| desk.core.is_settled().then_some(Ok(())), None)
    }
}

impl Link for Dispatcher {
    fn wait_job(&self, job: &Arc<dyn AnyJob>, deadline: Option<Instant>) -> Result<bool> {
        self.wait_or(job, deadline, &|| false)
    }

    fn read_job(&self, job: &Arc<dyn AnyJob>, enough: &dyn Fn() -> bool) -> Result<()> {
        self.wait_or(job, None, enough).map(drop)
    }

    fn lend(&self, job: &Arc<dyn AnyJob>, run: u32, lent: bool) {
        self.post_lent(job.head().key(), run, lent);
        self.drive();
    }

    fn tell_stream(&self, job: &Arc<dyn AnyJob>, word: Word) {
        self.backends[job.head().kind() as usize].tell_stream(job, word);
    }

    fn cancel_job(&self, job: &Arc<dyn AnyJob>, reason: CancelReason) {
        self.tell(Event::Cancel { key: job.head().key(), reason });
    }

    fn progressed(&self, job: &Arc<dyn AnyJob>, run: u32) -> bool {
        let wanted = self.observers.any();
        if wanted {
            // Behind the news that the job has begun.
            let progress = Box::new(job.head().progress().unwrap_or_default());
            self.news.push((News::Progress(job.head().key(), run, progress), clock::now()));
        }
        wanted
    }

    fn take_in_news(&self) {
        self.drive();
    }

    fn rerun_job(&self, job: &Arc<dyn AnyJob>) -> Result<()> {
        let id = job.head().id();
        if !job.head().status().is_finished() {
            return Err(Kind::NotFinished(id).into());
        }
        if !job.can_run_again() {
            return Err(Kind::RunsOnce(id).into());
        }
        self.rerun(job).map_err(|refusal| match refusal {
            Refusal::NotFinished | Refusal::Cycle(_) => Kind::NotFinished(id).into(),
            Refusal::Closed => Kind::ShutDown.into(),
        })
    }

    fn explain_job(&self, job: &Arc<dyn AnyJob>) -> String {
        self.explain(job)
    }
}

/// Whether every thread for jobs of this kind sleeps inside a job.
fn all_sleep(desk: &Desk, kind: KindId) -> bool {
    let asleep = desk.sleepers.inside_of[kind as usize];
    asleep > 0 && asleep >= desk.core.ready.limits().per_kind[kind as usize]
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

/// The stream waits for the lane, which the job here has, which waits for the stream.
fn lane_error(desk: &Desk, stream: Key, here: Here) -> Error {
    let waits_for = here.job.into_iter().map(JobId::from_count).collect();
    let name = desk.core.get(stream).and_then(|job| job.head().name().map(Into::into));
    let id = JobId::from_count(stream);
    Kind::Stalled(vec![StalledJob { id, name, waits_for, unsubmitted: Vec::new() }]).into()
}

fn stalled_error(desk: &Desk) -> Error {
    let core = &desk.core;
    let id = |key: Key| JobId::from_count(key);
    let stalled = core.stalled().into_iter().map(|stalled| StalledJob {
        id: id(stalled.key),
        name: core.get(stalled.key).and_then(|job| job.head().name().map(Into::into)),
        unsubmitted: stalled
            .waits_for
            .iter()
            .filter(|&&up| core.is_expected(up))
            .map(|&up| id(up))
            .collect(),
        waits_for: stalled.waits_for.into_iter().map(id).collect(),
    });
    Kind::Stalled(stalled.collect()).into()
}
