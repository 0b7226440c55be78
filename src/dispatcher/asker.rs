//! Asking custom conditions, and what they see of the engine.

use std::sync::Arc;

use super::key::Key;
use super::message::Event;
use super::run::Dispatcher;
use crate::condition::{JobsView, Question, Viewed};
use crate::error::PanicInfo;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::job::{catch_panic, drop_quietly_of};
use crate::status::Status;

/// Asks a custom condition of that job, on the thread that is there for it.
pub(super) fn ask(dispatcher: &Arc<Dispatcher>, (key, question): (Key, Question)) {
    let Question { number, custom } = question;
    let id = JobId::from_count(key);
    let view = JobsView::new(id, &**dispatcher);
    let answer = catch_panic(|| custom.holds(&view));
    drop_quietly_of(&format_args!("job {id}"), custom);
    dispatcher.tell(Event::Answer { key, number, answer });
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
