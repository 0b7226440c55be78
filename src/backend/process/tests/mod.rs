//! Tests of the backend without a dispatcher: runs go in, news come out.

mod basics;
mod faults;
mod harness;
mod lifecycle;
mod pipeline;
