//! The thread that asks custom conditions: foreign code, which may take its time or panic, and
//! must hold up neither the dispatcher nor jobs.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::message::{Event, Key};
use super::run::Dispatcher;
use crate::backend::enter_service;
use crate::condition::{JobsView, Question, Viewed};
use crate::error::PanicInfo;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::job::{EngineId, catch_panic, drop_quietly};
use crate::status::Status;

/// Asks custom conditions, one after the other. Its thread starts with the first question.
#[derive(Default)]
pub(super) struct Asker {
    thread: Mutex<Asking>,
}

#[derive(Default)]
enum Asking {
    #[default]
    Nothing,
    Questions(Sender<(Key, Question)>, JoinHandle<()>),
    Ended,
}

impl Asker {
    /// Has a custom condition of that job asked. Called with no lock held.
    ///
    /// # Errors
    /// The system refuses the thread; the engine has ended. The question is not answered then.
    pub(super) fn ask(
        &self,
        engine: EngineId,
        dispatcher: &Weak<Dispatcher>,
        key: Key,
        question: Question,
    ) -> std::io::Result<()> {
        let mut thread = self.thread.lock();
        if matches!(*thread, Asking::Nothing) {
            let (sender, receiver) = unbounded();
            let dispatcher = Weak::clone(dispatcher);
            let handle = std::thread::Builder::new()
                .name("executor-conditions".into())
                .spawn(move || answer_all(engine, &dispatcher, &receiver))?;
            *thread = Asking::Questions(sender, handle);
        }
        // Who counts the questions must not count on an answer that never comes. (The receiver is
        // there until the sender is gone, unless the engine is.)
        let sent = match &*thread {
            Asking::Questions(sender, _) => sender.send((key, question)).is_ok(),
            Asking::Nothing | Asking::Ended => false,
        };
        if sent { Ok(()) } else { Err(std::io::Error::other("the engine has ended")) }
    }

    /// Ends the thread, once it has its present answer.
    pub(super) fn stop(&self) {
        let Asking::Questions(sender, handle) =
            std::mem::replace(&mut *self.thread.lock(), Asking::Ended)
        else {
            return;
        };
        drop(sender);
        if handle.thread().id() != std::thread::current().id() && handle.join().is_err() {
            log::error!(target: "executor_engine::dispatcher", "the conditions' thread panicked");
        }
    }
}

fn answer_all(
    engine: EngineId,
    dispatcher: &Weak<Dispatcher>,
    questions: &Receiver<(Key, Question)>,
) {
    enter_service(engine);
    for (key, question) in questions {
        let Some(dispatcher) = dispatcher.upgrade() else { return };
        let Question { number, custom } = question;
        let view = JobsView::new(JobId::from_count(key), &*dispatcher);
        let answer = catch_panic(|| custom.holds(&view));
        drop_quietly(custom);
        dispatcher.tell(Event::Answer { key, number, answer });
    }
}

/// The answer where a condition could not be asked.
pub(super) fn not_asked(error: &std::io::Error) -> PanicInfo {
    PanicInfo { message: format!("its condition could not be asked: {error}"), location: None }
}

impl Viewed for Dispatcher {
    fn get(&self, id: JobId) -> Option<JobInfo> {
        let key = id.count_here()?;
        self.ask(|core| core.get(key).cloned()).map(|job| JobInfo::of(&*job))
    }

    fn all(&self) -> Vec<JobInfo> {
        let jobs: Vec<_> = self.ask(|core| core.iter().map(Arc::clone).collect());
        jobs.iter().map(|job| JobInfo::of(&**job)).collect()
    }

    fn count(&self, status: Status) -> usize {
        self.ask(|core| core.iter().filter(|job| job.head().status() == status).count())
    }
}
