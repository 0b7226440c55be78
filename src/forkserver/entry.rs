//! How a process becomes a fork server.

use std::io;
use std::os::fd::OwnedFd;

use super::server::{Role, Server};
use super::worker;
use crate::sys;

/// The variable in the environment that says so.
pub(crate) const TOKEN: &str = "EXECUTOR_ENGINE_FORK_SERVER";

/// Makes this process serve workers, if it was started for that; otherwise returns at once.
///
/// You need not call it in ordinary programs: a constructor does it before `main`. Where
/// constructors do not run (a program named with `worker_exe` that is linked in an unusual way,
/// a shared library), make it the first line of `main`, before anything that starts threads or
/// opens files.
///
/// ```
/// executor_engine::init();
/// // the rest of `main`
/// ```
pub fn init() {
    if called_to_serve() {
        let control = enter();
        serve(control)
    }
}

/// What the constructor calls: as [`init`], but first lets the constructors run that would have
/// run after it.
pub(crate) fn serve_before_main() {
    if called_to_serve() {
        let control = enter();
        sys::run_later_constructors();
        serve(control)
    }
}

/// Whether this process was started as a fork server. If an engine is made in such a process,
/// nobody intercepted it; it must not start another.
pub(crate) fn token_present() -> bool {
    sys::keep_linked();
    std::env::var_os(TOKEN).is_some()
}

fn called_to_serve() -> bool {
    token_present() && sys::is_socket(io::stdin())
}

/// Takes the control socket, and leaves behind what the process inherited: the token, the
/// terminal, open files, effects of signals.
///
/// Files are closed before the program's other constructors run, so that theirs stay open.
fn enter() -> OwnedFd {
    let control = sys::take_stdin().unwrap_or_else(|error| give_up("take its socket", &error));
    sys::close_fds_from(3, &control);
    if let Err(error) = sys::install_null_stdin() {
        give_up("open /dev/null", &error);
    }
    sys::remove_variable(TOKEN);
    // It fails for the leader of a group, which a new process is not.
    let _ = nix::unistd::setsid();
    sys::reset_signals();
    let _ = nix::sys::prctl::set_name(c"executor-forks");
    control
}

fn serve(control: OwnedFd) -> ! {
    crate::job::install_hook();
    match Server::new(control).and_then(Server::serve) {
        Ok(Role::Finished) => std::process::exit(0),
        Ok(Role::Worker(setup)) => worker::run(setup),
        Err(error) => give_up("serve", &error),
    }
}

fn give_up(doing: &str, error: &io::Error) -> ! {
    eprintln!("executor-engine: the fork server cannot {doing}: {error}");
    std::process::exit(71)
}
