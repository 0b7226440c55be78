//! Constructors that come after the fork server's own have run before a task does.
//!
//! The fork server starts before `main`, in a constructor. If those behind it never ran, tasks
//! would find registries and statics of C++ libraries empty in workers, and nowhere else.

use std::sync::atomic::{AtomicU32, Ordering};

use executor_engine::prelude::*;

static BITS: AtomicU32 = AtomicU32::new(0);

extern "C" fn early() {
    BITS.fetch_or(1, Ordering::SeqCst);
}

extern "C" fn late() {
    BITS.fetch_or(2, Ordering::SeqCst);
}

extern "C" fn unnumbered() {
    BITS.fetch_or(4, Ordering::SeqCst);
}

#[used]
// SAFETY: a function that the C runtime can call, in the table of those that it calls.
#[unsafe(link_section = ".init_array.00150")]
static EARLY: extern "C" fn() = early;

#[used]
// SAFETY: as above.
#[unsafe(link_section = ".init_array.00300")]
static LATE: extern "C" fn() = late;

#[used]
// SAFETY: as above.
#[unsafe(link_section = ".init_array")]
static UNNUMBERED: extern "C" fn() = unnumbered;

#[task]
fn bits() -> u32 {
    BITS.load(Ordering::SeqCst)
}

#[test]
fn every_constructor_ran_before_the_task() -> executor_engine::Result<()> {
    assert_eq!(BITS.load(Ordering::SeqCst), 7);
    let engine = Engine::new()?;
    let job = engine.submit(ProcessJob::new(bits, ()))?;
    assert_eq!(job.result()?, 7);
    Ok(())
}
