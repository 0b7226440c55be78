//! A test that must lose or change its whole process runs part of itself in a process apart:
//! the same test binary, told by an environment variable which part to play.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::process::{Command, Stdio};

const ROLE: &str = "EXECUTOR_ENGINE_TEST_ROLE";

/// Whether this process is to play that part.
pub fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|value| value == role)
}

/// A command that runs the test of that name, and it alone, as the part `role`. Its standard
/// output is a pipe, its standard error this process's.
pub fn actor(test: &str, role: &str) -> Command {
    as_actor(Command::new(std::env::current_exe().expect("this test binary")), test, role)
}

/// The same, for a copy of this test binary.
pub fn as_actor(mut command: Command, test: &str, role: &str) -> Command {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Runs `body` in a process apart, with nothing else in it.
pub fn apart(test: &str, body: fn()) {
    if plays(test) {
        return super::common::within(body);
    }
    let test = test.to_owned();
    super::common::within(move || {
        let output = actor(&test, &test).spawn().unwrap().wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "the part was not played: {text}");
    });
}
