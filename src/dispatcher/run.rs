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

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::queue::SegQueue;
use crossbeam::sync::{Parker, Unparker};
use parking_lot::{Mutex, MutexGuard};

use super::core::Core;
use super::message::{Effect, Event, Key, Nanos, Refusal, Submission, Verdict};
use super::wait::Sleepers;
use crate::backend::{Backend, EngineId, Reports, Run};
use crate::clock;
use crate::job::{AnyJob, JobError, KindId, Link, Status, Waiter, drop_quietly};

/// What the core carries for each job.
pub(crate) type Payload = Arc<dyn AnyJob>;

/// News that one thread carries to the core in one go, before it hands over.
const TURN: usize = 1024;

/// Where the kinds' jobs run.
pub(crate) type Backends = [Box<dyn Backend>; KindId::COUNT];

/// The core, and all that drives it.
pub(crate) struct Dispatcher {
    pub(super) engine: EngineId,
    pub(super) desk: Mutex<Desk>,
    inbox: SegQueue<Event<Payload>>,
    pub(super) backends: Backends,
    /// Wakes the dispatcher thread.
    unparker: Unparker,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    itself: Weak<Self>,
}

/// What the core's lock protects.
pub(crate) struct Desk {
    pub(super) core: Core<Payload>,
    pub(super) sleepers: Sleepers,
    effects: Vec<Effect<Payload>>,
    /// The job that a waiting thread got to run.
    pub(super) inline: Option<Payload>,
    refused: Option<Refusal>,
    after: After,
    /// Whether an event came in since sleepers were last looked at.
    changed: bool,
}

/// What is put off until the core's lock is free.
#[derive(Default)]
struct After {
    wakes: Vec<Waiter>,
    aborts: Vec<(Payload, KindId)>,
    garbage: Vec<Box<dyn Send>>,
    forgotten: Vec<Payload>,
    /// A bit per kind whose backend has new runs.
    kicks: u8,
}

impl Dispatcher {
    /// A dispatcher and its thread.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn start(
        engine: EngineId,
        core: Core<Payload>,
        backends: impl FnOnce(Weak<dyn Reports>) -> Backends,
    ) -> std::io::Result<Arc<Self>> {
        let parker = Parker::new();
        let dispatcher = Arc::new_cyclic(|itself: &Weak<Self>| Self {
            engine,
            desk: Mutex::new(Desk {
                core,
                sleepers: Sleepers::default(),
                effects: Vec::new(),
                inline: None,
                refused: None,
                after: After::default(),
                changed: false,
            }),
            inbox: SegQueue::new(),
            backends: backends(itself.clone()),
            unparker: parker.unparker().clone(),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            itself: itself.clone(),
        });
        let runner = Arc::downgrade(&dispatcher);
        let thread =
            std::thread::Builder::new().name("executor-dispatcher".into()).spawn(move || {
                loop {
                    parker.park();
                    let Some(dispatcher) = runner.upgrade() else { return };
                    while !dispatcher.inbox.is_empty() {
                        dispatcher.settle(dispatcher.desk.lock());
                    }
                    if dispatcher.stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })?;
        *dispatcher.thread.lock() = Some(thread);
        Ok(dispatcher)
    }

    /// This dispatcher, as jobs' handles hold it.
    pub(crate) fn as_link(&self) -> Weak<dyn Link> {
        self.itself.clone()
    }

    /// Submits jobs, in order, under one lock.
    ///
    /// # Errors
    /// Why the first refused one was refused, and how many went before it.
    pub(crate) fn submit(
        &self,
        now: Nanos,
        submissions: impl IntoIterator<Item = Submission<Payload>>,
    ) -> Result<(), (usize, Refusal)> {
        let mut desk = self.desk.lock();
        let mut answer = Ok(());
        for (count, submission) in submissions.into_iter().enumerate() {
            self.handle(&mut desk, Event::Submit(submission), now);
            if let Some(refusal) = desk.refused.take() {
                answer = Err((count, refusal));
                break;
            }
        }
        self.settle(desk);
        answer
    }

    /// Brings one event to the core at once.
    pub(crate) fn tell(&self, event: Event<Payload>) {
        let mut desk = self.desk.lock();
        self.handle(&mut desk, event, clock::now());
        self.settle(desk);
    }

    /// Asks the core something, with all news taken in.
    pub(crate) fn ask<R>(&self, question: impl FnOnce(&mut Core<Payload>) -> R) -> R {
        let mut desk = self.desk.lock();
        self.take_in(&mut desk);
        let answer = question(&mut desk.core);
        self.settle(desk);
        answer
    }

    /// Handles one event and carries out its effects, as far as the lock allows.
    pub(super) fn handle(&self, desk: &mut Desk, event: Event<Payload>, now: Nanos) {
        desk.changed = true;
        let mut effects = std::mem::take(&mut desk.effects);
        desk.core.handle(event, now, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(desk, effect);
        }
        desk.effects = effects;
    }

    fn carry_out(&self, desk: &mut Desk, effect: Effect<Payload>) {
        match effect {
            Effect::Refuse(job, why) => {
                desk.refused = Some(why);
                desk.after.forgotten.push(job);
            }
            Effect::Start(job, kind) => {
                let run = job.head().run();
                self.backends[kind as usize].push(Run { job, run });
                desk.after.kicks |= 1 << kind as u8;
            }
            Effect::Inline(job) => desk.inline = Some(job),
            Effect::Abort(job, kind) => desk.after.aborts.push((job, kind)),
            Effect::Publish { payload: job, verdict, at } => {
                let status = match verdict {
                    Verdict::Done => Status::Done,
                    Verdict::Failed => Status::Failed,
                    Verdict::Cancelled(reason) => {
                        desk.after.garbage.extend(job.swap_error(JobError::cancelled(reason)));
                        Status::Cancelled
                    }
                };
                if let Some(waiters) = job.head().finish(status, at) {
                    desk.after.wakes.extend(*waiters);
                }
            }
            Effect::Forget(job) => desk.after.forgotten.push(job),
        }
    }

    /// Takes in the inbox; true if some is left for later.
    pub(super) fn take_in(&self, desk: &mut Desk) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        let now = clock::now();
        for _ in 0..TURN {
            match self.inbox.pop() {
                Some(event) => self.handle(desk, event, now),
                None => return false,
            }
        }
        !self.inbox.is_empty()
    }

    /// Ends a turn: takes in the inbox, wakes whom it concerns, lets go of the lock, does what
    /// was put off, and looks whether news came in meanwhile.
    pub(super) fn settle<'a>(&'a self, mut desk: MutexGuard<'a, Desk>) {
        loop {
            let more = self.take_in(&mut desk);
            if std::mem::take(&mut desk.changed) {
                self.wake_sleepers(&mut desk);
            }
            let after = std::mem::take(&mut desk.after);
            drop(desk);
            // Pairs with the fence in `drive`: either we see the bringer's news here, or it
            // finds the lock free there.
            fence(Ordering::SeqCst);
            self.do_after(after);
            if more {
                self.unparker.unpark();
                return;
            }
            if self.inbox.is_empty() {
                return;
            }
            match self.desk.try_lock() {
                Some(again) => desk = again,
                None => return,
            }
        }
    }

    fn do_after(&self, after: After) {
        for kind in KindId::ALL {
            if after.kicks & (1 << kind as u8) != 0 {
                self.backends[kind as usize].kick();
            }
        }
        for waiter in after.wakes {
            waiter.wake();
        }
        for (job, kind) in after.aborts {
            let run = job.head().run();
            self.backends[kind as usize].abort(&Run { job, run });
        }
        for value in after.garbage {
            drop_quietly(value);
        }
        for job in after.forgotten {
            drop_quietly(job);
        }
    }

    /// Ends the backends and the dispatcher thread; no job is unfinished any more.
    pub(super) fn stop(&self) {
        for backend in &self.backends {
            backend.shutdown();
        }
        self.stop.store(true, Ordering::SeqCst);
        self.unparker.unpark();
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
        self.inbox.push(Event::Finished { key, ok });
    }

    fn drive(&self) {
        // Pairs with the fence in `settle`.
        fence(Ordering::SeqCst);
        if let Some(desk) = self.desk.try_lock() {
            self.settle(desk);
        }
    }
}
