//! Socketpairs, with and without passed descriptors.

use std::io::{self, IoSlice};
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};

/// Two connected stream sockets, both closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends as much of `parts` as the socket takes without blocking, and `fds` with the first byte.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let raw = socket.as_raw_fd();
    loop {
        let sent = match (parts, fds) {
            ([one], []) => nix::sys::socket::send(raw, one, flags),
            (parts, []) => sendmsg::<()>(raw, parts, &[], flags, None),
            (parts, fds) => {
                let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
                sendmsg::<()>(raw, parts, &[ControlMessage::ScmRights(&fds)], flags, None)
            }
        };
        match sent {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Sends all of `bytes`, blocking as long as that takes.
pub(crate) fn send_all(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::sys::socket::send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            sent => bytes = &bytes[sent?..],
        }
    }
    Ok(())
}

/// Receives what is there, without blocking. `Ok(0)` is the end.
pub(crate) fn recv(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket, buf, MsgFlags::MSG_DONTWAIT)
}

/// As [`recv`], but blocks until there is something: for a thread whose own message is taken
/// just before it is answered, so that the needless wake comes together with the real one.
pub(crate) fn recv_blocking(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket, buf, MsgFlags::empty())
}

fn recv_with(socket: BorrowedFd<'_>, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), buf, flags) {
            Err(Errno::EINTR) => {}
            received => return Ok(received?),
        }
    }
}

/// Waits until there is something to receive (`true`) or the time is up (`false`).
///
/// A thread asleep in a receive is also woken, for nothing, when the other end takes a message
/// from its queue: the kernel tells all sleepers of a stream socket that there is room again.
/// Sleepers in `poll` are told only of what they asked for. So a worker, which sleeps while its
/// reply is taken, waits here, which saves two switches for the price of one call.
pub(crate) fn wait_readable(socket: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket, PollFlags::POLLIN)];
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                // Rounded up to the milliseconds that `poll` counts in.
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Ok(ready) => return Ok(ready > 0),
        }
    }
}

/// Receives what is there, without blocking, and the descriptors that came with it, closed on
/// exec. The list is `None` if none came; it is short if this process has no room for all.
///
/// Written on libc because nix gives no access to the descriptors of a truncated message, which
/// would then stay open for good.
pub(crate) fn recv_with_fds(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
) -> io::Result<(usize, Option<Vec<OwnedFd>>)> {
    let mut space = [0_u64; 16];
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: `msghdr` is plain old data, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&space) as _;
    let received = loop {
        // SAFETY: `message` points to `part`, which describes `buf`, and to `space`, with their
        // true lengths; all of them live across the call.
        let received = unsafe {
            libc::recvmsg(
                socket.as_raw_fd(),
                &raw mut message,
                libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
            )
        };
        match Errno::result(received) {
            Err(Errno::EINTR) => {}
            received => break received?,
        }
    };
    let mut fds = (message.msg_flags & libc::MSG_CTRUNC != 0).then(Vec::new);
    // SAFETY: the kernel filled in `message` and its control data, which `space` still holds,
    // aligned for `cmsghdr`; the `CMSG_*` functions walk it within the length it gave. Each
    // descriptor in it was made for this process by this call, and nobody else has seen it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = header.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                // Which integer type the length has depends on the C library.
                #[allow(clippy::unnecessary_cast, reason = "as said")]
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let list = fds.get_or_insert_default();
                for i in 0..bytes / mem::size_of::<RawFd>() {
                    list.push(OwnedFd::from_raw_fd(data.add(i).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((usize::try_from(received).unwrap_or(0), fds))
}

/// Ends one or both directions of a connection; everybody blocked on it wakes.
pub(crate) fn shutdown(socket: impl AsFd, how: Shutdown) {
    let how = match how {
        Shutdown::Read => nix::sys::socket::Shutdown::Read,
        Shutdown::Write => nix::sys::socket::Shutdown::Write,
        Shutdown::Both => nix::sys::socket::Shutdown::Both,
    };
    // It fails only if the other end is gone already.
    let _ = nix::sys::socket::shutdown(socket.as_fd().as_raw_fd(), how);
}
