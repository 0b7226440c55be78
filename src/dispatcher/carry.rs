//! Carrying out the core's effects: at once what is short, after the lock is let go what is not.

use std::sync::Arc;

use super::asker::not_asked;
use super::errands::Unsent;
use super::key::{Key, Nanos};
use super::message::{Effect, Event, Verdict};
use super::run::{Desk, Dispatcher, Payload};
use log::Level;

use crate::backend::Run;
use crate::condition::{Custom, Question, Watched};
use crate::error::JobError;
use crate::event::JobEvent;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::job::{
    AnyJob, Call, KindId, Status, Waiter, drop_quietly, drop_quietly_of, wake_sleepers_of,
};
use crate::record::{is_wanted, record};

/// What is put off until the core's lock is free.
#[derive(Default)]
pub(super) struct After {
    /// With the job whose end they wait for.
    pub(super) wakes: Vec<(JobId, Waiter)>,
    pub(super) aborts: Vec<(Run, KindId)>,
    /// Errors that others have taken the place of.
    pub(super) errors: Vec<(JobId, JobError)>,
    /// Jobs whose result, if there is one, counts no more.
    pub(super) resultless: Vec<Payload>,
    pub(super) forgotten: Vec<Payload>,
    /// Finished jobs without handles.
    pub(super) unheld: Vec<Payload>,
    pub(super) questions: Vec<(Key, Question)>,
    /// Finished jobs that the log is to tell of.
    pub(super) told: Vec<(Payload, Status)>,
    /// Attempts that failed and are not the last, for the log.
    pub(super) retried: Vec<(Payload, u32, Option<JobError>)>,
    /// Ends whose callbacks cannot be called, and why.
    pub(super) uncalled: Vec<Unsent<End>>,
    /// Why the last timer was refused.
    pub(super) refused: Option<nix::Error>,
    /// Of jobs that have ended.
    pub(super) customs: Vec<(JobId, Custom)>,
    /// Jobs that conditions named.
    pub(super) named: Vec<Arc<dyn Watched>>,
}

/// The end of a job with callbacks.
pub(super) struct End {
    job: Payload,
    info: JobInfo,
    /// The calls that want its result.
    ready: Vec<Call>,
}

/// Calls a finished job's callbacks.
pub(super) fn call_back(_: &Arc<Dispatcher>, end: End) {
    let End { job, info, ready } = end;
    if let Some(meta) = job.head().meta() {
        meta.callbacks.call(&info, ready);
    }
    drop_quietly(job);
}

impl Desk {
    pub(super) fn after(&mut self) -> &mut After {
        self.after.get_or_insert_default()
    }
}

impl Dispatcher {
    /// Handles one event and carries out its effects, as far as the lock allows.
    pub(super) fn handle(&self, desk: &mut Desk, event: Event<Payload>, at: Nanos) {
        desk.changed = true;
        let mut effects = std::mem::take(&mut desk.effects);
        let submitted = match &event {
            Event::Submit(submission) if self.observers.any() => Some(submission.key),
            _ => None,
        };
        desk.core.handle(event, self.clock.time(at), &mut effects);
        if let Some(key) = submitted.filter(|&key| desk.core.get(key).is_some()) {
            self.observers.tell(|| JobEvent::Submitted { id: JobId::from_count(key) });
        }
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
            Effect::Start { payload: job, kind, ready } => {
                let run = job.head().run();
                self.backends[kind as usize].push(Run { job, run, ready });
                desk.kicks |= 1 << kind as u8;
            }
            Effect::Grant { payload, granted } => {
                let names = &self.names.resources;
                let named = granted
                    .into_iter()
                    .map(|(id, _, units)| (names[usize::from(id)].0.clone(), units));
                payload.head().set_granted(named.collect());
            }
            Effect::TakeBack(kind) => {
                let runs = self.backends[kind as usize].take_back();
                if self.recall(runs, at, |job| desk.after().forgotten.push(job)) {
                    self.desk.leave_news();
                }
            }
            Effect::Inline(job) => desk.inline = Some(job),
            Effect::Abort(job, kind, stop) => {
                job.head().set_stop(stop);
                let run = job.head().run();
                desk.after().aborts.push((Run { job, run, ready: at }, kind));
            }
            Effect::Again { payload, anew } => {
                let head = payload.head();
                self.observers.tell(|| match anew {
                    true => JobEvent::Rerun { id: head.id() },
                    false => {
                        let error = payload.error().map(|error| error.to_string());
                        let (id, attempt) = (head.id(), head.attempt());
                        JobEvent::Retrying { id, attempt, error: error.unwrap_or_default() }
                    }
                });
                if !anew && is_wanted(Level::Debug) {
                    let (attempt, error) = (head.attempt(), payload.error());
                    let retried = (Arc::clone(&payload), attempt, error);
                    desk.after.get_or_insert_default().retried.push(retried);
                }
                if let Some(stream) = head.stream().filter(|_| anew) {
                    stream.reopen(&*payload);
                }
                head.again(anew);
            }
            Effect::Ask { key, question } => desk.after().questions.push((key, question)),
            Effect::LetGo { key, customs } => {
                let id = JobId::from_count(key);
                desk.after().customs.extend(customs.into_iter().map(|custom| (id, custom)));
            }
            Effect::Publish { key, verdict } => {
                let Some(job) = desk.core.get(key) else { return };
                let (status, error) = match verdict {
                    Verdict::Done => (Status::Done, None),
                    Verdict::Failed => (Status::Failed, None),
                    Verdict::Cancelled(reason) => {
                        (Status::Cancelled, Some(JobError::cancelled(reason)))
                    }
                    Verdict::TimedOut(limit) => {
                        let limit = std::time::Duration::from_nanos(limit);
                        (Status::Failed, Some(JobError::timed_out(limit)))
                    }
                    Verdict::ConditionPanicked(panic) => {
                        (Status::Failed, Some(JobError::condition_panicked(*panic)))
                    }
                };
                if let Some(error) = error {
                    if let Some(old) = job.set_error(error) {
                        let old = (job.head().id(), old);
                        desk.after.get_or_insert_default().errors.push(old);
                    }
                    // It was started ever, in this run or one before.
                    if job.head().attempt() > 0 || job.head().run() > 0 {
                        let job = Arc::clone(job);
                        desk.after.get_or_insert_default().resultless.push(job);
                    }
                }
                let waiters = job.head().finish(status, at);
                self.observers.tell(|| JobEvent::Finished { id: job.head().id(), status });
                let level = if status == Status::Failed { Level::Warn } else { Level::Debug };
                if is_wanted(level) {
                    let job = Arc::clone(job);
                    desk.after.get_or_insert_default().told.push((job, status));
                }
                // As they are now: it may run again before the callbacks are called.
                let callbacks = job.head().meta().map(|meta| &meta.callbacks);
                if let Some(callbacks) = callbacks.filter(|callbacks| !callbacks.is_empty()) {
                    let ready = callbacks.take_ready();
                    let (info, copy) = (JobInfo::of(&**job), Arc::clone(job));
                    let end = End { info, job: copy, ready };
                    // At once: whoever hears of this end may end the engine, and its callbacks
                    // come first.
                    if let Err(unsent) = self.callbacks.send(self.engine, &self.itself, end) {
                        desk.after.get_or_insert_default().uncalled.push(*unsent);
                    }
                }
                if job.head().is_unheld() {
                    let job = Arc::clone(job);
                    desk.after.get_or_insert_default().unheld.push(job);
                }
                if !waiters.is_empty() {
                    let id = job.head().id();
                    let waiters = waiters.into_iter().map(|waiter| (id, waiter));
                    desk.after.get_or_insert_default().wakes.extend(waiters);
                }
            }
        }
    }

    /// Sets the alarm to the next deadline: at once if that is earlier than before; if it is later,
    /// not before nothing else is going on, for it can change with each job that ends.
    pub(super) fn set_alarm(&self, desk: &mut Desk) {
        let next = desk.core.next_deadline();
        if next == desk.alarm_at || !self.clock.runs() {
            return;
        }
        let earlier = next.is_some_and(|next| desk.alarm_at.is_none_or(|at| next < at));
        if earlier || desk.core.is_quiet() {
            desk.alarm_at = next;
            if let Err(error) = self.alarm.set(next) {
                desk.after().refused = Some(error);
            }
        }
    }

    pub(super) fn kick(&self, kicks: u8) {
        if kicks == 0 {
            return;
        }
        for kind in KindId::ALL {
            if kicks & (1 << kind as u8) != 0 {
                self.backends[kind as usize].kick();
            }
        }
    }

    pub(super) fn do_after(&self, after: After) {
        for (job, waiter) in after.wakes {
            waiter.wake(job);
        }
        for (run, kind) in after.aborts {
            wake_sleepers_of(run.job.head().key());
            if let Some(stream) = run.job.head().stream() {
                stream.wake_producers();
            }
            self.backends[kind as usize].abort(&run);
        }
        for (key, question) in after.questions {
            let number = question.number;
            let errand = (key, question);
            if let Err(unsent) = self.questions.send(self.engine, &self.itself, errand) {
                let Unsent { errand, error } = *unsent;
                self.tell(Event::Answer { key, number, answer: Err(not_asked(&error)) });
                drop_quietly_of(&format_args!("job {}", JobId::from_count(key)), errand);
            }
        }
        // What others wait for is done by now.
        for (job, attempt, error) in after.retried {
            log_retry(&*job, attempt, error.as_ref());
            drop_quietly((job, error));
        }
        for (job, status) in after.told {
            log_end(&*job, status);
        }
        for Unsent { errand, error } in after.uncalled {
            let End { job, ready, .. } = errand;
            let label = job.head().label();
            record!(
                Error,
                "executor_engine::job",
                "callbacks of {label} are not called, for lack of a thread: {error}"
            );
            drop_quietly_of(&label, ready);
            drop_quietly(job);
        }
        if let Some(error) = after.refused {
            record!(Error, "executor_engine::dispatcher", "a timer was refused: {error}");
        }
        // One by one, for each may panic.
        for (id, error) in after.errors {
            drop_quietly_of(&format_args!("job {id}"), error);
        }
        for job in after.resultless {
            job.discard_result();
            drop_quietly(job);
        }
        for (id, custom) in after.customs {
            drop_quietly_of(&format_args!("job {id}"), custom);
        }
        after.named.into_iter().for_each(drop_quietly);
        for job in after.unheld {
            job.release_body();
        }
        for job in after.forgotten {
            drop_quietly(job);
        }
    }
}

/// Says in the log that a job is tried again.
fn log_retry(job: &dyn AnyJob, attempt: u32, error: Option<&JobError>) {
    let label = job.head().label();
    let error = error.map(JobError::to_string).unwrap_or_default();
    record!(
        Debug,
        "executor_engine::job",
        "{label} failed at attempt {attempt} and is tried again: {error}"
    );
}

/// Says in the log how a job ended: what failed, where it is noticed; the rest, where it is sought.
fn log_end(job: &dyn AnyJob, status: Status) {
    let (label, attempts) = (job.head().label(), job.head().attempt());
    match (status, job.error()) {
        (Status::Failed, Some(error)) => record!(
            Warn,
            "executor_engine::job",
            "{label} failed after {attempts} attempts: {error}"
        ),
        (_, Some(error)) => record!(Debug, "executor_engine::job", "{label} is {status}: {error}"),
        (_, None) => {
            record!(Debug, "executor_engine::job", "{label} is {status}");
        }
    }
}
