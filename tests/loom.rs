//! Promise: no wake is lost and no news is left lying, in whatever order threads run.
//!
//! Loom runs the two small lock-free protocols of the engine, from their own source files, in
//! every interleaving that the C11 memory model allows.

#![allow(dead_code, unreachable_pub, reason = "the modules are taken as they are")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};

    /// Loom's mutex with the interface of parking_lot's.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

#[path = "../src/dispatcher/baton.rs"]
mod baton;
#[path = "../src/job/gate.rs"]
mod gate;
#[path = "../src/job/keep.rs"]
mod keep;
#[path = "../src/status.rs"]
mod status;

use baton::Baton;
use gate::Gate;
use keep::{Handles, Keep};
use loom::sync::Arc;
use loom::sync::Mutex as Queue;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use status::Status;

/// All interleavings with at most three preemptions: enough for every bug known to loom's
/// authors, and seconds rather than minutes.
fn model() -> loom::model::Builder {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model
}

/// Each waiter is refused since the job had ended, or is among those to be woken; never neither.
#[test]
fn a_waiter_is_woken_or_told() {
    model().check(|| {
        let gate = Arc::new(Gate::new());
        gate.advance(Status::Pending);
        let told = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|number| {
                let (gate, told) = (Arc::clone(&gate), Arc::clone(&told));
                thread::spawn(move || {
                    if gate.add(number, |a, b| a == b).is_err() {
                        assert_eq!(gate.status(), Status::Done);
                        told.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        gate.advance(Status::Running);
        assert_eq!(gate.status(), Status::Running);
        let woken = gate.finish(Status::Done).len();
        assert_eq!(gate.status(), Status::Done);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(woken + told.load(Ordering::SeqCst), 2, "a waiter would sleep for ever");
    });
}

/// What a bringer of news does, as the dispatcher does it.
fn bring(baton: &Baton<Vec<u8>>, queue: &Queue<Vec<u8>>, news: u8) {
    queue.lock().unwrap().push(news);
    let Some(mut desk) = baton.announce() else { return };
    loop {
        if baton.hear() {
            desk.append(&mut queue.lock().unwrap());
        }
        drop(desk);
        if !baton.more() {
            return;
        }
        match baton.try_take() {
            Some(again) => desk = again,
            None => return,
        }
    }
}

/// When all bringers are gone, all news is taken in.
#[test]
fn no_news_is_left_lying() {
    model().check(|| {
        let baton = Arc::new(Baton::new(Vec::new()));
        let queue = Arc::new(Queue::new(Vec::new()));
        let bringers: Vec<_> = (1..=2)
            .map(|news| {
                let (baton, queue) = (Arc::clone(&baton), Arc::clone(&queue));
                thread::spawn(move || bring(&baton, &queue, news))
            })
            .collect();
        bring(&baton, &queue, 0);
        for bringer in bringers {
            bringer.join().unwrap();
        }
        let mut desk = baton.take().clone();
        desk.sort_unstable();
        assert_eq!(desk, [0, 1, 2]);
    });
}

/// A job's end beside the drop of its last handles, and beside a look at its function: in the end
/// the function is gone, once, and nobody has seen it after that.
#[test]
fn what_nobody_wants_is_let_go_of() {
    model().check(|| {
        let job = Arc::new((Gate::<u8>::new(), Handles::new(), Keep::new(7)));
        let gone = Arc::new(AtomicUsize::new(0));
        job.0.advance(Status::Pending);
        job.1.add();
        let count = |gone: &AtomicUsize, thing: Option<i32>| {
            gone.fetch_add(usize::from(thing.is_some()), Ordering::SeqCst);
        };
        let dropper = {
            let (job, gone) = (Arc::clone(&job), Arc::clone(&gone));
            thread::spawn(move || {
                if job.1.remove() && job.0.status().is_finished() {
                    count(&gone, job.2.let_go());
                }
            })
        };
        let looker = {
            let (job, gone) = (Arc::clone(&job), Arc::clone(&gone));
            thread::spawn(move || {
                let (seen, unwanted) = job.2.with(|thing| thing.copied());
                assert!(seen.is_none_or(|thing| thing == 7));
                count(&gone, unwanted);
            })
        };
        job.0.finish(Status::Done);
        if job.1.is_none() {
            count(&gone, job.2.let_go());
        }
        dropper.join().unwrap();
        looker.join().unwrap();
        assert_eq!(gone.load(Ordering::SeqCst), 1, "kept for ever");
        assert_eq!(job.2.with(|thing| thing.copied()).0, None);
    });
}
