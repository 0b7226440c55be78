//! A worker: a process that receives requests, runs their tasks and replies.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getppid, setpgid};

use super::{sending, streaming};
use crate::error::{JobError, PanicInfo};
use crate::files::{self, InPlace, Place};
use crate::job;
use crate::sys::{self, Page};
use crate::task::{self, TaskDef, TaskFailure};
use crate::wire::claims::Claims;
use crate::wire::codec;
use crate::wire::frame::{Decoder, HEADER, Header};
use crate::wire::message::{
    PLACED, REPLY_CODEC, REPLY_FAILED, REPLY_NO_PLACE, REPLY_OK, REPLY_PANICKED, REPLY_SKIPPED,
    STREAM, is_request, is_stream_word,
};

/// The exit code of a worker that could not begin: "system error" in `sysexits.h`.
const CANNOT_BEGIN: i32 = 71;

/// A reply's memory above this is given back after the reply.
const KEEP: usize = 1 << 20;

/// What a new worker is given.
pub(super) struct Setup {
    pub(super) server: Pid,
    pub(super) socket: OwnedFd,
    pub(super) output: [OwnedFd; 2],
    pub(super) directory: OwnedFd,
    pub(super) page: Page,
    pub(super) slot: u32,
    pub(super) environment: Option<Vec<u8>>,
    pub(super) umask: u32,
    pub(super) frame_cap: u64,
}

/// Lives as a worker, from just after the fork to the process's end.
pub(super) fn run(setup: Setup) -> ! {
    if let Err(error) = begin(&setup) {
        eprintln!("executor-engine: a worker process cannot begin: {error}");
        std::process::exit(CANNOT_BEGIN)
    }
    let Setup { socket, page, slot, frame_cap, output, directory, .. } = setup;
    drop((output, directory));
    let socket = Arc::new(socket);
    sending::install(&socket);
    streaming::install();
    // Users' code runs on this first thread. A thread made for it would have a stack, an arena
    // and thread-locals of its own, and touching them for the first time costs a new process
    // more than everything else it does.
    serve(&socket, &page, slot, frame_cap);
    // The engine closed the connection, or is gone.
    std::process::exit(0)
}

/// Makes the process what the engine asked for.
fn begin(setup: &Setup) -> io::Result<()> {
    let own = Pid::from_raw(0);
    let _ = setpgid(own, own);
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != setup.server {
        // The server died before that took effect.
        std::process::exit(0);
    }
    let _ = prctl::set_name(c"executor-worker");
    SigSet::empty().thread_set_mask()?;
    umask(Mode::from_bits_truncate(setup.umask));
    let [stdout, stderr] = &setup.output;
    sys::install_output(stdout, stderr, &setup.directory)?;
    if let Some(environment) = &setup.environment {
        sys::replace_environment(environment)?;
    }
    Ok(())
}

/// Serves requests until the connection ends.
fn serve(socket: &Arc<OwnedFd>, page: &Page, slot: u32, frame_cap: u64) {
    let Some(number) = usize::try_from(slot).ok().and_then(|slot| page.slot(slot)) else { return };
    let claims = Claims::new(number);
    // The engine has checked the size of what it sends.
    let mut decoder = Decoder::new(u64::MAX);
    let mut reply = Vec::new();
    loop {
        if sys::wait_readable(socket.as_fd(), None).is_err() {
            return;
        }
        match sys::recv(socket.as_fd(), decoder.space()) {
            Ok(0) | Err(_) => return,
            Ok(n) => decoder.filled(n),
        }
        loop {
            let Ok(next) = decoder.next() else { return };
            let Some((header, range)) = next else { break };
            match header.kind {
                request if is_request(request) => {}
                late if is_stream_word(late) => continue,
                _ => return,
            }
            sending::begin(header.seq);
            if header.kind & STREAM != 0 {
                let body = decoder.bytes(range).to_vec();
                decoder = streaming::during(socket, header.seq, frame_cap, decoder, || {
                    answer(header, &body, claims, frame_cap, &mut reply);
                });
            } else {
                answer(header, decoder.bytes(range), claims, frame_cap, &mut reply);
            }
            // At once: the next request may take long.
            let whole = sending::alone();
            if sys::send_all(socket.as_fd(), &reply).is_err() {
                return;
            }
            drop(whole);
            if header.kind & PLACED != 0 && files::is_lost() {
                // What was sent ahead goes to other workers.
                return;
            }
            if reply.capacity() > KEEP {
                reply = Vec::new();
            }
        }
    }
}

/// Runs a request, unless it was taken back, and puts the whole frame of the reply into `reply`.
fn answer(header: Header, body: &[u8], claims: Claims<'_>, frame_cap: u64, reply: &mut Vec<u8>) {
    reply.clear();
    reply.resize(HEADER, 0);
    let kind = if claims.claim(header.seq) {
        let kind = perform(header, body, reply);
        let length = reply.len() - HEADER;
        if length as u64 > frame_cap {
            let text = format!(
                "the result is {length} bytes encoded, where {frame_cap} are allowed: raise \
                 max_message_bytes, or put it into a file"
            );
            replace(reply, REPLY_CODEC, text.as_bytes())
        } else {
            kind
        }
    } else {
        REPLY_SKIPPED
    };
    let length = (reply.len() - HEADER) as u64;
    let header = Header { length, seq: header.seq, extra: 0, kind };
    reply[..HEADER].copy_from_slice(&header.to_bytes());
}

fn perform(header: Header, body: &[u8], reply: &mut Vec<u8>) -> u8 {
    let Some((name, args)) = body.split_at_checked(usize::from(header.extra)) else {
        return replace(reply, REPLY_CODEC, b"the request is shorter than its task's name");
    };
    let task = std::str::from_utf8(name).map_err(|_| String::from("the task's name is no text"));
    let task = task.and_then(|name| task::find(name).map_err(|error| error.to_string()));
    let task = match task {
        Ok(task) => task,
        Err(text) => return replace(reply, REPLY_CODEC, text.as_bytes()),
    };
    if header.kind & PLACED == 0 {
        return call(task, args, reply);
    }
    let Some((place, args)) = Place::split(args) else {
        return replace(reply, REPLY_CODEC, b"the request is shorter than its place");
    };
    match InPlace::enter(&place) {
        Err(error) => replace(reply, REPLY_NO_PLACE, error.to_string().as_bytes()),
        Ok(_in_place) => {
            let kind = call(task, args, reply);
            if kind == REPLY_FAILED && place.stderr().is_some() {
                // A panic has said so by itself.
                let text = String::from_utf8_lossy(&reply[HEADER..]).into_owned();
                let _ = writeln!(io::stderr(), "{}", JobError::failure_text(text));
            }
            kind
        }
    }
}

/// Calls the task and puts what came of it into the reply.
fn call(task: &TaskDef, args: &[u8], reply: &mut Vec<u8>) -> u8 {
    match job::catch(|| Ok(task.run(args, reply))) {
        Ok(Ok(())) => REPLY_OK,
        Ok(Err(TaskFailure::Failed(error))) if streaming::is_over(&error) => {
            replace(reply, REPLY_OK, &[])
        }
        Ok(Err(TaskFailure::Failed(error))) => {
            replace(reply, REPLY_FAILED, error.message().as_bytes())
        }
        Ok(Err(TaskFailure::Codec(text))) => replace(reply, REPLY_CODEC, text.as_bytes()),
        Err(error) => panicked(&error, reply),
    }
}

fn panicked(error: &JobError, reply: &mut Vec<u8>) -> u8 {
    let location = error.panic_location().map(ToOwned::to_owned);
    let info = PanicInfo { message: error.message(), location };
    reply.truncate(HEADER);
    match codec::encode(&info, reply) {
        Ok(()) => REPLY_PANICKED,
        Err(error) => replace(reply, REPLY_CODEC, error.to_string().as_bytes()),
    }
}

/// Puts this into the reply, in place of what is there.
fn replace(reply: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> u8 {
    reply.truncate(HEADER);
    reply.extend_from_slice(bytes);
    kind
}
