//! What a worker sends while it is at a request: whole frames, whichever of its threads sends.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::info::Progress;
use crate::job::{self, Teller};
use crate::sys;
use crate::wire::codec;
use crate::wire::frame::{HEADER, Header};
use crate::wire::message::NOTE_PROGRESS;

/// What this process sends by: its socket, and the number of the request that it is at.
struct Wire {
    socket: Arc<OwnedFd>,
    seq: u32,
}

/// There once the process serves. Threads of the job may send, too.
static WIRE: Mutex<Option<Wire>> = Mutex::new(None);

/// From now on this process sends by that socket.
pub(super) fn install(socket: &Arc<OwnedFd>) {
    *WIRE.lock() = Some(Wire { socket: Arc::clone(socket), seq: 0 });
    let current = || WIRE.lock().as_ref().map_or(0, |wire| wire.seq);
    job::tell_progress_by(Teller { current, tell: tell_progress });
}

/// It is at that request now.
pub(super) fn begin(seq: u32) {
    if let Some(wire) = &mut *WIRE.lock() {
        wire.seq = seq;
    }
}

/// Keeps others from sending while it is held.
pub(super) fn alone() -> MutexGuard<'static, impl Sized> {
    WIRE.lock()
}

/// Tells the engine how far the job of that request is; what a thread says that it has left behind goes
/// nowhere.
fn tell_progress(request: u32, progress: &Progress) {
    let mut frame = vec![0; HEADER];
    if codec::encode(progress, &mut frame).is_err() {
        return;
    }
    let wire = WIRE.lock();
    let Some(wire) = wire.as_ref().filter(|wire| wire.seq == request) else { return };
    let length = (frame.len() - HEADER) as u64;
    let header = Header { length, seq: wire.seq, extra: 0, kind: NOTE_PROGRESS };
    frame[..HEADER].copy_from_slice(&header.to_bytes());
    // An engine that does not listen any more ends this process anyway.
    let _ = sys::send_all(wire.socket.as_fd(), &frame);
}
