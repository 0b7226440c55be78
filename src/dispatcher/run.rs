//! Running the core: the inbox, whose turn it is, and carrying out effects.
//!
//! Events reach the core in two ways. A caller that needs an answer (a submission can be
//! refused) locks the core. News from backends goes into a lock-free inbox; then the bringer
//! tries for the lock, and if another thread has it, leaves: whoever holds the lock looks into
//! the inbox before and after letting go. So the core is driven by whichever thread has news
//! for it, and a job's way from submission to result needs no thread but the submitter's and
//! the worker's. A thread that has carried enough of others' news hands over to the dispatcher
//! thread, which sleeps otherwise.
//!
//! Effects on queues and handles are carried out under the lock, in order. Whatever may take
//! long or runs foreign code (waking threads, system calls, encoding arguments, dropping
//! users' values) is put off until the lock is free: [`After`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::queue::SegQueue;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::alarm::Alarm;
use super::asker;
use super::baton::Baton;
use super::carry::{After, End, call_back};
use super::core::Core;
use super::demands::{Demands, Impossible, Names};
use super::errands::Errands;
use super::message::{Effect, Event, Key, Nanos, Need, Refusal, Submission};
use super::observers::Observers;
use super::reports::News;
use super::rules::Rules;
use super::sleepers::Sleepers;
use crate::backend::{Backend, Reports, enter_service};
use crate::clock::{self, Clock, Moment};
use crate::condition::Question;
use crate::error::{CancelReason, JobError};
use crate::event::JobEvent;
use crate::job::{AnyJob, EngineId, KindId, Meta, Status, drop_quietly};

/// What the core carries for each job.
pub(crate) type Payload = Arc<dyn AnyJob>;

/// News that one thread carries to the core in one go, before it hands over.
const TURN: usize = 1024;

/// Where the kinds' jobs run.
pub(crate) type Backends = [Box<dyn Backend>; KindId::COUNT];

/// The core, and all that drives it.
pub(crate) struct Dispatcher {
    pub(super) engine: EngineId,
    pub(super) desk: Baton<Desk>,
    /// What backends tell.
    pub(super) news: SegQueue<(News, Nanos)>,
    /// Submissions that need no answer, brought while the core was busy.
    submitted: SegQueue<(Submission<Payload>, Nanos)>,
    pub(super) backends: Backends,
    /// What the engine goes by.
    pub(super) clock: Clock,
    pub(super) names: Names,
    /// Wakes the dispatcher thread.
    pub(super) alarm: Alarm,
    /// Custom conditions to ask, and callbacks to call.
    pub(super) questions: Errands<(Key, Question)>,
    pub(super) callbacks: Errands<End>,
    pub(super) observers: Observers,
    /// Itself, for threads that must not keep it.
    pub(super) itself: Weak<Self>,
    stop: AtomicBool,
    /// As in the core, for those who do not hold its lock.
    pub(super) closed: AtomicBool,
    /// Somebody shuts the engine down.
    pub(super) ending: AtomicBool,
    /// The engine is shut down.
    pub(super) ended_flag: Mutex<bool>,
    pub(super) ended_signal: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the core's lock protects.
pub(crate) struct Desk {
    pub(super) core: Core<Payload>,
    pub(super) sleepers: Sleepers,
    pub(super) effects: Vec<Effect<Payload>>,
    /// The job that a waiting thread got to run.
    pub(super) inline: Option<Payload>,
    pub(super) refused: Option<Refusal>,
    /// `None` mostly: nothing is put off.
    pub(super) after: Option<Box<After>>,
    /// A bit per kind whose backend has new runs.
    pub(super) kicks: u8,
    /// Whether an event came in since sleepers were last looked at.
    pub(super) changed: bool,
    /// When the alarm is set to ring.
    pub(super) alarm_at: Option<Nanos>,
}

impl Dispatcher {
    /// A dispatcher and its thread.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(
        engine: EngineId,
        core: Core<Payload>,
        clock: Clock,
        names: Names,
        backends: impl FnOnce(Weak<dyn Reports>) -> Backends,
    ) -> std::io::Result<Arc<Self>> {
        let alarm = Alarm::new()?;
        let dispatcher = Arc::new_cyclic(|itself: &Weak<Self>| Self {
            engine,
            desk: Baton::new(Desk {
                core,
                sleepers: Sleepers::default(),
                effects: Vec::new(),
                inline: None,
                refused: None,
                after: None,
                kicks: 0,
                changed: false,
                alarm_at: None,
            }),
            news: SegQueue::new(),
            submitted: SegQueue::new(),
            backends: backends(itself.clone()),
            clock,
            names,
            alarm,
            questions: Errands::new("executor-conditions", asker::ask),
            callbacks: Errands::new("executor-callbacks", call_back),
            observers: Observers::default(),
            itself: itself.clone(),
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            ended_flag: Mutex::new(false),
            ended_signal: Condvar::new(),
            thread: Mutex::new(None),
        });
        let runner = Arc::clone(&dispatcher);
        let thread =
            std::thread::Builder::new().name("executor-dispatcher".into()).spawn(move || {
                enter_service(engine);
                runner.run();
            })?;
        *dispatcher.thread.lock() = Some(thread);
        let link: Weak<Self> = Arc::downgrade(&dispatcher);
        engine.register(link);
        if let Clock::Manual(hands) = &dispatcher.clock {
            let timed: Weak<Self> = Arc::downgrade(&dispatcher);
            hands.register(timed);
        }
        Ok(dispatcher)
    }

    /// What the dispatcher thread does: it lets timers ring, and carries news that others have
    /// left, until it is told to [stop](Self::stop).
    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let woken = self.alarm.sleep();
            if woken.clock_set && self.clock.runs() {
                self.tell(Event::ClockSet { offset: self.clock.moment().offset });
            }
            let mut desk = self.desk.take();
            self.take_in_all(&mut desk);
            let now = clock::now();
            // What has rung is not set any more.
            desk.alarm_at = desk.alarm_at.filter(|&at| at > now);
            self.handle(&mut desk, Event::Tick, now);
            self.settle(desk);
            while self.desk.more() {
                self.settle(self.desk.take());
            }
        }
    }

    /// This moment, by the clock that the engine goes by.
    pub(crate) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// The engine's number.
    pub(crate) fn engine(&self) -> EngineId {
        self.engine
    }

    /// Submits one job.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn submit_one(
        &self,
        now: Nanos,
        submission: Submission<Payload>,
    ) -> Result<(), Refusal> {
        // A job that depends on none can be refused for one reason only, which is known without
        // the core: so it need not wait for the core either.
        if submission.needs.is_empty() && submission.nested.is_none() {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Refusal::Closed);
            }
            let Some(mut desk) = self.desk.try_take() else {
                self.submitted.push((submission, now));
                self.drive();
                return Ok(());
            };
            // First what this thread may have submitted before, while the core was busy.
            self.take_in_all(&mut desk);
            self.handle(&mut desk, Event::Submit(submission), now);
            let refused = desk.refused.take();
            self.settle(desk);
            return refused.map_or(Ok(()), Err);
        }
        self.submit_all(now, [submission]).map_err(|(_, refusal)| refusal)
    }

    /// Submits jobs, in order, under one lock.
    ///
    /// # Errors
    /// Why the first refused one was refused, and how many went before it.
    pub(crate) fn submit_all(
        &self,
        now: Nanos,
        submissions: impl IntoIterator<Item = Submission<Payload>>,
    ) -> Result<(), (usize, Refusal)> {
        let mut desk = self.desk.take();
        self.take_in_all(&mut desk);
        let mut answer = Ok(());
        let mut submissions = submissions.into_iter().enumerate();
        for (count, mut submission) in &mut submissions {
            refresh(&desk.core, &mut submission);
            let Submission { needs, nested, .. } = &mut submission;
            let nested = nested.iter_mut().flat_map(|nested| &mut nested.jobs);
            let mut named = needs.iter_mut().chain(nested).filter_map(|need| need.watched.take());
            // It may be the last that holds the job.
            if let Some(first) = named.next() {
                desk.after().named.extend(std::iter::once(first).chain(named));
            }
            self.handle(&mut desk, Event::Submit(submission), now);
            if let Some(refusal) = desk.refused.take() {
                answer = Err((count, refusal));
                break;
            }
        }
        self.settle(desk);
        // With no lock held, for there may be users' values in them.
        drop(submissions);
        answer
    }

    /// Has a finished job run again.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn rerun(&self, job: &Payload) -> Result<(), Refusal> {
        let head = job.head();
        let submission = Submission {
            key: head.key(),
            kind: head.kind(),
            needs: Vec::new(),
            nested: None,
            rules: head.meta().and_then(|meta| {
                // It was submitted once, so it can be had.
                Rules::of(meta, &self.names.demands(meta).unwrap_or_default())
            }),
            payload: Arc::clone(job),
        };
        let mut desk = self.desk.take();
        self.take_in_all(&mut desk);
        self.handle(&mut desk, Event::Rerun(submission), clock::now());
        let refused = desk.refused.take();
        self.settle(desk);
        refused.map_or(Ok(()), Err)
    }

    /// What a job that says this demands beside a permit.
    ///
    /// # Errors
    /// It can never have it.
    pub(crate) fn demands(&self, meta: &Meta) -> Result<Demands, Impossible> {
        self.names.demands(meta)
    }

    /// Starts no more jobs of these kinds, or again.
    pub(crate) fn pause(&self, kinds: &[KindId], paused: bool) {
        for &kind in kinds {
            self.tell(Event::Pause { kind, paused });
        }
    }

    /// Calls off every unfinished job.
    pub(crate) fn cancel_all(&self, reason: CancelReason) {
        self.tell(Event::CancelAll { reason });
    }

    /// Takes no more submissions.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.tell(Event::Close);
    }

    /// Brings one event to the core at once.
    pub(crate) fn tell(&self, event: Event<Payload>) {
        let mut desk = self.desk.take();
        // The event may be about a job whose submission is among the news.
        self.take_in_all(&mut desk);
        self.handle(&mut desk, event, clock::now());
        self.settle(desk);
    }

    /// Asks the core something, with all news taken in.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&mut Core<Payload>) -> R) -> R {
        let mut desk = self.desk.take();
        self.take_in_all(&mut desk);
        let answer = question(&mut desk.core);
        self.settle(desk);
        answer
    }

    /// Takes in the news; true if a turn's worth was not all, and the rest is left for later.
    fn take_in(&self, desk: &mut Desk) -> bool {
        if !self.desk.hear() {
            return false;
        }
        let mut left = TURN;
        while let Some((news, at)) = self.news.pop() {
            let event = match news {
                News::Started(key) => {
                    if let Some(job) = desk.core.get(key) {
                        let (id, attempt) = (job.head().id(), job.head().attempt());
                        self.observers.tell(|| JobEvent::Started { id, attempt });
                    }
                    Event::Started { key }
                }
                News::Recalled(key) => Event::Recalled { key },
                News::Ended(key, ended) => Event::Finished { key, ended },
                News::Lent(key, lent) => Event::Lent { key, lent },
            };
            self.handle(desk, event, at);
            left -= 1;
            if left == 0 {
                self.desk.leave_news();
                return true;
            }
        }
        while let Some((submission, then)) = self.submitted.pop() {
            self.take_in_submission(desk, submission, then);
            left -= 1;
            if left == 0 {
                self.desk.leave_news();
                return true;
            }
        }
        false
    }

    /// Takes in all the news: for those whose question is about jobs that may be among it.
    pub(super) fn take_in_all(&self, desk: &mut Desk) {
        while self.take_in(desk) {}
    }

    fn take_in_submission(&self, desk: &mut Desk, submission: Submission<Payload>, then: Nanos) {
        let job = Arc::clone(&submission.payload);
        self.handle(desk, Event::Submit(submission), then);
        if desk.refused.take().is_some() {
            // Closed between the look and the submission: its handle is out already.
            desk.core.count_cancelled();
            job.store_error(JobError::cancelled(CancelReason::Shutdown));
            let waiters = job.head().finish(Status::Cancelled, then);
            desk.after().wakes.extend(waiters);
            desk.after().forgotten.push(job);
        }
    }

    /// Ends a turn: takes in the news, wakes whom it concerns, lets go of the lock, does what
    /// was put off, and looks whether more news came in meanwhile.
    pub(super) fn settle<'a>(&'a self, mut desk: MutexGuard<'a, Desk>) {
        loop {
            let full = self.take_in(&mut desk);
            if std::mem::take(&mut desk.changed) {
                self.wake_sleepers(&mut desk);
            }
            self.set_alarm(&mut desk);
            let kicks = std::mem::take(&mut desk.kicks);
            let after = desk.after.take();
            drop(desk);
            self.kick(kicks);
            if let Some(after) = after {
                self.do_after(*after);
            }
            if full {
                // Others' news, not ours to carry for long.
                return self.alarm.call();
            }
            if !self.desk.more() {
                return;
            }
            match self.desk.try_take() {
                Some(again) => desk = again,
                None => return,
            }
        }
    }

    /// Ends the backends and the dispatcher thread; no job is unfinished any more.
    pub(super) fn stop(&self) {
        self.engine.unregister();
        for backend in &self.backends {
            backend.shutdown();
        }
        self.questions.stop();
        self.callbacks.stop();
        self.observers.end();
        self.stop.store(true, Ordering::SeqCst);
        self.alarm.call();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            log::error!(target: "executor_engine::dispatcher", "the dispatcher thread panicked");
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // A panic in the drop of one job's values must not reach whoever drops the engine, and a
        // second one would abort the process.
        let jobs = self.desk.take().core.remove_all();
        jobs.into_iter().for_each(drop_quietly);
    }
}

/// Looks once more at those jobs that the submitted one needs and the core does not know. One that
/// had not ended when the job was admitted may have ended, and left the table, since; then only
/// it can tell.
fn refresh(core: &Core<Payload>, submission: &mut Submission<Payload>) {
    let Submission { needs, nested, payload, .. } = submission;
    let known = |need: &Need| need.ended.is_some() || core.get(need.edge.key()).is_some();
    let nested = nested.iter_mut().flat_map(|nested| &mut nested.jobs);
    nested.filter(|need| !known(need)).for_each(Need::refresh);
    if needs.iter().all(known) {
        return;
    }
    needs.iter_mut().for_each(Need::refresh);
    // Arguments come first.
    let mut places = needs.iter_mut();
    payload.visit_upstream(&mut |job| {
        if let Some(place) = places.next() {
            *place = Need::argument(job.head());
        }
    });
}
