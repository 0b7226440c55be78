//! The only unsafe code of the crate: thin safe wrappers of system calls and of the linker's
//! constructor table. Every block says why it is sound.
//!
//! | module | wraps |
//! |---|---|
//! | [`fds`] | pipes, pidfds, the standard descriptors of a process |
//! | [`init_array`] | the constructor that runs before `main`, and those after it |
//! | [`page`] | a page of atomics that several processes share |
//! | [`process`] | fork, wait, process groups, the environment of a single-threaded process |
//! | [`socket`] | socketpairs, with and without passed descriptors |

#![allow(unsafe_code, reason = "this module is where unsafe code lives")]

mod fds;
mod init_array;
mod page;
mod process;
mod socket;

#[cfg(test)]
pub(crate) use fds::duplicate_of;
pub(crate) use fds::{
    close_fds_from, flush_c_stdout, install_null_stdin, install_output, is_socket, lead_output_to,
    nonblocking_pipe, pidfd, take_stdin, working_directory,
};
pub(crate) use init_array::{keep_linked, run_later_constructors};
pub(crate) use page::Page;
#[cfg(feature = "signals")]
pub(crate) use process::is_default;
pub(crate) use process::{
    Forked, add_blind_thread, children, environment, fork, group_has_members, kill_group,
    own_umask, peek_ended, reap, remove_variable, replace_environment, reset_signals, set_variable,
};
pub(crate) use socket::{
    pair, recv, recv_blocking, recv_with_fds, send, send_all, shutdown, wait_readable,
};
