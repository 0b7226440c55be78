//! Promise: a job runs in the directory that was named for it, and no other job, thread or process
//! notices; cache directories are their user's own.

mod common;
#[path = "common/role.rs"]
mod role;

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use common::within;
use executor_engine::prelude::*;

/// A directory of the test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("directories-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o755).create(&path).expect("a new directory");
        Self(path.canonicalize().expect("it is there"))
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir(&path).expect("a new directory");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn here() -> PathBuf {
    std::env::current_dir().expect("a directory")
}

#[task]
fn pwd() -> PathBuf {
    here()
}

#[task]
fn pid() -> u32 {
    std::process::id()
}

#[task]
fn inode() -> u64 {
    Path::new(".").metadata().expect("a directory").ino()
}

#[task]
fn removes(directory: PathBuf) {
    std::fs::remove_dir_all(directory).expect("removable");
}

#[task]
fn writes(name: String) -> std::io::Result<()> {
    std::fs::write(name, "111")
}

#[task]
fn panics_in(expected: PathBuf) {
    assert_ne!(here(), expected, "as it should be");
}

/// Makes it impossible for this process to go into that directory.
#[task]
fn shuts_itself_out(directory: PathBuf) -> u32 {
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o0)).expect("one's own");
    if nix::unistd::geteuid().is_root() {
        nix::unistd::seteuid(65_534.into()).expect("root may");
    }
    std::process::id()
}

#[task]
fn own_cache(ctx: JobContext) -> std::io::Result<PathBuf> {
    ctx.cache_dir()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn an_engine_has_a_cache_directory_for_its_time() {
    within(|| {
        let engine = Engine::new().unwrap();
        let other = Engine::new().unwrap();
        let dir = engine.cache_dir().unwrap();
        assert_eq!(engine.clone().cache_dir().unwrap(), dir);
        assert_ne!(other.cache_dir().unwrap(), dir);
        assert_eq!((mode(&dir), dir.parent()), (0o700, Some(&*std::env::temp_dir())));
        std::fs::write(dir.join("file"), "text").unwrap();
        let job = engine.submit(ThreadJob::new(|| (), ())).unwrap();
        engine.shutdown(Shutdown::Drain);
        assert!(dir.join("file").exists(), "it goes with the last `Engine`");
        drop(engine);
        assert!(!dir.exists());
        assert!(job.cache_dir().unwrap_err().is_shut_down());
    });
}

#[test]
fn a_cache_directory_outlasts_the_jobs_even_if_one_of_them_ends_the_engine() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (has, alone) = (common::Gate::new(), common::Gate::new());
        let (has2, alone2) = (has.clone(), alone.clone());
        let last = move |ctx: JobContext| -> std::io::Result<PathBuf> {
            let engine = ctx.engine().expect("it lives");
            has2.open();
            alone2.pass();
            let file = ctx.cache_dir()?.join("file");
            std::fs::write(&file, "text")?;
            drop(engine);
            std::fs::read(&file)?;
            Ok(file)
        };
        let (send, receive) = mpsc::channel();
        let last = move |ctx: JobContext| send.send(last(ctx)).expect("somebody listens");
        let job = engine.submit(ThreadJob::new(last, (Context,))).unwrap();
        has.pass();
        drop(engine);
        alone.open();
        let file = receive.recv().unwrap().unwrap();
        let root = file.parent().and_then(Path::parent).unwrap();
        job.wait().unwrap();
        // The engine's own thread ends it; nobody is told.
        while root.exists() {
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_named_cache_directory_is_made_when_needed_and_stays() {
    within(|| {
        let scratch = Scratch::new();
        let dir = scratch.0.join("a/b");
        let engine = Engine::builder().cache_dir(dir.join(".")).build().unwrap();
        engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
        engine.submit(ThreadJob::new(|| (), ())).unwrap().result().unwrap();
        assert!(!scratch.0.join("a").exists(), "nobody asked for it yet");
        let job = engine.submit(ProcessJob::new(own_cache, (Context,))).unwrap();
        let own = job.result().unwrap();
        assert_eq!((own.parent(), mode(&own), mode(&dir)), (Some(&*dir), 0o700, 0o700));
        assert_eq!(job.cache_dir().unwrap(), own);
        assert_eq!(engine.cache_dir().unwrap(), dir);
        drop(engine);
        assert!(own.exists());

        for path in ["", "a\0b"] {
            let error = Engine::builder().cache_dir(path).build().unwrap_err();
            assert!(error.is_invalid_setting(), "{error}");
        }
    });
}

#[test]
fn every_kind_of_job_has_a_directory_of_its_own() {
    within(|| {
        let engine = Engine::new().unwrap();
        let own = |ctx: JobContext| ctx.cache_dir();
        let jobs = [
            engine.submit(ThreadJob::try_new(own, (Context,))).unwrap(),
            engine.submit(ThreadJob::try_new(own, (Context,)).blocking()).unwrap(),
            engine.submit(LocalJob::try_new(own, (Context,))).unwrap(),
            engine.submit(ProcessJob::new(own_cache, (Context,))).unwrap(),
        ];
        for job in jobs {
            let dir = job.result().unwrap();
            assert_eq!(dir, job.cache_dir().unwrap());
            assert_eq!(dir, engine.cache_dir().unwrap().join(job.id().to_string()));
            assert_eq!(mode(&dir), 0o700);
        }
    });
}

#[test]
fn a_cache_directory_that_could_be_a_trap_is_refused() {
    within(|| {
        let scratch = Scratch::new();
        let refused = |dir: &Path, why: &str| {
            let engine = Engine::builder().cache_dir(dir).build().unwrap();
            let error = engine.cache_dir().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(&*dir.to_string_lossy()), "{error}");
            let job = ProcessJob::new(pid, ()).redirect_output(CacheDir);
            let error = engine.submit(job).unwrap().result().unwrap_err();
            assert!(error.is_no_place() && error.message().contains(why), "{error}");
            let job = engine.submit(ProcessJob::new(own_cache, (Context,))).unwrap();
            assert!(job.result().unwrap_err().message().contains(why));
        };
        let target = scratch.dir("target");
        symlink(&target, scratch.0.join("link")).unwrap();
        refused(&scratch.0.join("link"), "symbolic link");
        std::fs::write(scratch.0.join("file"), "").unwrap();
        refused(&scratch.0.join("file"), "no directory");
        let open = scratch.dir("open");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
        refused(&open, "everybody");
        let foreign = scratch.dir("foreign");
        // Only root can give something away.
        if std::os::unix::fs::chown(&foreign, Some(65_534), None).is_ok() {
            refused(&foreign, "belongs to user 65534");
        }
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 0);

        // The same for a job's.
        let engine = Engine::new().unwrap();
        let job = ThreadJob::new(|| (), ()).change_dir(CacheDir);
        symlink(&target, engine.cache_dir().unwrap().join(job.id().to_string())).unwrap();
        let error = engine.submit(job).unwrap().result().unwrap_err();
        assert!(error.is_no_place() && error.message().contains("symbolic link"), "{error}");
    });
}

#[test]
fn jobs_of_every_kind_run_in_their_own_directory() {
    within(|| {
        let engine = Engine::new().unwrap();
        let write = |name: &str| std::fs::write(name, "111");
        for name in ["1.txt", "2.txt"] {
            let jobs = [
                engine.submit(ThreadJob::try_new(move || write(name), ()).change_dir(CacheDir)),
                engine.submit(
                    ThreadJob::try_new(move || write(name), ()).blocking().change_dir(CacheDir),
                ),
                engine.submit(LocalJob::try_new(move || write(name), ()).change_dir(CacheDir)),
                engine.submit(ProcessJob::new(writes, (name.to_owned(),)).change_dir(CacheDir)),
            ];
            for job in jobs {
                let job = job.unwrap();
                job.result().unwrap();
                let file = job.cache_dir().unwrap().join(name);
                assert_eq!(std::fs::read_to_string(file).unwrap(), "111");
            }
        }
        assert!(!here().join("1.txt").exists());
    });
}

#[test]
fn a_worker_goes_back_to_where_it_was() {
    within(|| {
        let scratch = Scratch::new();
        let there = scratch.dir("there");
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let worker = engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
        let is_back = || {
            let job = engine.submit(ProcessJob::new(pwd, ())).unwrap();
            assert_eq!(job.result().unwrap(), here());
        };
        for _ in 0..3 {
            let job = engine.submit(ProcessJob::new(pwd, ()).change_dir(&there)).unwrap();
            assert_eq!(job.result().unwrap(), there);
            is_back();
        }
        let job = ProcessJob::new(panics_in, (there.clone(),)).change_dir(&there);
        assert!(engine.submit(job).unwrap().result().unwrap_err().is_panic());
        is_back();
        let nowhere = scratch.0.join("nowhere");
        let job = ProcessJob::new(pwd, ()).change_dir(&nowhere).redirect_output(CacheDir);
        let error = engine.submit(job).unwrap().result().unwrap_err();
        assert!(error.is_no_place(), "{error}");
        assert!(error.message().contains(&*nowhere.to_string_lossy()), "{error}");
        is_back();
        assert_eq!(engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap(), worker);
        let fresh = ProcessJob::new(pwd, ()).change_dir(&there).fresh_process(true);
        assert_eq!(engine.submit(fresh).unwrap().result().unwrap(), there);
    });
}

#[test]
fn concurrent_jobs_have_a_directory_each() {
    within(|| {
        let scratch = Scratch::new();
        let engine = Engine::builder().max_thread_jobs(3).max_process_jobs(3).build().unwrap();
        let program = here();
        let meet = Arc::new(Barrier::new(6));
        let looks = move || {
            meet.wait();
            let first = here();
            meet.wait();
            // Threads that the job starts are there with it.
            (first, std::thread::spawn(here).join().expect("no panic"), here())
        };
        let mut jobs = Vec::new();
        for i in 0..5 {
            let dir = scratch.dir(&i.to_string());
            let job = ThreadJob::new(looks.clone(), ()).change_dir(&dir);
            let job = match i {
                0 | 1 => engine.submit(job),
                2 | 3 => engine.submit(job.blocking()),
                _ => engine.submit(LocalJob::new(looks.clone(), ()).change_dir(&dir)),
            };
            jobs.push((job.unwrap(), dir));
        }
        // One that asks for nothing runs beside them.
        jobs.push((engine.submit(ThreadJob::new(looks, ())).unwrap(), program.clone()));
        let processes: Vec<_> = (5..11)
            .map(|i| {
                let dir = scratch.dir(&i.to_string());
                (engine.submit(ProcessJob::new(pwd, ()).change_dir(&dir)).unwrap(), dir)
            })
            .collect();
        for (job, dir) in jobs {
            assert_eq!(job.result().unwrap(), (dir.clone(), dir.clone(), dir));
        }
        for (job, dir) in processes {
            assert_eq!(job.result().unwrap(), dir);
        }
        assert_eq!(here(), program);
        // All threads are back.
        let after: Vec<_> = (0..20).map(|_| ThreadJob::new(here, ())).collect();
        for job in engine.submit_all(after).unwrap() {
            assert_eq!(job.result().unwrap(), program);
        }
        assert_eq!(engine.submit(LocalJob::new(here, ())).unwrap().result().unwrap(), program);
    });
}

#[test]
fn a_panic_or_an_error_takes_the_thread_back() {
    within(|| {
        let scratch = Scratch::new();
        let there = scratch.dir("there");
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let panic = ThreadJob::new(|| -> () { panic!("oh") }, ()).change_dir(&there);
        assert!(engine.submit(panic).unwrap().result().unwrap_err().is_panic());
        assert_eq!(engine.submit(ThreadJob::new(here, ())).unwrap().result().unwrap(), here());
        let nowhere = ThreadJob::new(|| (), ()).change_dir(scratch.0.join("nowhere"));
        let error = engine.submit(nowhere).unwrap().result().unwrap_err();
        assert!(error.is_no_place() && error.message().contains("nowhere"), "{error}");
        assert_eq!(engine.submit(ThreadJob::new(here, ())).unwrap().result().unwrap(), here());
    });
}

#[test]
fn a_job_inside_another_has_its_own_place() {
    within(|| {
        let scratch = Scratch::new();
        let (outer, inner) = (scratch.dir("outer"), scratch.dir("inner"));
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let into = inner.clone();
        let work = move |ctx: JobContext| -> executor_engine::Result<_> {
            let engine = ctx.engine()?;
            let me = || std::thread::current().id();
            let plain = engine.submit(ThreadJob::new(move || (here(), me()), ()))?.result()?;
            let between = here();
            let placed = ThreadJob::new(move || (here(), me()), ()).change_dir(&into);
            let placed = engine.submit(placed)?.result()?;
            let panic = ThreadJob::new(|| -> () { panic!("oh") }, ()).change_dir(&into);
            engine.submit(panic)?.wait()?;
            // Relative to where this thread is.
            let relative =
                engine.submit(ThreadJob::new(here, ()).change_dir("../inner"))?.result()?;
            assert_eq!((plain.1, placed.1), (me(), me()), "on this very thread");
            Ok((plain.0, between, placed.0, relative, here()))
        };
        let job = ThreadJob::try_new(work, (Context,)).change_dir(&outer);
        let seen = engine.submit(job).unwrap().result().unwrap();
        assert_eq!(seen, (here(), outer.clone(), inner.clone(), inner, outer));
    });
}

#[test]
fn threads_that_jobs_leave_behind_are_not_moved() {
    within(|| {
        let scratch = Scratch::new();
        let (first, second) = (scratch.dir("first"), scratch.dir("second"));
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        // A thread that looks where it is whenever it is asked.
        let leave = || {
            let (ask, asked) = mpsc::channel::<()>();
            let (tell, told) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                asked.iter().for_each(|()| tell.send(here()).expect("somebody listens"));
            });
            (ask, told, thread)
        };
        let placed = engine.submit(ThreadJob::new(leave, ()).change_dir(&first)).unwrap();
        let placed = placed.take().unwrap();
        let plain = engine.submit(ThreadJob::new(leave, ())).unwrap().take().unwrap();
        let look = || {
            [&placed, &plain].map(|(ask, told, _)| {
                ask.send(()).unwrap();
                told.recv().unwrap()
            })
        };
        let meet = Arc::new(Barrier::new(2));
        let both = Arc::clone(&meet);
        let job = move || {
            both.wait();
            both.wait();
        };
        let job = engine.submit(ThreadJob::new(job, ()).change_dir(&second)).unwrap();
        meet.wait();
        assert_eq!(look(), [first.clone(), here()]);
        meet.wait();
        job.wait().unwrap();
        assert_eq!(look(), [first, here()]);
        for (ask, _, thread) in [placed, plain] {
            drop(ask);
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_directory_that_is_removed_meanwhile_is_still_gone_back_to() {
    within(|| {
        let scratch = Scratch::new();
        let (outer, inner) = (scratch.dir("outer"), scratch.dir("inner"));
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let removed = outer.clone();
        let work = move |ctx: JobContext| -> executor_engine::Result<_> {
            let which = || Path::new(".").metadata().expect("a directory").ino();
            let before = which();
            let removed = removed.clone();
            let job = ThreadJob::new(move || std::fs::remove_dir(&removed).expect("empty"), ());
            ctx.engine()?.submit(job.change_dir(&inner))?.result()?;
            Ok((before, which()))
        };
        let job = ThreadJob::try_new(work, (Context,)).change_dir(&outer);
        let (before, after) = engine.submit(job).unwrap().result().unwrap();
        assert_eq!(before, after);
        assert!(!outer.exists());
        assert_eq!(engine.submit(ThreadJob::new(here, ())).unwrap().result().unwrap(), here());
    });
}

const LOSES: &str = "a_worker_that_cannot_go_back_serves_no_other_job";

#[test]
fn a_worker_that_cannot_go_back_serves_no_other_job() {
    if role::plays("loser") {
        let scratch = Scratch::new();
        let home = scratch.dir("home");
        std::env::set_current_dir(&home).unwrap();
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let first = engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
        let job = ProcessJob::new(shuts_itself_out, (home.clone(),)).change_dir("/");
        assert_eq!(engine.submit(job).unwrap().result().unwrap(), first, "the result counts");
        std::fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
        let job = engine.submit(ProcessJob::new(pwd, ())).unwrap();
        assert_eq!(job.result().unwrap(), home);
        assert_ne!(engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap(), first);
        std::env::set_current_dir("/").unwrap();
        return;
    }
    within(|| {
        let status = role::actor(LOSES, "loser").stdout(std::process::Stdio::null()).status();
        assert!(status.unwrap().success());
    });
}

const WANDERS: &str = "the_programs_directory_may_change_and_vanish";

#[test]
fn the_programs_directory_may_change_and_vanish() {
    if role::plays("wanderer") {
        let scratch = Scratch::new();
        let (first, second) = (scratch.dir("first"), scratch.dir("second"));
        std::env::set_current_dir(&first).unwrap();
        let engine = Engine::builder().max_thread_jobs(1).max_process_jobs(1).build().unwrap();
        let at = |job: JobHandle<PathBuf>| job.result().unwrap();
        // Taken against the directory of the moment at which it is submitted.
        std::fs::create_dir("sub").unwrap();
        let gate = common::Gate::new();
        let open = gate.clone();
        let held = engine.submit(ThreadJob::new(move || gate.pass(), ())).unwrap();
        let waits = executor_engine::condition::after_another(&held);
        let sub = ThreadJob::new(here, ()).change_dir("sub").condition(waits.clone());
        let sub = engine.submit(sub).unwrap();
        let remote = ProcessJob::new(pwd, ()).change_dir("sub").redirect_output("out/log.txt");
        let remote = engine.submit(remote.condition(waits)).unwrap();
        std::env::set_current_dir(&second).unwrap();
        open.open();
        assert_eq!((at(sub), at(remote)), (first.join("sub"), first.join("sub")));
        assert!(first.join("out/log.txt").exists());
        // A thread that has had a directory of its own follows the program all the same; so
        // does one that is started by such a thread, and a worker that it causes.
        let thread = || engine.submit(ThreadJob::new(here, ())).unwrap();
        assert_eq!(at(thread()), second);
        let cause = |ctx: JobContext| -> executor_engine::Result<_> {
            let other = Engine::builder().max_thread_jobs(1).build()?;
            let fresh = ProcessJob::new(pwd, ()).fresh_process(true);
            Ok([
                other.submit(ThreadJob::new(here, ()))?.result()?,
                other.submit(LocalJob::new(here, ()))?.result()?,
                other.submit(ProcessJob::new(pwd, ()))?.result()?,
                ctx.engine()?.submit(ThreadJob::new(here, ()).blocking())?.result()?,
                ctx.engine()?.submit(fresh)?.result()?,
            ])
        };
        let cause = LocalJob::try_new(cause, (Context,)).change_dir("/");
        assert_eq!(
            engine.submit(cause).unwrap().result().unwrap(),
            [(); 5].map(|()| second.clone())
        );
        std::env::set_current_dir(&first).unwrap();
        assert_eq!(at(thread()), first);
        // A worker whose directory is removed while it is elsewhere.
        let inode_of = |path: &Path| path.metadata().unwrap().ino();
        let worker = engine.submit(ProcessJob::new(inode, ())).unwrap().result().unwrap();
        let home = [&first, &second].into_iter().find(|dir| inode_of(dir) == worker).unwrap();
        let job = ProcessJob::new(removes, (home.clone(),)).change_dir("/");
        engine.submit(job).unwrap().result().unwrap();
        assert!(!home.exists());
        let again = engine.submit(ProcessJob::new(inode, ())).unwrap().result().unwrap();
        assert_eq!(again, worker);
        std::env::set_current_dir("/").unwrap();
        return;
    }
    within(|| {
        let status = role::actor(WANDERS, "wanderer").stdout(std::process::Stdio::null()).status();
        assert!(status.unwrap().success());
    });
}

/// Callbacks and custom conditions are called by threads that start with the first of them, from
/// wherever that happens.
#[test]
fn callbacks_and_conditions_are_where_the_program_is() {
    role::apart("callbacks_and_conditions_are_where_the_program_is", || {
        let scratch = Scratch::new();
        let (first, second, job) =
            (scratch.dir("first"), scratch.dir("second"), scratch.dir("job"));
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        // Both calls come from within a job that is elsewhere.
        let look = || {
            let cause = |ctx: JobContext| -> executor_engine::Result<_> {
                let (tell, told) = mpsc::channel();
                let (engine, also) = (ctx.engine()?, tell.clone());
                let later = executor_engine::condition::after_delay("1h");
                let cancelled = ThreadJob::new(|| (), ())
                    .condition(later)
                    .on_finished(move |_| tell.send(here()).expect("somebody listens"));
                engine.submit(cancelled)?.cancel();
                let called = told.recv().expect("it is called");
                let asked = executor_engine::condition::custom(move |_| {
                    also.send(here()).expect("somebody listens");
                    true
                });
                engine.submit(ThreadJob::new(|| (), ()).condition(asked.every("1h")))?;
                Ok([called, told.recv().expect("it is asked"), here()])
            };
            let cause = ThreadJob::try_new(cause, (Context,)).change_dir(&job);
            engine.submit(cause).unwrap().result().unwrap()
        };
        for home in [&first, &second] {
            std::env::set_current_dir(home).unwrap();
            assert_eq!(look(), [home.clone(), home.clone(), job.clone()]);
        }
        std::env::set_current_dir("/").unwrap();
    });
}

#[test]
fn the_program_of_workers_is_the_one_that_was_meant_when_it_was_named() {
    const TEST: &str = "the_program_of_workers_is_the_one_that_was_meant_when_it_was_named";
    role::apart(TEST, || {
        let scratch = Scratch::new();
        let job = scratch.dir("job");
        symlink(std::env::current_exe().unwrap(), scratch.0.join("program")).unwrap();
        std::env::set_current_dir(&scratch.0).unwrap();
        let engine = Engine::builder().worker_exe("./program").build().unwrap();
        let cause = |ctx: JobContext| -> executor_engine::Result<_> {
            Ok(ctx.engine()?.submit(ProcessJob::new(pwd, ()))?.result()?)
        };
        let cause = ThreadJob::try_new(cause, (Context,)).change_dir(&job);
        assert_eq!(engine.submit(cause).unwrap().result().unwrap(), scratch.0);
        std::env::set_current_dir("/").unwrap();
    });
}
