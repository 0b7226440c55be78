//! Tasks: functions with a stable name, callable in another process.
//!
//! [`#[task]`](macro@crate::task) puts a [`TaskDef`] into a linker section; together they are
//! the registry. It is complete before `main` and before any constructor runs, so the fork
//! server, which starts before `main`, can use it. Jobs on the wire name their task; nothing
//! that comes over the wire is ever an address.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::callable::Callable;
use crate::error::{JobError, Kind, Result};
use crate::wire::codec;

/// Every task of the program, gathered by the linker.
#[doc(hidden)]
#[linkme::distributed_slice]
pub static TASKS: [TaskDef];

/// A function that [`#[task]`](macro@crate::task) made callable by name, in any process of the
/// same program.
///
/// You need not implement it; the attribute does.
///
/// ```
/// use executor_engine::prelude::*;
///
/// #[task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// assert_eq!(add(1, 2), 3); // still a function
/// assert!(add.name().ends_with("::add"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task, so it cannot run in another process",
    note = "closures cannot leave their process: write a function, mark it #[task], and pass its \
            name"
)]
pub trait Task: Callable<Self::Args, Output = Self::Result> + Copy + Sync {
    /// The function's arguments, as a tuple.
    type Args: Serialize + DeserializeOwned + Clone + Send + 'static;
    /// What it returns; for a function that returns `Result<T, E>`, the `T`.
    type Result: Serialize + DeserializeOwned + Send + 'static;

    /// The task's entry in the registry.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn one() -> u8 { 1 }
    ///
    /// assert!(format!("{:?}", one.definition()).contains(one.name()));
    /// ```
    fn definition(&self) -> &'static TaskDef;

    /// The task's stable name: `crate::path::function`.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task(name = "billing.total")]
    /// fn total(items: Vec<u32>) -> u32 { items.iter().sum() }
    ///
    /// assert_eq!(total.name(), "billing.total");
    /// ```
    fn name(&self) -> &'static str {
        self.definition().name
    }
}

/// How a task that ran in a worker ended without a result.
#[derive(Debug)]
#[doc(hidden)]
pub enum TaskFailure {
    /// The function returned an error.
    Failed(JobError),
    /// The arguments could not be decoded, or the result not be encoded.
    Codec(String),
}

/// A task's entry in the registry.
#[derive(Debug)]
pub struct TaskDef {
    name: &'static str,
    /// A hash of the function's source, to tell builds apart.
    fingerprint: u64,
    /// Decodes arguments, calls the function, appends the encoded result.
    run: fn(&[u8], &mut Vec<u8>) -> Result<(), TaskFailure>,
}

impl TaskDef {
    /// An entry; what `#[task]` expands to.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static str,
        fingerprint: u64,
        run: fn(&[u8], &mut Vec<u8>) -> Result<(), TaskFailure>,
    ) -> Self {
        Self { name, fingerprint, run }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn run(&self, args: &[u8], out: &mut Vec<u8>) -> Result<(), TaskFailure> {
        (self.run)(args, out)
    }
}

/// What the `run` of every task's entry is.
#[doc(hidden)]
pub fn run_encoded<T: Task>(task: T, args: &[u8], out: &mut Vec<u8>) -> Result<(), TaskFailure> {
    let args: T::Args = codec::decode(args).map_err(|error| {
        TaskFailure::Codec(format!(
            "the arguments of task {} do not decode as what it takes: {error}; its \
             types must deserialize what they serialize",
            task.name()
        ))
    })?;
    let result = task.call(args).map_err(TaskFailure::Failed)?;
    codec::encode(&result, out).map_err(|error| {
        TaskFailure::Codec(format!(
            "the result of task {} does not encode: {error}; return a type that serializes",
            task.name()
        ))
    })
}

struct Registry {
    by_name: HashMap<&'static str, Entry>,
    build_id: u64,
}

struct Entry {
    task: &'static TaskDef,
    twice: bool,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut by_name: HashMap<&'static str, Entry> = HashMap::with_capacity(TASKS.len());
        for task in TASKS {
            by_name
                .entry(task.name)
                .and_modify(|entry| entry.twice = true)
                .or_insert(Entry { task, twice: false });
        }
        let mut all: Vec<_> = TASKS.iter().map(|task| (task.name, task.fingerprint)).collect();
        all.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (env!("CARGO_PKG_VERSION"), all).hash(&mut hasher);
        Registry { by_name, build_id: hasher.finish() }
    })
}

/// The task of that name, if the program has exactly one.
///
/// # Errors
/// None has that name, or several have.
pub(crate) fn find(name: &str) -> Result<&'static TaskDef> {
    match registry().by_name.get(name) {
        Some(Entry { task, twice: false }) => Ok(task),
        Some(_) => Err(Kind::DuplicateTask(name.to_owned()).into()),
        None => Err(Kind::UnknownTask(name.to_owned()).into()),
    }
}

/// A number that differs between programs whose tasks differ: by name, by source or by the
/// version of this library.
pub(crate) fn build_id() -> u64 {
    registry().build_id
}
