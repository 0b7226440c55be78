//! A new worker has the environment, directory and umask that the engine's process has at that
//! moment, not those of the fork server's start.
//!
//! One test, because it changes what belongs to the whole process.

use std::os::unix::fs::PermissionsExt;

use executor_engine::prelude::*;

/// The directory, the variable, and the mode of a file made with 0777.
#[task]
fn surroundings(file: std::path::PathBuf) -> (std::path::PathBuf, Option<String>, u32) {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o777)
        .create(&file)
        .unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    std::fs::remove_dir(&file).unwrap();
    (std::env::current_dir().unwrap(), std::env::var("SURROUNDINGS").ok(), mode)
}

#[task]
fn stdin_is_empty() -> bool {
    std::io::read_to_string(std::io::stdin()).unwrap().is_empty()
}

#[test]
fn workers_are_born_into_the_present() -> executor_engine::Result<()> {
    let scratch = std::env::temp_dir().join(format!("surroundings-{}", std::process::id()));
    std::fs::create_dir(&scratch).unwrap();
    let scratch = scratch.canonicalize().unwrap();
    let file = scratch.join("made-by-the-task");
    let engine = Engine::builder().max_process_jobs(1).build()?;
    let ask = || {
        let job = ProcessJob::new(surroundings, (file.clone(),)).fresh_process(true);
        engine.submit(job).and_then(|job| Ok(job.result()?))
    };

    let start = std::env::current_dir().unwrap();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    assert_eq!(ask()?, (start, None, 0o755));

    // SAFETY: this test is alone in its process, and the engine's threads read no environment
    // but when this thread submits.
    unsafe { std::env::set_var("SURROUNDINGS", "changed") };
    std::env::set_current_dir(&scratch).unwrap();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    assert_eq!(ask()?, (scratch.clone(), Some("changed".to_owned()), 0o700));

    // SAFETY: as above.
    unsafe { std::env::remove_var("SURROUNDINGS") };
    assert_eq!(ask()?, (scratch.clone(), None, 0o700));

    let job = engine.submit(ProcessJob::new(stdin_is_empty, ()))?;
    assert!(job.result()?);
    std::fs::remove_dir(&scratch).unwrap();
    Ok(())
}
