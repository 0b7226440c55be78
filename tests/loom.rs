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

    pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
        drop(guard);
    }

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
                    if gate.add(number, |&other| other == number).is_err() {
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

/// A handle, and which of its wakers it is.
type Wake = (u8, char);

fn of(handle: u8) -> impl Fn(&Wake) -> bool {
    move |waker| waker.0 == handle
}

/// A handle is polled with one waker and then with another, while the job ends: the last waker is
/// woken unless its poll was told of the end, and no waker is lost or left.
#[test]
fn the_last_waker_of_a_handle_is_woken_or_told() {
    model().check(|| {
        let gate = Arc::new(Gate::new());
        gate.advance(Status::Pending);
        let handle = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let first = gate.add((1, 'a'), of(1));
                (first, gate.add((1, 'b'), of(1)))
            })
        };
        let other = gate.add((2, 'a'), of(2));
        assert_eq!(other, Ok(None), "another handle's waker was taken for this one's");
        let mut woken = gate.finish(Status::Done);
        let polls = handle.join().unwrap();
        woken.sort_unstable();
        match polls {
            // A waker that was replaced is out, and is not woken.
            (Ok(None), Ok(Some((1, 'a')))) => assert_eq!(woken, [(1, 'b'), (2, 'a')]),
            (Ok(None), Err((1, 'b'))) => assert_eq!(woken, [(1, 'a'), (2, 'a')]),
            (Err((1, 'a')), Err((1, 'b'))) => assert_eq!(woken, [(2, 'a')]),
            polls => panic!("impossible: {polls:?}"),
        }
        assert!(!gate.has(|_| true), "a waker is left");
    });
}

/// A handle that has polled is dropped while the job ends: its waker is given back or woken, once,
/// and whoever else waits is woken.
#[test]
fn a_dropped_handle_leaves_no_waker_and_takes_no_others() {
    model().check(|| {
        let gate = Arc::new(Gate::new());
        gate.advance(Status::Pending);
        assert_eq!(gate.add((1, 'a'), of(1)), Ok(None));
        let dropped = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let replaced = gate.add((1, 'b'), of(1));
                (replaced, gate.remove(of(1)))
            })
        };
        let other = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.add((2, 'a'), of(2)))
        };
        let woken = gate.finish(Status::Done);
        let (replaced, removed) = dropped.join().unwrap();
        let told = other.join().unwrap().is_err();
        assert_eq!(woken.contains(&(2, 'a')), !told, "another handle would sleep for ever");
        // Each of the wakers comes out in one place.
        let mut seen: Vec<Wake> = woken.into_iter().filter(of(1)).chain(removed).collect();
        match replaced {
            Ok(replaced) => seen.extend(replaced),
            Err(refused) => seen.push(refused),
        }
        seen.sort_unstable();
        assert_eq!(seen, [(1, 'a'), (1, 'b')]);
        assert!(!gate.has(|_| true), "a waker is left");
    });
}

/// The job ends, runs again and ends while a handle is polled twice: the waker of a poll that was
/// not told of an end is woken at one.
#[test]
fn a_waker_is_woken_at_one_of_two_ends() {
    model().check(|| {
        let gate = Arc::new(Gate::new());
        gate.advance(Status::Pending);
        let handle = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let first = gate.add((1, 'a'), of(1));
                (first, gate.add((1, 'b'), of(1)))
            })
        };
        let mut woken = gate.finish(Status::Done);
        gate.advance(Status::Pending);
        woken.extend(gate.finish(Status::Failed));
        let (first, second) = handle.join().unwrap();
        let replaced = matches!(second, Ok(Some((1, 'a'))));
        assert_eq!(woken.contains(&(1, 'a')), first.is_ok() && !replaced);
        assert_eq!(woken.contains(&(1, 'b')), second.is_ok());
        assert!(!gate.has(|_| true), "a waker is left");
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

/// Who runs a finished job again by its id holds it meanwhile, or is refused: the last handle's
/// end never takes away what is to run, and in the end all is let go of.
#[test]
fn what_is_held_is_there_while_it_runs_again() {
    model().check(|| {
        let job = Arc::new((Gate::<u8>::new(), Handles::new(), Keep::new(7)));
        let gone = Arc::new(AtomicUsize::new(0));
        job.0.advance(Status::Pending);
        job.1.add();
        job.0.finish(Status::Done);
        let let_go = |job: &(Gate<u8>, Handles, Keep<i32>), gone: &AtomicUsize| {
            gone.fetch_add(usize::from(job.2.let_go().is_some()), Ordering::SeqCst);
        };
        let dropper = {
            let (job, gone) = (Arc::clone(&job), Arc::clone(&gone));
            thread::spawn(move || {
                if job.1.remove() && job.0.status().is_finished() {
                    let_go(&job, &gone);
                }
            })
        };
        if job.1.add_beside_others() {
            job.0.advance(Status::Pending);
            if job.1.remove() && job.0.status().is_finished() {
                let_go(&job, &gone);
            }
            let (seen, unwanted) = job.2.with(|thing| thing.copied());
            assert_eq!((seen, unwanted), (Some(7), None), "it has nothing to run");
            job.0.finish(Status::Done);
            if job.1.is_none() {
                let_go(&job, &gone);
            }
        }
        dropper.join().unwrap();
        assert_eq!(gone.load(Ordering::SeqCst), 1, "kept for ever");
    });
}
