//! What goes between processes: the codec of values, the frames around them, the messages.
//!
//! | module | holds |
//! |---|---|
//! | [`codec`] | values of users, as bytes |
//! | [`frame`] | a header with a length and bytes behind it; the incremental decoder |
//! | [`message`] | what engine and fork server say to each other, and the kinds of frames |
//! | [`claims`] | the shared number by which engine and worker agree on who has a request |

pub(crate) mod claims;
pub(crate) mod codec;
pub(crate) mod frame;
pub(crate) mod message;
