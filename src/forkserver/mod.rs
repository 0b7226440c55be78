//! What runs in the fork server, the one helper process of an engine, and in the workers that
//! it forks.
//!
//! The engine starts its own program anew with a token in the environment and a socket as stdin.
//! A constructor that runs before `main` sees the token and serves instead; see [`entry`]. The
//! server has one thread and little memory, so it can fork safely and cheaply. It forks workers,
//! reports how they end, kills process groups, and when its socket closes, because the engine
//! ended in whatever way, it kills everything that descends from it and ends too.
//!
//! | module | holds |
//! |---|---|
//! | [`entry`] | how a process becomes a fork server |
//! | [`server`] | its loop over the control socket, ended children and deadlines |
//! | [`children`] | the workers it has, and how to be rid of them |
//! | [`worker`] | the loop of a worker: receive, claim, run, reply |
//! | [`streaming`] | streams, in a worker: values out, credit and answers in |

mod children;
mod entry;
mod sending;
mod server;
mod streaming;
mod worker;

pub use entry::init;

pub(crate) use entry::{TOKEN, serve_before_main, token_present};
