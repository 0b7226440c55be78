//! Promise: worker processes come from this very program, wherever its file went, or from one
//! that was built from the same tasks; any other program is refused with a reason. What the
//! program's own constructors set up before `main` is there in workers too.

mod common;
#[path = "common/role.rs"]
mod role;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use common::within;
use executor_engine::prelude::*;

#[task]
fn program_file() -> PathBuf {
    std::fs::read_link("/proc/self/exe").expect("proc")
}

/// A crate's registry that is filled by constructors, as typetag's and others are.
struct Plugin(u32);
inventory::collect!(Plugin);
inventory::submit!(Plugin(40));
inventory::submit!(Plugin(2));

static BY_CONSTRUCTOR: AtomicU32 = AtomicU32::new(0);

#[ctor::ctor(unsafe)]
fn constructor() {
    BY_CONSTRUCTOR.store(7, Ordering::SeqCst);
}

#[task]
fn set_up_before_main() -> (u32, u32) {
    let plugins = inventory::iter::<Plugin>.into_iter().map(|plugin| plugin.0).sum();
    (plugins, BY_CONSTRUCTOR.load(Ordering::SeqCst))
}

#[test]
fn constructors_of_the_program_have_run_in_workers() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::new(set_up_before_main, ())).unwrap();
        assert_eq!(job.result().unwrap(), (42, 7));
    });
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn copy_of_this_program(&self) -> PathBuf {
        let copy = self.0.join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_program_whose_file_was_replaced_still_has_workers() {
    let test = "a_program_whose_file_was_replaced_still_has_workers";
    if role::plays("replaced") {
        let own = std::env::current_exe().unwrap();
        std::fs::remove_file(&own).unwrap();
        std::fs::write(&own, "no program at all").unwrap();
        let engine = Engine::new().unwrap();
        let exe = engine.submit(ProcessJob::new(program_file, ())).unwrap().result().unwrap();
        assert!(exe.to_string_lossy().ends_with("(deleted)"), "{exe:?}");
        return;
    }
    within(move || {
        let scratch = Scratch::new("replaced");
        let program = scratch.copy_of_this_program();
        let output = role::as_actor(Command::new(program), test, "replaced").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    });
}

#[test]
fn a_program_of_the_same_build_serves() {
    within(|| {
        let scratch = Scratch::new("same");
        let program = scratch.copy_of_this_program();
        let engine = Engine::builder().worker_exe(&program).build().unwrap();
        let exe = engine.submit(ProcessJob::new(program_file, ())).unwrap().result().unwrap();
        assert_eq!(exe, program);
    });
}

#[test]
fn a_program_of_another_build_is_refused() {
    within(|| {
        // The quickstart example: the same library, other tasks.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "quickstart"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let other = target.join("debug/examples/quickstart");
        let engine = Engine::builder().worker_exe(&other).build().unwrap();
        let job = engine.submit(ProcessJob::new(program_file, ())).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.is_no_worker(), "{error}");
        let text = error.to_string();
        assert!(text.contains("not this build") && text.contains("rebuild"), "{text}");
        assert!(text.contains("quickstart"), "{text}");
    });
}

#[test]
fn a_fork_server_that_reached_main_starts_no_other() {
    let test = "a_fork_server_that_reached_main_starts_no_other";
    if role::plays("fork server") {
        // The constructor saw the token, but no socket, so it let the program run.
        let error = Engine::new().unwrap_err();
        assert!(error.is_not_intercepted(), "{error}");
        assert!(error.to_string().contains("executor_engine::init()"), "{error}");
        return;
    }
    within(move || {
        let output = role::actor(test, "fork server")
            .env("EXECUTOR_ENGINE_FORK_SERVER", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    });
}
