//! Process jobs: the engine's side of the fork server and its workers.
//!
//! Runs wait in a queue of this backend. A worker that is idle gets the next one; if none is and
//! there may be more, a worker is forked; else, if jobs are short, they are sent ahead to busy
//! workers, and taken back if they get stuck there. Who may do what:
//!
//! * Everything is decided under one lock, the [`pool`]'s; writes to sockets never block, so
//!   they are made under it too. Users' code (encoding, decoding, dropping) never runs under it.
//! * Replies of a worker are read by whoever holds its [`Inbox`](worker::Inbox): the I/O thread,
//!   or a user's thread that waits for the job which that worker runs. That spares the hop from
//!   one thread to the other, which costs half of a round trip.
//! * A worker is buried when the fork server has told how it ended, never by a guess.
//!
//! | module | holds |
//! |---|---|
//! | [`backend`] | `ProcessBackend`: the backend's interface, abort, shutdown |
//! | [`shared`] | what its threads share; how news reach the dispatcher |
//! | [`pool`] | the queue and the workers |
//! | [`schedule`] | which job goes where; what is sent ahead; what is taken back |
//! | [`worker`], [`outbox`] | one worker as the engine sees it; bytes on their way to it |
//! | [`server`] | the fork server as the engine sees it: its start, its control socket |
//! | [`spawn`] | new workers, and the end of old ones |
//! | [`replies`] | what comes from workers |
//! | [`streams`] | how much the workers of streams may send, and what their readers say |
//! | [`death`] | workers and fork servers that have ended |
//! | [`io`], [`threads`] | what the I/O thread does; the threads |
//! | [`settings`] | what can be set |
//! | [`wait`] | user threads that serve the worker they wait for |
//! | [`stderr`] | what workers write to stderr |

mod backend;
mod death;
mod io;
mod outbox;
mod pool;
mod replies;
mod schedule;
mod server;
mod settings;
mod shared;
mod spawn;
mod stderr;
mod streams;
#[cfg(test)]
mod tests;
mod threads;
mod wait;
mod worker;

pub(crate) use backend::ProcessBackend;
pub(crate) use settings::Settings;
