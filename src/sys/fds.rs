//! Descriptors: pipes, pidfds, the standard ones of a process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, fchdir, pipe2};

/// A pipe, closed on exec: the end to read, which does not block, and the end to write.
pub(crate) fn nonblocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// Whether it is an open socket.
pub(crate) fn is_socket(fd: impl AsFd) -> bool {
    fstat(fd.as_fd())
        .is_ok_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits())
}

/// A descriptor of the process, readable when it has ended.
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes two integers and touches no memory; descriptors it makes are
    // closed on exec.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The directory that the process is in, even if it has no name any more.
pub(crate) fn working_directory() -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    Ok(options.open(".")?.into())
}

/// Moves what is stdin to a descriptor of its own, closed on exec.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let fd = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes stdin empty.
pub(crate) fn install_null_stdin() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    if null.as_raw_fd() == libc::STDIN_FILENO {
        // It was closed, so the new file took its place: leave it there, for children as well.
        let inherited = FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
        fcntl(&null, inherited)?;
        let _ = null.into_raw_fd();
        return Ok(());
    }
    Ok(dup2_stdin(&null)?)
}

/// Gives a new process its stdout, stderr and directory.
pub(crate) fn install_output(
    stdout: &OwnedFd,
    stderr: &OwnedFd,
    directory: &OwnedFd,
) -> io::Result<()> {
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)?;
    Ok(fchdir(directory)?)
}

/// Makes stdout and stderr of this process lead elsewhere.
pub(crate) fn lead_output_to(stdout: &OwnedFd, stderr: &OwnedFd) -> io::Result<()> {
    dup2_stdout(stdout)?;
    Ok(dup2_stderr(stderr)?)
}

unsafe extern "C" {
    /// Of the C library.
    #[link_name = "stdout"]
    static C_STDOUT: *mut libc::FILE;
}

/// Writes out what C code of this process has printed and the C library still holds. (Its stderr
/// holds nothing back. Other streams are let alone: a thread may have one locked, and wait.)
pub(crate) fn flush_c_stdout() {
    // SAFETY: the C library defines the variable in every program and sets it before anything of
    // the program runs; `fflush` locks the stream.
    unsafe { libc::fflush(C_STDOUT) };
}

/// Closes every descriptor from `first` on, but `but`.
pub(crate) fn close_fds_from(first: u32, but: &OwnedFd) {
    let but = u32::try_from(but.as_raw_fd()).unwrap_or(0);
    let ranges = if but < first {
        [(first, u32::MAX), (1, 0)]
    } else {
        [(first, but.wrapping_sub(1)), (but + 1, u32::MAX)]
    };
    for (from, to) in ranges {
        if from <= to && to >= first {
            // SAFETY: takes three integers. The caller's descriptors above `first` are not
            // owned by any value: this runs first thing in a new program, whose inherited
            // descriptors nobody knows. A kernel without the call leaves them open.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
}

/// A descriptor of this process for what another process has under that number.
#[cfg(test)]
pub(crate) fn duplicate_of(pidfd: std::os::fd::BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: `pidfd_getfd` takes three integers and touches no memory; descriptors it makes
    // are closed on exec.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
