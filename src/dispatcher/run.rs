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
use super::asker::{Asker, not_asked};
use super::baton::Baton;
use super::core::Core;
use super::message::{Effect, Event, Key, Nanos, Need, Refusal, Submission, Verdict};
use super::sleepers::Sleepers;
use crate::backend::{Backend, Reports, Run, enter_service};
use crate::clock::{self, Clock, Moment};
use crate::condition::{Custom, Question, Watched};
use crate::error::{CancelReason, JobError};
use crate::job::{AnyJob, EngineId, KindId, Status, Waiter, drop_quietly};

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
    /// Ends of runs.
    ended: SegQueue<(Key, bool, Nanos)>,
    /// Submissions that need no answer, brought while the core was busy.
    submitted: SegQueue<(Submission<Payload>, Nanos)>,
    pub(super) backends: Backends,
    /// What the engine goes by.
    pub(super) clock: Clock,
    /// Wakes the dispatcher thread.
    alarm: Alarm,
    asker: Asker,
    /// Itself, for threads that must not keep it.
    itself: Weak<Self>,
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
    effects: Vec<Effect<Payload>>,
    /// The job that a waiting thread got to run.
    pub(super) inline: Option<Payload>,
    refused: Option<Refusal>,
    /// `None` mostly: nothing is put off.
    after: Option<Box<After>>,
    /// A bit per kind whose backend has new runs.
    pub(super) kicks: u8,
    /// Whether an event came in since sleepers were last looked at.
    changed: bool,
    /// When the alarm is set to ring.
    alarm_at: Option<Nanos>,
}

/// What is put off until the core's lock is free.
#[derive(Default)]
struct After {
    wakes: Vec<Waiter>,
    aborts: Vec<(Payload, KindId)>,
    garbage: Vec<Box<dyn Send>>,
    forgotten: Vec<Payload>,
    /// Finished jobs without handles.
    unheld: Vec<Payload>,
    questions: Vec<(Key, Question)>,
    /// Of jobs that have ended.
    customs: Vec<Custom>,
    /// Jobs that conditions named.
    named: Vec<Arc<dyn Watched>>,
}

impl Desk {
    fn after(&mut self) -> &mut After {
        self.after.get_or_insert_default()
    }
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
            ended: SegQueue::new(),
            submitted: SegQueue::new(),
            backends: backends(itself.clone()),
            clock,
            alarm,
            asker: Asker::default(),
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

    /// Takes no more submissions.
    pub(super) fn close(&self) {
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

    /// Handles one event and carries out its effects, as far as the lock allows.
    pub(super) fn handle(&self, desk: &mut Desk, event: Event<Payload>, at: Nanos) {
        desk.changed = true;
        let mut effects = std::mem::take(&mut desk.effects);
        desk.core.handle(event, self.clock.time(at), &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(desk, effect, at);
        }
        while let Some(job) = desk.core.forget_oldest() {
            desk.after().forgotten.push(job);
        }
        desk.effects = effects;
    }

    fn carry_out(&self, desk: &mut Desk, effect: Effect<Payload>, at: Nanos) {
        match effect {
            Effect::Refuse(job, why) => {
                desk.refused = Some(why);
                desk.after().forgotten.push(job);
            }
            Effect::Start(job, kind) => {
                let run = job.head().run();
                self.backends[kind as usize].push(Run { job, run });
                desk.kicks |= 1 << kind as u8;
            }
            Effect::Inline(job) => desk.inline = Some(job),
            Effect::Abort(job, kind) => desk.after().aborts.push((job, kind)),
            Effect::Ask { key, question } => desk.after().questions.push((key, question)),
            Effect::LetGo(customs) => desk.after().customs.extend(customs),
            Effect::Publish { key, verdict } => {
                let Some(job) = desk.core.get(key) else { return };
                let (status, error) = match verdict {
                    Verdict::Done => (Status::Done, None),
                    Verdict::Failed => (Status::Failed, None),
                    Verdict::Cancelled(reason) => {
                        (Status::Cancelled, Some(JobError::cancelled(reason)))
                    }
                    Verdict::ConditionPanicked(panic) => {
                        (Status::Failed, Some(JobError::condition_panicked(panic)))
                    }
                };
                if let Some(error) = error
                    && let Some(value) = job.swap_error(error)
                {
                    desk.after.get_or_insert_default().garbage.push(value);
                }
                let waiters = job.head().finish(status, at);
                if job.head().is_unheld() {
                    let job = Arc::clone(job);
                    desk.after.get_or_insert_default().unheld.push(job);
                }
                if !waiters.is_empty() {
                    desk.after.get_or_insert_default().wakes.extend(waiters);
                }
            }
        }
    }

    /// Takes in the news; true if a turn's worth was not all, and the rest is left for later.
    fn take_in(&self, desk: &mut Desk) -> bool {
        if !self.desk.hear() {
            return false;
        }
        let mut left = TURN;
        while let Some((key, ok, at)) = self.ended.pop() {
            self.handle(desk, Event::Finished { key, ok }, at);
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

    /// Sets the alarm to the next deadline: at once if that is earlier than before; if it is later,
    /// not before nothing else is going on, for it can change with each job that ends.
    fn set_alarm(&self, desk: &mut Desk) {
        let next = desk.core.next_deadline();
        if next == desk.alarm_at || !self.clock.runs() {
            return;
        }
        let earlier = next.is_some_and(|next| desk.alarm_at.is_none_or(|at| next < at));
        if earlier || desk.core.is_quiet() {
            desk.alarm_at = next;
            self.alarm.set(next);
        }
    }

    fn kick(&self, kicks: u8) {
        if kicks == 0 {
            return;
        }
        for kind in KindId::ALL {
            if kicks & (1 << kind as u8) != 0 {
                self.backends[kind as usize].kick();
            }
        }
    }

    fn do_after(&self, after: After) {
        for waiter in after.wakes {
            waiter.wake();
        }
        for (job, kind) in after.aborts {
            let run = job.head().run();
            self.backends[kind as usize].abort(&Run { job, run });
        }
        for (key, question) in after.questions {
            if let Err(error) = self.asker.ask(self.engine, &self.itself, key, question) {
                let number = 0;
                self.tell(Event::Answer { key, number, answer: Err(not_asked(&error)) });
            }
        }
        // One by one, for each may panic.
        after.garbage.into_iter().for_each(drop_quietly);
        after.customs.into_iter().for_each(drop_quietly);
        after.named.into_iter().for_each(drop_quietly);
        for job in after.unheld {
            job.release_body();
        }
        for job in after.forgotten {
            drop_quietly(job);
        }
    }

    /// Ends the backends and the dispatcher thread; no job is unfinished any more.
    pub(super) fn stop(&self) {
        self.engine.unregister();
        for backend in &self.backends {
            backend.shutdown();
        }
        self.asker.stop();
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

impl Reports for Dispatcher {
    fn post_finished(&self, key: Key, ok: bool) {
        self.ended.push((key, ok, clock::now()));
    }

    fn finished(&self, key: Key, ok: bool, at: Nanos) {
        if let Some(mut desk) = self.desk.try_take() {
            self.handle(&mut desk, Event::Finished { key, ok }, at);
            self.settle(desk);
        } else {
            self.ended.push((key, ok, at));
            self.drive();
        }
    }

    fn drive(&self) {
        if let Some(desk) = self.desk.announce() {
            self.settle(desk);
        }
    }

    fn enter_service(&self) {
        enter_service(self.engine);
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
