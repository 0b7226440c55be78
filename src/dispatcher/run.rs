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

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use super::message::{Effect, Event, Key, Nanos, Refusal, Submission};
use super::observers::Observers;
use super::reports::News;
use super::sleepers::Sleepers;
use crate::backend::{Backend, Reports, enter_service};
use crate::clock::{self, Clock, Moment};
use crate::condition::Question;
use crate::error::CancelReason;
use crate::event::JobEvent;
use crate::files;
use crate::id::JobId;
use crate::job::{AnyJob, EngineId, KindId, Meta, drop_quietly};

/// What the core carries for each job.
pub(crate) type Payload = Arc<dyn AnyJob>;

/// News that one thread carries to the core in one go, before it hands over.
const TURN: usize = 1024;

/// Submissions that go before the next look at news.
const SUBMISSIONS: usize = 32;

/// Where the kinds' jobs run.
pub(crate) type Backends = [Box<dyn Backend>; KindId::COUNT];

/// The core, and all that drives it.
pub(crate) struct Dispatcher {
    pub(super) engine: EngineId,
    pub(super) desk: Baton<Desk>,
    /// What backends tell.
    pub(super) news: SegQueue<(News, Nanos)>,
    /// Submissions that need no answer, brought while the core was busy.
    pub(super) submitted: SegQueue<(Submission<Payload>, Nanos)>,
    /// No job from this key on was named by another one before it was submitted.
    pub(super) unnamed: AtomicU64,
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
    /// Somebody inside has asked for the engine's end.
    pub(super) end_asked: AtomicBool,
    /// Somebody joins the engine's threads.
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
            unnamed: AtomicU64::new(0),
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
            end_asked: AtomicBool::new(false),
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
            // Users' wakers and drops may be called here.
            files::come_home();
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
        loop {
            // What has ended makes others ready, so it comes first.
            while let Some((news, at)) = self.news.pop() {
                self.take_in_one(desk, news, at);
                left -= 1;
                if left == 0 {
                    self.desk.leave_news();
                    return true;
                }
            }
            for _ in 0..SUBMISSIONS {
                let Some((submission, then)) = self.submitted.pop() else { return false };
                self.handle_submission(desk, submission, then);
                left -= 1;
                if left == 0 {
                    self.desk.leave_news();
                    return true;
                }
            }
        }
    }

    fn take_in_one(&self, desk: &mut Desk, news: News, at: Nanos) {
        let event = match news {
            News::Started(key) => {
                if let Some(job) = desk.core.get(key) {
                    let (id, attempt) = (job.head().id(), job.head().attempt());
                    self.observers.tell(|| JobEvent::Started { id, attempt });
                }
                Event::Started { key }
            }
            News::Recalled(jobs) => {
                let known = jobs.iter().filter_map(|&(key, _)| desk.core.get(key));
                known.for_each(|job| job.head().again(false));
                Event::Recalled(jobs)
            }
            News::Ended(key, ended) => Event::Finished { key, ended },
            News::Lent(key, lent) => Event::Lent { key, lent },
            News::Progress(key, progress) => {
                let id = JobId::from_count(key);
                return self.observers.tell(|| JobEvent::Progress { id, progress: *progress });
            }
        };
        self.handle(desk, event, at);
    }

    /// Takes in all the news that there is by now: for those whose question is about jobs that may
    /// be among it. What comes meanwhile is for a later turn, or this one might never end.
    pub(super) fn take_in_all(&self, desk: &mut Desk) {
        if !self.desk.hear() {
            return;
        }
        let (news, submissions) = (self.news.len(), self.submitted.len());
        for (news, at) in (0..news).map_while(|_| self.news.pop()) {
            self.take_in_one(desk, news, at);
        }
        for (submission, then) in (0..submissions).map_while(|_| self.submitted.pop()) {
            self.handle_submission(desk, submission, then);
        }
        if !(self.news.is_empty() && self.submitted.is_empty()) {
            self.desk.leave_news();
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
            self.desk.pass(desk);
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
