//! Promise: what a job writes is in the file that was named for it, all of it, and nothing of
//! anybody else's; and after it, output goes where it went before.

mod common;
#[path = "common/role.rs"]
mod role;

use std::fs::read_to_string;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{DEADLINE, Gate, within};
use executor_engine::Tee;
use executor_engine::logging::JobLogger;
use executor_engine::prelude::*;

/// A directory of the test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("output-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[task]
fn says(text: String) {
    println!("{text}");
}

#[task]
fn says_half_a_line(text: String) {
    print!("{text}");
}

#[task]
fn fails(text: String) -> Result<(), String> {
    Err(text)
}

#[task]
fn panics(text: String) {
    panic!("{text}");
}

unsafe extern "C" {
    fn puts(text: *const std::ffi::c_char) -> std::ffi::c_int;
}

#[task]
fn speaks_in_every_way() {
    println!("by println");
    eprintln!("by eprintln");
    // SAFETY: the text ends in zero.
    unsafe { puts(c"by C code".as_ptr()) };
    let child = Command::new("sh").args(["-c", "echo by a child; echo by its stderr >&2"]).status();
    assert!(child.expect("sh").success());
    std::thread::spawn(|| println!("by a thread")).join().expect("no panic");
}

#[task]
fn leaves_a_child_that_speaks_later() {
    let script = "(sleep 0.2; echo later; echo end >&2) &";
    assert!(Command::new("sh").args(["-c", script]).status().expect("sh").success());
}

#[task]
fn floods(bytes: usize) {
    let other = std::thread::spawn(move || {
        let line = "e".repeat(1023);
        (0..bytes / 1024).for_each(|_| eprintln!("{line}"));
    });
    let line = "o".repeat(1023);
    (0..bytes / 1024).for_each(|_| println!("{line}"));
    other.join().expect("no panic");
}

#[task]
fn aborts(words: String) {
    println!("was here");
    eprintln!("{words}");
    std::process::abort()
}

#[task]
fn fails_at_first(ctx: JobContext) -> Result<(), String> {
    println!("attempt {}", ctx.attempt());
    if ctx.attempt() < 3 { Err("not yet".into()) } else { Ok(()) }
}

#[task]
fn writes_by_context(ctx: JobContext) -> std::io::Result<()> {
    writeln!(ctx.stdout(), "to stdout")?;
    writeln!(ctx.stderr(), "to stderr")
}

#[task]
fn pid() -> u32 {
    std::process::id()
}

#[task]
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("it is there").permissions().mode() & 0o7777
}

fn stdout_of<T>(job: &JobHandle<T>) -> String {
    read_to_string(job.stdout_path().expect("redirected")).expect("readable")
}

fn stderr_of<T>(job: &JobHandle<T>) -> String {
    read_to_string(job.stderr_path().expect("redirected")).expect("readable")
}

/// Waits for something that no event tells of.
fn eventually(mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "it did not come true within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_process_job_writes_to_files_of_its_own() {
    within(|| {
        let engine = Engine::new().unwrap();
        let hello = ProcessJob::new(says, ("hello".to_owned(),)).redirect_output(CacheDir);
        let hello = engine.submit(hello).unwrap();
        let bad = ProcessJob::new(fails, ("no luck".to_owned(),)).redirect_output(CacheDir);
        let bad = engine.submit(bad).unwrap();
        let panic = ProcessJob::new(panics, ("oh no".to_owned(),)).redirect_output(CacheDir);
        let panic = engine.submit(panic).unwrap();
        engine.wait().unwrap();

        assert_eq!((stdout_of(&hello), stderr_of(&hello)), ("hello\n".into(), String::new()));
        let own = hello.cache_dir().unwrap();
        assert_eq!(hello.stdout_path(), Some(&*own.join("stdout.txt")));
        assert_eq!(hello.info().stderr_path(), Some(&*own.join("stderr.txt")));
        assert_eq!((mode(&own), mode(&own.join("stdout.txt"))), (0o700, 0o600));
        assert_eq!(mode(&own.join("stderr.txt")), 0o600);

        assert!(bad.exception().unwrap().is_failure());
        assert_eq!(stderr_of(&bad), "the job failed: no luck\n");
        assert!(panic.exception().unwrap().is_panic());
        let text = stderr_of(&panic);
        assert!(text.contains("panicked at tests/output.rs") && text.contains("oh no"), "{text}");
    });
}

#[test]
fn everything_that_a_worker_writes_is_in_the_file() {
    within(|| {
        let scratch = Scratch::new("everything");
        let engine = Engine::new().unwrap();
        let file = scratch.path("not/there/yet/job.log");
        let job = ProcessJob::new(speaks_in_every_way, ()).redirect_output(&file);
        engine.submit(job).unwrap().result().unwrap();
        let text = read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for line in
            ["by println", "by eprintln", "by C code", "by a child", "by its stderr", "by a thread"]
        {
            assert!(lines.contains(&line), "{line} is not in {text}");
        }
        assert_eq!((lines.len(), mode(&file)), (6, 0o600));
        assert_eq!(mode(&scratch.path("not")), 0o700);
    });
}

#[test]
fn the_streams_can_go_to_two_files() {
    within(|| {
        let scratch = Scratch::new("two");
        let engine = Engine::new().unwrap();
        let (out, err) = (scratch.path("out"), scratch.path("err"));
        let job = ProcessJob::new(writes_by_context, (Context,)).redirect_output((&out, &err));
        engine.submit(job).unwrap().result().unwrap();
        assert_eq!(read_to_string(out).unwrap(), "to stdout\n");
        assert_eq!(read_to_string(err).unwrap(), "to stderr\n");
    });
}

#[test]
fn what_a_grandchild_writes_later_is_there_too() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::new(leaves_a_child_that_speaks_later, ()).redirect_output(CacheDir);
        let job = engine.submit(job).unwrap();
        job.result().unwrap();
        eventually(|| stderr_of(&job) == "end\n");
        assert_eq!(stdout_of(&job), "later\n");
    });
}

#[test]
fn a_megabyte_on_both_streams_at_once_arrives_whole() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::new(floods, (1 << 20,)).redirect_output(CacheDir);
        let job = engine.submit(job).unwrap();
        job.result().unwrap();
        let (out, err) = (stdout_of(&job), stderr_of(&job));
        assert_eq!((out.len(), err.len()), (1 << 20, 1 << 20));
        assert!(out.bytes().all(|byte| matches!(byte, b'o' | b'\n')));
        assert!(err.bytes().all(|byte| matches!(byte, b'e' | b'\n')));
    });
}

#[test]
fn the_last_words_of_a_worker_that_dies_are_in_file_and_error() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        // Printed by the same worker before, and none of the job's.
        engine.submit(ProcessJob::new(speaks_in_every_way, ())).unwrap().result().unwrap();
        for fresh in [false, true] {
            let job = ProcessJob::new(aborts, ("last words".to_owned(),));
            let job = job.redirect_output(CacheDir).fresh_process(fresh);
            let job = engine.submit(job).unwrap();
            let error = job.result().unwrap_err();
            assert!(error.is_worker_died(), "{error}");
            assert_eq!(error.stderr_tail(), Some("last words\n"));
            assert_eq!(
                (stdout_of(&job), stderr_of(&job)),
                ("was here\n".into(), "last words\n".into())
            );
        }
        engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
    });
}

#[test]
fn jobs_of_one_warm_worker_do_not_mix() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let worker = engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
        let jobs: Vec<_> = (0..50)
            .map(|i| {
                // Without the end of the line it stays in the worker's buffer.
                ProcessJob::new(says_half_a_line, (format!("job {i}"),)).redirect_output(CacheDir)
            })
            .collect();
        let jobs = engine.submit_all(jobs).unwrap();
        let files = engine.submit(ProcessJob::new(open_files, ())).unwrap().result().unwrap();
        engine.wait().unwrap();
        for (i, job) in jobs.iter().enumerate() {
            assert_eq!(stdout_of(job), format!("job {i}"));
        }
        assert_eq!(engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap(), worker);
        // Those of a worker are stdin, stdout, stderr, its socket, and the list itself.
        assert!(files <= 6, "{files} files are open in a worker");
    });
}

#[test]
fn concurrent_jobs_have_a_file_each() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(4).max_thread_jobs(4).build().unwrap();
        let meet = Arc::new(Barrier::new(4));
        let processes: Vec<_> = (0..8)
            .map(|i| {
                engine.submit(
                    ProcessJob::new(says, (format!("process {i}"),)).redirect_output(CacheDir),
                )
            })
            .collect::<Result<_, _>>()
            .unwrap();
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let meet = Arc::clone(&meet);
                let speak = move |ctx: JobContext| {
                    let mut out = ctx.stdout();
                    for line in 0..100 {
                        writeln!(out, "thread {i} line {line}").unwrap();
                        if line == 50 {
                            meet.wait();
                        }
                    }
                };
                engine.submit(ThreadJob::new(speak, (Context,)).redirect_output(CacheDir))
            })
            .collect::<Result<_, _>>()
            .unwrap();
        engine.wait().unwrap();
        for (i, job) in processes.iter().enumerate() {
            assert_eq!(stdout_of(job), format!("process {i}\n"));
        }
        for (i, job) in threads.iter().enumerate() {
            let text = stdout_of(job);
            assert_eq!(text.lines().count(), 100);
            assert!(text.lines().all(|line| line.starts_with(&format!("thread {i} "))));
        }
    });
}

const RESTORED: &str = "afterwards_output_goes_where_it_went_before";

#[test]
fn afterwards_output_goes_where_it_went_before() {
    if role::plays("speaker") {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let before = ProcessJob::new(says_half_a_line, ("before ".to_owned(),));
        engine.submit(before).unwrap().result().unwrap();
        for text in ["inside", "boom"] {
            let job = match text {
                "boom" => ProcessJob::new(panics, (text.to_owned(),)),
                _ => ProcessJob::new(says, (text.to_owned(),)),
            };
            let job = engine.submit(job.redirect_output(CacheDir)).unwrap();
            job.wait().unwrap();
            assert!((stdout_of(&job) + &stderr_of(&job)).contains(text));
        }
        let after = ProcessJob::new(says, ("after".to_owned(),));
        engine.submit(after).unwrap().result().unwrap();
        let here = |ctx: JobContext| writeln!(ctx.stdout(), "by thread");
        engine.submit(ThreadJob::try_new(here, (Context,))).unwrap().result().unwrap();
        return;
    }
    within(|| {
        let output = role::actor(RESTORED, "speaker").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("before ") && text.contains("after\n"), "{text}");
        assert!(text.contains("by thread\n"), "{text}");
        assert!(!text.contains("inside") && !text.contains("boom"), "{text}");
    });
}

#[test]
fn attempts_and_reruns_follow_each_other() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::new(fails_at_first, (Context,)).retries(2).redirect_output(CacheDir);
        let job = engine.submit(job).unwrap();
        job.result().unwrap();
        assert_eq!(stdout_of(&job), "attempt 1\nattempt 2\nattempt 3\n");
        assert_eq!(stderr_of(&job), "the job failed: not yet\n".repeat(2));
        job.rerun().unwrap();
        job.result().unwrap();
        assert_eq!(stdout_of(&job).lines().count(), 6);
    });
}

#[test]
fn jobs_on_threads_write_through_their_context() {
    within(|| {
        let engine = Engine::new().unwrap();
        let work = |ctx: JobContext| -> Result<(), std::io::Error> {
            writeln!(ctx.stdout(), "out {}", 1)?;
            writeln!(ctx.stderr(), "err")?;
            // Threads of the job write to the same file.
            std::thread::spawn(move || writeln!(ctx.stdout(), "by a thread"))
                .join()
                .expect("no panic")
        };
        let job = || ThreadJob::try_new(work, (Context,)).redirect_output(CacheDir);
        let thread = engine.submit(job()).unwrap();
        let blocking = engine.submit(job().blocking()).unwrap();
        let local = LocalJob::try_new(work, (Context,)).redirect_output(CacheDir);
        let local = engine.submit(local).unwrap();
        for job in [thread, blocking, local] {
            job.result().unwrap();
            assert_eq!(stdout_of(&job), "out 1\nby a thread\n");
            assert_eq!(stderr_of(&job), "err\n");
            assert_eq!(mode(job.stdout_path().unwrap()), 0o600);
        }
        let bad = LocalJob::try_new(|| Err::<(), _>("no luck"), ()).redirect_output(CacheDir);
        let bad = engine.submit(bad).unwrap();
        bad.wait().unwrap();
        assert_eq!(stderr_of(&bad), "the job failed: no luck\n");
        let panic = ThreadJob::new(|| -> () { panic!("oh") }, ()).redirect_output(CacheDir);
        let panic = engine.submit(panic).unwrap();
        panic.wait().unwrap();
        assert!(stderr_of(&panic).contains("panicked at tests/output.rs"), "{}", stderr_of(&panic));
    });
}

#[test]
fn a_tee_writes_to_both() {
    within(|| {
        let engine = Engine::new().unwrap();
        let work = |ctx: JobContext| -> std::io::Result<Vec<u8>> {
            let mut tee = Tee::new(ctx.stdout(), Vec::new());
            tee.write_all(b"hello\n")?;
            writeln!(tee, "{} times", 2)?;
            tee.flush()?;
            Ok(tee.into_inner().1)
        };
        let job = ThreadJob::try_new(work, (Context,)).redirect_output(CacheDir);
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap(), b"hello\n2 times\n");
        assert_eq!(stdout_of(&job), "hello\n2 times\n");
    });
}

#[test]
fn paths_that_are_none_are_refused_at_submit() {
    within(|| {
        let engine = Engine::new().unwrap();
        for path in ["", "a\0b"] {
            let job = ProcessJob::new(pid, ()).redirect_output(path);
            assert!(engine.submit(job).unwrap_err().is_invalid_path());
            let job = ThreadJob::new(|| (), ()).redirect_output(("fine", path));
            assert!(engine.submit(job).unwrap_err().is_invalid_path());
            let jobs = [LocalJob::new(|| (), ()), LocalJob::new(|| (), ()).change_dir(path)];
            let error = engine.submit_all(jobs).unwrap_err();
            assert!(error.is_invalid_path() && error.to_string().contains("was not accepted"));
        }
        assert_eq!(engine.stats().unfinished, 0);
    });
}

#[test]
fn a_file_that_cannot_be_written_to_fails_its_job_alone() {
    within(|| {
        let scratch = Scratch::new("unwritable");
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let worker = engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap();
        let process = ProcessJob::new(pid, ()).redirect_output(&scratch.0);
        let process = engine.submit(process).unwrap().result().unwrap_err();
        let thread = ThreadJob::new(|| 0, ()).redirect_output(&scratch.0);
        let thread = engine.submit(thread).unwrap().result().unwrap_err();
        for error in [process, thread] {
            assert!(error.is_no_place(), "{error}");
            assert!(error.message().contains(&*scratch.0.to_string_lossy()), "{error}");
        }
        assert_eq!(engine.submit(ProcessJob::new(pid, ())).unwrap().result().unwrap(), worker);
    });
}

#[test]
fn a_link_in_the_cache_directory_is_not_followed() {
    within(|| {
        let scratch = Scratch::new("link");
        let engine = Engine::new().unwrap();
        let job = ProcessJob::new(says, ("secret".to_owned(),)).redirect_output(CacheDir);
        let own = engine.cache_dir().unwrap().join(job.id().to_string());
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(scratch.path("elsewhere"), own.join("stdout.txt")).unwrap();
        let error = engine.submit(job).unwrap().result().unwrap_err();
        assert!(error.is_no_place() && error.message().contains("stdout.txt"), "{error}");
        assert!(!scratch.path("elsewhere").exists());
    });
}

/// The program's logger.
struct Kept(Arc<Mutex<Vec<String>>>);

impl log::Log for Kept {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn log_records_of_a_job_that_asked_are_in_its_file_too() {
    within(|| {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let logger = JobLogger::wrap(Box::new(Kept(Arc::clone(&kept))));
        log::set_boxed_logger(Box::new(logger)).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let (inner_done, gate) = (Gate::new(), Gate::new());
        let open = gate.clone();
        let other = move || {
            log::warn!("of another job");
            open.open();
        };
        // Waited for inside, it runs on the same thread, and did not ask.
        let other = engine.submit(
            ThreadJob::new(other, ()).condition(
                executor_engine::condition::custom({
                    let inner_done = inner_done.clone();
                    move |_| inner_done.pass_within(Duration::ZERO)
                })
                .every(Duration::from_millis(1)),
            ),
        );
        let other = other.unwrap();
        let work = move || {
            log::info!("begun");
            inner_done.open();
            other.wait().unwrap();
            gate.pass();
            log::warn!("nearly done");
        };
        let job = ThreadJob::new(work, ()).redirect_output(CacheDir).capture_log();
        let job = engine.submit(job).unwrap();
        let quiet = ThreadJob::new(|| log::warn!("of one that did not ask"), ());
        let quiet = engine.submit(quiet.redirect_output(CacheDir)).unwrap();
        job.result().unwrap();
        quiet.result().unwrap();
        let text = stderr_of(&job);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(" INFO output: begun"), "{text}");
        assert!(lines[1].contains(" WARN output: nearly done"), "{text}");
        assert_eq!((stderr_of(&quiet), stdout_of(&job)), (String::new(), String::new()));
        let kept = kept.lock().unwrap();
        for record in ["nearly done", "of another job", "of one that did not ask"] {
            assert!(kept.iter().any(|text| text == record), "{record} is not in {kept:?}");
        }
        assert!(!kept.iter().any(|text| text == "begun"), "the inner logger takes no such level");
    });
}
