//! Catching a job's panic, with its message and its place.
//!
//! The place of a panic is known to the panic hook alone. So one hook is put in front of the
//! program's hook, once: it notes the place if the panicking thread runs a job, and then calls
//! the program's hook as before. A hook that the program sets later replaces ours; then the
//! place is unknown, and nothing else is lost.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::error::{JobError, PanicInfo};
use crate::record::record;

thread_local! {
    /// How many `catch`es this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic inside a `catch` was.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Puts our hook in front of the program's.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    // `take_hook` itself panics on a panicking thread: leave it to a later engine.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) > 0 {
                let place = info.location().map(ToString::to_string);
                let _ = LOCATION.try_with(|slot| *slot.borrow_mut() = place);
            }
            previous(info);
        }));
    });
}

/// Runs a job's code; its panic becomes an error.
pub(crate) fn catch<R>(f: impl FnOnce() -> Result<R, JobError>) -> Result<R, JobError> {
    catch_panic(f).unwrap_or_else(|panic| Err(JobError::panic(panic)))
}

/// Runs a user's code; gives what its panic said and where it was.
pub(crate) fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, PanicInfo> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.with(|depth| depth.set(depth.get() - 1));
        }
    }
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let leave = Leave;
    let result = catch_unwind(AssertUnwindSafe(f));
    drop(leave);
    result.map_err(|payload| {
        let location = LOCATION.with(|slot| slot.borrow_mut().take());
        let message = message(payload.as_ref());
        drop_quietly(payload);
        PanicInfo { message, location }
    })
}

/// The text of a panic's payload.
fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}

/// Drops a user's value of which it is not known whose it is; a panic in its drop is logged and
/// goes no further.
pub(crate) fn drop_quietly<V>(value: V) {
    drop_quietly_of(&"a job", value);
}

/// The same for a value of that job.
pub(crate) fn drop_quietly_of<V>(job: &dyn fmt::Display, value: V) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        record!(
            Error,
            "executor_engine::job",
            "a value of {job} panicked while it was dropped: {}",
            message(payload.as_ref())
        );
        // The payload's own drop may panic as well; there is no end to that but to leak it.
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_message_and_place() {
        install_hook();
        let error = catch(|| -> Result<(), JobError> { panic!("number {}", 7) }).unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.message(), "number 7");
        assert!(error.panic_location().unwrap().starts_with("src/job/panics.rs:"));
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_is_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("second");
            }
        }
        let error = catch(|| -> Result<(), JobError> { std::panic::panic_any(Bomb) }).unwrap_err();
        assert_eq!(error.message(), "a panic whose payload is not text");
        drop_quietly(Bomb);
    }
}
