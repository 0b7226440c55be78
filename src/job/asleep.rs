//! Threads that sleep inside jobs until those are to stop.

use std::collections::BTreeMap;
use std::thread::Thread;

use parking_lot::Mutex;

/// Threads that sleep in a job, by the job's key.
static ASLEEP: Mutex<BTreeMap<u64, Vec<Thread>>> = Mutex::new(BTreeMap::new());

/// While it lives, this thread is woken when the job is told to stop, or is tried again.
pub(super) struct Asleep {
    job: u64,
    me: Thread,
}

impl Asleep {
    pub(super) fn in_job(job: u64) -> Self {
        let me = std::thread::current();
        ASLEEP.lock().entry(job).or_default().push(me.clone());
        Self { job, me }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        let mut asleep = ASLEEP.lock();
        if let Some(threads) = asleep.get_mut(&self.job) {
            if let Some(at) = threads.iter().position(|thread| thread.id() == self.me.id()) {
                threads.swap_remove(at);
            }
            if threads.is_empty() {
                asleep.remove(&self.job);
            }
        }
    }
}

/// Wakes those who sleep in that job. No lock is taken while it holds its own.
pub(crate) fn wake_sleepers_of(job: u64) {
    if let Some(threads) = ASLEEP.lock().get(&job) {
        threads.iter().for_each(Thread::unpark);
    }
}
