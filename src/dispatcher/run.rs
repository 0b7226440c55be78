//! Running the core: the inbox, whose turn it is, and carrying out effects.
//!
//! Events reach the core in two ways. A caller that needs an answer (a submission can be
//! refused) locks the core. News from backends goes into a lock-free inbox; then the bringer
//! tries for the lock, and if another thread has it, leaves: whoever holds the lock looks into
//! the inbox before and after letting go ([`Turn`](super::turn::Turn)). So the core is driven by whichever thread has news
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
use parking_lot::{Condvar, Mutex};

use super::alarm::Alarm;
use super::asker;
use super::carry::{After, End, call_back};
use super::core::Core;
use super::demands::{Demands, Impossible, Names};
use super::errands::Errands;
use super::key::{Key, Nanos};
use super::message::{Effect, Event, Refusal, Submission};
use super::observers::Observers;
use super::reports::News;
use super::sleepers::Sleepers;
use super::turn::Turns;
use crate::backend::{Backend, Reports, enter_service};
use crate::clock::{self, Clock, Moment};
use crate::condition::Question;
use crate::error::CancelReason;
use crate::files;
use crate::job::{AnyJob, EngineId, KindId, Meta, drop_quietly};
use crate::record::record;

/// What the core carries for each job.
pub(crate) type Payload = Arc<dyn AnyJob>;

/// Where the kinds' jobs run.
pub(crate) type Backends = [Box<dyn Backend>; KindId::COUNT];

/// The core, and all that drives it.
pub(crate) struct Dispatcher {
    pub(super) engine: EngineId,
    pub(super) desk: Turns,
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
            desk: Turns::new(Desk {
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
            let mut desk = self.turn();
            let now = clock::now();
            // What has rung is not set any more.
            desk.alarm_at = desk.alarm_at.filter(|&at| at > now);
            self.handle(&mut desk, Event::Tick, now);
            drop(desk);
            while self.desk.more() {
                drop(self.turn());
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

    /// Starts no more jobs of these kinds, or again. An engine that ends is not paused any more.
    pub(crate) fn pause(&self, kinds: &[KindId], paused: bool) {
        let mut desk = self.turn();
        // Within the turn: what comes before the end is undone by that, what comes after does nothing.
        if paused && self.is_closed() {
            return;
        }
        for &kind in kinds {
            self.handle(&mut desk, Event::Pause { kind, paused }, clock::now());
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
        // The event may be about a job whose submission is among the news.
        let mut desk = self.turn();
        self.handle(&mut desk, event, clock::now());
    }

    /// Asks the core something, with all news taken in.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&mut Core<Payload>) -> R) -> R {
        question(&mut self.turn().core)
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
            record!(Error, "executor_engine::dispatcher", "the dispatcher thread panicked");
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // A panic in the drop of one job's values must not reach whoever drops the engine, and a
        // second one would abort the process.
        let jobs = self.desk.last(|desk| desk.core.remove_all());
        jobs.into_iter().for_each(drop_quietly);
    }
}
