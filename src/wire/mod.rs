//! What goes between processes: the codec of values, the frames around them, the messages.

pub(crate) mod codec;
