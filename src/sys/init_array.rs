//! The constructor that runs before `main`, and a way to run those that come after it.
//!
//! The C runtime calls the functions in the program's `.init_array`, in the order the linker
//! laid them out: first those with a number, by number, then the rest. Ours has number 200:
//! behind the standard library's own (99, which notes the arguments), before everybody else's.
//! If it never returns, those behind it never run, and code that relies on them (C++ statics,
//! registries) finds nothing. So it calls them itself: it knows the table by the symbols that
//! the linker puts around it, and its own place in it by the address of its entry.

use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// A constructor, as the C runtime calls it.
type Constructor = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// Our entry in the table.
#[used]
// SAFETY: a function of the type that the C runtime expects in this section.
#[unsafe(link_section = ".init_array.00200")]
static ENTRY: Constructor = construct;

// The two ends of the table, by way of weak references: a shared library has no such symbols of
// its own, and there they are null instead of an error of the linker. The names have a version,
// so that two of this library can be linked into one program.
std::arch::global_asm!(
    ".pushsection .data.rel.ro.executor_engine_constructors, \"aw\"",
    ".weak __init_array_start",
    ".weak __init_array_end",
    ".hidden __init_array_start",
    ".hidden __init_array_end",
    ".weak executor_engine_constructors",
    ".hidden executor_engine_constructors",
    ".balign 8",
    "executor_engine_constructors:",
    ".8byte __init_array_start",
    ".8byte __init_array_end",
    ".popsection",
);

// SAFETY: the symbol is defined above, two pointers long, and nobody writes to it.
unsafe extern "C" {
    #[link_name = "executor_engine_constructors"]
    safe static TABLE: [usize; 2];
}

/// What our entry was called with, for those behind it.
static ARGC: AtomicUsize = AtomicUsize::new(0);
static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());
static ENVP: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

unsafe extern "C" fn construct(
    argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) {
    // In a shared library there is no table to run to its end, so nothing can be served early.
    if later().is_none() {
        return;
    }
    ARGC.store(usize::try_from(argc).unwrap_or(0), Ordering::Relaxed);
    ARGV.store(argv.cast_mut(), Ordering::Relaxed);
    ENVP.store(envp.cast_mut(), Ordering::Relaxed);
    crate::forkserver::serve_before_main();
}

/// Where the entries behind ours begin and end.
fn later() -> Option<(*const Constructor, *const Constructor)> {
    let [start, end] = TABLE;
    let here = (&raw const ENTRY).addr();
    (start <= here && here < end)
        .then(|| ((&raw const ENTRY).wrapping_add(1), std::ptr::with_exposed_provenance(end)))
}

/// Runs the program's constructors that come after ours. Called once, from ours.
pub(crate) fn run_later_constructors() {
    let Some((mut next, end)) = later() else { return };
    let argc = c_int::try_from(ARGC.load(Ordering::Relaxed)).unwrap_or(0);
    let (argv, envp) = (ARGV.load(Ordering::Relaxed), ENVP.load(Ordering::Relaxed));
    while next < end {
        // SAFETY: `next` is inside the linker's table, which is an array of pointers. The word
        // is read as a number since some linkers pad with 0 or -1.
        let word = unsafe { next.cast::<usize>().read() };
        if word != 0 && word != usize::MAX {
            // SAFETY: the table holds functions of this type; the C runtime was about to call
            // them with these very arguments, in this order, on this thread, and now will not.
            unsafe { next.read()(argc, argv, envp) };
        }
        next = next.wrapping_add(1);
    }
}

/// Refers to the entry, so that every program that uses this library has it in its table.
pub(crate) fn keep_linked() {
    std::hint::black_box(&raw const ENTRY);
}
