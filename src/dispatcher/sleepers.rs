//! The list of threads that wait.

use std::thread::Thread;

use crate::backend::Here;
use crate::job::KindId;

/// The threads that sleep until something concerns them.
#[derive(Default)]
pub(crate) struct Sleepers {
    /// Wait until nothing is left to do.
    pub(super) idle: Vec<Thread>,
    /// Wait until nothing runs and no condition is being asked.
    pub(super) quiet: Vec<Thread>,
    /// Wait for one job, on threads that are not the engine's.
    pub(super) outside: Vec<Thread>,
    /// Wait for one job inside another, on threads of the engine.
    pub(super) inside: Vec<Thread>,
    /// The latter, counted by the kind of jobs that the thread is there for.
    pub(super) inside_of: [usize; KindId::COUNT],
    /// Of the latter, those whose job is unknown: rayon runs parts of a job on other threads.
    pub(super) unknown: usize,
}

/// What a sleeping thread is in [`Sleepers`].
#[derive(Clone, Copy)]
pub(super) enum Place {
    Idle,
    Quiet,
    Outside,
    Inside(Here),
}

impl Sleepers {
    fn list(&mut self, place: Place) -> &mut Vec<Thread> {
        match place {
            Place::Idle => &mut self.idle,
            Place::Quiet => &mut self.quiet,
            Place::Outside => &mut self.outside,
            Place::Inside(_) => &mut self.inside,
        }
    }

    pub(super) fn enter(&mut self, place: Place, thread: Thread) {
        self.list(place).push(thread);
        if let Place::Inside(here) = place {
            self.inside_of[here.server as usize] += 1;
            self.unknown += usize::from(here.job.is_none());
        }
    }

    pub(super) fn leave(&mut self, place: Place, thread: &Thread) {
        let list = self.list(place);
        if let Some(at) = list.iter().position(|sleeper| sleeper.id() == thread.id()) {
            list.swap_remove(at);
            if let Place::Inside(here) = place {
                self.inside_of[here.server as usize] -= 1;
                self.unknown -= usize::from(here.job.is_none());
            }
        }
    }
}
