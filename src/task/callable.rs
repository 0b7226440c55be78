//! What a job can call: closures and tasks, under one trait.

use crate::error::{BoxError, JobError};

/// Something that a job can call with arguments `A`, a tuple.
///
/// Implemented for every closure and function of up to twelve arguments, and by
/// [`#[task]`](crate::task) for tasks. You need not implement it.
///
/// ```
/// use executor_engine::prelude::*;
///
/// #[task]
/// fn double(x: i64) -> i64 { x * 2 }
///
/// let engine = Engine::new()?;
/// let a = engine.submit(ThreadJob::new(double, (4,)))?;            // a task
/// let b = engine.submit(ThreadJob::new(|x: i64| x + 1, (&a,)))?;   // a closure
/// assert_eq!(b.result()?, 9);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called with the arguments `{A}`",
    note = "give the arguments as a tuple, e.g. `(x, &handle)`, `(x,)` or `()`; a closure must be \
            `Fn + Send + 'static`"
)]
pub trait Callable<A>: Send + 'static {
    /// What the job yields when it is done.
    type Output: Send + 'static;

    /// Calls it. An `Err` is the job's failure.
    ///
    /// # Errors
    /// Whatever the function returns, if it is one that can fail.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::Callable;
    /// assert_eq!((|x: u8, y: u8| x + y).call((1, 2)).unwrap(), 3);
    /// ```
    fn call(&self, args: A) -> Result<Self::Output, JobError>;
}

/// A closure or function returning `Result<T, E>`, whose `Err` is the job's failure: what
/// `try_new` takes.
///
/// Implemented for every closure and function of up to twelve arguments whose error converts
/// into a boxed error: any error type, `String` and `&str` do.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let job = engine.submit(ThreadJob::try_new(|text: String| text.parse::<u8>(), ("7".to_owned(),)))?;
/// assert_eq!(job.result()?, 7);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait TryCallable<A>: Send + 'static {
    /// What the job yields when it is done.
    type Output: Send + 'static;

    /// Calls it. An `Err` is the job's failure.
    ///
    /// # Errors
    /// What the function returns.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::TryCallable;
    /// let parse = |text: &'static str| text.parse::<u8>();
    /// assert_eq!(parse.try_call(("7",)).unwrap(), 7);
    /// assert!(parse.try_call(("x",)).unwrap_err().is_failure());
    /// ```
    fn try_call(&self, args: A) -> Result<Self::Output, JobError>;
}

/// A closure that can be called once only, for it gives away what it holds: what `once` takes.
///
/// Implemented for every closure of up to twelve arguments.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let (send, receive) = std::sync::mpsc::channel();
/// let text = String::from("moved out");
/// engine.submit(ThreadJob::once(move || send.send(text), ()))?;
/// assert_eq!(receive.recv().unwrap(), "moved out");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called with the arguments `{A}`",
    note = "give the arguments as a tuple, e.g. `(x, &handle)`, `(x,)` or `()`; a closure must be \
            `FnOnce + Send + 'static`"
)]
pub trait CallableOnce<A>: Send + 'static {
    /// What the job yields when it is done.
    type Output: Send + 'static;

    /// Calls it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::CallableOnce;
    /// let text = String::from("moved");
    /// assert_eq!((move |end: char| text + &end.to_string()).call_once(('!',)), "moved!");
    /// ```
    fn call_once(self, args: A) -> Self::Output;
}

/// A [`CallableOnce`] whose `Err` is the job's failure: what `try_once` takes.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let text = String::from("12x");
/// let job = engine.submit(ThreadJob::try_once(move || text.into_boxed_str().parse::<u8>(), ()))?;
/// assert!(job.result().unwrap_err().is_failure());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait TryCallableOnce<A>: Send + 'static {
    /// What the job yields when it is done.
    type Output: Send + 'static;

    /// Calls it. An `Err` is the job's failure.
    ///
    /// # Errors
    /// What the function returns.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::TryCallableOnce;
    /// let bytes = vec![0xFF];
    /// assert!((move || String::from_utf8(bytes)).try_call_once(()).unwrap_err().is_failure());
    /// ```
    fn try_call_once(self, args: A) -> Result<Self::Output, JobError>;
}

/// Makes a [`TryCallable`] a [`Callable`].
pub(crate) struct Fallible<F>(pub(crate) F);

impl<A, F: TryCallable<A>> Callable<A> for Fallible<F> {
    type Output = F::Output;

    fn call(&self, args: A) -> Result<F::Output, JobError> {
        self.0.try_call(args)
    }
}

/// Makes a [`CallableOnce`] a [`TryCallableOnce`].
pub(crate) struct Infallible<F>(pub(crate) F);

impl<A, F: CallableOnce<A>> TryCallableOnce<A> for Infallible<F> {
    type Output = F::Output;

    fn try_call_once(self, args: A) -> Result<F::Output, JobError> {
        Ok(self.0.call_once(args))
    }
}

macro_rules! callable {
    ($($arg:ident)*) => {
        impl<F, R, $($arg),*> Callable<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Send + 'static,
            R: Send + 'static,
        {
            type Output = R;

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Result<R, JobError> {
                Ok(self($($arg),*))
            }
        }

        impl<F, R, E, $($arg),*> TryCallable<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Result<R, E> + Send + 'static,
            R: Send + 'static,
            E: Into<BoxError>,
        {
            type Output = R;

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn try_call(&self, ($($arg,)*): ($($arg,)*)) -> Result<R, JobError> {
                self($($arg),*).map_err(|error| JobError::failure(error.into()))
            }
        }

        impl<F, R, $($arg),*> CallableOnce<($($arg,)*)> for F
        where
            F: FnOnce($($arg),*) -> R + Send + 'static,
            R: Send + 'static,
        {
            type Output = R;

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn call_once(self, ($($arg,)*): ($($arg,)*)) -> R {
                self($($arg),*)
            }
        }

        impl<F, R, E, $($arg),*> TryCallableOnce<($($arg,)*)> for F
        where
            F: FnOnce($($arg),*) -> Result<R, E> + Send + 'static,
            R: Send + 'static,
            E: Into<BoxError>,
        {
            type Output = R;

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn try_call_once(self, ($($arg,)*): ($($arg,)*)) -> Result<R, JobError> {
                self($($arg),*).map_err(|error| JobError::failure(error.into()))
            }
        }
    };
}

callable!();
callable!(A1);
callable!(A1 A2);
callable!(A1 A2 A3);
callable!(A1 A2 A3 A4);
callable!(A1 A2 A3 A4 A5);
callable!(A1 A2 A3 A4 A5 A6);
callable!(A1 A2 A3 A4 A5 A6 A7);
callable!(A1 A2 A3 A4 A5 A6 A7 A8);
callable!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
callable!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
callable!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
callable!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
