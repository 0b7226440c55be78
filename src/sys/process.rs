//! Processes: fork, wait, groups, and the environment of a process with one thread.

use std::ffi::{CString, OsString};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The parent, and the child's pid.
    Parent(i32),
    /// The child.
    Child,
}

/// Duplicates this process. Only for the fork server, which starts no thread.
///
/// Threads that a constructor of the program started (some numeric libraries do) are not in the
/// child, and locks that they hold at this moment stay held there. Such libraries prepare for
/// that with `pthread_atfork`; so does the C library for its own locks.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the fork server has one thread, so the child is a faithful copy that may do
    // whatever the parent may; see above for threads of others.
    Ok(match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Forked::Parent(child.as_raw()),
        nix::unistd::ForkResult::Child => Forked::Child,
    })
}

/// Whether a signal does to this process what the system has it do by default.
#[cfg(feature = "signals")]
pub(crate) fn is_default(signal: i32) -> bool {
    let mut now = mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with no new action this only writes the present one to `now`, which has room for it.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) } == 0;
    // SAFETY: it was written, for the call succeeded.
    asked && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// How many threads this process has.
pub(crate) fn thread_count() -> io::Result<usize> {
    // The link count of the directory is the number of entries and two.
    use std::os::unix::fs::MetadataExt;
    Ok(usize::try_from(std::fs::metadata("/proc/self/task")?.nlink()).unwrap_or(3).max(3) - 2)
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Its exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// Its peak resident memory in bytes.
    pub(crate) peak_memory: u64,
}

/// The pid of some child that has ended and is not reaped yet; it stays so.
pub(crate) fn peek_ended() -> Option<i32> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Err(Errno::EINTR) => {}
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(status) => return status.pid().map(Pid::as_raw),
        }
    }
}

/// Reaps a child, waiting for its end if need be.
pub(crate) fn reap(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is plain old data, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        match Errno::result(reaped) {
            Err(Errno::EINTR) => {}
            reaped => {
                reaped?;
                break;
            }
        };
    }
    Ok(Ended {
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        // The kernel counts in KiB.
        peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    })
}

/// Sends a signal to every process of a group. Groups that are gone are no error.
pub(crate) fn kill_group(leader: i32, signal: Signal) {
    // Group 0 is our own, group 1 would be everybody's.
    if leader > 1 {
        let _ = killpg(Pid::from_raw(leader), signal);
    }
}

/// Whether the group has members, ended ones that were not reaped included.
pub(crate) fn group_has_members(leader: i32) -> bool {
    leader > 1 && killpg(Pid::from_raw(leader), None).is_ok()
}

/// The pids of this process's children, ended ones included.
pub(crate) fn children() -> Vec<i32> {
    children_by_task().unwrap_or_else(children_by_parent)
}

/// As the kernel lists them, if it was built to.
fn children_by_task() -> Option<Vec<i32>> {
    let mut pids = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("children")).ok()?;
        pids.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Some(pids)
}

/// By asking every process for its parent.
fn children_by_parent() -> Vec<i32> {
    let own = std::process::id();
    let parent_is_own = |pid: i32| -> Option<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program stands in parentheses and may hold anything.
        let rest = &stat[stat.rfind(')')? + 1..];
        Some(rest.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()? == own)
    };
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| parent_is_own(pid) == Some(true))
        .collect()
}

/// The mask of this process for modes of new files, read without changing it.
pub(crate) fn own_umask() -> io::Result<u32> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The environment of this process: `NAME=value` entries, each with a zero byte behind it.
pub(crate) fn environment() -> Vec<u8> {
    let mut block = Vec::with_capacity(4096);
    let mut add = |part: OsString, end: u8| {
        block.extend_from_slice(&part.into_vec());
        block.push(end);
    };
    for (name, value) in std::env::vars_os() {
        add(name, b'=');
        add(value, 0);
    }
    block
}

/// Replaces the environment of this process, which must have one thread.
///
/// # Errors
/// There are other threads, which may be reading it.
pub(crate) fn replace_environment(block: &[u8]) -> io::Result<()> {
    if thread_count()? != 1 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: no other thread reads or writes the environment.
    unsafe { libc::clearenv() };
    for entry in block.split(|&byte| byte == 0) {
        // A name may begin with `=`, by an old custom.
        let Some(at) = entry.iter().skip(1).position(|&byte| byte == b'=') else { continue };
        let (name, value) = (&entry[..=at], &entry[at + 2..]);
        if let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) {
            // SAFETY: as above; both strings end in zero, and `setenv` copies them. It refuses
            // names it cannot take.
            unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
        }
    }
    Ok(())
}

/// Takes a variable out of the environment. Only for a process that has one thread as yet.
pub(crate) fn remove_variable(name: &str) {
    // SAFETY: the caller is the first line of `main` or comes before it, so there is no other
    // thread to read the environment but those of constructors, which run before `main` as well
    // and must expect changes by it.
    unsafe { std::env::remove_var(name) };
}

/// Threads of ours that run no code but ours, which never looks at the environment.
static BLIND_THREADS: AtomicUsize = AtomicUsize::new(0);

/// One more such thread was started, and stays.
pub(crate) fn add_blind_thread() {
    BLIND_THREADS.fetch_add(1, Ordering::Relaxed);
}

/// Sets a variable of the environment, or takes it out.
///
/// # Errors
/// There are other threads, which may be reading it.
pub(crate) fn set_variable(name: &str, value: Option<&std::ffi::OsStr>) -> io::Result<()> {
    if thread_count()? != 1 + BLIND_THREADS.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    match value {
        // SAFETY: no other thread reads or writes the environment: there is none but blind ones.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(name) },
    }
    Ok(())
}

/// Gives every signal its default effect, but SIGPIPE, which is ignored as in every Rust
/// program; blocks none.
pub(crate) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        let effect = if signal == libc::SIGPIPE { libc::SIG_IGN } else { libc::SIG_DFL };
        // SAFETY: neither effect runs code of ours. Signals that cannot be set are left.
        unsafe { libc::signal(signal, effect) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_list_children_agree() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(children_by_parent().contains(&pid));
        assert!(children_by_task().is_none_or(|pids| pids.contains(&pid)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_umask_is_read() {
        assert!(own_umask().unwrap() <= 0o777);
    }

    #[test]
    fn the_environment_is_a_block_of_entries() {
        let block = environment();
        let path = std::env::var("PATH").unwrap();
        let entry = format!("PATH={path}");
        assert!(block.split(|&byte| byte == 0).any(|part| part == entry.as_bytes()));
        assert!(block.ends_with(&[0]));
    }

    #[test]
    fn the_environment_of_a_process_with_threads_is_left_alone() {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || receive.recv());
        assert!(thread_count().unwrap() >= 2);
        assert!(replace_environment(b"").is_err());
        drop(send);
        let _ = other.join().unwrap();
    }
}
