//! How this library writes its own log records.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::Level;

/// Writes a log record: level, target, text. Costs a comparison if no such records are wanted.
///
/// To be called with no lock held: the program's logger is foreign code.
macro_rules! record {
    ($level:ident, $target:expr, $($text:tt)+) => {
        if $crate::record::is_wanted(log::Level::$level) {
            $crate::record::contained(|| log::log!(target: $target, log::Level::$level, $($text)+));
        }
    };
}

pub(crate) use record;

/// Whether the program wants records of that level at all. Asks no logger, so it can be called with
/// a lock held.
pub(crate) fn is_wanted(level: Level) -> bool {
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

/// Calls the logger. Its panic goes no further, as `println!` has one when nobody reads any more:
/// of that there is nobody to tell.
#[cold]
pub(crate) fn contained(write: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(write)) {
        // Its drop may panic as well, and so on for ever.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        dropped.unwrap_or_else(std::mem::forget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_logger_goes_no_further() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    std::panic::panic_any(Bomb);
                }
            }
        }
        contained(|| panic!("nobody reads"));
        contained(|| std::panic::panic_any(Bomb));
    }
}
